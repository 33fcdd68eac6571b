/* The relay's reader: polls the outbox, claims batches, hands them to the sender. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "flow/relay/internal.h"

static const double hole_pause_max = 0.02, wait_slice = 0.05;

typedef struct reader {
    flow_relay *relay;
    my_conn *conn;
    flow_counters *count;
    relay_backoff backoff;
    relay_gap gap;
    rl_buf sql;
    int64_t last; /* update, delete: rows up to here have been seen */
    int64_t hole; /* up to here ids are missing among those that were seen */
    double idle;  /* seconds to sleep after the next poll that finds nothing */
    bool held[RELAY_SHARDS];
    bool at_hole;
    bool caught_up; /* the last poll came to the end of the table */
} reader;

/* ---- may it read? ---- */

static int held_shards(const flow_relay *relay, bool held[RELAY_SHARDS])
{
    int n = 0;
    for (int s = 0; s < RELAY_SHARDS; s++)
        n += held[s] = relay->shards[s].hold == HOLD_MINE;
    return n;
}

static void rewind_cursor(flow_relay *relay)
{
    int64_t from = INT64_MAX;
    for (int s = 0; s < RELAY_SHARDS; s++)
        if (relay->shards[s].hold == HOLD_MINE && relay->shards[s].read_to < from)
            from = relay->shards[s].read_to;
    if (relay->nfailed && relay->failed[0].id - 1 < from)
        from = relay->failed[0].id - 1;
    relay->read_to = from == INT64_MAX ? relay->read_to : from;
}

/* Under the lock. */
static bool may_read(reader *d)
{
    flow_relay *relay = d->relay;
    rl_assert(flow_lock_held(&relay->lock));
    int64_t seen = relay->opts.mark == RELAY_CURSOR ? relay->read_to : d->last;
    if (relay->careful_to && !relay->reset && !relay->rewind && relay->nbatches == 0 &&
        seen >= relay->careful_to)
        relay->careful_to = 0;
    int room = relay->careful_to ? 1 : relay->opts.in_flight;
    if (relay->reset || relay->nbatches >= room || clock_ns() >= relay->lease_until_ns)
        return false;
    if (held_shards(relay, d->held) == 0)
        return false;
    if (relay->rewind &&
        relay->nbatches) /* what is marked while it is read again would be sent again */
        return false;
    if (relay->rewind) {
        relay->rewind = false;
        d->last = -1;
        rewind_cursor(relay);
    }
    return true;
}

static bool wait_until_it_may(reader *d)
{
    flow_relay *relay = d->relay;
    pthread_mutex_lock(&relay->lock);
    bool yes = may_read(d);
    if (!yes && !flow_stopping(&relay->flow))
        relay_wait(relay, wait_slice);
    pthread_mutex_unlock(&relay->lock);
    return yes;
}

/* ---- polls ---- */

static int batch_size(const reader *d)
{
    return d->relay->careful_to ? 1 : d->relay->opts.batch;
}

static const char *index_name(const reader *d)
{
    return d->relay->opts.mark == RELAY_UPDATE ? "unsent" : "PRIMARY";
}

static rl_err *reader_query(reader *d, my_result **result)
{
    flow_add(d->count, RELAY_N_polls, 1);
    return relay_rows(d->conn, &d->sql, result);
}

static void put_columns(rl_buf *sql)
{
    buf_reset(sql);
    buf_str(
        sql,
        "SELECT id, shard, published_at IS NULL, event_id, message_key, payload, headers, topic "
        "FROM outbox_event ");
}

/* Where the unsent rows begin, or the end, so that no range of published ones is scanned. */
static rl_err *find_start(reader *d)
{
    my_result *result;
    buf_reset(&d->sql);
    buf_str(&d->sql, "SELECT COALESCE((SELECT id - 1 FROM outbox_event FORCE INDEX (unsent) "
                     "WHERE published_at IS NULL ORDER BY id LIMIT 1), "
                     "(SELECT MAX(id) FROM outbox_event), 0)");
    rl_err *err = reader_query(d, &result);
    if (err)
        return err;
    d->last = d->hole = relay_int(result, 0, 0);
    my_result_free(result);
    return NULL;
}

static void put_next(reader *d, int limit)
{
    put_columns(&d->sql);
    buf_printf(&d->sql, "FORCE INDEX (%s) WHERE published_at IS NULL AND id > %lld", index_name(d),
               (long long)d->last);
    relay_put_shards(&d->sql, d->held);
    buf_printf(&d->sql, " ORDER BY id LIMIT %d", limit);
}

