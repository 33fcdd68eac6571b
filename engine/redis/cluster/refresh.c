/* Reading the map anew: one thread asks, the others wait for what it hears. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/cond.h"
#include "redis/cluster/internal.h"

/* A frozen node must not hold up everybody for as long as a slow command may take. */
static const double ASK_AT_MOST = 1;

static rl_err *ask(redisc_cluster *cluster, const cluster_node *node, redisReply **slots)
{
    redisc_opts opts = cluster->opts.conn;
    opts.host = node->host;
    opts.port = node->port;
    if (opts.timeout <= 0 || opts.timeout > ASK_AT_MOST)
        opts.timeout = ASK_AT_MOST;
    if (opts.connect_timeout <= 0 || opts.connect_timeout > ASK_AT_MOST)
        opts.connect_timeout = ASK_AT_MOST;
    redisc_conn *conn = redisc_new(&opts);
    rl_err *err = redisc_connect(conn);
    if (!err)
        err = redisc_callf(conn, slots, "CLUSTER SLOTS");
    redisc_free(conn);
    return err;
}

/* Whom to ask: `first`, then those that answered last, then the others; a copy, since nodes may join. */
static size_t order_of(redisc_cluster *cluster, cluster_node *first, cluster_node ***order)
{
    size_t n = 0;
    pthread_mutex_lock(&cluster->lock);
    size_t count = cluster->node_count, start = atomic_fetch_add(&cluster->turn, 1);
    *order = mem_alloc((count + 1) * sizeof **order);
    if (first)
        (*order)[n++] = first;
    for (int failed = 0; failed < 2; failed++)
        for (size_t i = 0; i < count; i++) {
            cluster_node *node = cluster->nodes[(start + i) % count];
            if (node != first && (node->failed_at != 0) == failed)
                (*order)[n++] = node;
        }
    pthread_mutex_unlock(&cluster->lock);
    return n;
}

static rl_err *adopt(redisc_cluster *cluster, const cluster_node *node, redisReply *slots)
{
    pthread_mutex_lock(&cluster->lock);
    bool ok = cluster_map_read(cluster, slots, node);
    if (ok)
        cluster->version++;
    pthread_mutex_unlock(&cluster->lock);
    freeReplyObject(slots);
    atomic_fetch_add(&cluster->count.refreshes, 1);
    return ok ? NULL
              : err_new(RL_REDIS, 0, "PROTOCOL", "an answer to CLUSTER SLOTS that makes no sense");
}

static bool is_cancelled(redisc_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    bool cancelled = cluster->cancelled;
    pthread_mutex_unlock(&cluster->lock);
    return cancelled;
}

static rl_err *refresh_now(redisc_cluster *cluster, cluster_node *first)
{
    cluster_node **order;
    size_t count = order_of(cluster, first, &order);
    rl_err *err = err_new(RL_REDIS, 0, "NO_NODE", "no node of the cluster is known");
    for (size_t i = 0; i < count && err; i++) {
        redisReply *slots = NULL;
        err_free(err);
        err = is_cancelled(cluster) ? err_lab("CANCELLED", "the call was cancelled")
                                    : ask(cluster, order[i], &slots);
        if (!err)
            err = adopt(cluster, order[i], slots);
        else
            cluster_node_failed(cluster, order[i]);
    }
    free(order);
    return err;
}

rl_err *cluster_refresh_since(redisc_cluster *cluster, uint64_t seen, cluster_node *first)
{
    pthread_mutex_lock(&cluster->lock);
    bool waited = cluster->refreshing;
    while (cluster->refreshing && !cluster->cancelled)
        cond_wait_until(&cluster->changed, &cluster->lock, DEADLINE_NEVER);
    bool mine = !waited && cluster->version == seen && !cluster->cancelled;
    cluster->refreshing = mine || cluster->refreshing;
    pthread_mutex_unlock(&cluster->lock);
    if (!mine)
        return NULL;
    rl_err *err = refresh_now(cluster, first);
    pthread_mutex_lock(&cluster->lock);
    cluster->refreshing = false;
    pthread_cond_broadcast(&cluster->changed);
    pthread_mutex_unlock(&cluster->lock);
    return err;
}

rl_err *cluster_refresh(redisc_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    uint64_t seen = cluster->version;
    pthread_mutex_unlock(&cluster->lock);
    return cluster_refresh_since(cluster, seen, NULL);
}
