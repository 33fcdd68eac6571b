/* The relay's sending: rows become records. Without transactions the reports come to the marker;
 * with them begin, send and commit are the reader's alone. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "flow/relay/internal.h"
#include "flow/relay/points.h"
#include "kafka/txn.h"

enum { TXN_SLICE_MS = 2000, ABORT_MS = 5000 };

static const double room_pause = 0.001, retry_pause = 0.1;

/* ---- what a refusal means ---- */

/* Refusals of the record itself; a broker gives them to the whole batch that it is in. */
static bool is_poison(int code)
{
    return kafka_code_blame((rd_kafka_resp_err_t)code) == ERR_OF_RECORD;
}

static rl_err *refusal(flow_relay *relay, int64_t id, int code)
{
    if (code == RELAY_NOT_SENT)
        return err_lab("NOT_SENT", "row %lld was not sent", (long long)id);
    return kafka_err(kafka_producer_rk(relay->producer), code, "row %lld", (long long)id);
}

/* What flies is failed at once where the broker does not answer: what waits behind a lost record
 * must not overtake it. */
static void begin_reset(flow_relay *relay, int64_t id, int code)
{
    bool purge = false;
    pthread_mutex_lock(&relay->lock);
    if (is_poison(code) && id > relay->careful_to)
        relay->careful_to = id;
    if (!relay->reset) {
        relay->reset = true;
        purge = !relay->transactional && !is_poison(code) && code != RELAY_NOT_SENT;
        flow_emit(&relay->flow, "retry", refusal(relay, id, code), NULL, 0);
    }
    if (code == RD_KAFKA_RESP_ERR__FATAL ||
        rd_kafka_fatal_error(kafka_producer_rk(relay->producer), NULL, 0))
        relay->replace = true;
    pthread_mutex_unlock(&relay->lock);
    if (purge)
        kafka_producer_purge(relay->producer);
}

static void report_refusal(flow_relay *relay, int code)
{
    if (is_poison(code) || code == RELAY_NOT_SENT || code == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        return;
    rl_err *err = kafka_err(NULL, code, "topic %s", relay->opts.topic);
    flow_down(&relay->flow, "kafka", err);
    err_free(err);
}

/* The topic that it names itself is not there, and that is its own mistake: no other row waits for it. */
static bool is_misplaced(const relay_row *row, int code)
{
    return my_cell(row->batch->result, row->at, COL_TOPIC).kind == MY_BYTES &&
           kafka_code_blame((rd_kafka_resp_err_t)code) == ERR_OF_PLACE &&
           !kafka_code_retriable((rd_kafka_resp_err_t)code);
}

static void row_failed(flow_relay *relay, relay_row *row, int code)
{
    if (is_misplaced(row, code) || (is_poison(code) && row->batch->alone)) {
        relay_row_done(relay, row, ROW_POISON, code);
        return;
    }
    report_refusal(relay, code);
    begin_reset(relay, row->id, code);
    relay_row_done(relay, row, ROW_FAILED, code);
}

/* The thread that drains: the marker, or the reader with transactions. */
static void relay_on_report(void *arg, const rd_kafka_message_t *msg)
{
    flow_relay *relay = arg;
    relay_row *row = msg->_private;
    flow_counters *count = relay->transactional ? relay->reader_count : relay->marker_count;
    if (msg->err) {
        flow_add(count, RELAY_N_retries, 1);
        row_failed(relay, row, msg->err);
        return;
    }
    flow_add(count, RELAY_N_acked, 1);
    relay_row_done(relay, row, ROW_ACKED, 0);
}

/* ---- one row ---- */

static void add_header(void *headers, const char *name, size_t name_len, const char *value,
                       size_t value_len)
{
    rd_kafka_header_add(headers, name, (ssize_t)name_len, value, (ssize_t)value_len);
}

static rd_kafka_headers_t *row_headers(const relay_row *row)
{
    const my_result *result = row->batch->result;
    my_value id = my_cell(result, row->at, COL_EVENT_ID);
    my_value more = my_cell(result, row->at, COL_HEADERS);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    char text[UUID_LEN + 1];
    if (id.len == UUID_BYTES) {
        uuid_text((const unsigned char *)id.s, text);
        rd_kafka_header_add(headers, "event-id", 8, text, UUID_LEN);
    }
    if (id.len == UUID_BYTES &&
        (more.kind == MY_NULL || relay_headers(more.s, more.len, add_header, headers)))
        return headers;
    rd_kafka_headers_destroy(headers);
    return NULL;
}

static void producer_make_room(flow_relay *relay)
{
    if (relay->transactional)
        kafka_producer_drain(relay->producer, 1, 64);
    else
        flow_pause(&relay->flow, room_pause);
}

/* Under one lock with the look whether a row before it has failed meanwhile, which it must not
 * overtake. */
static int send_now(flow_relay *relay, const kafka_record *record, relay_row *row)
{
    pthread_mutex_lock(&relay->lock);
    int code =
        relay->reset ? RELAY_NOT_SENT : (int)kafka_producer_send(relay->producer, record, row);
    pthread_mutex_unlock(&relay->lock);
    return code;
}

static int send_record(flow_relay *relay, const kafka_record *record, relay_row *row)
{
    for (;;) {
        int code = send_now(relay, record, row);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || flow_aborted(&relay->flow))
            return code;
        producer_make_room(relay);
    }
}

