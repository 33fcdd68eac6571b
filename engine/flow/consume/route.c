/* Where a failed record goes: a retry topic, the DLQ, or once more in place. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "flow/consume/internal.h"
#include "flow/dlq.h"

enum { REPORT_SLICE_MS = 100, SILENCE_MS = 2000 };

/* ---- sending ---- */

typedef struct report {
    bool come;
    rd_kafka_resp_err_t code;
} report;

static void on_copy_report(void *arg, const rd_kafka_message_t *msg)
{
    (void)arg;
    report *answer = msg->_private;
    answer->come = true;
    answer->code = msg->err;
}

static rl_err *producer_of(consume_worker *w, kafka_producer **out)
{
    if (!w->producer) {
        rl_err *err =
            kafka_producer_open(rd_kafka_conf_dup(w->consume->opts.producer), &w->producer);
        if (err)
            return err;
        kafka_producer_on_report(w->producer, on_copy_report, NULL);
    }
    *out = w->producer;
    return NULL;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

static kafka_record copy_of(const char *topic, const rd_kafka_message_t *msg,
                            const consume_failure *failure)
{
    static const size_t most_value[] = {SIZE_MAX, DLQ_CUT_BYTES, 0},
                        most_key[] = {SIZE_MAX, SIZE_MAX, DLQ_CUT_BYTES};
    return (kafka_record){.topic = topic,
                          .partition = RD_KAFKA_PARTITION_UA,
                          .key = msg->key,
                          .key_len = least_of(msg->key_len, most_key[failure->whole]),
                          .value = msg->payload,
                          .value_len = least_of(msg->len, most_value[failure->whole]),
                          .headers = consume_headers(msg, failure)};
}

/* Takes err. */
static void not_sent(consume_worker *w, consume_item *item, rl_err *err)
{
    flow_down(&w->consume->flow, "kafka-produce", err);
    consume_stuck(item, err);
    err_free(err);
}

/* Waits for the report however long it takes: it points into this frame. The producer's
 * message.timeout.ms bounds it; closing purges. */
static rl_err *send_copy(consume_worker *w, const char *topic, consume_item *item,
                         const consume_failure *failure)
{
    const rd_kafka_message_t *msg = item->msg;
    kafka_producer *producer;
    report answer = {false, 0};
    rl_err *err = producer_of(w, &producer);
    if (err)
        return err;
    kafka_record record = copy_of(topic, msg, failure);
    answer.code = kafka_producer_send(producer, &record, &answer);
    if (answer.code) {
        rd_kafka_headers_destroy(record.headers);
        return kafka_err(NULL, answer.code, "to %s", topic);
    }
    rl_deadline patience = deadline_in_ms(SILENCE_MS);
    for (bool purged = false; !answer.come;) {
        kafka_producer_drain(producer, REPORT_SLICE_MS, 64);
        if (!answer.come && deadline_passed(patience)) {
            not_sent(w, item, err_lab("TIMEOUT", "no acknowledgement from %s yet", topic));
            patience = deadline_in_ms(SILENCE_MS);
        }
        if (flow_aborted(&w->consume->flow) && !purged) {
            kafka_producer_purge(producer);
            purged = true;
        }
    }
    return kafka_err(NULL, answer.code, "to %s", topic);
}

/* What does not fit is cut; a retry of a part would be of no use. false: it cannot be cut (more). */
static bool cut_copy(consume_failure *failure)
{
    if (failure->due_ms || failure->whole == COPY_STORY)
        return false;
    failure->whole++;
    return true;
}

typedef enum sent { SENT, SENT_TOO_LARGE, SENT_NOT } sent;

/* SENT_NOT: it must not be tried again. SENT_TOO_LARGE: for a retry topic. */
static sent send_until_taken(consume_worker *w, const char *topic, consume_item *item,
                             consume_failure *failure)
{
    for (int turn = 0;; turn++) {
        rl_err *err = send_copy(w, topic, item, failure);
        bool refused = err && err->blame == ERR_OF_RECORD;
        if (!err) {
            flow_up(&w->consume->flow, "kafka-produce");
            return SENT;
        }
        if (refused && cut_copy(failure)) {
            err_free(err);
            continue;
        }
        if (refused && failure->due_ms) {
            err_free(err);
            return SENT_TOO_LARGE;
        }
        not_sent(w, item, err);
        failure->whole = COPY_WHOLE; /* the topic may take more by then */
        if (consume_may_repeat(&item->part->permit))
            consume_pause(w, turn);
        if (!consume_may_repeat(&item->part->permit))
            return SENT_NOT;
    }
}

/* ---- deciding ---- */

static void emit_item(consume_worker *w, const char *what, const consume_item *item, const char *to)
{
    flow_field fields[] = {{"id", item->event.id_text, 0},
                           {"topic", rd_kafka_topic_name(item->msg->rkt), 0},
                           {"partition", NULL, item->msg->partition},
                           {"offset", NULL, item->msg->offset},
                           {"attempt", NULL, item->story.attempt + 1},
                           {"class", item->error_class, 0},
                           {"to", to, 0}};
    flow_emit(&w->consume->flow, what, err_copy(item->err), fields, to ? 7 : 6);
}

/* The next attempt is made here: the partition stands still until then. */
static void wait_in_place(consume_item *item, double seconds)
{
    const consume_permit *permit = &item->part->permit;
    rl_deadline until = deadline_in(seconds);
    for (int64_t left; (left = deadline_left(until)) > 0 && consume_may_repeat(permit);)
        flow_sleep(permit->flow, (double)left / 1e9);
    if (!item->first_ms)
        item->first_ms = clock_unix_ms();
    if (item->story.attempt < CONSUME_ATTEMPTS_MAX)
        item->story.attempt++;
    consume_item_become(item, consume_may_repeat(permit) ? ITEM_NEW : ITEM_DROPPED);
}

static const flow_consume_delay *delay_of(const consume_worker *w, const consume_item *item)
{
    int failed = item->story.attempt; /* before this time */
    rl_assert(failed >= 0 && failed <= CONSUME_ATTEMPTS_MAX);
    return !item->final && failed < w->consume->opts.ndelays ? &w->consume->opts.delays[failed]
                                                             : NULL;
}

/* false: it is too large for the retry topic. */
static bool send_on(consume_worker *w, consume_item *item, const flow_consume_delay *delay)
{
    int64_t now = clock_unix_ms();
    const char *topic = delay ? delay->topic : w->consume->opts.dlq;
    consume_failure failure = {.group = w->consume->group,
                               .error_class = item->error_class,
                               .message = item->err->msg,
                               .attempt = item->story.attempt + 1,
                               .now_ms = now,
                               .first_ms = item->first_ms,
                               .due_ms = delay ? now + (int64_t)(delay->seconds * 1e3) : 0};
    sent what = send_until_taken(w, topic, item, &failure);
    if (what == SENT_TOO_LARGE)
        return false;
    if (what == SENT_NOT) {
        consume_item_become(item, ITEM_DROPPED);
        return true;
    }
    consume_item_become(item, ITEM_SENT_ON);
    consume_count(w, delay ? CONSUME_N_retried : CONSUME_N_parked, 1);
    emit_item(w, delay ? "retried" : "parked", item, topic);
    return true;
}

static void stand_still(consume_worker *w, consume_item *item)
{
    static const double without_end = 1;
    if (!item->first_ms)
        emit_item(w, "stuck", item, NULL);
    consume_stuck(item, item->err);
    wait_in_place(item, without_end);
}

/* A record that is too large for its retry topic goes to the DLQ at once. */
static void route_to(consume_worker *w, consume_item *item, const flow_consume_delay *delay)
{
    bool too_large = delay && !send_on(w, item, delay);
    if (delay && !too_large)
        return;
    if (w->consume->opts.dlq)
        send_on(w, item, NULL);
    else
        stand_still(w, item);
}

void consume_route(consume_worker *w, consume_item *item)
{
    rl_assert(item->state == ITEM_FAILED && item->err);
    const flow_consume_delay *delay = delay_of(w, item);
    consume_count(w, CONSUME_N_failed, 1);
    if (delay && w->consume->opts.sleep_retry)
        wait_in_place(item, delay->seconds);
    else
        route_to(w, item, delay);
}
