/* The relay's keeper: leases, figures, clean-up. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "flow/relay/internal.h"

enum { BEATS = 4, BEAT_MIN_MS = 20, COUNT_MAX = 10000 };

static const double clean_pause = 0.02, clean_idle = 1;

typedef struct keeper {
    flow_relay *relay;
    my_conn *conn;
    flow_counters *count;
    relay_backoff backoff;
    int64_t beat_ns, figures_ns, clean_ns; /* when each is due */
    int64_t cleaned;                       /* cursor: nothing is left up to here */
    bool tidied;
    rl_buf sql;
} keeper;

static rl_err *keeper_run(keeper *k)
{
    return relay_exec(k->conn, &k->sql);
}

static rl_err *keeper_rows(keeper *k, my_result **result)
{
    return relay_rows(k->conn, &k->sql, result);
}

static rl_err *one_number(keeper *k, int64_t *out)
{
    my_result *result;
    rl_err *err = keeper_rows(k, &result);
    if (err)
        return err;
    *out = result->nrows ? relay_int(result, 0, 0) : 0;
    my_result_free(result);
    return NULL;
}

static int64_t lease_us(const keeper *k)
{
    return (int64_t)(k->relay->opts.lease * 1e6);
}

/* ---- leases ---- */

static rl_err *register_member(keeper *k)
{
    buf_reset(&k->sql);
    buf_printf(&k->sql,
               "INSERT INTO relay_member (name, seen_at) VALUES ('%s', NOW(3)) "
               "ON DUPLICATE KEY UPDATE seen_at = NOW(3)",
               k->relay->owner);
    return keeper_run(k);
}

/* Those who died have left their names. */
static rl_err *forget_members(keeper *k)
{
    if (k->tidied)
        return NULL;
    k->tidied = true;
    buf_reset(&k->sql);
    buf_str(&k->sql, "DELETE FROM relay_member WHERE seen_at < NOW(3) - INTERVAL 1 HOUR");
    return keeper_run(k);
}

static rl_err *add_shards(keeper *k)
{
    buf_reset(&k->sql);
    buf_str(&k->sql, "INSERT IGNORE INTO relay_lease (shard) VALUES (0)");
    for (int s = 1; s < RELAY_SHARDS; s++)
        buf_printf(&k->sql, ",(%d)", s);
    return keeper_run(k);
}

static void read_leases(const my_result *result, relay_lease leases[RELAY_SHARDS])
{
    for (size_t i = 0; i < result->nrows; i++) {
        int64_t s = relay_int(result, i, 0);
        if (s < 0 || s >= RELAY_SHARDS)
            continue;
        leases[s] = (relay_lease){.mine = relay_int(result, i, 1),
                                  .live = relay_int(result, i, 2),
                                  .free = relay_int(result, i, 3),
                                  .token = relay_int(result, i, 4),
                                  .position = relay_int(result, i, 5)};
    }
}

static rl_err *lock_leases(keeper *k, relay_lease leases[RELAY_SHARDS], size_t *n)
{
    my_result *result;
    buf_reset(&k->sql);
    buf_printf(&k->sql,
               "SELECT shard, IFNULL(owner = '%s', 0), IFNULL(expires_at > NOW(3), 0), owner IS "
               "NULL, token, position FROM relay_lease ORDER BY shard FOR UPDATE",
               k->relay->owner);
    rl_err *err = keeper_rows(k, &result);
    if (err)
        return err;
    *n = result->nrows;
    read_leases(result, leases);
    my_result_free(result);
    return NULL;
}

static rl_err *count_members(keeper *k, int *members)
{
    my_result *result;
    buf_reset(&k->sql);
    buf_printf(&k->sql,
               "SELECT COUNT(*) FROM relay_member WHERE seen_at > NOW(3) - INTERVAL %lld "
               "MICROSECOND",
               (long long)lease_us(k));
    rl_err *err = keeper_rows(k, &result);
    if (err)
        return err;
    *members = (int)relay_int(result, 0, 0);
    my_result_free(result);
    return NULL;
}

static rl_err *set_leases(keeper *k, const relay_step steps[RELAY_SHARDS], relay_step a,
                          relay_step b, const char *set)
{
    int n = 0;
    buf_reset(&k->sql);
    buf_printf(&k->sql, "UPDATE relay_lease SET %s WHERE shard IN (", set);
    for (int s = 0; s < RELAY_SHARDS; s++)
        if (steps[s] == a || steps[s] == b)
            buf_printf(&k->sql, "%s%d", n++ ? "," : "", s);
    buf_str(&k->sql, ")");
    return n ? keeper_run(k) : NULL;
}

