/* The largest record that the topic takes, asked once before the first row is sent: a broker
 * refuses a batch as a whole, and what waits behind it would overtake the rows in it. The
 * client, which is given the limit, refuses the one record. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/relay/internal.h"

enum { ASK_MS = 2000, FRAME_BYTES = 128, LEAST_BYTES = 1000 };

static const double ask_again = 0.1;

/* What is no number of bytes is no limit. */
static int64_t limit_of(const char *text)
{
    int64_t limit = text ? strtoll(text, NULL, 10) : 0;
    return limit > 0 && limit <= INT32_MAX ? limit : 0;
}

static int64_t limit_in(rd_kafka_event_t *event)
{
    size_t n = 0, entries = 0;
    const rd_kafka_ConfigResource_t **all =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &n);
    const rd_kafka_ConfigEntry_t **list =
        n ? rd_kafka_ConfigResource_configs(all[0], &entries) : NULL;
    for (size_t i = 0; i < entries; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(list[i]), "max.message.bytes") == 0)
            return limit_of(rd_kafka_ConfigEntry_value(list[i]));
    return 0;
}

/* 0: the brokers give no answer (an ACL, no such topic yet). */
static rl_err *limit_ask(flow_relay *relay, int64_t *limit)
{
    rd_kafka_t *rk = kafka_producer_rk(relay->producer);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ConfigResource_t *topic =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, relay->opts.topic);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    char why[128];
    rd_kafka_AdminOptions_set_request_timeout(options, ASK_MS, why, sizeof why);
    rd_kafka_DescribeConfigs(rk, &topic, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ASK_MS + 500);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    *limit = code ? 0 : limit_in(event);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(topic);
    rd_kafka_queue_destroy(queue);
    return kafka_code_retriable(code) ? kafka_err(rk, code, "no broker answers") : NULL;
}

/* The size of a compressed batch is known only after the client has checked its records. */
static bool limit_lower(flow_relay *relay, int64_t limit)
{
    char value[32], compression[32];
    kafka_conf_value(relay->conf, "message.max.bytes", value, sizeof value);
    kafka_conf_value(relay->conf, "compression.codec", compression, sizeof compression);
    limit = limit - FRAME_BYTES < LEAST_BYTES ? LEAST_BYTES : limit - FRAME_BYTES;
    if (strcmp(compression, "none") != 0 || strtoll(value, NULL, 10) <= limit)
        return false;
    snprintf(value, sizeof value, "%lld", (long long)limit);
    err_free(kafka_conf_put(relay->conf, "message.max.bytes", value));
    return true;
}

bool relay_limit_known(flow_relay *relay)
{
    int64_t limit;
    if (relay->limit_known)
        return true;
    rl_err *err = limit_ask(relay, &limit);
    if (err) {
        flow_down(&relay->flow, "kafka", err);
        err_free(err);
        flow_sleep(&relay->flow, ask_again);
        return false;
    }
    flow_up(&relay->flow, "kafka");
    relay->limit_known = true;
    if (limit && limit_lower(relay, limit)) {
        pthread_mutex_lock(&relay->lock);
        relay->reset = relay->replace = true; /* a producer with the new limit */
        pthread_mutex_unlock(&relay->lock);
    }
    return true;
}
