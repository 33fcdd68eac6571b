#include "kafka/share.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "kafka/token/token.h"

enum { CLOSE_MS = 3000, SHARE_SINCE = 0x020f0000 };

/* Built with an older librdkafka, which has none of this: opening says so, and nothing else is called. */
#if RD_KAFKA_VERSION < 0x020f0000
typedef struct rd_kafka_share_s rd_kafka_share_t;
typedef struct rd_kafka_messages_s rd_kafka_messages_t;
typedef enum rd_kafka_share_AcknowledgeType_s {
    RD_KAFKA_SHARE_ACKNOWLEDGE_TYPE_ACCEPT = 1,
    RD_KAFKA_SHARE_ACKNOWLEDGE_TYPE_RELEASE,
    RD_KAFKA_SHARE_ACKNOWLEDGE_TYPE_REJECT
} rd_kafka_share_AcknowledgeType_t;
#define ABSENT __attribute__((weak))
ABSENT rd_kafka_share_t *rd_kafka_share_consumer_new(rd_kafka_conf_t *, char *, size_t);
ABSENT rd_kafka_resp_err_t rd_kafka_share_subscribe(rd_kafka_share_t *,
                                                    const rd_kafka_topic_partition_list_t *);
ABSENT rd_kafka_error_t *rd_kafka_share_poll(rd_kafka_share_t *, int, rd_kafka_messages_t **);
ABSENT size_t rd_kafka_messages_count(const rd_kafka_messages_t *);
ABSENT rd_kafka_message_t *rd_kafka_messages_get(const rd_kafka_messages_t *, size_t);
ABSENT void rd_kafka_messages_destroy(rd_kafka_messages_t *);
ABSENT int16_t rd_kafka_message_delivery_count(const rd_kafka_message_t *);
ABSENT rd_kafka_resp_err_t rd_kafka_share_acknowledge_type(rd_kafka_share_t *,
                                                           const rd_kafka_message_t *,
                                                           rd_kafka_share_AcknowledgeType_t);
ABSENT rd_kafka_resp_err_t rd_kafka_share_acknowledge_offset(rd_kafka_share_t *, const char *,
                                                             int32_t, int64_t,
                                                             rd_kafka_share_AcknowledgeType_t);
ABSENT rd_kafka_error_t *rd_kafka_share_commit_sync(rd_kafka_share_t *, int,
                                                    rd_kafka_topic_partition_list_t **);
ABSENT rd_kafka_error_t *rd_kafka_share_consumer_close(rd_kafka_share_t *);
ABSENT rd_kafka_error_t *rd_kafka_share_destroy(rd_kafka_share_t *);
ABSENT rd_kafka_error_t *rd_kafka_share_sasl_background_callbacks_enable(rd_kafka_share_t *);
#endif

struct kafka_share {
    rd_kafka_share_t *rks;
};

rl_err *kafka_share_open(rd_kafka_conf_t *conf, kafka_share **out)
{
    char why[512] = "", group[256];
    if (RD_KAFKA_VERSION < SHARE_SINCE || rd_kafka_version() < SHARE_SINCE) {
        rd_kafka_conf_destroy(conf);
        return err_lab(
            "NOT_SUPPORTED",
            "share groups need librdkafka 2.15.0 or newer, not %s; make clean && make builds "
            "one, with npm installed and no older one in pkg-config's sight",
            rd_kafka_version_str());
    }
    kafka_conf_hush(conf);
    kafka_conf_value(conf, "group.id", group, sizeof group);
    bool by_token = kafka_token_command(conf, why, sizeof why);
    rl_err *err = group[0] ? kafka_conf_put(conf, "share.acknowledgement.mode", "explicit")
                           : err_lab("USAGE", "a share consumer needs a group");
    rd_kafka_share_t *rks = err ? NULL : rd_kafka_share_consumer_new(conf, why, sizeof why);
    if (!rks) {
        rd_kafka_conf_destroy(conf);
        return err ? err : err_lab("USAGE", "the share consumer cannot be made: %s", why);
    }
    *out = mem_zero(sizeof **out);
    (*out)->rks = rks;
    if (!by_token)
        return NULL;
    return kafka_err_take(NULL, rd_kafka_share_sasl_background_callbacks_enable(rks),
                          "tokens cannot be asked for");
}