enum { TOPIC_SIZE = 250 };

/* The row's own, else the relay's. */
static const char *topic_of(const flow_relay *relay, const relay_row *row, char own[TOPIC_SIZE])
{
    my_value topic = my_cell(row->batch->result, row->at, COL_TOPIC);
    if (topic.kind != MY_BYTES)
        return relay->opts.topic;
    snprintf(own, TOPIC_SIZE, "%.*s", (int)topic.len, topic.s);
    return own;
}

static void send_row(flow_relay *relay, relay_row *row)
{
    char own[TOPIC_SIZE];
    const my_result *result = row->batch->result;
    my_value key = my_cell(result, row->at, COL_KEY), value = my_cell(result, row->at, COL_PAYLOAD);
    rd_kafka_headers_t *headers = row_headers(row);
    if (!headers) {
        relay_row_done(relay, row, ROW_POISON, RELAY_BAD_HEADERS);
        return;
    }
    const char *topic = topic_of(relay, row, own);
    if (!kafka_topic_can_be(topic)) {
        rd_kafka_headers_destroy(headers);
        relay_row_done(relay, row, ROW_POISON, RELAY_BAD_TOPIC);
        return;
    }
    kafka_record record = {.topic = topic,
                           .partition = RD_KAFKA_PARTITION_UA,
                           .key = key.s,
                           .key_len = key.len,
                           .value = value.s,
                           .value_len = value.len,
                           .headers = headers};
    int code = send_record(relay, &record, row);
    if (!code)
        return;
    rd_kafka_headers_destroy(headers);
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && relay_limit_grows(relay, record.topic))
        row_failed(relay, row, RELAY_NOT_SENT);
    else if (is_poison(code)) /* the client itself: it is this row for sure */
        relay_row_done(relay, row, ROW_POISON, code);
    else
        row_failed(relay, row, code);
}

static void send_rows(flow_relay *relay, relay_batch *batch)
{
    for (int i = 0; i < batch->n; i++)
        send_row(relay, &batch->rows[i]);
    flow_add(relay->reader_count, RELAY_N_sent, batch->n);
}

static void fail_rows(flow_relay *relay, relay_batch *batch)
{
    begin_reset(relay, batch->rows[0].id, RELAY_NOT_SENT);
    for (int i = 0; i < batch->n; i++)
        relay_row_done(relay, &batch->rows[i], ROW_FAILED, RELAY_NOT_SENT);
}

/* ---- transactions ---- */

static void txn_failed(flow_relay *relay, relay_batch *batch, rl_err *err)
{
    if (!err->fatal && !flow_aborted(&relay->flow)) {
        rl_err *second = kafka_txn_abort(relay->producer, ABORT_MS, &relay->flow.aborted);
        if (second)
            err->fatal = true; /* it is unknown how it stands: a new producer ends it */
        else
            flow_add(relay->reader_count, RELAY_N_aborts, 1);
        err_free(second);
    }
    kafka_producer_purge(relay->producer);
    while (kafka_producer_pending(relay->producer) && !flow_aborted(&relay->flow))
        kafka_producer_drain(relay->producer, 10, 64);
    for (int i = 0; i < batch->n; i++)
        if (batch->rows[i].state == ROW_ACKED)
            batch->rows[i].state = ROW_FAILED; /* taken back: the sender still holds the batch */
    begin_reset(relay, batch->rows[0].id, err->fatal ? RD_KAFKA_RESP_ERR__FATAL : err->code);
    flow_down(&relay->flow, "kafka", err);
    if (err->fatal)
        flow_emit(&relay->flow, "fenced", err, NULL, 0);
    else
        err_free(err);
}

