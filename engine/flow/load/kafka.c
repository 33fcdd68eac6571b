/* The Kafka driver: one producer; a record without a report holds its slot. A record that
 * librdkafka gave up on is failed when it certainly is not in the log, else unknown. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "flow/load/internal.h"
#include "kafka/producer.h"

enum { DRAIN_EVENTS = 256, METADATA_MS = 500 };

typedef struct kafka_state {
    kafka_producer *producer;
    int reports; /* eventfd */
    rl_buf key, value, header;
} kafka_state;

static void on_report(void *arg, const rd_kafka_message_t *msg)
{
    flow_load *load = arg;
    bool gone = rd_kafka_message_status(msg) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
    load_reply reply = {.outcome = !msg->err ? LOAD_OK
                                   : gone    ? LOAD_FAIL
                                             : LOAD_UNKNOWN,
                        .partition = msg->err ? -1 : msg->partition,
                        .offset = msg->err ? -1 : msg->offset,
                        .error = msg->err ? kafka_code_name(msg->err) : NULL};
    load_end(load, msg->_private, &reply);
}

/* ---- sending ---- */

static rd_kafka_headers_t *headers_of(flow_load *load, const load_request *r)
{
    kafka_state *k = load->state;
    const load_form *form = r->form;
    rd_kafka_headers_t *headers = form->nheaders ? rd_kafka_headers_new(form->nheaders) : NULL;
    for (size_t i = 0; i < form->nheaders; i++) {
        buf_reset(&k->header);
        load_render(load, r, form->values[i], &k->header);
        rd_kafka_header_add(headers, form->names[i], -1, k->header.data ? k->header.data : "",
                            (ssize_t)k->header.len);
    }
    return headers;
}

static const void *rendered(flow_load *load, const load_request *r, const load_text *t, rl_buf *out)
{
    buf_reset(out);
    load_render(load, r, t, out);
    return t ? (out->data ? out->data : "") : NULL;
}

static void kafka_start(flow_load *load, load_request *r)
{
    kafka_state *k = load->state;
    kafka_record record = {.topic = r->form->topic, .partition = r->form->partition};
    record.key = rendered(load, r, r->form->key, &k->key);
    record.key_len = k->key.len;
    record.value = rendered(load, r, r->form->value, &k->value);
    record.value_len = k->value.len;
    record.headers = headers_of(load, r);
    load_begin(load, r);
    rd_kafka_resp_err_t code = kafka_producer_send(k->producer, &record, r);
    if (!code)
        return;
    if (record.headers)
        rd_kafka_headers_destroy(record.headers);
    load_end(
        load, r,
        &(load_reply){
            .outcome = LOAD_FAIL, .partition = -1, .offset = -1, .error = kafka_code_name(code)});
}

static void wait_reports(flow_load *load, rl_deadline until)
{
    kafka_state *k = load->state;
    struct pollfd fds[] = {{.fd = k->reports, .events = POLLIN},
                           {.fd = load->wake, .events = POLLIN}};
    struct timespec left = deadline_timespec_left(until);
    uint64_t count;
    if (ppoll(fds, 2, &left, NULL) > 0)
        for (int i = 0; i < 2; i++)
            if (fds[i].revents && read(fds[i].fd, &count, sizeof count) < 0)
                continue;
    while (kafka_producer_drain(k->producer, 0, DRAIN_EVENTS))
        if (flow_aborted(&load->flow))
            return;
}

/* ---- life ---- */

/* Bootstrap addresses say little: the cluster's own must be of this machine too. */
static rl_err *check_cluster(const struct rd_kafka_metadata *found)
{
    for (int i = 0; i < found->broker_cnt; i++) {
        const char *host = found->brokers[i].host;
        if (!flow_load_is_local(host, strlen(host)))
            return err_lab("USAGE",
                           "load is sent to this machine only; broker %d of this cluster is %s",
                           found->brokers[i].id, host);
    }
    return NULL;
}

static rl_err *look_around(flow_load *load, const kafka_state *k)
{
    const struct rd_kafka_metadata *found = NULL;
    rl_deadline until = deadline_in(load->opts.timeout);
    rd_kafka_resp_err_t code;
    do
        code = rd_kafka_metadata(kafka_producer_rk(k->producer), 0, NULL, &found, METADATA_MS);
    while (code && !flow_aborted(&load->flow) && !deadline_passed(until));
    if (code)
        return kafka_err(NULL, code, "the brokers do not answer");
    rl_err *err = check_cluster(found);
    rd_kafka_metadata_destroy(found);
    return err;
}

static rl_err *kafka_open(flow_load *load)
{
    kafka_state *k = mem_zero(sizeof *k);
    load->state = k;
    k->reports = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rd_kafka_conf_t *conf = load->opts.kafka;
    load->opts.kafka = NULL;
    rl_err *err = kafka_producer_open(conf, &k->producer);
    if (!err && k->reports < 0)
        err = err_sys(errno, "eventfd");
    if (err)
        return err;
    kafka_producer_on_report(k->producer, on_report, load);
    kafka_producer_watch(k->producer, k->reports);
    return look_around(load, k);
}

/* Purging reports each record, with whether it may be in the log; what hangs even then is
 * unknown. */
static void kafka_abandon(flow_load *load)
{
    kafka_state *k = load->state;
    if (k->producer) {
        kafka_producer_watch(k->producer, -1);
        kafka_producer_purge(k->producer);
        kafka_producer_drain(k->producer, 0, load->opts.in_flight + DRAIN_EVENTS);
        kafka_producer_close(k->producer);
        k->producer = NULL;
    }
    const load_reply unknown = {.outcome = LOAD_UNKNOWN,
                                .partition = -1,
                                .offset = -1,
                                .error = "stopped before the report"};
    for (int i = 0; i < load->opts.in_flight; i++)
        if (load_slot(load, i)->open)
            load_end(load, load_slot(load, i), &unknown);
}

static void kafka_close(flow_load *load)
{
    kafka_state *k = load->state;
    buf_free(&k->key);
    buf_free(&k->value);
    buf_free(&k->header);
    if (k->reports >= 0)
        close(k->reports);
    free(k);
    load->state = NULL;
}

const load_driver load_kafka = {.slot_size = sizeof(load_request),
                                .open = kafka_open,
                                .start = kafka_start,
                                .wait = wait_reports,
                                .abandon = kafka_abandon,
                                .close = kafka_close};
