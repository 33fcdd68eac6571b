#include "kafka/producer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "kafka/losses.h"

enum { CLOSE_MS = 2000, SELF_SLICE_MS = 20, DRAIN_ALL = 1 << 30, RECORD_OVERHEAD = 256 };

typedef struct topic_entry {
    char *name;
    rd_kafka_topic_t *topic;
} topic_entry;

struct kafka_producer {
    rd_kafka_t *rk;
    rd_kafka_queue_t *events;
    kafka_report_fn on_report;
    void *report_arg;
    atomic_bool watched, cancelled, in_transaction;
    bool only_errors; /* delivery.report.only.error: acked records are not reported */
    size_t max_bytes; /* message.max.bytes */
    topic_entry *topics;
    size_t ntopics;
    atomic_llong sent, acked, failed, bytes;
    kafka_notes notes;
    kafka_losses *losses; /* of a transactional producer */
    atomic_bool end_uncertain;
};

rl_err *kafka_producer_open(rd_kafka_conf_t *conf, kafka_producer **out)
{
    rd_kafka_t *rk;
    char only_errors[8];
    char max_bytes[32], transactional[256];
    kafka_conf_value(conf, "delivery.report.only.error", only_errors, sizeof only_errors);
    kafka_conf_value(conf, "message.max.bytes", max_bytes, sizeof max_bytes);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS);
    kafka_conf_value(conf, "transactional.id", transactional, sizeof transactional);
    kafka_losses *losses = *transactional ? kafka_losses_take() : NULL;
    if (losses)
        kafka_losses_watch(losses, conf);
    rl_err *err = kafka_client_new(KAFKA_PRODUCER, conf, &rk);
    if (err) {
        kafka_losses_give(losses);
        return err;
    }
    kafka_producer *producer = mem_zero(sizeof *producer);
    producer->rk = rk;
    producer->losses = losses;
    producer->only_errors = strcmp(only_errors, "true") == 0;
    producer->max_bytes = strtoul(max_bytes, NULL, 10);
    producer->events = rd_kafka_queue_get_main(rk);
    kafka_notes_open(&producer->notes);
    *out = producer;
    return NULL;
}

void kafka_producer_on_report(kafka_producer *producer, kafka_report_fn fn, void *arg)
{
    producer->on_report = fn;
    producer->report_arg = arg;
}

/* librdkafka writes only when its queue was empty, so what came before the watch began is
 * announced here. */
void kafka_producer_watch(kafka_producer *producer, int fd)
{
    static const uint64_t one = 1;
    bool on = fd >= 0;
    rd_kafka_queue_io_event_enable(producer->events, fd, on ? &one : NULL, on ? sizeof one : 0);
    atomic_store(&producer->watched, on);
    if (on && write(fd, &one, sizeof one) < 0)
        return; /* full, hence readable */
}

/* ---- events ---- */

static void take_reports(kafka_producer *producer, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *msg;
    long long acked = 0, failed = 0;
    while ((msg = rd_kafka_event_message_next(event))) {
        *(msg->err ? &failed : &acked) += 1;
        if (producer->on_report)
            producer->on_report(producer->report_arg, msg);
    }
    atomic_fetch_add(&producer->acked, acked);
    atomic_fetch_add(&producer->failed, failed);
}

static void take_error(kafka_producer *producer, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    kafka_notes_error(&producer->notes,
                      kafka_err(code == RD_KAFKA_RESP_ERR__FATAL ? producer->rk : NULL, code, "%s",
                                rd_kafka_event_error_string(event)));
}

static void take_event(kafka_producer *producer, rd_kafka_event_t *event)
{
    const char *json;
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR:
        take_reports(producer, event);
        break;
    case RD_KAFKA_EVENT_ERROR:
        take_error(producer, event);
        break;
    case RD_KAFKA_EVENT_STATS:
        json = rd_kafka_event_stats(event);
        kafka_notes_stats(&producer->notes, json, strlen(json));
        break;
    default:
        break;
    }
}

bool kafka_producer_drain(kafka_producer *producer, int timeout_ms, int max_events)
{
    for (int i = 0; i < max_events; i++) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(producer->events, i ? 0 : timeout_ms);
        if (!event)
            return false;
        take_event(producer, event);
        rd_kafka_event_destroy(event);
    }
    return true;
}

