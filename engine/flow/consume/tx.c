/* The transaction of a batch, and what is done when it fails. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/units.h"
#include "flow/consume/internal.h"
#include "mysql/errors.h"

enum { DUPLICATE = 1062, LOCK_WAIT = 1205, DEADLOCK = 1213, NOWAIT = 3572 };

typedef enum step_kind {
    STEP_START,
    STEP_DEDUP,
    STEP_VIEW,
    STEP_EFFECTS,
    STEP_OFFSET,
    STEP_COMMIT
} step_kind;

typedef struct step {
    step_kind kind;
    size_t at, len; /* of its text */
} step;

typedef struct tx {
    consume_worker *w;
    consume_part *part;
    consume_item **list; /* those that are to be applied */
    int n;
    int64_t next; /* for consumer_offset; -1: leave it */
    step *steps;
    int nsteps, cap;
    int first_view; /* the step after which consumer.in_tx is reached */
} tx;

/* ---- making ---- */

static size_t begin_step(const tx *t)
{
    return t->w->sql.len;
}

static void end_step(tx *t, step_kind kind, size_t at)
{
    rl_assert(at < t->w->sql.len);
    if (t->nsteps == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 8;
        t->steps = mem_grow(t->steps, (size_t)t->cap * sizeof *t->steps);
    }
    t->steps[t->nsteps++] = (step){kind, at, t->w->sql.len - at};
}

static void add_text(tx *t, step_kind kind, const char *sql)
{
    size_t at = begin_step(t);
    buf_str(&t->w->sql, sql);
    end_step(t, kind, at);
}

static rl_err *sum_overflow(void)
{
    return err_lab("OVERFLOW", "the amounts of one batch leave 64 bits");
}

static rl_err *add_up(tx *t)
{
    consume_sums *sums = &t->w->sums;
    consume_sums_reset(sums);
    for (int i = 0; i < t->n; i++) {
        const consume_event *event = &t->list[i]->event;
        for (int leg = 0; leg < event->nlegs; leg++)
            if (!consume_sums_add(sums, event->legs[leg].account, event->legs[leg].amount,
                                  event->version, event->balance))
                return sum_overflow();
    }
    consume_sums_sort(sums);
    return NULL;
}

/* One statement for all accounts, in their order; or one for each leg as the events have them,
 * which is how deadlocks are made. */
static rl_err *add_views(tx *t)
{
    t->first_view = t->nsteps;
    if (t->w->consume->opts.lock_in_order) {
        rl_err *err = add_up(t);
        size_t at = begin_step(t);
        if (err)
            return err;
        consume_sql_views(t->w, t->w->sums.list, t->w->sums.n);
        end_step(t, STEP_VIEW, at);
        return NULL;
    }
    for (int i = 0; i < t->n; i++) {
        const consume_event *event = &t->list[i]->event;
        for (int leg = 0; leg < event->nlegs; leg++) {
            size_t at = begin_step(t);
            consume_sum sum = {event->legs[leg].account, event->legs[leg].amount, event->version, 1,
                               0};
            consume_sql_views(t->w, &sum, 1);
            end_step(t, STEP_VIEW, at);
        }
    }
    return NULL;
}

static rl_err *add_rows(tx *t)
{
    flow_consume_dedup dedup = t->w->consume->opts.dedup;
    size_t at = begin_step(t);
    if (dedup == CONSUME_DEDUP_PROCESSED || dedup == CONSUME_DEDUP_POSITION) {
        consume_sql_dedup(t->w, t->list, t->n);
        end_step(t, STEP_DEDUP, at);
    }
    rl_err *err = add_views(t);
    if (err)
        return err;
    at = begin_step(t);
    consume_sql_effects(t->w, t->list, t->n);
    end_step(t, STEP_EFFECTS, at);
    return NULL;
}

