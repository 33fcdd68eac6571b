/* From records to effects: one batch of one lane. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flow/consume/internal.h"

void consume_fail(consume_item *item, const char *error_class, rl_err *err)
{
    err_free(item->err);
    item->err = err;
    item->error_class = error_class;
    item->state = ITEM_FAILED;
}

/* ---- failpoints ---- */

typedef struct hit_text {
    char offset[24], partition[16], attempt[16], version[24], account[24];
    rl_buf key;
} hit_text;

static rl_err *error_of(fail_value *v)
{
    rl_err *err =
        v->kind == FAIL_V_INT
            ? err_new(RL_MYSQL, (int)v->i, "FAILPOINT", "failpoint: error %lld", (long long)v->i)
            : err_lab("FAILPOINT", "%s", v->text ? v->text : "failpoint");
    free(v->text);
    return err;
}

static fail_outcome hit(fail_point_id id, const consume_item *item, const char *member, hit_text *t,
                        fail_value *value)
{
    const rd_kafka_message_t *msg = item->msg;
    snprintf(t->offset, sizeof t->offset, "%lld", (long long)msg->offset);
    snprintf(t->partition, sizeof t->partition, "%d", (int)msg->partition);
    snprintf(t->attempt, sizeof t->attempt, "%d", item->story.attempt + 1);
    snprintf(t->version, sizeof t->version, "%lld", (long long)item->event.version);
    snprintf(t->account, sizeof t->account, "%lld", (long long)item->event.legs[0].account);
    buf_add(&t->key, msg->key ? msg->key : "", msg->key_len);
    const fail_kv ctx[] = {{"id", item->event.id_text, false},
                           {"key", t->key.data, false},
                           {"topic", rd_kafka_topic_name(msg->rkt), false},
                           {"partition", t->partition, true},
                           {"offset", t->offset, true},
                           {"attempt", t->attempt, true},
                           {"version", t->version, true},
                           {"account", t->account, true},
                           {"member", member, false}};
    return fail_hit(id, ctx, sizeof ctx / sizeof *ctx, value);
}

rl_err *consume_hit(const consume_worker *w, fail_point_id id, const consume_item *item)
{
    if (!atomic_load_explicit(&fail_armed, memory_order_relaxed))
        return NULL;
    hit_text t = {.offset = ""};
    fail_value value;
    fail_outcome outcome = hit(id, item, w->consume->o.member, &t, &value);
    buf_free(&t.key);
    if (outcome == FAIL_FAILED)
        return error_of(&value);
    if (outcome == FAIL_RETURNED)
        free(value.text);
    return NULL;
}

/* ---- handling ---- */

static void handle_one(consume_worker *w, consume_item *item)
{
    int tried = item->story.attempt; /* in place; the header's when it was not read yet */
    rl_err *undecodable = consume_decode(item->msg, w->consume->group, &item->event, &item->story);
    if (tried > item->story.attempt)
        item->story.attempt = tried;
    if (item->story.other_group) {
        err_free(undecodable);
        item->state = ITEM_SKIPPED;
        consume_count(w, CONSUME_N_skipped, 1);
        return;
    }
    item->state = ITEM_READY;
    rl_err *err = consume_hit(w, FAIL_POINT_CONSUMER_HANDLE, item);
    if (undecodable) { /* no delay will mend it */
        item->final = true;
        consume_fail(item, "undecodable", undecodable);
    }
    if (err && !undecodable)
        consume_fail(item, "handler", err);
    else
        err_free(err);
}

/* Fills list with the items in that state. */
static int in_state(consume_item *items, int n, consume_state state, consume_item **list)
{
    int found = 0;
    for (int i = 0; i < n; i++)
        if (items[i].state == state)
            list[found++] = &items[i];
    return found;
}

static void record_lateness(consume_worker *w, const consume_item *item)
{
    if (item->story.due_ms)
        flow_hdr_record(&w->hist[CONSUME_H_LATENESS],
                        (clock_unix_ms() - item->story.due_ms) * 1000000, 1);
}

static void handle(consume_worker *w, consume_item *items, int n, consume_item **list)
{
    for (int i = 0; i < n; i++) {
        if (items[i].state != ITEM_NEW)
            continue;
        handle_one(w, &items[i]);
        record_lateness(w, &items[i]);
    }
    int ready = w->consume->o.asks ? in_state(items, n, ITEM_READY, list) : 0;
    if (ready)
        consume_ask(w, list, ready);
}

