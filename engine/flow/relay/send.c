/* The relay's sending: rows become records. Without transactions the reports come to the marker;
 * with them begin, send and commit are the reader's alone. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "flow/relay/internal.h"
#include "flow/relay/points.h"
#include "kafka/txn.h"

enum { TXN_SLICE_MS = 2000, ABORT_MS = 5000 };

static const double room_pause = 0.001, retry_pause = 0.1;

/* ---- what a refusal means ---- */

/* Refusals of the record itself; a broker gives them to the whole batch that it is in. */
static bool is_poison(int code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
        return true;
    default:
        return false;
    }
}

static rl_err *refusal(relay *r, int64_t id, int code)
{
    if (code == RELAY_NOT_SENT)
        return err_lab("NOT_SENT", "row %lld was not sent", (long long)id);
    return kafka_err(kafka_producer_rk(r->producer), code, "row %lld", (long long)id);
}

/* What flies is failed at once where the broker does not answer: what waits behind a lost record
 * must not overtake it. */
static void begin_reset(relay *r, int64_t id, int code)
{
    bool purge = false;
    pthread_mutex_lock(&r->lock);
    if (is_poison(code) && id > r->careful_to)
        r->careful_to = id;
    if (!r->reset) {
        r->reset = true;
        purge = !r->transactional && !is_poison(code) && code != RELAY_NOT_SENT;
        flow_emit(&r->flow, "retry", refusal(r, id, code), NULL, 0);
    }
    if (code == RD_KAFKA_RESP_ERR__FATAL ||
        rd_kafka_fatal_error(kafka_producer_rk(r->producer), NULL, 0))
        r->replace = true;
    pthread_mutex_unlock(&r->lock);
    if (purge)
        kafka_producer_purge(r->producer);
}

static void say_kafka(relay *r, int code)
{
    if (is_poison(code) || code == RELAY_NOT_SENT || code == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        return;
    rl_err *err = kafka_err(NULL, code, "topic %s", r->o.topic);
    flow_down(&r->flow, "kafka", err);
    err_free(err);
}

static void row_failed(relay *r, relay_row *row, int code)
{
    if (is_poison(code) && row->batch->alone) {
        relay_row_done(r, row, ROW_POISON, code);
        return;
    }
    say_kafka(r, code);
    begin_reset(r, row->id, code);
    relay_row_done(r, row, ROW_FAILED, code);
}

/* The thread that drains: the marker, or the reader with transactions. */
static void on_report(void *arg, const rd_kafka_message_t *msg)
{
    relay *r = arg;
    relay_row *row = msg->_private;
    flow_counters *n = r->transactional ? r->reader_n : r->marker_n;
    if (msg->err) {
        flow_add(n, RELAY_N_retries, 1);
        row_failed(r, row, msg->err);
        return;
    }
    flow_add(n, RELAY_N_acked, 1);
    relay_row_done(r, row, ROW_ACKED, 0);
}

/* ---- one row ---- */

static void add_header(void *headers, const char *name, size_t name_len, const char *value,
                       size_t value_len)
{
    rd_kafka_header_add(headers, name, (ssize_t)name_len, value, (ssize_t)value_len);
}

static rd_kafka_headers_t *headers_of(const relay_row *row)
{
    const my_result *result = row->batch->result;
    my_value id = my_cell(result, row->at, COL_EVENT_ID);
    my_value more = my_cell(result, row->at, COL_HEADERS);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    char text[37];
    if (id.len == 16) {
        relay_uuid_text((const unsigned char *)id.s, text);
        rd_kafka_header_add(headers, "event-id", 8, text, 36);
    }
    if (id.len == 16 &&
        (more.kind == MY_NULL || relay_headers(more.s, more.len, add_header, headers)))
        return headers;
    rd_kafka_headers_destroy(headers);
    return NULL;
}

static void make_room(relay *r)
{
    if (r->transactional)
        kafka_producer_drain(r->producer, 1, 64);
    else
        flow_pause(&r->flow, room_pause);
}

static int send_record(relay *r, const kafka_record *record, relay_row *row)
{
    for (;;) {
        rd_kafka_resp_err_t code = kafka_producer_send(r->producer, record, row);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || flow_aborted(&r->flow))
            return code;
        make_room(r);
    }
}

static void send_row(relay *r, relay_row *row)
{
    const my_result *result = row->batch->result;
    my_value key = my_cell(result, row->at, COL_KEY), value = my_cell(result, row->at, COL_PAYLOAD);
    rd_kafka_headers_t *headers = headers_of(row);
    if (!headers) {
        relay_row_done(r, row, ROW_POISON, RELAY_BAD_HEADERS);
        return;
    }
    kafka_record record = {.topic = r->o.topic,
                           .partition = RD_KAFKA_PARTITION_UA,
                           .key = key.s,
                           .key_len = key.len,
                           .value = value.s,
                           .value_len = value.len,
                           .headers = headers};
    int code = send_record(r, &record, row);
    if (!code)
        return;
    rd_kafka_headers_destroy(headers);
    if (is_poison(code)) /* the client itself: it is this row for sure */
        relay_row_done(r, row, ROW_POISON, code);
    else
        row_failed(r, row, code);
}

static bool in_reset(relay *r)
{
    pthread_mutex_lock(&r->lock);
    bool reset = r->reset;
    pthread_mutex_unlock(&r->lock);
    return reset;
}

static void send_rows(relay *r, relay_batch *b)
{
    for (int i = 0; i < b->n; i++) {
        if (in_reset(r))
            relay_row_done(r, &b->rows[i], ROW_FAILED, RELAY_NOT_SENT);
        else
            send_row(r, &b->rows[i]);
    }
    flow_add(r->reader_n, RELAY_N_sent, b->n);
}