static rl_err *tx_make(tx *t)
{
    bool whole = t->w->consume->opts.transactional;
    buf_reset(&t->w->sql);
    t->nsteps = 0;
    t->first_view = -1;
    if (whole)
        add_text(t, STEP_START, "START TRANSACTION");
    rl_err *err = t->n ? add_rows(t) : NULL;
    if (err)
        return err;
    size_t at = begin_step(t);
    if (t->next >= 0) {
        consume_sql_offset(t->w, t->part, t->next);
        end_step(t, STEP_OFFSET, at);
    }
    if (whole)
        add_text(t, STEP_COMMIT, "COMMIT");
    return NULL;
}

/* ---- doing ---- */

static rl_err *moved_elsewhere(const tx *t)
{
    return err_lab("MOVED", "the offset of %s[%d] was moved by another member", t->part->topic,
                   (int)t->part->partition);
}

static rl_err *in_tx(tx *t)
{
    for (int i = 0; i < t->n; i++) {
        rl_err *err = consume_item_hit(t->list[i], FAIL_POINT_CONSUMER_IN_TX);
        if (err)
            return err;
    }
    return NULL;
}

static rl_err *do_step(tx *t, int i)
{
    const step *s = &t->steps[i];
    my_result *result;
    my_cmd cmd = {.sql = t->w->sql.data + s->at, .len = s->len};
    rl_err *err = my_query(t->w->db, &cmd, &result);
    bool nothing = result && result->affected == 0;
    my_result_free(result);
    if (err && s->kind == STEP_OFFSET && err->code == DUPLICATE) {
        err_free(err);
        return moved_elsewhere(t);
    }
    if (!err && s->kind == STEP_OFFSET && nothing)
        return moved_elsewhere(t);
    return !err && i == t->first_view ? in_tx(t) : err;
}

static void note_conflict(const tx *t, const rl_err *err)
{
    bool deadlock = err->code == DEADLOCK;
    if (err->domain != RL_MYSQL || !(deadlock || err->code == LOCK_WAIT))
        return;
    consume_count(t->w, deadlock ? CONSUME_N_deadlocks : CONSUME_N_lock_waits, 1);
    for (int i = 0; i < t->n; i++)
        consume_item_conflict(t->list[i], err->code);
}

static flow_consume_on_conflict conflict_policy(const consume_worker *w, const rl_err *err)
{
    if (err->domain == RL_MYSQL && err->code == DEADLOCK)
        return w->consume->opts.on_deadlock;
    if (err->domain == RL_MYSQL && err->code == LOCK_WAIT)
        return w->consume->opts.on_lock_wait;
    return CONSUME_RETRY;
}

/* The wrong ways to go on after a conflict stay inside the transaction. */
static bool goes_on_inside(const tx *t, const rl_err *err, int *at)
{
    flow_consume_on_conflict how = conflict_policy(t->w, err);
    if (how == CONSUME_RESTART)
        *at = 0;
    return how == CONSUME_RESTART || how == CONSUME_REPEAT_STATEMENT;
}

static rl_err *do_steps(tx *t, step_kind *kind)
{
    rl_err *err = NULL;
    for (int at = 0; at < t->nsteps;) {
        *kind = t->steps[at].kind;
        err = do_step(t, at);
        if (!err) {
            at++;
            continue;
        }
        note_conflict(t, err);
        if (!goes_on_inside(t, err, &at) || !consume_may_repeat(&t->w->permit))
            return err;
        err_free(err);
        err = NULL;
    }
    return NULL;
}

/* ---- what is known already ---- */

static int by_id(const void *a, const void *b)
{
    return memcmp((*(consume_item *const *)a)->event.id, (*(consume_item *const *)b)->event.id,
                  UUID_BYTES);
}

/* The same event twice in one batch: the later ones are seen. */
static int mark_twins(consume_item **list, int n)
{
    int found = 0;
    consume_item **sorted = (consume_item **)mem_dup(list, (size_t)n * sizeof *list);
    qsort(sorted, (size_t)n, sizeof *sorted, by_id);
    for (int i = 1; i < n; i++) {
        consume_item *a = sorted[i - 1], *b = sorted[i];
        if (by_id(&a, &b) != 0)
            continue;
        bool later = b->msg->offset > a->msg->offset;
        consume_item_become(later ? b : a, ITEM_SEEN);
        if (!later)
            sorted[i - 1] = b, sorted[i] = a;
        sorted[i] = sorted[i - 1];
        found++;
    }
    free(sorted);
    return found;
}

