/* The relay's marker: delivery reports, and marks of what was acknowledged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "flow/relay/internal.h"
#include "flow/relay/points.h"

enum {
    DRAIN_MS = 20,
    DRAIN_EVENTS = 64,
    IDS_MAX = 5000, /* in one statement */
    STALL_MS = 2000,
    PROBE_EVERY_MS = 500,
    PROBE_MS = 200,
    CURSOR_IDLE_MS = 100
};

typedef struct marker {
    flow_relay *relay;
    my_conn *conn;
    flow_counters *count;
    relay_backoff backoff;
    int64_t acked, acked_ns; /* the last count seen, and when it grew */
    int64_t probed_ns;
    int64_t position, position_ns; /* cursor: what is written */
    int64_t spoke_ns;              /* to MySQL */
} marker;

/* The leases as the database has them now, held fast until the commit. */
typedef struct fence {
    bool on;
    int64_t tokens[RELAY_SHARDS]; /* -1: not ours */
} fence;

static rl_err *read_fence(marker *m, fence *f)
{
    my_result *result;
    rl_buf sql = {0};
    f->on = m->relay->opts.fence && m->relay->opts.leader == RELAY_BY_LEASE;
    if (!f->on)
        return NULL;
    for (int s = 0; s < RELAY_SHARDS; s++)
        f->tokens[s] = -1;
    buf_printf(&sql, "SELECT shard, token FROM relay_lease WHERE owner = '%s' FOR SHARE",
               m->relay->owner);
    rl_err *err = relay_rows(m->conn, &sql, &result);
    buf_free(&sql);
    if (err)
        return err;
    for (size_t i = 0; i < result->nrows; i++) {
        int64_t shard = relay_int(result, i, 0);
        if (shard >= 0 && shard < RELAY_SHARDS)
            f->tokens[shard] = relay_int(result, i, 1);
    }
    my_result_free(result);
    return NULL;
}

static bool fence_passes(const fence *f, const relay_row *row)
{
    return !f->on || f->tokens[row->shard] == row->batch->tokens[row->shard];
}

/* ---- the statements ---- */

typedef struct tally {
    int64_t marked, parked, fenced;
} tally;

static rl_err *mark_ids(marker *m, const rl_buf *ids)
{
    rl_buf sql = {0};
    if (m->relay->opts.mark == RELAY_UPDATE)
        buf_str(&sql, "UPDATE outbox_event SET published_at = NOW(6) WHERE id IN (");
    else
        buf_str(&sql, "DELETE FROM outbox_event WHERE id IN (");
    buf_add(&sql, ids->data, ids->len);
    buf_str(&sql, ")");
    rl_err *err = relay_exec(m->conn, &sql);
    buf_free(&sql);
    return err;
}

static rl_err *mark_rows(marker *m, relay_batch **done, int n, const fence *f)
{
    rl_buf ids = {0};
    rl_err *err = NULL;
    int in_list = 0;
    for (int i = 0; i < n && !err; i++)
        for (int k = 0; k < done[i]->n && !err; k++) {
            const relay_row *row = &done[i]->rows[k];
            if (row->state != ROW_ACKED || !fence_passes(f, row))
                continue;
            buf_printf(&ids, "%s%lld", ids.len ? "," : "", (long long)row->id);
            if (++in_list < IDS_MAX)
                continue;
            err = mark_ids(m, &ids);
            buf_reset(&ids);
            in_list = 0;
        }
    if (!err && ids.len)
        err = mark_ids(m, &ids);
    buf_free(&ids);
    return err;
}

/* A shard that is being let go was read less far than the others. */
static rl_err *move_cursor(marker *m, const fence *f, const relay_marks *to)
{
    bool held[RELAY_SHARDS];
    rl_buf sql = {0};
    buf_str(&sql, "UPDATE relay_lease SET position = GREATEST(position, CASE shard");
    for (int s = 0; s < RELAY_SHARDS; s++) {
        held[s] = to->upto[s] >= 0 && (!f->on || f->tokens[s] == to->tokens[s]);
        if (held[s] && to->upto[s] < to->position)
            buf_printf(&sql, " WHEN %d THEN %lld", s, (long long)to->upto[s]);
    }
    buf_printf(&sql, " WHEN -1 THEN 0 ELSE %lld END) WHERE shard >= 0", (long long)to->position);
    relay_put_shards(&sql, held);
    if (f->on)
        buf_printf(&sql, " AND owner = '%s'", m->relay->owner);
    rl_err *err = relay_exec(m->conn, &sql);
    buf_free(&sql);
    return err;
}

static const char *reason_of(int code, char *text, size_t size)
{
    if (code == RELAY_BAD_HEADERS)
        snprintf(text, size, "headers: a list of [name, value] pairs is expected");
    else if (code == RELAY_BAD_TOPIC)
        snprintf(text, size, "topic: there can be none of that name");
    else
        snprintf(text, size, "%s: %s", kafka_code_name(code), rd_kafka_err2str(code));
    return text;
}