static rl_err *write_steps(keeper *k, const relay_step steps[RELAY_SHARDS])
{
    char text[200];
    snprintf(text, sizeof text, "expires_at = NOW(3) + INTERVAL %lld MICROSECOND",
             (long long)lease_us(k));
    rl_err *err = set_leases(k, steps, STEP_KEEP, STEP_LEAVE, text);
    snprintf(text, sizeof text,
             "owner = '%s', token = token + 1, expires_at = NOW(3) + INTERVAL %lld MICROSECOND",
             k->relay->owner, (long long)lease_us(k));
    if (!err)
        err = set_leases(k, steps, STEP_TAKE, STEP_TAKE, text);
    if (!err)
        err = set_leases(k, steps, STEP_DROP, STEP_DROP, "owner = NULL, expires_at = NULL");
    return err;
}

/* Rows are claimed under the lock: from here on none of a shard that we let go. */
static void plan_steps(keeper *k, const relay_lease leases[RELAY_SHARDS], int members,
                       relay_step steps[RELAY_SHARDS])
{
    flow_relay *relay = k->relay;
    pthread_mutex_lock(&relay->lock);
    relay_plan(leases, relay->shards, members, relay->transactional,
               atomic_load(&relay->marker_ended), steps);
    for (int s = 0; s < RELAY_SHARDS; s++)
        if (steps[s] == STEP_LEAVE || steps[s] == STEP_DROP)
            relay->shards[s].hold = HOLD_LEAVING;
    pthread_mutex_unlock(&relay->lock);
}

static void take_shard(flow_relay *relay, relay_shard *shard, int64_t token, int64_t position)
{
    shard->hold = HOLD_MINE;
    shard->token = token;
    shard->read_to = position;
    relay->rewind = true;
}

static void lose_shard(flow_relay *relay, int s)
{
    relay->shards[s].hold = HOLD_NONE;
    relay_forget_failed(relay, s);
}

/* true: a shard went that we had not let go. */
static bool apply_step(flow_relay *relay, int s, const relay_lease *lease, relay_step step)
{
    relay_shard *shard = &relay->shards[s];
    rl_assert(flow_lock_held(&relay->lock) && (step != STEP_DROP || shard->flying == 0));
    bool held = shard->hold != HOLD_NONE, lost = false;
    switch (step) {
    case STEP_TAKE: /* held: it was somebody else's in between, or ran out */
        lost = held;
        lose_shard(relay, s);
        take_shard(relay, shard, lease->token + 1, lease->position);
        break;
    case STEP_KEEP:
        if (shard->hold != HOLD_MINE || shard->token != lease->token)
            take_shard(relay, shard, lease->token, held ? shard->read_to : lease->position);
        break;
    case STEP_LEAVE:
        break;
    case STEP_DROP:
        lose_shard(relay, s);
        break;
    case STEP_NONE:
        lost = held;
        lose_shard(relay, s);
        break;
    }
    return lost;
}

static void apply_steps(keeper *k, const relay_lease leases[RELAY_SHARDS],
                        const relay_step steps[RELAY_SHARDS], int64_t began)
{
    flow_relay *relay = k->relay;
    bool lost = false;
    int held = 0;
    pthread_mutex_lock(&relay->lock);
    for (int s = 0; s < RELAY_SHARDS; s++) {
        lost = apply_step(relay, s, &leases[s], steps[s]) || lost;
        held += relay->shards[s].hold == HOLD_MINE;
    }
    relay->lease_until_ns = began + (int64_t)(relay->opts.lease * 1e9);
    if (lost && relay->transactional)
        relay->reset = relay->replace = true; /* the next term needs an epoch of its own */
    relay_signal(relay);
    pthread_mutex_unlock(&relay->lock);
    flow_set(k->count, RELAY_N_leases, held);
    if (lost)
        flow_emit(&relay->flow, "lost", NULL, &(flow_field){.key = "held", .number = held}, 1);
}

static rl_err *keeper_beat(keeper *k)
{
    relay_lease leases[RELAY_SHARDS] = {0};
    relay_step steps[RELAY_SHARDS];
    size_t n = 0;
    int members = 1;
    int64_t began = clock_ns();
    rl_err *err = my_exec(k->conn, "START TRANSACTION");
    if (!err)
        err = register_member(k);
    if (!err)
        err = forget_members(k);
    if (!err)
        err = lock_leases(k, leases, &n);
    if (!err && n < RELAY_SHARDS)
        err = add_shards(k);
    if (!err)
        err = count_members(k, &members);
    if (err)
        return err;
    plan_steps(k, leases, members, steps);
    err = write_steps(k, steps);
    if (!err)
        err = my_exec(k->conn, "COMMIT");
    if (!err)
        apply_steps(k, leases, steps, began);
    return err;
}

