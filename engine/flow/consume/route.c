/* Where a failed record goes: a retry topic, the DLQ, or once more in place. */
#include "base/clock.h"
#include "flow/consume/internal.h"

enum { REPORT_SLICE_MS = 100 };

/* ---- sending ---- */

typedef struct report {
    bool come;
    rd_kafka_resp_err_t code;
} report;

static void on_report(void *arg, const rd_kafka_message_t *msg)
{
    (void)arg;
    report *r = msg->_private;
    r->come = true;
    r->code = msg->err;
}

static rl_err *producer_of(consume_worker *w, kafka_producer **out)
{
    if (!w->producer) {
        rl_err *err = kafka_producer_open(rd_kafka_conf_dup(w->c->o.producer), &w->producer);
        if (err)
            return err;
        kafka_producer_on_report(w->producer, on_report, NULL);
    }
    *out = w->producer;
    return NULL;
}

/* Waits for the report however long it takes: it points into this frame. The producer's
 * message.timeout.ms bounds it; closing purges. */
static rl_err *send_copy(consume_worker *w, const char *topic, const rd_kafka_message_t *msg,
                         const consume_failure *f)
{
    kafka_producer *p;
    report r = {false, 0};
    rl_err *err = producer_of(w, &p);
    if (err)
        return err;
    kafka_record record = {.topic = topic,
                           .partition = RD_KAFKA_PARTITION_UA,
                           .key = msg->key,
                           .key_len = msg->key_len,
                           .value = msg->payload,
                           .value_len = msg->len,
                           .headers = consume_headers(msg, f)};
    r.code = kafka_producer_send(p, &record, &r);
    if (r.code) {
        rd_kafka_headers_destroy(record.headers);
        return kafka_err(NULL, r.code, "to %s", topic);
    }
    for (bool purged = false; !r.come;) {
        kafka_producer_drain(p, REPORT_SLICE_MS, 64);
        if (flow_aborted(&w->c->flow) && !purged) {
            kafka_producer_purge(p);
            purged = true;
        }
    }
    return kafka_err(NULL, r.code, "to %s", topic);
}

static bool insist(consume_worker *w, consume_lane *lane, const char *topic, consume_item *item,
                   const consume_failure *f)
{
    for (int turn = 0;; turn++) {
        rl_err *err = send_copy(w, topic, item->msg, f);
        if (!err) {
            flow_up(&w->c->flow, "kafka-produce");
            return true;
        }
        flow_down(&w->c->flow, "kafka-produce", err);
        err_free(err);
        if (consume_over(w, lane) || !consume_pause(w, turn))
            return false;
    }
}

/* ---- deciding ---- */

static void tell(consume_worker *w, const char *what, const consume_item *item, const char *to)
{
    flow_field fields[] = {{"id", item->event.id_text, 0},
                           {"topic", rd_kafka_topic_name(item->msg->rkt), 0},
                           {"partition", NULL, item->msg->partition},
                           {"offset", NULL, item->msg->offset},
                           {"attempt", NULL, item->story.attempt + 1},
                           {"class", item->error_class, 0},
                           {"to", to, 0}};
    rl_err *why =
        err_new(item->err->domain, item->err->code, item->err->name, "%s", item->err->msg);
    flow_emit(&w->c->flow, what, why, fields, to ? 7 : 6);
}

/* The next attempt is made here: the partition stands still until then. */
static void wait_in_place(consume_worker *w, consume_lane *lane, consume_item *item, double seconds)
{
    int64_t until = clock_ns() + (int64_t)(seconds * 1e9);
    for (int64_t left; (left = until - clock_ns()) > 0 && !consume_over(w, lane);)
        flow_sleep(&w->c->flow, (double)left / 1e9);
    if (!item->first_ms)
        item->first_ms = clock_unix_ms();
    item->story.attempt++;
    item->state = consume_over(w, lane) ? ITEM_DROPPED : ITEM_NEW;
}

static const consume_delay *delay_of(const consume_worker *w, const consume_item *item)
{
    int failed = item->story.attempt; /* before this time */
    return !item->final && failed < w->c->o.ndelays ? &w->c->o.delays[failed] : NULL;
}

static void send_on(consume_worker *w, consume_lane *lane, consume_item *item,
                    const consume_delay *delay)
{
    int64_t now = clock_unix_ms();
    const char *topic = delay ? delay->topic : w->c->o.dlq;
    consume_failure f = {.group = w->c->group,
                         .error_class = item->error_class,
                         .message = item->err->msg,
                         .attempt = item->story.attempt + 1,
                         .now_ms = now,
                         .first_ms = item->first_ms,
                         .due_ms = delay ? now + (int64_t)(delay->seconds * 1e3) : 0};
    if (!insist(w, lane, topic, item, &f)) {
        item->state = ITEM_DROPPED;
        return;
    }
    item->state = ITEM_SENT_ON;
    consume_count(w, delay ? CONSUME_N_retried : CONSUME_N_parked, 1);
    tell(w, delay ? "retried" : "parked", item, topic);
}

void consume_route(consume_worker *w, consume_lane *lane, consume_item *item)
{
    static const double stubborn = 1;
    const consume_delay *delay = delay_of(w, item);
    consume_count(w, CONSUME_N_failed, 1);
    if (delay && w->c->o.sleep_retry) {
        wait_in_place(w, lane, item, delay->seconds);
    } else if (delay || w->c->o.dlq) {
        send_on(w, lane, item, delay);
    } else {
        if (!item->first_ms)
            tell(w, "stuck", item, NULL);
        wait_in_place(w, lane, item, stubborn);
    }
}
