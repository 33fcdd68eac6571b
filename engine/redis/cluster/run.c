/* A batch in rounds: each round sends what may go now, one pipeline a node, all nodes before the first answer
 * is waited for. Within a round a slot's commands go to one node in their order, and one that may have
 * several keys goes alone: its slot may be half moved. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cond.h"
#include "redis/cluster/internal.h"
#include "redis/internal.h"
#include "redis/pipe.h"

/* One node's part of a round. */
typedef struct leg {
    cluster_node *node;
    cluster_link *link;
    redisc_pipe pipe;
    size_t *of; /* a reply's command; SIZE_MAX: it answers ASKING */
    size_t count, cap;
    bool started;
    rl_err *err;
} leg;

typedef struct slot_state {
    uint32_t round;
    bool closed;
    cluster_node *to;
} slot_state;

typedef struct run {
    redisc_cluster *cluster;
    cluster_batch *batch;
    rl_deadline deadline;
    uint32_t round;
    slot_state *slots; /* CLUSTER_SLOTS, or NULL for a single command */
    leg *legs;
    size_t leg_count;
    int64_t next; /* ns: when the first that waits may go; 0: none waits */
} run;

static leg *leg_of(run *r, cluster_node *node)
{
    for (size_t i = 0; i < r->leg_count; i++)
        if (r->legs[i].node == node)
            return &r->legs[i];
    r->legs = mem_grow(r->legs, (r->leg_count + 1) * sizeof *r->legs);
    leg *l = &r->legs[r->leg_count++];
    *l = (leg){.node = node};
    return l;
}

static void leg_note(leg *l, size_t command)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 4;
        l->of = mem_grow(l->of, l->cap * sizeof *l->of);
    }
    l->of[l->count++] = command;
}

static void leg_add(leg *l, size_t i, const cluster_command *cmd)
{
    static const char *const asking[] = {"ASKING"};
    static const size_t asking_len[] = {6};
    if (cmd->asking) {
        redisc_pipe_add(&l->pipe, 1, asking, asking_len);
        leg_note(l, SIZE_MAX);
    }
    redisc_pipe_add(&l->pipe, cmd->argc, (const char *const *)cmd->argv, cmd->lens);
    leg_note(l, i);
}

static bool may_go(run *r, const cluster_command *cmd, cluster_node *to)
{
    if (!r->slots)
        return true;
    slot_state *state = &r->slots[cmd->slot];
    if (state->round != r->round) {
        *state = (slot_state){r->round, !cmd->single, to};
        return true;
    }
    state->closed = state->closed || !cmd->single || state->to != to;
    return !state->closed;
}

static void hold_back(run *r, const cluster_command *cmd)
{
    if (r->next == 0 || cmd->not_before < r->next)
        r->next = cmd->not_before;
    if (!r->slots)
        return;
    slot_state *state = &r->slots[cmd->slot];
    if (state->round != r->round)
        *state = (slot_state){r->round, true, NULL};
    state->closed = true;
}

static void nobody_serves(run *r, cluster_command *cmd, cluster_news *news)
{
    rl_err *err = err_new(RL_REDIS, 0, "NO_NODE", "no node serves slot %d", cmd->slot);
    cluster_unanswered(r->cluster, cmd, err, false, r->deadline, news);
    err_free(err);
}

static void plan(run *r, cluster_news *news)
{
    int64_t now = clock_ns();
    r->round++;
    r->next = 0;
    for (size_t i = 0; i < r->batch->count; i++) {
        cluster_command *cmd = &r->batch->list[i];
        if (cluster_done(cmd))
            continue;
        cluster_node *to = cmd->not_before > now ? NULL : cluster_target(r->cluster, cmd);
        if (cmd->not_before > now)
            hold_back(r, cmd);
        else if (!to)
            nobody_serves(r, cmd, news);
        else if (may_go(r, cmd, to))
            leg_add(leg_of(r, to), i, cmd);
    }
}

