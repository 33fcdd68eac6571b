/* A member of a share group (KIP-932).
 *
 * Offers: subscribe, polling, the acknowledgement of single records and its commit, a close that leaves
 * the group within a deadline. Acknowledgement is explicit: each record of a poll is accepted, released
 * or rejected before the next poll, else that one says _STATE. A commit is answered by the leader, which
 * refuses what is no longer ours (INVALID_RECORD_STATE). librdkafka has this from 2.15 on, as a preview;
 * with an older one opening says so. It has no way to wake a call, so a poll waits in slices.
 * Uses: kafka/client. Thread: one at a time, for every call. */
#ifndef RL_KAFKA_SHARE_H
#define RL_KAFKA_SHARE_H

#include "kafka/client.h"

typedef struct kafka_share kafka_share;

typedef enum kafka_ack {
    KAFKA_ACCEPT,
    KAFKA_RELEASE, /* to be delivered again */
    KAFKA_REJECT,  /* never again: archived, and written to the DLQ if the group has one */
} kafka_ack;

/* Owns its records; freed before the member is closed. */
typedef struct kafka_share_batch {
    void *list;
    int n;
} kafka_share_batch;

/* Takes conf. */
rl_err *kafka_share_open(rd_kafka_conf_t *conf, kafka_share **out);
rl_err *kafka_share_subscribe(kafka_share *share, const rd_kafka_topic_partition_list_t *topics);

/* Waits at most timeout_ms for records; none is no error. What came when the stop did is released. */
rl_err *kafka_share_poll(kafka_share *share, int timeout_ms, const kafka_stop *stop,
                         kafka_share_batch *out);
rd_kafka_message_t *kafka_share_record(const kafka_share_batch *batch, int i);
int kafka_share_delivery(const rd_kafka_message_t *msg); /* 1 the first time */
void kafka_share_release(kafka_share *share, const kafka_share_batch *batch);
void kafka_share_batch_free(kafka_share_batch *batch);

rl_err *kafka_share_acknowledge(kafka_share *share, const char *topic, int32_t partition,
                                int64_t offset, kafka_ack ack);
/* Sends what was acknowledged; the error is the call's own, or the first that a partition carries. */
rl_err *kafka_share_commit(kafka_share *share, int timeout_ms);

/* Commits what was acknowledged, leaves the group and frees, for 3 s at most; what takes longer goes on
 * in a thread of its own. */
void kafka_share_close(kafka_share *share);

#endif