rl_err *kafka_share_subscribe(kafka_share *share, const rd_kafka_topic_partition_list_t *topics)
{
    return kafka_err(NULL, rd_kafka_share_subscribe(share->rks, topics), "subscribe");
}

/* ---- polling ---- */

rl_err *kafka_share_poll(kafka_share *share, int timeout_ms, const kafka_stop *stop,
                         kafka_share_batch *out)
{
    rl_deadline until = deadline_in_ms(timeout_ms);
    *out = (kafka_share_batch){0};
    int slice;
    do {
        if (kafka_stopped(stop))
            return err_lab("CANCELLED", "poll was cancelled");
        slice = kafka_slice(until, KAFKA_SLICE_MS);
        rd_kafka_messages_t *list = NULL;
        rd_kafka_error_t *error = rd_kafka_share_poll(share->rks, slice, &list);
        if (error)
            return kafka_err_take(NULL, error, "poll");
        out->list = list;
        out->n = (int)rd_kafka_messages_count(list);
    } while (out->n == 0 && slice > 0);
    if (!kafka_stopped(stop))
        return NULL;
    kafka_share_release(share, out);
    kafka_share_batch_free(out);
    return err_lab("CANCELLED", "poll was cancelled");
}

rd_kafka_message_t *kafka_share_record(const kafka_share_batch *batch, int i)
{
    return rd_kafka_messages_get(batch->list, (size_t)i);
}

int kafka_share_delivery(const rd_kafka_message_t *msg)
{
    return rd_kafka_message_delivery_count(msg);
}

void kafka_share_release(kafka_share *share, const kafka_share_batch *batch)
{
    for (int i = 0; i < batch->n; i++)
        rd_kafka_share_acknowledge_type(share->rks, kafka_share_record(batch, i),
                                        RD_KAFKA_SHARE_ACKNOWLEDGE_TYPE_RELEASE);
}

void kafka_share_batch_free(kafka_share_batch *batch)
{
    rd_kafka_messages_destroy(batch->list);
    *batch = (kafka_share_batch){0};
}

/* ---- acknowledgement ---- */

rl_err *kafka_share_acknowledge(kafka_share *share, const char *topic, int32_t partition,
                                int64_t offset, kafka_ack ack)
{
    static const rd_kafka_share_AcknowledgeType_t types[] = {
        RD_KAFKA_SHARE_ACKNOWLEDGE_TYPE_ACCEPT, RD_KAFKA_SHARE_ACKNOWLEDGE_TYPE_RELEASE,
        RD_KAFKA_SHARE_ACKNOWLEDGE_TYPE_REJECT};
    rd_kafka_resp_err_t code =
        rd_kafka_share_acknowledge_offset(share->rks, topic, partition, offset, types[ack]);
    return kafka_err(NULL, code, "acknowledge %s[%d]@%lld", topic, (int)partition,
                     (long long)offset);
}

static rl_err *first_of(const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; list && i < list->cnt; i++)
        if (list->elems[i].err)
            return kafka_err(NULL, list->elems[i].err, "commit of %s[%d]", list->elems[i].topic,
                             (int)list->elems[i].partition);
    return NULL;
}

rl_err *kafka_share_commit(kafka_share *share, int timeout_ms)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    rl_err *err =
        kafka_err_take(NULL, rd_kafka_share_commit_sync(share->rks, timeout_ms, &list), "commit");
    if (!err)
        err = first_of(list);
    if (list)
        rd_kafka_topic_partition_list_destroy(list);
    return err;
}

/* ---- the end ---- */

static void drop_error(rd_kafka_error_t *error)
{
    if (error)
        rd_kafka_error_destroy(error);
}

static void share_end(void *rks, int flags)
{
    (void)flags;
    drop_error(rd_kafka_share_consumer_close(rks));
    drop_error(rd_kafka_share_destroy(rks));
}

void kafka_share_close(kafka_share *share)
{
    kafka_end_within(share_end, share->rks, 0, CLOSE_MS);
    free(share);
}
