/* How the cluster is: what its primaries answered last, and asking each of them. */
#include <stdlib.h>

#include "base/buf.h"
#include "redis/cluster/internal.h"

bool cluster_known(redisc_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    bool known = cluster->map.shard_count > 0;
    pthread_mutex_unlock(&cluster->lock);
    return known;
}

bool cluster_whole(redisc_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    const cluster_map *map = &cluster->map;
    bool whole = map->shard_count > 0;
    for (size_t i = 0; i < map->shard_count && whole; i++)
        whole = map->shards[i].primary->failed_at == 0;
    pthread_mutex_unlock(&cluster->lock);
    return whole;
}

/* Each once, in a copy, since the map may change meanwhile; or the first slot that has none. */
static size_t primaries_of(redisc_cluster *cluster, cluster_node ***list, int *missing)
{
    size_t n = 0;
    pthread_mutex_lock(&cluster->lock);
    const cluster_map *map = &cluster->map;
    *list = mem_alloc((cluster->node_count + 1) * sizeof **list);
    for (size_t i = 0; i < map->shard_count; i++) {
        size_t k = 0;
        while (k < n && (*list)[k] != map->shards[i].primary)
            k++;
        if (k == n)
            (*list)[n++] = map->shards[i].primary;
    }
    *missing = 0;
    while (map->shard_count && *missing < CLUSTER_SLOTS && map->of[*missing] != CLUSTER_NOBODY)
        ++*missing;
    pthread_mutex_unlock(&cluster->lock);
    return n;
}

static rl_err *ping(redisc_cluster *cluster, cluster_node *node)
{
    cluster_link *link;
    redisReply *reply = NULL;
    rl_deadline deadline = deadline_or_never(cluster->opts.conn.timeout);
    rl_err *err = cluster_lend(cluster, node, deadline, &link);
    if (!err) {
        err = redisc_callf(link->conn, &reply, "PING");
        cluster_give_back(cluster, link);
    }
    freeReplyObject(reply);
    if (err && err->domain == RL_REDIS && !cluster_not_asked(err))
        cluster_node_failed(cluster, node);
    return err;
}

rl_err *cluster_check(redisc_cluster *cluster)
{
    cluster_node **list;
    int missing;
    rl_err *err = cluster_refresh(cluster);
    if (err)
        return err;
    size_t n = primaries_of(cluster, &list, &missing);
    for (size_t i = 0; i < n; i++) {
        rl_err *one = ping(cluster, list[i]);
        if (err)
            err_free(one);
        else
            err = one;
    }
    free(list);
    if (err || missing == CLUSTER_SLOTS)
        return err;
    return err_new(RL_REDIS, 0, "NO_NODE", "no node serves slot %d", missing);
}
