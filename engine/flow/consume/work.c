/* From records to effects: one batch of one partition. A record passes the steps of consume_work
 * from top to bottom, and its state says which of them concern it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "flow/consume/internal.h"

/* Fills list with the items in that state. */
static int in_state(consume_item *items, int n, consume_state state, consume_item **list)
{
    int found = 0;
    for (int i = 0; i < n; i++)
        if (items[i].state == state)
            list[found++] = &items[i];
    return found;
}

/* ---- NEW becomes READY, SKIPPED or FAILED ---- */

static void cannot_decode(consume_worker *w, consume_item *item, rl_err *why)
{
    if (w->consume->opts.undecodable == CONSUME_PASS) {
        err_free(why);
        consume_item_become(item, ITEM_SKIPPED);
        consume_count(w, CONSUME_N_passed_over, 1);
        return;
    }
    item->final = true; /* it will not be readable later either */
    consume_item_fail(item, "undecodable", why);
}

static void decode_one(consume_worker *w, consume_item *item)
{
    int tried = item->story.attempt; /* in place; the header's when it was not read yet */
    rl_err *undecodable = consume_payload_decode(w, item);
    if (tried > item->story.attempt)
        item->story.attempt = tried;
    if (item->story.other_group) {
        err_free(undecodable);
        consume_item_become(item, ITEM_SKIPPED);
        consume_count(w, CONSUME_N_skipped, 1);
        return;
    }
    consume_item_become(item, ITEM_READY);
    if (undecodable && err_is(undecodable, RL_LAB, "DROPPED")) {
        err_free(undecodable);
        consume_item_become(item, ITEM_DROPPED);
        return;
    }
    rl_err *err = consume_item_hit(item, FAIL_POINT_CONSUMER_HANDLE);
    if (undecodable) {
        err_free(err);
        cannot_decode(w, item, undecodable);
    } else if (err) {
        consume_item_fail(item, "handler", err);
    }
}

static void record_lateness(consume_worker *w, const consume_item *item)
{
    if (item->story.due_ms)
        flow_hdr_record(&w->hist[CONSUME_H_LATENESS],
                        (clock_unix_ms() - item->story.due_ms) * 1000000, 1);
}

static void decode_new(consume_worker *w, consume_item *items, int n)
{
    for (int i = 0; i < n; i++) {
        if (items[i].state != ITEM_NEW)
            continue;
        decode_one(w, &items[i]);
        record_lateness(w, &items[i]);
    }
}

static void ask_ready(consume_worker *w, consume_item *items, int n, consume_item **list)
{
    int ready = w->consume->opts.asks ? in_state(items, n, ITEM_READY, list) : 0;
    if (ready)
        consume_ask(w, list, ready);
}

/* ---- FAILED becomes SENT_ON, DROPPED, or NEW ---- */

static void route_failed(consume_worker *w, consume_item *items, int n)
{
    for (int i = 0; i < n; i++)
        if (items[i].state == ITEM_FAILED)
            consume_route(w, &items[i]);
}

/* ---- READY becomes APPLIED, SEEN, FAILED or DROPPED ---- */

static void hit_all(consume_item *items, int n, fail_point_id id)
{
    if (!atomic_load_explicit(&fail_armed, memory_order_relaxed))
        return;
    for (int i = 0; i < n; i++) {
        if (items[i].invalidated ||
            (items[i].state != ITEM_READY && items[i].state != ITEM_APPLIED))
            continue;
        rl_err *err = consume_item_hit(&items[i], id);
        if (err)
            consume_item_fail(&items[i], "handler", err);
    }
}

static void drop_ready(consume_worker *w, const consume_permit *permit, consume_item *items, int n)
{
    int dropped = 0;
    for (int i = 0; i < n; i++) {
        if (items[i].state != ITEM_READY)
            continue;
        consume_item_become(&items[i], ITEM_DROPPED);
        dropped++;
    }
    if (!consume_may_begin(permit))
        consume_count(w, CONSUME_N_dropped, dropped);
}

static void refused(consume_worker *w, consume_item *item, rl_err *err)
{
    const flow_consume_opts *opts = &w->consume->opts;
    bool deadlock = err->domain == RL_MYSQL && err->code == 1213;
    bool lock_wait = err->domain == RL_MYSQL && err->code == 1205;
    item->final = (deadlock && opts->on_deadlock == CONSUME_DLQ) ||
                  (lock_wait && opts->on_lock_wait == CONSUME_DLQ);
    consume_item_fail(item, deadlock ? "deadlock" : lock_wait ? "lock-wait" : "database", err);
    if (opts->commit == CONSUME_MYSQL) /* before the next transaction moves the offset past it */
        consume_route(w, item);
}

/* A batch with a record that cannot be written is halved until that one is alone. false: what is
 * still READY must be dropped. */
static bool apply_list(consume_worker *w, consume_part *part, consume_item **list, int n)
{
    rl_err *err = n ? consume_tx(w, part, list, n) : NULL;
    if (!err)
        return true;
    if (err_is(err, RL_LAB, "DROPPED") || err_is(err, RL_LAB, "MOVED")) {
        part->must_seek = part->must_seek || err_is(err, RL_LAB, "MOVED");
        err_free(err);
        return false;
    }
    if (n == 1) {
        refused(w, list[0], err);
        return list[0]->state != ITEM_DROPPED;
    }
    err_free(err);
    consume_count(w, CONSUME_N_split, 1);
    return apply_list(w, part, list, n / 2) && apply_list(w, part, list + n / 2, n - n / 2);
}

static void write_ready(consume_worker *w, consume_part *part, consume_item *items, int n,
                        consume_item **list)
{
    const flow_consume_opts *opts = &w->consume->opts;
    if (opts->dedup == CONSUME_DEDUP_REDIS)
        consume_dedup_redis(w, &part->permit, items, n);
    if (opts->cache_before)
        consume_cache_invalidate(w, &part->permit, items, n, true);
    if (!apply_list(w, part, list, in_state(items, n, ITEM_READY, list)))
        drop_ready(w, &part->permit, items, n);
    hit_all(items, n, FAIL_POINT_CONSUMER_AFTER_DB_COMMIT);
    if (opts->cache_again)
        flow_pause(&w->consume->flow, opts->cache_again_after);
    if (!opts->cache_before || opts->cache_again)
        consume_cache_invalidate(w, &part->permit, items, n, false);
}

/* ---- the whole ---- */

static int done_of(const consume_item *items, int n)
{
    int done = 0;
    while (done < n && items[done].state != ITEM_DROPPED && items[done].state != ITEM_NEW) {
        rl_assert(items[done].state != ITEM_READY && items[done].state != ITEM_FAILED);
        done++;
    }
    return done;
}

/* Records that are tried again in place go round once more. */
int consume_work(consume_worker *w, consume_part *part, consume_item *items, int n)
{
    rl_assert(n > 0);
    consume_item **list = mem_alloc((size_t)n * sizeof(consume_item *));
    do {
        decode_new(w, items, n);
        ask_ready(w, items, n, list);
        route_failed(w, items, n);
        if (w->consume->opts.commit == CONSUME_BEFORE_WORK)
            consume_offset_before(w, part, &items[n - 1]);
        hit_all(items, n, FAIL_POINT_CONSUMER_BEFORE_BEGIN);
        if (consume_may_begin(&part->permit))
            write_ready(w, part, items, n, list);
        else
            drop_ready(w, &part->permit, items, n);
        route_failed(w, items, n);
    } while (in_state(items, n, ITEM_NEW, list) > 0 && consume_may_repeat(&part->permit));
    free(list);
    return done_of(items, n);
}