static relay_batch *claim_rows(reader *d, my_result *result, int64_t began)
{
    size_t rows = result->nrows;
    relay_batch *batch = relay_claim(d->relay, result, d->relay->opts.batch);
    if (!batch)
        return NULL;
    flow_hdr_record(&d->relay->hdrs[RELAY_HDR_READ], clock_ns() - began, 1);
    flow_add(d->count, RELAY_N_read, (int64_t)rows);
    return batch;
}

static void note_holes(reader *d, const my_result *result)
{
    for (size_t i = 0; i < result->nrows; i++) {
        int64_t id = relay_int(result, i, COL_ID);
        if (id != d->last + 1)
            d->hole = id - 1;
        d->last = id;
    }
}

/* Rows behind the last one seen. */
static rl_err *poll_next(reader *d, relay_batch **batch)
{
    my_result *result;
    int limit = batch_size(d);
    int64_t began = clock_ns();
    put_next(d, limit);
    rl_err *err = reader_query(d, &result);
    if (err)
        return err;
    d->caught_up = result->nrows < (size_t)limit;
    note_holes(d, result);
    *batch = claim_rows(d, result, began);
    return NULL;
}

/* ---- rows that were committed later, with a lower id ----
 *
 * A key's next row can be there as soon as such a row is, with an id behind the last one seen:
 * read alone, it would overtake. So while a missing id may yet come, one snapshot shows both the
 * rows below and those behind, and what lies below goes first. */

static bool row_is_flying(flow_relay *relay, int64_t id)
{
    pthread_mutex_lock(&relay->lock);
    bool yes = relay_in_flight(relay, id);
    pthread_mutex_unlock(&relay->lock);
    return yes;
}

/* The ids are read from the index alone; those that are in flight are no news. */
static rl_err *late_ids(reader *d, rl_buf *ids)
{
    my_result *result;
    int found = 0, limit = d->relay->opts.batch * (d->relay->opts.in_flight + 1);
    buf_reset(&d->sql);
    buf_printf(&d->sql,
               "SELECT id FROM outbox_event FORCE INDEX (unsent) WHERE published_at IS NULL AND id "
               "<= %lld",
               (long long)d->last);
    relay_put_shards(&d->sql, d->held);
    buf_printf(&d->sql, " ORDER BY id LIMIT %d", limit);
    rl_err *err = reader_query(d, &result);
    if (err)
        return err;
    for (size_t i = 0; i < result->nrows && found < batch_size(d); i++) {
        int64_t id = relay_int(result, i, 0);
        if (!row_is_flying(d->relay, id))
            buf_printf(ids, "%s%lld", found++ ? "," : "", (long long)id);
    }
    my_result_free(result);
    return NULL;
}

static rl_err *read_late(reader *d, const rl_buf *ids, relay_batch **batch)
{
    my_result *result;
    int64_t began = clock_ns();
    put_columns(&d->sql);
    buf_printf(&d->sql, "WHERE id IN (%s) AND published_at IS NULL ORDER BY id", ids->data);
    rl_err *err = reader_query(d, &result);
    if (err)
        return err;
    *batch = claim_rows(d, result, began);
    if (*batch)
        flow_add(d->count, RELAY_N_late, (*batch)->n);
    return NULL;
}

static bool may_come_late(const reader *d)
{
    for (int shard = 0; shard < RELAY_SHARDS; shard++)
        if (!d->held[shard])
            return true; /* the rows of others look like holes */
    return d->hole > d->gap.settled;
}

static rl_err *poll_whole(reader *d, rl_buf *late, relay_batch **batch)
{
    rl_err *err = relay_gap_settle(d->relay, d->conn, &d->gap);
    if (!err)
        err = relay_snapshot(d->conn);
    if (err)
        return err;
    err = late_ids(d, late);
    if (!err && !late->len)
        err = poll_next(d, batch);
    rl_err *ended = my_exec(d->conn, "COMMIT");
    if (err || *batch) { /* what was read stands; a lost connection shows with the next statement */
        err_free(ended);
        return err;
    }
    return ended;
}