/* Wrong on purpose: the server frees the lock with the session that got it, and nobody is told. */
static rl_err *keeper_lead(keeper *k)
{
    flow_relay *relay = k->relay;
    int64_t got = 0;
    if (relay->lease_until_ns)
        return NULL;
    buf_reset(&k->sql);
    buf_str(&k->sql, "SELECT GET_LOCK(SHA2(CONCAT(DATABASE(), '.relay'), 224), 0)");
    rl_err *err = one_number(k, &got);
    if (err || got != 1)
        return err;
    pthread_mutex_lock(&relay->lock);
    for (int s = 0; s < RELAY_SHARDS; s++)
        take_shard(relay, &relay->shards[s], 0, 0);
    relay->lease_until_ns = INT64_MAX;
    relay_signal(relay);
    pthread_mutex_unlock(&relay->lock);
    flow_set(k->count, RELAY_N_leases, RELAY_SHARDS);
    return NULL;
}

/* ---- figures ---- */

static const char *unsent_range(const keeper *k)
{
    return k->relay->opts.mark == RELAY_CURSOR
               ? "FORCE INDEX (PRIMARY) WHERE id > (SELECT MIN(position) FROM relay_lease)"
               : "FORCE INDEX (unsent) WHERE published_at IS NULL";
}

static rl_err *oldest_unsent(keeper *k, int64_t *id, int64_t *age_us)
{
    my_result *result;
    buf_reset(&k->sql);
    buf_printf(&k->sql,
               "SELECT id, TIMESTAMPDIFF(MICROSECOND, created_at, NOW(6)) FROM outbox_event %s "
               "ORDER BY id LIMIT 1",
               unsent_range(k));
    rl_err *err = keeper_rows(k, &result);
    if (err)
        return err;
    *id = result->nrows ? relay_int(result, 0, 0) : 0;
    *age_us = result->nrows ? relay_int(result, 0, 1) : 0;
    my_result_free(result);
    return NULL;
}

/* Counted up to COUNT_MAX; beyond, the span of the ids says how many there are at most. */
static rl_err *count_backlog(keeper *k, int64_t oldest_id, int64_t *n, bool *exact)
{
    int64_t last = 0;
    buf_reset(&k->sql);
    buf_printf(&k->sql, "SELECT COUNT(*) FROM (SELECT 1 FROM outbox_event %s LIMIT %d) t",
               unsent_range(k), COUNT_MAX);
    rl_err *err = one_number(k, n);
    *exact = *n < COUNT_MAX;
    if (err || *exact)
        return err;
    buf_reset(&k->sql);
    buf_str(&k->sql, "SELECT MAX(id) FROM outbox_event");
    err = one_number(k, &last);
    if (!err && last - oldest_id + 1 > *n)
        *n = last - oldest_id + 1;
    return err;
}

static rl_err *keep_figures(keeper *k)
{
    int64_t id, age_us, n = 0;
    bool exact = true;
    rl_err *err = oldest_unsent(k, &id, &age_us);
    if (!err && id)
        err = count_backlog(k, id, &n, &exact);
    if (err)
        return err;
    flow_set(k->count, RELAY_N_oldest_unsent_us,
             n > 0 && age_us > 0 ? age_us : 0); /* sent meanwhile */
    flow_set(k->count, RELAY_N_backlog, n);
    flow_set(k->count, RELAY_N_backlog_exact, exact);
    return NULL;
}

/* ---- clean-up ---- */

/* By the index of published_at, from its old end; parked rows stay. */
static rl_err *clean_marked(keeper *k, int64_t *n)
{
    my_result *result;
    buf_reset(&k->sql);
    buf_printf(&k->sql,
               "DELETE FROM outbox_event WHERE published_at < NOW(6) - INTERVAL %lld MICROSECOND "
               "AND parked_reason IS NULL ORDER BY published_at LIMIT %d",
               (long long)(k->relay->opts.cleanup_age * 1e6), k->relay->opts.cleanup_chunk);
    rl_err *err = keeper_rows(k, &result);
    if (err)
        return err;
    *n = (int64_t)result->affected;
    my_result_free(result);
    return NULL;
}