/* ---- sending ---- */

rd_kafka_topic_t *kafka_producer_topic(kafka_producer *producer, const char *name)
{
    for (size_t i = 0; i < producer->ntopics; i++)
        if (strcmp(producer->topics[i].name, name) == 0)
            return producer->topics[i].topic;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer->rk, name, NULL);
    if (!topic)
        return NULL;
    producer->topics =
        mem_grow(producer->topics, (producer->ntopics + 1) * sizeof *producer->topics);
    producer->topics[producer->ntopics++] = (topic_entry){mem_strdup(name), topic};
    return topic;
}

/* One thread sends, so that no locked addition is needed. */
static void count_sent(kafka_producer *producer, long long n, size_t bytes)
{
    long long sent = atomic_load_explicit(&producer->sent, memory_order_relaxed);
    long long before = atomic_load_explicit(&producer->bytes, memory_order_relaxed);
    atomic_store_explicit(&producer->sent, sent + n, memory_order_relaxed);
    atomic_store_explicit(&producer->bytes, before + (long long)bytes, memory_order_relaxed);
}

rd_kafka_resp_err_t kafka_producer_send_to(kafka_producer *producer, rd_kafka_topic_t *topic,
                                           int32_t partition, const void *key, size_t key_len,
                                           const void *value, size_t value_len, void *opaque)
{
    if (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, (void *)value, value_len, key,
                         key_len, opaque) != 0)
        return rd_kafka_last_error();
    count_sent(producer, 1, value_len);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* A batch of librdkafka passes over a message that is too large and takes those behind it, so
 * only what surely fits goes in by batches. */
static int fitting(const kafka_producer *producer, const rd_kafka_message_t *msgs, int n)
{
    int i = 0;
    while (i < n && msgs[i].len + msgs[i].key_len + RECORD_OVERHEAD <= producer->max_bytes)
        i++;
    return i;
}

static int send_fitting(kafka_producer *producer, rd_kafka_topic_t *topic, int32_t partition,
                        rd_kafka_message_t *msgs, int n)
{
    size_t bytes = 0;
    int taken = rd_kafka_produce_batch(topic, partition, RD_KAFKA_MSG_F_COPY, msgs, n);
    for (int i = 0; i < taken; i++)
        bytes += msgs[i].len;
    count_sent(producer, taken, bytes);
    return taken;
}

/* The first one goes alone: it is refused when the partition does not exist, which a batch only
 * learns from the reports. */
int kafka_producer_send_many(kafka_producer *producer, rd_kafka_topic_t *topic, int32_t partition,
                             rd_kafka_message_t *msgs, int n)
{
    for (int i = 0; i < n;) {
        rd_kafka_message_t *msg = &msgs[i++];
        msg->err = kafka_producer_send_to(producer, topic, partition, msg->key, msg->key_len,
                                          msg->payload, msg->len, NULL);
        if (msg->err)
            return i - 1;
        int fit = fitting(producer, msgs + i, n - i);
        int taken = fit ? send_fitting(producer, topic, partition, msgs + i, fit) : 0;
        i += taken;
        if (taken < fit)
            return i;
    }
    return n;
}

static rd_kafka_resp_err_t produce_full(kafka_producer *producer, rd_kafka_topic_t *topic,
                                        const kafka_record *record, void *opaque)
{
    rd_kafka_vu_t vus[8];
    size_t n = 0;
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic};
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = record->partition};
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY};
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = opaque};
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_KEY,
                               .u.mem = {(void *)record->key, record->key_len}};
    vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_VALUE,
                               .u.mem = {(void *)record->value, record->value_len}};
    if (record->timestamp)
        vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp};
    if (record->headers)
        vus[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = record->headers};
    rd_kafka_error_t *error = rd_kafka_produceva(producer->rk, vus, n);
    if (!error)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    return code;
}