static void hit_ready(consume_worker *w, fail_point_id id, consume_item *items, int n)
{
    if (!atomic_load_explicit(&fail_armed, memory_order_relaxed))
        return;
    for (int i = 0; i < n; i++) {
        if (items[i].told || (items[i].state != ITEM_READY && items[i].state != ITEM_APPLIED))
            continue;
        rl_err *err = consume_hit(w, id, &items[i]);
        if (err)
            consume_fail(&items[i], "handler", err);
    }
}

/* ---- applying ---- */

static void drop(consume_worker *w, const consume_part *part, consume_item **list, int n)
{
    int dropped = 0;
    for (int i = 0; i < n; i++) {
        if (list[i]->state != ITEM_READY)
            continue;
        list[i]->state = ITEM_DROPPED;
        dropped++;
    }
    if (consume_part_drops(part))
        consume_count(w, CONSUME_N_dropped, dropped);
}

static void refused(consume_worker *w, consume_part *part, consume_item *item, rl_err *err)
{
    const flow_consume_opts *o = &w->consume->o;
    bool deadlock = err->domain == RL_MYSQL && err->code == 1213;
    bool lock_wait = err->domain == RL_MYSQL && err->code == 1205;
    item->final = (deadlock && o->on_deadlock == CONSUME_DLQ) ||
                  (lock_wait && o->on_lock_wait == CONSUME_DLQ);
    consume_fail(item, deadlock ? "deadlock" : lock_wait ? "lock-wait" : "database", err);
    if (o->commit == CONSUME_MYSQL) /* before the next transaction moves the offset past it */
        consume_route(w, part, item);
}

/* A batch with a record that cannot be written is halved until that one is alone. */
static bool apply(consume_worker *w, consume_part *part, consume_item **list, int n)
{
    rl_err *err = n ? consume_tx(w, part, list, n) : NULL;
    if (!err)
        return true;
    if (err_is(err, RL_LAB, "DROPPED") || err_is(err, RL_LAB, "MOVED")) {
        part->must_seek = part->must_seek || err_is(err, RL_LAB, "MOVED");
        err_free(err);
        drop(w, part, list, n);
        return false;
    }
    if (n == 1) {
        refused(w, part, list[0], err);
        return list[0]->state != ITEM_DROPPED;
    }
    err_free(err);
    consume_count(w, CONSUME_N_split, 1);
    return apply(w, part, list, n / 2) && apply(w, part, list + n / 2, n - n / 2);
}

/* ---- the whole ---- */

static void route(consume_worker *w, consume_part *part, consume_item *items, int n)
{
    for (int i = 0; i < n; i++)
        if (items[i].state == ITEM_FAILED)
            consume_route(w, part, &items[i]);
}

static void write_and_tell(consume_worker *w, consume_part *part, consume_item *items, int n,
                           consume_item **list)
{
    int ready = in_state(items, n, ITEM_READY, list);
    if (w->consume->o.commit == CONSUME_BEFORE_WORK)
        consume_offset_before(w, part, &items[n - 1]);
    hit_ready(w, FAIL_POINT_CONSUMER_BEFORE_BEGIN, items, n);
    if (consume_part_drops(part)) {
        drop(w, part, list, ready);
        return;
    }
    if (w->consume->o.dedup == CONSUME_DEDUP_REDIS)
        consume_dedup_redis(w, part, items, n);
    if (w->consume->o.cache_before)
        consume_cache_tell(w, part, items, n, true);
    ready = in_state(items, n, ITEM_READY, list);
    if (!apply(w, part, list, ready))
        drop(w, part, list, ready);
    hit_ready(w, FAIL_POINT_CONSUMER_AFTER_DB_COMMIT, items, n);
    if (!w->consume->o.cache_before)
        consume_cache_tell(w, part, items, n, false);
}

static int done_of(const consume_item *items, int n)
{
    int done = 0;
    while (done < n && items[done].state != ITEM_DROPPED && items[done].state != ITEM_NEW)
        done++;
    return done;
}

/* Records that are tried again in place go round once more. */
int consume_work(consume_worker *w, consume_part *part, consume_item *items, int n)
{
    consume_item **list = mem_alloc((size_t)n * sizeof(consume_item *));
    do {
        handle(w, items, n, list);
        route(w, part, items, n);
        write_and_tell(w, part, items, n, list);
        route(w, part, items, n);
    } while (in_state(items, n, ITEM_NEW, list) > 0 && !consume_over(w, part));
    free(list);
    return done_of(items, n);
}