static rl_err *park_row(marker *m, const relay_row *row)
{
    static const char sql[] = "UPDATE outbox_event SET published_at = NOW(6), parked_reason = ? "
                              "WHERE id = ?";
    char text[200];
    my_result *result;
    my_value reason = {.kind = MY_BYTES, .s = reason_of(row->err, text, sizeof text)};
    reason.len = strlen(text);
    my_value params[] = {reason, {.kind = MY_INT, .i = row->id}};
    my_cmd cmd = {.sql = sql, .len = sizeof sql - 1, .params = params, .nparams = 2};
    rl_err *err = my_query(m->conn, &cmd, &result);
    my_result_free(result);
    return err;
}

static rl_err *park_rows(marker *m, relay_batch **done, int n, const fence *f, tally *t)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < done[i]->n; k++) {
            const relay_row *row = &done[i]->rows[k];
            if (row->state != ROW_POISON || !fence_passes(f, row))
                continue;
            t->parked++;
            rl_err *err = park_row(m, row);
            if (err)
                return err;
        }
    return NULL;
}

static void count_rows(relay_batch **done, int n, const fence *f, tally *t)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < done[i]->n; k++) {
            const relay_row *row = &done[i]->rows[k];
            bool fenced = !fence_passes(f, row);
            t->fenced += row->state != ROW_FAILED && fenced;
            t->marked += row->state == ROW_ACKED && !fenced;
        }
}

static rl_err *in_transaction(marker *m, relay_batch **done, int n, const relay_marks *to, tally *t)
{
    fence f;
    *t = (tally){0};
    rl_err *err = my_exec(m->conn, "START TRANSACTION");
    if (!err)
        err = read_fence(m, &f);
    if (!err && m->relay->opts.mark != RELAY_CURSOR)
        err = mark_rows(m, done, n, &f);
    if (!err)
        err = park_rows(m, done, n, &f, t);
    if (!err && m->relay->opts.mark == RELAY_CURSOR)
        err = move_cursor(m, &f, to);
    if (!err)
        err = my_exec(m->conn, "COMMIT");
    if (!err)
        count_rows(done, n, &f, t);
    return err;
}

/* ---- a round of marks ---- */

static int64_t acked_rows(const relay_batch *batch)
{
    int64_t n = 0;
    for (int i = 0; i < batch->n; i++)
        n += batch->rows[i].state == ROW_ACKED;
    return n;
}

/* An armed error stands for a mark that is lost: the rows are sent again. */
static void reach_points(flow_relay *relay, relay_batch **done, int n)
{
    for (int i = 0; i < n; i++) {
        if (!acked_rows(done[i]) || relay_point(FAIL_POINT_RELAY_AFTER_ACK, done[i]) != FAIL_FAILED)
            continue;
        for (int k = 0; k < done[i]->n; k++)
            done[i]->rows[k].state = ROW_FAILED;
        pthread_mutex_lock(&relay->lock);
        relay->reset = true;
        pthread_mutex_unlock(&relay->lock);
    }
}

static void emit_parked(marker *m, const relay_row *row)
{
    char text[200], id[UUID_LEN + 1] = "";
    my_value event = my_cell(row->batch->result, row->at, COL_EVENT_ID);
    my_value key = my_cell(row->batch->result, row->at, COL_KEY);
    char *key_text = mem_dup(key.s, key.len);
    if (event.len == UUID_BYTES)
        uuid_text((const unsigned char *)event.s, id);
    const flow_field fields[] = {{.key = "row", .number = row->id},
                                 {.key = "id", .text = id},
                                 {.key = "key", .text = key_text},
                                 {.key = "reason", .text = reason_of(row->err, text, sizeof text)}};
    flow_emit(&m->relay->flow, "parked", NULL, fields, sizeof fields / sizeof *fields);
    free(key_text);
}

static void report_marks(marker *m, relay_batch **done, int n, const tally *t)
{
    flow_add(m->count, RELAY_N_marked, t->marked);
    flow_add(m->count, RELAY_N_parked, t->parked);
    flow_add(m->count, RELAY_N_fenced, t->fenced);
    if (t->fenced)
        flow_emit(&m->relay->flow, "fenced", NULL,
                  &(flow_field){.key = "rows", .number = t->fenced}, 1);
    for (int i = 0; t->parked && i < n; i++)
        for (int k = 0; k < done[i]->n; k++)
            if (done[i]->rows[k].state == ROW_POISON)
                emit_parked(m, &done[i]->rows[k]);
}

/* Tries until it is done, since what was acknowledged and is not marked would be sent again. false:
 * the flow was aborted. */
static bool mark_until_done(marker *m, relay_batch **done, int n, const relay_marks *to, tally *t)
{
    while (!flow_aborted(&m->relay->flow)) {
        if (!relay_connected(m->relay, m->conn, m->count, &m->backoff))
            continue;
        rl_err *err = in_transaction(m, done, n, to, t);
        m->spoke_ns = clock_ns();
        if (!err) {
            flow_up(&m->relay->flow, "mysql");
            m->backoff.seconds = 0;
            return true;
        }
        relay_mysql_failed(m->relay, m->conn, err, &m->backoff);
    }
    return false;
}