rd_kafka_resp_err_t kafka_producer_send(kafka_producer *producer, const kafka_record *record,
                                        void *opaque)
{
    rd_kafka_topic_t *topic = kafka_producer_topic(producer, record->topic);
    if (!topic)
        return rd_kafka_last_error();
    if (!record->timestamp && !record->headers)
        return kafka_producer_send_to(producer, topic, record->partition, record->key,
                                      record->key_len, record->value, record->value_len, opaque);
    rd_kafka_resp_err_t code = produce_full(producer, topic, record, opaque);
    if (!code)
        count_sent(producer, 1, record->value_len);
    return code;
}

/* ---- waiting ---- */

bool kafka_producer_stopped(kafka_producer *producer, const kafka_stop *stop)
{
    return atomic_load(&producer->cancelled) || kafka_stopped(stop);
}

rl_err *kafka_producer_cancelled(const char *what)
{
    return err_lab("CANCELLED", "%s was cancelled", what);
}

rl_err *kafka_producer_flush(kafka_producer *producer, int timeout_ms, const kafka_stop *stop)
{
    rl_deadline until = deadline_in_ms(timeout_ms);
    bool watched = atomic_load(&producer->watched);
    for (;;) {
        if (kafka_producer_stopped(producer, stop))
            return kafka_producer_cancelled("flush");
        int slice = kafka_slice(until, watched ? KAFKA_SLICE_MS : SELF_SLICE_MS);
        if (!watched)
            kafka_producer_drain(producer, 0, DRAIN_ALL);
        rd_kafka_resp_err_t code = rd_kafka_flush(producer->rk, slice);
        if (code != RD_KAFKA_RESP_ERR__TIMED_OUT || slice == 0)
            return kafka_err(producer->rk, code, "flush: %d records are still in flight",
                             kafka_producer_pending(producer));
    }
}

void kafka_producer_purge(kafka_producer *producer)
{
    rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
}

int kafka_producer_pending(kafka_producer *producer)
{
    if (producer->only_errors)
        return rd_kafka_outq_len(producer->rk);
    long long reported = atomic_load(&producer->acked) + atomic_load(&producer->failed);
    long long pending = atomic_load(&producer->sent) - reported;
    return pending > 0 ? (int)pending : 0;
}

kafka_counts kafka_producer_counts(kafka_producer *producer)
{
    return (kafka_counts){atomic_load(&producer->sent), atomic_load(&producer->acked),
                          atomic_load(&producer->failed), atomic_load(&producer->bytes)};
}

kafka_notes *kafka_producer_notes(kafka_producer *producer)
{
    return &producer->notes;
}

rd_kafka_t *kafka_producer_rk(kafka_producer *producer)
{
    return producer->rk;
}

bool kafka_producer_watched(const kafka_producer *producer)
{
    return atomic_load(&producer->watched);
}

bool kafka_producer_in_transaction(const kafka_producer *producer)
{
    return atomic_load(&producer->in_transaction);
}

void kafka_producer_set_transaction(kafka_producer *producer, bool open)
{
    atomic_store(&producer->in_transaction, open);
}

int64_t kafka_producer_lost(const kafka_producer *producer)
{
    return kafka_losses_count(producer->losses);
}

void kafka_producer_set_end_uncertain(kafka_producer *producer)
{
    atomic_store(&producer->end_uncertain, true);
}

bool kafka_producer_end_uncertain(const kafka_producer *producer)
{
    return atomic_load(&producer->end_uncertain);
}

void kafka_producer_cancel(kafka_producer *producer)
{
    atomic_store(&producer->cancelled, true);
}

void kafka_producer_close(kafka_producer *producer)
{
    kafka_producer_watch(producer, -1);
    rl_deadline until = deadline_in_ms(CLOSE_MS);
    rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                     RD_KAFKA_PURGE_F_NON_BLOCKING);
    for (int slice;
         kafka_producer_pending(producer) > 0 && (slice = kafka_slice(until, SELF_SLICE_MS)) > 0;)
        kafka_producer_drain(producer, slice, DRAIN_ALL);
    for (size_t i = 0; i < producer->ntopics; i++) {
        rd_kafka_topic_destroy(producer->topics[i].topic);
        free(producer->topics[i].name);
    }
    free(producer->topics);
    rd_kafka_queue_destroy(producer->events);
    kafka_client_destroy(producer->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, CLOSE_MS);
    kafka_notes_close(&producer->notes);
    kafka_losses_give(producer->losses);
    free(producer);
}