static rl_err *poll_marked(reader *d, relay_batch **batch)
{
    rl_buf late = {0};
    rl_err *err = d->last < 0 ? find_start(d) : NULL;
    if (!err)
        err = may_come_late(d) ? poll_whole(d, &late, batch) : poll_next(d, batch);
    if (!err && late.len) /* not in the snapshot: what was marked meanwhile is no news */
        err = read_late(d, &late, batch);
    buf_free(&late);
    return err;
}

/* ---- the cursor ---- */

/* Published or foreign rows are seen for the sake of their ids only. */
static void put_cursor(reader *d, int64_t after, int limit)
{
    bool all = true;
    buf_reset(&d->sql);
    for (int s = 0; s < RELAY_SHARDS; s++)
        all = all && d->held[s];
    if (all) {
        put_columns(&d->sql);
    } else {
        buf_str(&d->sql, "SELECT id, shard, published_at IS NULL");
        for (const char *const *c = (const char *const[]){"event_id", "message_key", "payload",
                                                          "headers", "topic", NULL};
             *c; c++) {
            buf_str(&d->sql, ", IF(1");
            relay_put_shards(&d->sql, d->held);
            buf_printf(&d->sql, ", %s, NULL)", *c);
        }
        buf_str(&d->sql, " FROM outbox_event ");
    }
    buf_printf(&d->sql, "FORCE INDEX (PRIMARY) WHERE id > %lld ORDER BY id LIMIT %d",
               (long long)after, limit);
}

/* The rows before the first hole that may yet be filled. */
static void cut_at_hole(reader *d, my_result *result, int64_t after)
{
    int n = (int)result->nrows;
    int64_t *ids = mem_alloc((result->nrows + 1) * sizeof *ids);
    for (int i = 0; i < n; i++)
        ids[i] = relay_int(result, (size_t)i, COL_ID);
    int may = relay_gap_cut(ids, n, after, relay_gap_settled(d->relay, &d->gap, ids, n, after));
    d->at_hole = may < n;
    result->nrows = (size_t)may;
    free(ids);
}

static int64_t cursor_of(flow_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    int64_t after = relay->read_to;
    pthread_mutex_unlock(&relay->lock);
    return after;
}

static rl_err *poll_cursor(reader *d, relay_batch **batch)
{
    my_result *result;
    int limit = d->at_hole ? 1 : batch_size(d); /* at a hole only to see whether it was filled */
    int64_t began = clock_ns(), after = cursor_of(d->relay);
    rl_err *err = d->at_hole ? relay_gap_settle(d->relay, d->conn, &d->gap) : NULL;
    if (err)
        return err;
    put_cursor(d, after, limit);
    err = reader_query(d, &result);
    if (err)
        return err;
    d->caught_up = result->nrows < (size_t)limit;
    cut_at_hole(d, result, after);
    if (d->at_hole && result->nrows == 0) {
        flow_add(d->count, RELAY_N_gap_waits, 1);
        my_result_free(result);
        return NULL;
    }
    *batch = claim_rows(d, result, began);
    return NULL;
}

/* ---- the thread ---- */

static void reader_rest(reader *d)
{
    double most = d->at_hole ? hole_pause_max : d->relay->opts.poll_max;
    if (!d->caught_up && !d->at_hole)
        return;
    flow_sleep(&d->relay->flow, d->idle);
    d->idle = d->idle * 2 < most ? d->idle * 2 : most;
}

static void read_once(reader *d)
{
    flow_relay *relay = d->relay;
    relay_batch *batch = NULL;
    rl_err *err =
        relay->opts.mark == RELAY_CURSOR ? poll_cursor(d, &batch) : poll_marked(d, &batch);
    if (err) {
        relay_mysql_failed(relay, d->conn, err, &d->backoff);
        return;
    }
    flow_up(&relay->flow, "mysql");
    d->backoff.seconds = 0;
    if (!batch) {
        reader_rest(d);
        return;
    }
    d->idle = relay->opts.poll;
    relay_send(relay, batch);
}

void relay_reader(void *arg)
{
    flow_relay *relay = arg;
    reader d = {.relay = relay,
                .conn = relay->reader_conn,
                .count = relay->reader_count,
                .last = -1,
                .idle = relay->opts.poll};
    while (!flow_stopping(&relay->flow)) {
        if (!relay_connected(relay, d.conn, d.count, &d.backoff) || !relay_sender_ready(relay) ||
            !wait_until_it_may(&d))
            continue;
        read_once(&d);
    }
    buf_free(&d.sql);
    free(d.gap.writers);
    atomic_store(&relay->reader_ended, true);
}
