/* What is written to Redis: dedup keys before the transaction, the account cache around it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/deadline.h"
#include "base/uuid.h"
#include "flow/consume/internal.h"

/* A prefix is as long as cache_prefix_fits allows. */
enum { DEDUP_KEY_MAX = CACHE_KEY_MAX + sizeof "dedup:" + UUID_LEN };

static bool redis_is_out(const rl_err *err)
{
    return err->domain != RL_REDIS || err->fatal || err->retriable;
}

/* Tries until Redis answers: false when it must not be tried again or (limit > 0) the time is
 * over; then *out says why. */
typedef rl_err *(*attempt_fn)(consume_worker *w, void *arg);

static bool until_redis_answers(consume_worker *w, const consume_permit *permit, double limit,
                                attempt_fn attempt, void *arg, rl_err **out)
{
    rl_deadline until = deadline_or_never(limit);
    for (int turn = 0;; turn++) {
        rl_err *err = consume_redis(w);
        if (!err)
            err = attempt(w, arg);
        *out = err;
        if (!err || !redis_is_out(err)) {
            if (keyspace_whole(w->redis)) /* one answer says nothing of a cluster's other nodes */
                flow_up(&w->consume->flow, "redis");
            return !err;
        }
        flow_down(&w->consume->flow, "redis", err);
        if (!consume_may_repeat(permit) || deadline_passed(until))
            return false;
        err_free(err);
        consume_pause(w, turn);
    }
}

/* ---- dedup keys ---- */

typedef struct dedup_job {
    consume_item **list;
    int n;
    bool *known, *fresh; /* the answer, which a second question would change */
} dedup_job;

static void put_set(redisc_pipe *pipe, const consume_worker *w, const consume_item *item)
{
    char key[DEDUP_KEY_MAX], ttl[16];
    int len =
        snprintf(key, sizeof key, "%sdedup:%s", w->consume->opts.cache_prefix, item->event.id_text);
    snprintf(ttl, sizeof ttl, "%d", (int)w->consume->opts.dedup_ttl);
    rl_assert(len < DEDUP_KEY_MAX);
    const char *argv[] = {"SET", key, "1", "NX", "EX", ttl};
    size_t lens[] = {3, (size_t)len, 1, 2, 2, strlen(ttl)};
    redisc_pipe_add(pipe, 6, argv, lens);
}

static rl_err *take_answers(dedup_job *job, redisReply **replies)
{
    rl_err *err = NULL;
    for (int i = 0, k = 0; i < job->n; i++) {
        redisReply *reply = job->known[i] ? NULL : replies[k++];
        if (!reply)
            continue;
        bool refused = reply->type == REDIS_REPLY_ERROR;
        job->known[i] = !refused;
        job->fresh[i] = reply->type == REDIS_REPLY_STATUS;
        if (refused && !err)
            err = redisc_reply_err(reply);
        freeReplyObject(reply);
    }
    return err;
}

/* Of those whose answer is not known yet. */
static rl_err *set_keys(consume_worker *w, void *arg)
{
    dedup_job *job = arg;
    redisc_pipe pipe = {0};
    redisReply **replies = mem_zero((size_t)job->n * sizeof(redisReply *));
    size_t got = 0;
    for (int i = 0; i < job->n; i++)
        if (!job->known[i])
            put_set(&pipe, w, job->list[i]);
    rl_err *err = keyspace_run(w->redis, &pipe, replies, &got);
    rl_err *refusal = take_answers(job, replies);
    free(replies);
    redisc_pipe_free(&pipe);
    if (!err)
        return refusal;
    err_free(refusal);
    return err;
}

void consume_dedup_redis(consume_worker *w, const consume_permit *permit, consume_item *items,
                         int n)
{
    dedup_job job = {.list = mem_alloc((size_t)n * sizeof(consume_item *)),
                     .known = mem_zero((size_t)n * sizeof(bool)),
                     .fresh = mem_zero((size_t)n * sizeof(bool))};
    rl_err *err = NULL;
    for (int i = 0; i < n; i++)
        if (items[i].state == ITEM_READY)
            job.list[job.n++] = &items[i];
    bool ok = !job.n || until_redis_answers(w, permit, 0, set_keys, &job, &err);
    for (int i = 0; i < job.n; i++) {
        consume_item *item = job.list[i];
        if (!ok && redis_is_out(err))
            consume_item_become(item, ITEM_DROPPED);
        else if (!ok)
            consume_item_fail(item, "redis", err_lab(err->name, "%s", err->msg));
        else if (!job.fresh[i])
            consume_item_become(item, ITEM_SEEN);
        if (item->state == ITEM_SEEN)
            consume_count(w, CONSUME_N_seen, 1);
    }
    err_free(err);
    free(job.list);
    free(job.known);
    free(job.fresh);
}

