#include "kafka/limit.h"

#include <stdlib.h>
#include <string.h>

#include "kafka/client.h"

enum { ASK_MS = 2000 };

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

rl_err *kafka_limit_ask(rd_kafka_t *rk, const char *topic, int64_t *limit)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    char why[128];
    rd_kafka_AdminOptions_set_request_timeout(options, ASK_MS, why, sizeof why);
    rd_kafka_DescribeConfigs(rk, &resource, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ASK_MS + 500);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    *limit = code ? 0 : limit_in(event);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_queue_destroy(queue);
    return kafka_code_retriable(code) ? kafka_err(rk, code, "no broker answers") : NULL;
}