/* By the primary key, from its low end up to the first row that is not old enough. */
static rl_err *clean_passed(keeper *k, int64_t *n)
{
    my_result *result;
    int64_t upto = 0;
    buf_reset(&k->sql);
    buf_printf(
        &k->sql,
        "SELECT MAX(id) FROM (SELECT id, created_at FROM outbox_event WHERE id > %lld AND id "
        "<= (SELECT MIN(position) FROM relay_lease) ORDER BY id LIMIT %d) t WHERE created_at "
        "< NOW(6) - INTERVAL %lld MICROSECOND",
        (long long)k->cleaned, k->relay->opts.cleanup_chunk,
        (long long)(k->relay->opts.cleanup_age * 1e6));
    rl_err *err = one_number(k, &upto);
    if (err || !upto)
        return err;
    buf_reset(&k->sql);
    buf_printf(&k->sql,
               "DELETE FROM outbox_event WHERE id > %lld AND id <= %lld AND parked_reason IS NULL",
               (long long)k->cleaned, (long long)upto);
    err = keeper_rows(k, &result);
    if (err)
        return err;
    *n = (int64_t)result->affected;
    k->cleaned = upto;
    my_result_free(result);
    return NULL;
}

static rl_err *clean_up(keeper *k)
{
    int64_t n = 0;
    rl_err *err = k->relay->opts.mark == RELAY_CURSOR ? clean_passed(k, &n) : clean_marked(k, &n);
    flow_add(k->count, RELAY_N_cleaned, n);
    bool more = n >= k->relay->opts.cleanup_chunk;
    k->clean_ns = deadline_in(more ? clean_pause : clean_idle);
    return err;
}

/* ---- the thread ---- */

static double beat_every(const keeper *k)
{
    double s = k->relay->opts.lease / BEATS;
    return s > BEAT_MIN_MS / 1e3 ? s : BEAT_MIN_MS / 1e3;
}

static rl_err *keeper_due(keeper *k)
{
    rl_err *err = NULL;
    int64_t now = clock_ns();
    if (now >= k->beat_ns) {
        err = k->relay->opts.leader == RELAY_BY_LOCK ? keeper_lead(k) : keeper_beat(k);
        k->beat_ns = deadline_in(err ? 0 : beat_every(k));
    }
    if (!err && now >= k->figures_ns) {
        err = keep_figures(k);
        k->figures_ns = deadline_in(k->relay->opts.figures);
    }
    if (!err && k->relay->opts.cleanup_age >= 0 && now >= k->clean_ns)
        err = clean_up(k);
    return err;
}

static double until_next(const keeper *k)
{
    int64_t next = k->beat_ns < k->figures_ns ? k->beat_ns : k->figures_ns;
    if (k->relay->opts.cleanup_age >= 0 && k->clean_ns < next)
        next = k->clean_ns;
    double s = (double)(next - clock_ns()) / 1e9;
    return s > 0.001 ? s : 0.001;
}

static void keeper_rest(keeper *k)
{
    if (flow_stopping(&k->relay->flow))
        flow_pause(&k->relay->flow, BEAT_MIN_MS / 1e3); /* the others are finishing */
    else
        flow_sleep(&k->relay->flow, until_next(k));
}

static bool keeping(flow_relay *relay)
{
    return !flow_aborted(&relay->flow) && !atomic_load(&relay->marker_ended);
}

/* The shards are free at once, and not only when the lease has run out. */
static void sign_off(keeper *k)
{
    if (flow_aborted(&k->relay->flow) || my_conn_broken(k->conn) ||
        k->relay->opts.leader == RELAY_BY_LOCK)
        return;
    rl_err *err = keeper_beat(k);
    buf_reset(&k->sql);
    buf_printf(&k->sql, "DELETE FROM relay_member WHERE name = '%s'", k->relay->owner);
    if (!err)
        err = keeper_run(k);
    err_free(err);
}

void relay_keeper(void *arg)
{
    flow_relay *relay = arg;
    keeper k = {.relay = relay, .conn = relay->keeper_conn, .count = relay->keeper_count};
    while (keeping(relay)) {
        if (!relay_connected(relay, k.conn, k.count, &k.backoff))
            continue;
        rl_err *err = keeper_due(&k);
        if (err)
            relay_mysql_failed(relay, k.conn, err, &k.backoff);
        else
            keeper_rest(&k);
    }
    sign_off(&k);
    buf_free(&k.sql);
}