/* ---- the account cache ---- */

typedef struct change_list {
    cache_change *changes;
    consume_item **items; /* of each change */
    int n;
    cache_tally tally;
} change_list;

static rl_err *apply_changes(consume_worker *w, void *arg)
{
    change_list *job = arg;
    job->tally = (cache_tally){0};
    return cache_apply(w->redis, w->consume->opts.cache_prefix, w->consume->opts.cache,
                       job->changes, (size_t)job->n, &job->tally);
}

static void invalidation_failed(consume_worker *w, consume_item *item, rl_err *err)
{
    consume_count(w, CONSUME_N_invalidations_failed, 1);
    if (item->state == ITEM_FAILED)
        err_free(err);
    else
        consume_item_fail(item, "invalidation", err);
}

/* The pipeline does not say which of them was refused: once more, one by one. */
static void one_by_one(consume_worker *w, const change_list *job)
{
    for (int i = 0; i < job->n; i++) {
        change_list one = {.changes = &job->changes[i], .n = 1};
        rl_err *err = apply_changes(w, &one);
        if (err)
            invalidation_failed(w, job->items[i], err);
        else
            consume_count(w, CONSUME_N_invalidated, 1);
    }
}

static void invalidate_all(consume_worker *w, const consume_permit *permit, change_list *job)
{
    rl_err *err = NULL;
    if (until_redis_answers(w, permit, w->consume->opts.cache_wait, apply_changes, job, &err)) {
        consume_count(w, CONSUME_N_invalidated, job->n);
        return;
    }
    bool over = !consume_may_repeat(permit);
    if (!redis_is_out(err) && job->n > 1 && w->consume->opts.cache != CACHE_MODE_DELTA)
        one_by_one(w, job);
    else
        for (int i = 0; i < job->n; i++) {
            if (over)
                consume_item_become(job->items[i], ITEM_DROPPED);
            else
                invalidation_failed(w, job->items[i], err_copy(err));
        }
    err_free(err);
}

static void list_change(change_list *job, consume_item *item, int leg)
{
    const consume_event *event = &item->event;
    job->items[job->n] = item;
    job->changes[job->n++] = (cache_change){.account = event->legs[leg].account,
                                            .version = event->version,
                                            .balance = event->balance,
                                            .amount = event->legs[leg].amount,
                                            .event = event->id_text};
}

static bool concerns(const consume_worker *w, const consume_item *item, bool before)
{
    if (before)
        return item->state == ITEM_READY;
    if (item->invalidated)
        return false;
    return item->state == ITEM_APPLIED ||
           (item->state == ITEM_SEEN && w->consume->opts.invalidate_seen);
}

static void hit_after(consume_worker *w, const change_list *job)
{
    for (int i = 0; i < job->n; i++) {
        consume_item *item = job->items[i];
        if (item->state == ITEM_FAILED || item->state == ITEM_DROPPED || item->invalidated)
            continue;
        rl_err *err = consume_item_hit(item, FAIL_POINT_CONSUMER_AFTER_CACHE);
        if (err)
            invalidation_failed(w, item, err);
        item->invalidated = !err;
    }
}

void consume_cache_invalidate(consume_worker *w, const consume_permit *permit, consume_item *items,
                              int n, bool before)
{
    change_list job = {.changes = mem_alloc((size_t)n * CONSUME_LEGS * sizeof(cache_change)),
                       .items = mem_alloc((size_t)n * CONSUME_LEGS * sizeof(consume_item *))};
    for (int i = 0; i < n; i++) {
        if (!concerns(w, &items[i], before))
            continue;
        rl_err *err = consume_item_hit(&items[i], FAIL_POINT_CONSUMER_BEFORE_INVALIDATE);
        if (err)
            invalidation_failed(w, &items[i], err);
        for (int leg = 0; !err && leg < items[i].event.nlegs; leg++)
            list_change(&job, &items[i], leg);
    }
    if (job.n && w->consume->opts.cache != CACHE_MODE_NONE)
        invalidate_all(w, permit, &job);
    if (!before)
        hit_after(w, &job);
    free(job.changes);
    free(job.items);
}