static bool is_known(const consume_worker *w, const my_result *result, const consume_item *item)
{
    unsigned char place[UUID_BYTES];
    const unsigned char *id = item->event.id;
    if (w->consume->opts.dedup == CONSUME_DEDUP_POSITION) {
        consume_id_of_place(item->msg, place);
        id = place;
    }
    for (size_t low = 0, high = result->nrows; low < high;) {
        size_t middle = (low + high) / 2;
        my_value cell = my_cell(result, middle, 0);
        int order = cell.len == UUID_BYTES ? memcmp(cell.s, id, UUID_BYTES) : -1;
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static int mark_known(tx *t, const my_result *result)
{
    int found = 0;
    for (int i = 0; i < t->n; i++) {
        if (!is_known(t->w, result, t->list[i]))
            continue;
        consume_item_become(t->list[i], ITEM_SEEN);
        found++;
    }
    return found;
}

static void keep_ready(tx *t)
{
    int n = 0;
    for (int i = 0; i < t->n; i++)
        if (t->list[i]->state == ITEM_READY)
            t->list[n++] = t->list[i];
    t->n = n;
}

/* A dedup row was there: whose? Nobody's is possible too, when the other transaction was rolled
 * back after all. */
static rl_err *find_known(tx *t)
{
    my_result *result;
    buf_reset(&t->w->sql);
    consume_sql_known(t->w, t->list, t->n);
    my_cmd cmd = {.sql = t->w->sql.data, .len = t->w->sql.len};
    rl_err *err = my_query(t->w->db, &cmd, &result);
    if (err)
        return err;
    int found = mark_known(t, result);
    my_result_free(result);
    keep_ready(t);
    if (t->w->consume->opts.dedup == CONSUME_DEDUP_PROCESSED && t->n > 1)
        found += mark_twins(t->list, t->n);
    keep_ready(t);
    consume_count(t->w, CONSUME_N_seen, found);
    return NULL;
}

/* ---- again ---- */

static bool is_conflict(const rl_err *err)
{
    return err->domain == RL_MYSQL &&
           (err->code == DEADLOCK || err->code == LOCK_WAIT || err->code == NOWAIT);
}

/* What no other record would survive either: the server or the schema, not this batch. A connection
 * that the batch itself ended (1153) is none of them. */
static bool mysql_is_out(const rl_err *err)
{
    if (err->domain != RL_MYSQL)
        return err_is(err, RL_LAB, "CANCELLED");
    return (err->fatal && err->retriable) || err->blame == ERR_OF_SERVER ||
           err->blame == ERR_OF_PLACE;
}

static void roll_back(consume_worker *w)
{
    if (!my_conn_broken(w->db) && w->consume->opts.transactional)
        err_free(my_exec(w->db, "ROLLBACK"));
}

/* Full jitter: anything up to a bound that doubles. */
static void back_off(consume_worker *w, int tries)
{
    const flow_consume_opts *opts = &w->consume->opts;
    double bound = opts->backoff_min * (double)(1 << (tries < 20 ? tries : 20));
    if (bound > opts->backoff_max)
        bound = opts->backoff_max;
    flow_sleep(&w->consume->flow, bound * rng_double(&w->rng));
}

static rl_err *dropped_midway(void)
{
    return err_lab("DROPPED", "the partition was taken away, or the consumer stops");
}

typedef struct turns {
    int tries, outages;
} turns;

/* Takes err. NULL: once more. */
static rl_err *after_failure(tx *t, step_kind kind, rl_err *err, turns *n)
{
    consume_worker *w = t->w;
    roll_back(w);
    bool known = err->domain == RL_MYSQL && err->code == DUPLICATE && kind == STEP_DEDUP;
    if (known) {
        err_free(err);
        err = find_known(t);
        if (!err)
            return NULL;
    }
    if (mysql_is_out(err)) {
        consume_db_failed(w, err);
        err_free(err);
        consume_pause(w, n->outages++);
    } else if (is_conflict(err) && conflict_policy(w, err) == CONSUME_RETRY &&
               n->tries + 1 < w->consume->opts.tries) {
        err_free(err);
        back_off(w, n->tries++);
    } else {
        return err;
    }
    consume_count(w, CONSUME_N_repeats, 1);
    return NULL;
}

/* Who produces dates the records, by any number. */
static void record_delay(const tx *t, int64_t made, int n)
{
    int64_t ms = units_minus(clock_unix_ms(), made);
    flow_hdr_record(&t->w->hist[CONSUME_H_DELAY], units_times(ms, 1000000), n);
}

/* Neighbours share their millisecond as a rule: recorded once for all of them. */
static void record_delays(const tx *t)
{
    int64_t made = 0;
    int same = 0;
    for (int i = 0; i < t->n; i++, same++) {
        int64_t at = rd_kafka_message_timestamp(t->list[i]->msg, NULL);
        if (same && at != made) {
            record_delay(t, made, same);
            same = 0;
        }
        made = at;
    }
    if (same)
        record_delay(t, made, same);
}

static void mark_applied(tx *t, int64_t began)
{
    consume_worker *w = t->w;
    for (int i = 0; i < t->n; i++)
        consume_item_become(t->list[i], ITEM_APPLIED);
    flow_hdr_record(&w->hist[CONSUME_H_TRANSACTION], clock_ns() - began, 1);
    record_delays(t);
    consume_count(w, CONSUME_N_applied, t->n);
    consume_count(w, CONSUME_N_batches, 1);
    if (t->next >= 0)
        t->part->db_next = t->next;
    flow_up(&w->consume->flow, "mysql");
}

static rl_err *carry_out(tx *t)
{
    const consume_permit *permit = &t->part->permit;
    turns n = {0};
    for (;;) {
        bool again = n.tries + n.outages > 0;
        if (!(again ? consume_may_repeat : consume_may_begin)(permit))
            return dropped_midway();
        if (!consume_db(t->w, permit))
            return dropped_midway();
        if (t->n == 0 && t->next < 0)
            return NULL;
        step_kind kind = STEP_START;
        int64_t began = clock_ns();
        rl_err *err = tx_make(t);
        if (!err)
            err = do_steps(t, &kind);
        if (!err) {
            mark_applied(t, began);
            return NULL;
        }
        err = after_failure(t, kind, err, &n);
        if (err)
            return err;
    }
}

rl_err *consume_tx(consume_worker *w, consume_part *part, consume_item **list, int n)
{
    bool offsets = w->consume->opts.commit == CONSUME_MYSQL;
    rl_assert(n > 0 && n <= CONSUME_BATCH_MAX && list[0]->part == part);
    tx t = {.w = w, .part = part, .n = n, .next = -1};
    t.list = (consume_item **)mem_dup(list, (size_t)n * sizeof *list);
    if (offsets)
        t.next = list[n - 1]->msg->offset + 1;
    rl_err *err = carry_out(&t);
    free(t.list);
    free(t.steps);
    return err;
}

rl_err *consume_tx_offset(consume_worker *w, consume_part *part, int64_t next)
{
    rl_assert(w->consume->opts.commit == CONSUME_MYSQL && next > part->db_next);
    tx t = {.w = w, .part = part, .next = next};
    rl_err *err = carry_out(&t);
    free(t.steps);
    return err;
}

rl_err *consume_tx_load(consume_worker *w, consume_part *part, int64_t *next)
{
    my_result *result;
    buf_reset(&w->sql);
    consume_sql_load(w, part);
    my_cmd cmd = {.sql = w->sql.data, .len = w->sql.len};
    rl_err *err = my_query(w->db, &cmd, &result);
    if (err)
        return err;
    *next = result->nrows ? my_cell(result, 0, 0).i : -1;
    my_result_free(result);
    return NULL;
}