static rl_err *txn_commit(flow_relay *relay)
{
    for (;;) {
        rl_err *err = kafka_txn_commit(relay->producer, TXN_SLICE_MS, &relay->flow.aborted);
        if (!err || !err->retriable || err->abortable || err->fatal || flow_aborted(&relay->flow))
            return err;
        flow_down(&relay->flow, "kafka", err);
        err_free(err);
    }
}

static void send_in_txn(flow_relay *relay, relay_batch *batch)
{
    rl_err *err = kafka_txn_begin(relay->producer);
    if (err) {
        fail_rows(relay, batch);
        txn_failed(relay, batch, err);
        return;
    }
    send_rows(relay, batch);
    err = txn_commit(relay);
    while (!err && kafka_producer_pending(relay->producer) && !flow_aborted(&relay->flow))
        kafka_producer_drain(relay->producer, 10, 64);
    if (err)
        txn_failed(relay, batch, err);
    else
        flow_up(&relay->flow, "kafka");
}

void relay_send(flow_relay *relay, relay_batch *batch)
{
    rl_assert(batch->n > 0 && !batch->done && atomic_load(&batch->flying) == batch->n + 1);
    flow_add(relay->reader_count, RELAY_N_batches, 1);
    if (relay_point(FAIL_POINT_RELAY_AFTER_CLAIM, batch) == FAIL_FAILED)
        fail_rows(relay, batch);
    else if (relay->transactional)
        send_in_txn(relay, batch);
    else
        send_rows(relay, batch);
    relay_batch_sent(relay, batch);
}

/* ---- the producer's life ---- */

rl_err *relay_producer_open(flow_relay *relay)
{
    kafka_producer *producer;
    rl_err *err = kafka_producer_open(rd_kafka_conf_dup(relay->conf), &producer);
    if (err)
        return err;
    kafka_producer_on_report(producer, relay_on_report, relay);
    pthread_mutex_lock(&relay->lock);
    kafka_producer *old = relay->producer;
    relay->producer = producer;
    pthread_mutex_unlock(&relay->lock);
    if (old)
        kafka_producer_close(old);
    return NULL;
}

static bool renew_producer(flow_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    bool replace = relay->replace;
    pthread_mutex_unlock(&relay->lock);
    rl_err *err = replace ? relay_producer_open(relay) : NULL;
    if (!err)
        return true;
    flow_down(&relay->flow, "kafka", err);
    err_free(err);
    return false;
}

void relay_end_reset(flow_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    bool due = relay->reset && relay->nbatches == 0;
    pthread_mutex_unlock(&relay->lock);
    if (!due)
        return;
    flow_pause(&relay->flow, retry_pause);
    if (!renew_producer(relay))
        return;
    pthread_mutex_lock(&relay->lock);
    relay->ready = relay->ready && !relay->replace;
    relay->reset = relay->replace = false;
    relay->rewind = true;
    flow_add(relay->transactional ? relay->reader_count : relay->marker_count, RELAY_N_resets, 1);
    relay_signal(relay);
    pthread_mutex_unlock(&relay->lock);
}

static bool holds_something(flow_relay *relay)
{
    bool any = false;
    pthread_mutex_lock(&relay->lock);
    for (int s = 0; s < RELAY_SHARDS; s++)
        any = any || relay->shards[s].hold == HOLD_MINE;
    any = any && clock_ns() < relay->lease_until_ns;
    pthread_mutex_unlock(&relay->lock);
    return any;
}

/* Fences whoever published under this transactional.id before: only once the leases are ours. */
static bool init_txn(flow_relay *relay)
{
    if (!holds_something(relay)) {
        flow_sleep(&relay->flow, retry_pause);
        return false;
    }
    rl_err *err = kafka_txn_init(relay->producer, TXN_SLICE_MS, &relay->flow.stopping);
    if (!err) {
        flow_up(&relay->flow, "kafka");
        relay->ready = true;
        return true;
    }
    flow_down(&relay->flow, "kafka", err);
    bool fatal = err->fatal;
    err_free(err);
    flow_sleep(&relay->flow, retry_pause);
    if (fatal)
        begin_reset(relay, 0, RD_KAFKA_RESP_ERR__FATAL);
    return false;
}

bool relay_sender_ready(flow_relay *relay)
{
    if (!relay_limit_known(relay))
        return false;
    if (!relay->transactional)
        return true;
    relay_end_reset(relay);
    return relay->ready || init_txn(relay);
}