static void fail_rows(relay *r, relay_batch *b)
{
    begin_reset(r, b->rows[0].id, RELAY_NOT_SENT);
    for (int i = 0; i < b->n; i++)
        relay_row_done(r, &b->rows[i], ROW_FAILED, RELAY_NOT_SENT);
}

/* ---- transactions ---- */

static void txn_failed(relay *r, relay_batch *b, rl_err *err)
{
    if (!err->fatal && !flow_aborted(&r->flow)) {
        rl_err *second = kafka_txn_abort(r->producer, ABORT_MS, &r->flow.aborted);
        if (second)
            err->fatal = true; /* it is unknown how it stands: a new producer ends it */
        err_free(second);
    }
    kafka_producer_purge(r->producer);
    while (kafka_producer_pending(r->producer) && !flow_aborted(&r->flow))
        kafka_producer_drain(r->producer, 10, 64);
    for (int i = 0; i < b->n; i++)
        if (b->rows[i].state == ROW_ACKED)
            b->rows[i].state = ROW_FAILED; /* taken back: the sender still holds the batch */
    begin_reset(r, b->rows[0].id, err->fatal ? RD_KAFKA_RESP_ERR__FATAL : err->code);
    flow_down(&r->flow, "kafka", err);
    if (err->fatal)
        flow_emit(&r->flow, "fenced", err, NULL, 0);
    else
        err_free(err);
}

static rl_err *commit(relay *r)
{
    for (;;) {
        rl_err *err = kafka_txn_commit(r->producer, TXN_SLICE_MS, &r->flow.aborted);
        if (!err || !err->retriable || err->abortable || err->fatal || flow_aborted(&r->flow))
            return err;
        flow_down(&r->flow, "kafka", err);
        err_free(err);
    }
}

static void send_in_txn(relay *r, relay_batch *b)
{
    rl_err *err = kafka_txn_begin(r->producer);
    if (err) {
        fail_rows(r, b);
        txn_failed(r, b, err);
        return;
    }
    send_rows(r, b);
    err = commit(r);
    while (!err && kafka_producer_pending(r->producer) && !flow_aborted(&r->flow))
        kafka_producer_drain(r->producer, 10, 64);
    if (err)
        txn_failed(r, b, err);
    else
        flow_up(&r->flow, "kafka");
}

void relay_send(relay *r, relay_batch *b)
{
    flow_add(r->reader_n, RELAY_N_batches, 1);
    if (relay_point(FAIL_POINT_RELAY_AFTER_CLAIM, b) == FAIL_FAILED)
        fail_rows(r, b);
    else if (r->transactional)
        send_in_txn(r, b);
    else
        send_rows(r, b);
    relay_batch_sent(r, b);
}

/* ---- the producer's life ---- */

rl_err *relay_producer_open(relay *r)
{
    kafka_producer *p;
    rl_err *err = kafka_producer_open(rd_kafka_conf_dup(r->conf), &p);
    if (err)
        return err;
    kafka_producer_on_report(p, on_report, r);
    pthread_mutex_lock(&r->lock);
    kafka_producer *old = r->producer;
    r->producer = p;
    pthread_mutex_unlock(&r->lock);
    if (old)
        kafka_producer_close(old);
    return NULL;
}

static bool renew(relay *r)
{
    pthread_mutex_lock(&r->lock);
    bool replace = r->replace;
    pthread_mutex_unlock(&r->lock);
    rl_err *err = replace ? relay_producer_open(r) : NULL;
    if (!err)
        return true;
    flow_down(&r->flow, "kafka", err);
    err_free(err);
    return false;
}

void relay_end_reset(relay *r)
{
    pthread_mutex_lock(&r->lock);
    bool due = r->reset && r->nbatches == 0;
    pthread_mutex_unlock(&r->lock);
    if (!due)
        return;
    flow_pause(&r->flow, retry_pause);
    if (!renew(r))
        return;
    pthread_mutex_lock(&r->lock);
    r->ready = r->ready && !r->replace;
    r->reset = r->replace = false;
    r->rewind = true;
    flow_add(r->transactional ? r->reader_n : r->marker_n, RELAY_N_resets, 1);
    relay_signal(r);
    pthread_mutex_unlock(&r->lock);
}

static bool holds_something(relay *r)
{
    bool any = false;
    pthread_mutex_lock(&r->lock);
    for (int s = 0; s < RELAY_SHARDS; s++)
        any = any || r->shards[s].hold == HOLD_MINE;
    pthread_mutex_unlock(&r->lock);
    return any;
}

/* Fences whoever published under this transactional.id before: only once the leases are ours. */
static bool init_txn(relay *r)
{
    if (!holds_something(r)) {
        flow_sleep(&r->flow, retry_pause);
        return false;
    }
    rl_err *err = kafka_txn_init(r->producer, TXN_SLICE_MS, &r->flow.stopping);
    if (!err) {
        flow_up(&r->flow, "kafka");
        r->ready = true;
        return true;
    }
    flow_down(&r->flow, "kafka", err);
    bool fatal = err->fatal;
    err_free(err);
    flow_sleep(&r->flow, retry_pause);
    if (fatal)
        begin_reset(r, 0, RD_KAFKA_RESP_ERR__FATAL);
    return false;
}

bool relay_sender_ready(relay *r)
{
    if (!relay_limit_known(r))
        return false;
    if (!r->transactional)
        return true;
    relay_end_reset(r);
    return r->ready || init_txn(r);
}