static void start(run *r, leg *l)
{
    l->err = cluster_node_rests(r->cluster, l->node);
    if (!l->err)
        l->err = cluster_lend(r->cluster, l->node, r->deadline, &l->link);
    if (!l->err)
        l->err = redisc_pipe_start(l->link->conn, &l->pipe);
    l->started = !l->err;
    if (l->started)
        l->err = redisc_send_some(l->link->conn);
}

/* The replies that came, in the commands' order, and the error for the others. */
static void settle(run *r, leg *l, redisReply **replies, size_t got, cluster_news *news)
{
    for (size_t k = got; k-- > 0;) /* from the end: which have overtaken others is known then */
        if (l->of[k] == SIZE_MAX)
            freeReplyObject(replies[k]);
        else
            cluster_answer(r->cluster, r->batch, l->of[k], replies[k], r->deadline, news);
    for (size_t k = got; k < l->count; k++)
        if (l->of[k] != SIZE_MAX)
            cluster_unanswered(r->cluster, &r->batch->list[l->of[k]], l->err, l->started,
                               r->deadline, news);
    if (l->err && l->err->domain == RL_REDIS && !cluster_not_asked(l->err))
        cluster_node_failed(r->cluster, l->node);
}

static void finish(run *r, leg *l, cluster_news *news)
{
    redisReply **replies = mem_zero(l->count * sizeof *replies);
    size_t got = 0;
    if (!l->err)
        l->err = redisc_pipe_finish(l->link->conn, &l->pipe, replies, &got);
    settle(r, l, replies, got, news);
    if (l->link)
        cluster_give_back(r->cluster, l->link);
    free(replies);
    free(l->of);
    err_free(l->err);
    redisc_pipe_free(&l->pipe);
}

static bool pause_until(redisc_cluster *cluster, int64_t at)
{
    pthread_mutex_lock(&cluster->lock);
    while (!cluster->cancelled && !deadline_passed(at))
        cond_wait_until(&cluster->changed, &cluster->lock, at);
    bool go = !cluster->cancelled;
    pthread_mutex_unlock(&cluster->lock);
    return go;
}

static uint64_t version_of(redisc_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    uint64_t version = cluster->version;
    pthread_mutex_unlock(&cluster->lock);
    return version;
}

static void go_round(run *r)
{
    uint64_t seen = version_of(r->cluster);
    cluster_news news = {false, NULL};
    r->leg_count = 0;
    plan(r, &news);
    for (size_t i = 0; i < r->leg_count; i++)
        start(r, &r->legs[i]);
    for (size_t i = 0; i < r->leg_count; i++)
        finish(r, &r->legs[i], &news);
    if (news.stale)
        err_free(cluster_refresh_since(r->cluster, seen, news.who));
}

static size_t pending(const cluster_batch *batch)
{
    size_t n = 0;
    for (size_t i = 0; i < batch->count; i++)
        n += cluster_done(&batch->list[i]) ? 0 : 1;
    return n;
}

static void refuse_keyless(cluster_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->list[i].slot < 0)
            batch->list[i].err =
                err_new(RL_REDIS, 0, "NO_KEY", "%.*s names no key, so it belongs to no node",
                        (int)batch->list[i].lens[0], batch->list[i].argv[0]);
}

static void give_up(cluster_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (!cluster_done(&batch->list[i]))
            batch->list[i].err = err_lab("CANCELLED", "the call was cancelled");
}

void cluster_run(redisc_cluster *cluster, cluster_batch *batch)
{
    run r = {.cluster = cluster,
             .batch = batch,
             .deadline = deadline_or_never(cluster->opts.conn.timeout)};
    if (batch->count > 1)
        r.slots = mem_zero(CLUSTER_SLOTS * sizeof *r.slots);
    atomic_fetch_add(&cluster->count.commands, batch->count);
    refuse_keyless(batch);
    while (pending(batch) > 0) {
        go_round(&r);
        if (r.leg_count == 0 && pending(batch) > 0 && !pause_until(cluster, r.next))
            give_up(batch);
    }
    free(r.legs);
    free(r.slots);
}
