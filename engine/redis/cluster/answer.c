/* What an answer, or none, means for a command: it is done, is sent elsewhere, or is tried again. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/units.h"
#include "redis/cluster/internal.h"

enum { WAIT_MS = 5, WAIT_MAX_MS = 200 };

static bool same_key(const cluster_command *a, const cluster_command *b)
{
    return a->slot == b->slot &&
           (!a->single || !b->single ||
            (a->lens[1] == b->lens[1] && memcmp(a->argv[1], b->argv[1], a->lens[1]) == 0));
}

/* Sent once more, it would be carried out behind one that it stood before. */
static bool overtaken(const cluster_batch *batch, size_t i)
{
    for (size_t later = i + 1; later < batch->count; later++)
        if (batch->list[later].reply && same_key(&batch->list[i], &batch->list[later]))
            return true;
    return false;
}

static void wait_longer(cluster_command *cmd)
{
    int64_t ms = (int64_t)WAIT_MS << (cmd->tries < 8 ? cmd->tries : 8);
    cmd->not_before = clock_ns() + (ms < WAIT_MAX_MS ? ms : WAIT_MAX_MS) * 1000000;
    cmd->tries++;
    cmd->to = NULL;
    cmd->asking = false;
    cmd->hops = 0;
}

static bool may_try_again(const redisc_cluster *cluster, const cluster_command *cmd,
                          rl_deadline deadline)
{
    return cmd->tries < cluster->opts.tries && !deadline_passed(deadline);
}

/* "MOVED 3999 127.0.0.1:6381", "ASK 3999 127.0.0.1:6381"; no host: the one that was asked. */
static cluster_node *told_node(redisc_cluster *cluster, const cluster_command *cmd,
                               const char *text, int *slot)
{
    const char *at = strchr(text, ' '), *address = at ? strchr(at + 1, ' ') : NULL;
    const char *port = address ? strrchr(address, ':') : NULL;
    *slot = at ? atoi(at + 1) : -1;
    if (!port || *slot != cmd->slot)
        return NULL;
    address++;
    int number = units_port(port + 1, strlen(port + 1));
    if (address == port || number < 1)
        return NULL;
    return cluster_node_of(cluster, address, (size_t)(port - address), number);
}

/* True when the command goes on to another node. */
static bool redirected(redisc_cluster *cluster, cluster_command *cmd, const char *text,
                       cluster_news *news)
{
    bool moved = strncmp(text, "MOVED ", 6) == 0;
    int slot;
    if (!moved && strncmp(text, "ASK ", 4) != 0)
        return false;
    atomic_fetch_add(moved ? &cluster->count.moved : &cluster->count.asked, 1);
    if (cmd->hops >= cluster->opts.redirects)
        return false;
    pthread_mutex_lock(&cluster->lock);
    cluster_node *node = told_node(cluster, cmd, text, &slot);
    if (node && moved)
        cluster_map_patch(cluster, slot, node);
    pthread_mutex_unlock(&cluster->lock);
    if (!node)
        return false;
    if (moved)
        *news = (cluster_news){true, node};
    cmd->to = node;
    cmd->asking = !moved;
    cmd->hops++;
    return true;
}

static bool starts(const char *text, const char *word)
{
    size_t len = strlen(word);
    return strncmp(text, word, len) == 0 && (text[len] == ' ' || text[len] == '\0');
}

/* Answers by which nothing was carried out and that pass by themselves. */
static bool passes(redisc_cluster *cluster, const char *text, cluster_news *news)
{
    if (starts(text, "TRYAGAIN")) {
        atomic_fetch_add(&cluster->count.tryagain, 1);
        return true;
    }
    bool later = starts(text, "CLUSTERDOWN") || starts(text, "LOADING") ||
                 starts(text, "MASTERDOWN") || starts(text, "READONLY");
    news->stale = news->stale || later;
    return later;
}

static bool goes_on(redisc_cluster *cluster, cluster_command *cmd, const char *text,
                    rl_deadline deadline, cluster_news *news)
{
    if (redirected(cluster, cmd, text, news))
        return true;
    if (!passes(cluster, text, news) || !may_try_again(cluster, cmd, deadline))
        return false;
    cmd->primary_only = true;
    wait_longer(cmd);
    return true;
}

void cluster_answer(redisc_cluster *cluster, cluster_batch *batch, size_t i, redisReply *reply,
                    rl_deadline deadline, cluster_news *news)
{
    cluster_command *cmd = &batch->list[i];
    if (reply->type != REDIS_REPLY_ERROR) {
        cmd->reply = reply;
        return;
    }
    if (overtaken(batch, i) || !goes_on(cluster, cmd, reply->str, deadline, news)) {
        cmd->err = redisc_reply_err(reply);
        cmd->refusal = reply;
        return;
    }
    atomic_fetch_add(&cluster->count.retries, 1);
    freeReplyObject(reply);
}

bool cluster_not_asked(const rl_err *err)
{
    return err_is(err, RL_REDIS, "POOL_TIMEOUT") || err_is(err, RL_REDIS, "NODE_RESTS");
}

/* What was never sent may go elsewhere, and a read that was; a node that does not answer in time has cost
 * enough of it. */
void cluster_unanswered(redisc_cluster *cluster, cluster_command *cmd, const rl_err *err, bool sent,
                        rl_deadline deadline, cluster_news *news)
{
    bool late = err_is(err, RL_REDIS, "TIMEOUT") || cluster_not_asked(err);
    bool again = err->retriable && !late && (!sent || cmd->reads);
    if (err->domain == RL_REDIS && !err_is(err, RL_REDIS, "NODE_RESTS"))
        news->stale = true;
    if (again && may_try_again(cluster, cmd, deadline)) {
        cmd->primary_only = true;
        wait_longer(cmd);
        atomic_fetch_add(&cluster->count.retries, 1);
        return;
    }
    cmd->err = err_copy(err);
}