static void remember_position(marker *m, int64_t position)
{
    m->position = position;
    m->position_ns = clock_ns();
    if (m->relay->opts.mark == RELAY_CURSOR)
        flow_set(m->count, RELAY_N_position, position);
}

static bool mark_done(marker *m)
{
    tally t;
    relay_marks to;
    int n;
    relay_batch **done = relay_take_done(m->relay, &n);
    if (n) {
        reach_points(m->relay, done, n);
        int64_t began = clock_ns();
        relay_position(m->relay, &to);
        if (mark_until_done(m, done, n, &to, &t)) {
            flow_hdr_record(&m->relay->hdrs[RELAY_HDR_MARK], clock_ns() - began, 1);
            report_marks(m, done, n, &t);
            remember_position(m, to.position);
        }
        relay_settle(m->relay, done, n);
    }
    free(done);
    return n > 0;
}

/* Rows of other instances move the cursor too, a little later. */
static void follow_cursor(marker *m)
{
    tally t;
    relay_marks to;
    if (m->relay->opts.mark != RELAY_CURSOR ||
        clock_ns() - m->position_ns < CURSOR_IDLE_MS * 1000000LL)
        return;
    relay_position(m->relay, &to);
    if (to.position > m->position && mark_until_done(m, NULL, 0, &to, &t))
        remember_position(m, to.position);
    m->position_ns = clock_ns();
}

/* The server ends sessions that are silent for long, and this one may have nothing to mark. */
static void keep_session(marker *m)
{
    if (my_conn_broken(m->conn) ||
        clock_ns() - m->spoke_ns < (int64_t)(relay_silence(m->relay) / 4 * 1e9))
        return;
    m->spoke_ns = clock_ns();
    err_free(my_exec(m->conn, "DO 0")); /* broken: the next mark connects anew */
}

/* ---- is Kafka there? ---- */

static void kafka_is_down(marker *m, rl_err *err)
{
    flow_down(&m->relay->flow, "kafka", err);
    err_free(err);
}

static void take_notes(marker *m)
{
    kafka_note notes[KAFKA_NOTES_MAX];
    int n = kafka_notes_take(kafka_producer_notes(m->relay->producer), notes);
    for (int i = 0; i < n; i++) {
        if (notes[i].err->code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
            flow_down(&m->relay->flow, "kafka", notes[i].err);
        err_free(notes[i].err);
    }
}

/* With nothing in flight no report shows that the brokers are back: they are asked. */
static void probe_kafka(marker *m)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_t *rk = kafka_producer_rk(m->relay->producer);
    if (clock_ns() - m->probed_ns < PROBE_EVERY_MS * 1000000LL)
        return;
    m->probed_ns = clock_ns();
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, NULL, &metadata, PROBE_MS);
    if (code) {
        kafka_is_down(m, kafka_err(rk, code, "no broker answers"));
        return;
    }
    rd_kafka_metadata_destroy(metadata);
    flow_up(&m->relay->flow, "kafka");
}

static void watch_kafka(marker *m)
{
    int64_t acked = kafka_producer_counts(m->relay->producer).acked, now = clock_ns();
    int flying = kafka_producer_pending(m->relay->producer);
    take_notes(m);
    if (acked != m->acked || !flying) {
        if (acked != m->acked)
            flow_up(&m->relay->flow, "kafka");
        m->acked = acked;
        m->acked_ns = now;
    }
    if (flying && now - m->acked_ns > STALL_MS * 1000000LL)
        kafka_is_down(m, err_lab("TIMEOUT", "%d records wait for their acknowledgement", flying));
    else if (!flying && flow_is_down(&m->relay->flow, "kafka"))
        probe_kafka(m);
}

/* ---- the thread ---- */

static void marker_drain(marker *m)
{
    flow_relay *relay = m->relay;
    if (!relay->transactional) {
        kafka_producer_drain(relay->producer, DRAIN_MS, DRAIN_EVENTS);
        watch_kafka(m);
        return;
    }
    pthread_mutex_lock(&relay->lock);
    if (!relay->first || !relay->first->done)
        relay_wait(relay, DRAIN_MS / 1e3);
    pthread_mutex_unlock(&relay->lock);
}

static bool work_left(flow_relay *relay)
{
    if (flow_aborted(&relay->flow))
        return false;
    if (!flow_stopping(&relay->flow) || !atomic_load(&relay->reader_ended))
        return true;
    pthread_mutex_lock(&relay->lock);
    bool left = relay->nbatches > 0;
    pthread_mutex_unlock(&relay->lock);
    return left;
}

void relay_marker(void *arg)
{
    flow_relay *relay = arg;
    marker m = {.relay = relay,
                .conn = relay->marker_conn,
                .count = relay->marker_count,
                .acked_ns = clock_ns()};
    while (work_left(relay)) {
        marker_drain(&m);
        if (!mark_done(&m))
            follow_cursor(&m);
        keep_session(&m);
        if (!relay->transactional)
            relay_end_reset(relay);
    }
    atomic_store(&relay->marker_ended, true);
}
