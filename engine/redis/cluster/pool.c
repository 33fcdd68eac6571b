/* Each node's connections: lent, given back, and never more than the pool's size. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/cond.h"
#include "redis/cluster/internal.h"
#include "redis/internal.h"

static rl_err *pool_err(const redisc_cluster *cluster, const cluster_node *node)
{
    if (cluster->cancelled)
        return err_lab("CANCELLED", "the call was cancelled");
    return err_new(RL_REDIS, 0, "POOL_TIMEOUT", "all %d connections to %s:%d are in use",
                   cluster->opts.pool, node->host, node->port);
}

static cluster_link *new_link(const redisc_cluster *cluster, cluster_node *node)
{
    cluster_link *link = mem_zero(sizeof *link);
    redisc_opts opts = cluster->opts.conn;
    opts.host = node->host;
    opts.port = node->port;
    link->node = node;
    link->conn = redisc_new(&opts);
    return link;
}

/* The right to one connection: an idle one, or a new one that is not connected yet. */
static rl_err *take(redisc_cluster *cluster, cluster_node *node, rl_deadline deadline,
                    cluster_link **out)
{
    rl_err *err = NULL;
    pthread_mutex_lock(&cluster->lock);
    bool in_time = true;
    while (!cluster->cancelled && !node->idle && node->open >= cluster->opts.pool && in_time)
        in_time = cond_wait_until(&cluster->changed, &cluster->lock, deadline) ||
                  !deadline_passed(deadline);
    if (cluster->cancelled || (!node->idle && node->open >= cluster->opts.pool)) {
        err = pool_err(cluster, node);
    } else {
        *out = node->idle;
        if (*out)
            node->idle = (*out)->next;
        else
            node->open++, *out = new_link(cluster, node);
        (*out)->next = cluster->out;
        cluster->out = *out;
    }
    pthread_mutex_unlock(&cluster->lock);
    return err;
}

static rl_err *make_whole(const redisc_cluster *cluster, redisc_conn *conn)
{
    if (!redisc_broken(conn))
        return NULL;
    rl_err *err = redisc_connect(conn);
    if (err || !cluster->opts.replicas)
        return err;
    redisReply *reply;
    err = redisc_callf(conn, &reply, "READONLY");
    if (!err)
        freeReplyObject(reply);
    return err;
}

rl_err *cluster_lend(redisc_cluster *cluster, cluster_node *node, rl_deadline deadline,
                     cluster_link **out)
{
    cluster_link *link = NULL;
    *out = NULL;
    rl_err *err = take(cluster, node, deadline, &link);
    if (err)
        return err;
    err = make_whole(cluster, link->conn);
    if (!err) {
        *out = link;
        return NULL;
    }
    cluster_give_back(cluster, link);
    return err;
}

static void leave(cluster_link **list, const cluster_link *link)
{
    while (*list && *list != link)
        list = &(*list)->next;
    if (*list)
        *list = link->next;
}

/* A broken one goes away, so that a dead node keeps none. */
void cluster_give_back(redisc_cluster *cluster, cluster_link *link)
{
    cluster_node *node = link->node;
    pthread_mutex_lock(&cluster->lock);
    bool broken = redisc_broken(link->conn) != NULL;
    leave(&cluster->out, link);
    if (broken) {
        node->open--;
    } else {
        link->next = node->idle;
        node->idle = link;
        node->failed_at = node->failures = 0;
    }
    pthread_cond_broadcast(&cluster->changed);
    pthread_mutex_unlock(&cluster->lock);
    if (!broken)
        return;
    redisc_free(link->conn);
    free(link);
}

void cluster_pool_free(cluster_node *node)
{
    while (node->idle) {
        cluster_link *link = node->idle;
        node->idle = link->next;
        redisc_free(link->conn);
        free(link);
    }
}

void cluster_node_failed(redisc_cluster *cluster, cluster_node *node)
{
    pthread_mutex_lock(&cluster->lock);
    node->failed_at = clock_ns();
    node->failures++;
    pthread_mutex_unlock(&cluster->lock);
    atomic_fetch_add(&cluster->count.failures, 1);
}

rl_err *cluster_node_rests(redisc_cluster *cluster, cluster_node *node)
{
    const cluster_opts *opts = &cluster->opts;
    int64_t now = clock_ns(), rest = (int64_t)(opts->rest * 1e9);
    pthread_mutex_lock(&cluster->lock);
    int failures = node->failures;
    bool tired = opts->rest_after > 0 && failures >= opts->rest_after;
    bool rests = tired && now - node->failed_at < rest;
    if (tired && !rests)
        node->failed_at = now;
    pthread_mutex_unlock(&cluster->lock);
    if (!rests)
        return NULL;
    return err_new(RL_REDIS, 0, "NODE_RESTS", "%s:%d failed %d times in a row and is left alone",
                   node->host, node->port, failures);
}
