/* A Kafka consumer.
 *
 * Offers: subscribe and assign, polling of batches, positions (store, commit, committed, seek,
 * pause), the rebalances as a list of values, a close that leaves the group within a deadline. A
 * batch owns its records and keeps the client alive until it is freed; it carries the generation, a
 * number that every change of the assignment raises, so that work done under an old assignment can
 * be recognised. Rebalances are answered (assign, unassign, incrementally where the protocol is
 * cooperative) on the polling thread: without polling nothing moves. Without group.id a private one
 * is set and nothing is committed by itself: enough for assign.
 * Uses: kafka/client, kafka/notes. Thread: poll in one thread at a time; everything else in any,
 * but not after close. */
#ifndef RL_KAFKA_CONSUMER_H
#define RL_KAFKA_CONSUMER_H

#include "kafka/client.h"
#include "kafka/notes.h"

typedef struct kafka_consumer kafka_consumer;

typedef enum kafka_rebalance_type {
    KAFKA_ASSIGN,
    KAFKA_REVOKE,
    KAFKA_LOST,         /* revoked by others before we knew: nothing can be committed for it */
    KAFKA_COMMIT_ERROR, /* a commit in the background failed; err says why */
} kafka_rebalance_type;

typedef struct kafka_rebalance {
    struct kafka_rebalance *next;
    kafka_rebalance_type type;
    rd_kafka_topic_partition_list_t *partitions;
    int64_t at_ms;  /* wall clock */
    int generation; /* after the event */
    rl_err *err;
} kafka_rebalance;

/* Called on the polling thread before the assignment changes; while it runs, the partitions of a
 * KAFKA_REVOKE are still ours and can be committed. */
typedef void (*kafka_rebalance_fn)(void *arg, kafka_consumer *consumer,
                                   const kafka_rebalance *what);

typedef struct kafka_batch {
    kafka_consumer *owner; /* a reference; NULL in an empty batch */
    rd_kafka_message_t **msgs;
    int n, generation;
} kafka_batch;

/* Takes conf. fn may be NULL. */
rl_err *kafka_consumer_open(rd_kafka_conf_t *conf, kafka_rebalance_fn fn, void *arg,
                            kafka_consumer **out);

rl_err *kafka_consumer_subscribe(kafka_consumer *consumer,
                                 const rd_kafka_topic_partition_list_t *topics);
rl_err *kafka_consumer_unsubscribe(kafka_consumer *consumer);
rl_err *kafka_consumer_assign(kafka_consumer *consumer,
                              const rd_kafka_topic_partition_list_t *partitions);

/* Waits at most timeout_ms for the first record and takes what else is there, at most max. No
 * records is no error. EOF events and errors of partitions are records with msg->err. Records
 * that were fetched when the stop came are kept for the next poll. */
rl_err *kafka_consumer_poll(kafka_consumer *consumer, int max, int timeout_ms,
                            const kafka_stop *stop, kafka_batch *out);

/* Gives records back that nobody has seen: the next poll returns them first, unless a seek, an
 * assign or a revoke came between. Takes the batch. */
void kafka_consumer_unread(kafka_consumer *consumer, kafka_batch *batch);
void kafka_batch_free(kafka_batch *batch);

/* The offsets to go on from after this batch, one a partition: last offset + 1, and of an EOF
 * event its own offset. The caller destroys the list. */
rd_kafka_topic_partition_list_t *kafka_batch_positions(const kafka_batch *batch);
void kafka_message_position(const rd_kafka_message_t *msg, rd_kafka_topic_partition_list_t *list);

/* Offsets here and below are those to go on from (last done + 1). */
rl_err *kafka_consumer_store(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *offsets);

/* NULL commits what is stored. The asynchronous one reports a failure as KAFKA_COMMIT_ERROR. The
 * synchronous one leaves the outcome unknown on TIMED_OUT. */
rl_err *kafka_consumer_commit_async(kafka_consumer *consumer,
                                    const rd_kafka_topic_partition_list_t *offsets);
rl_err *kafka_consumer_commit(kafka_consumer *consumer,
                              const rd_kafka_topic_partition_list_t *offsets, int timeout_ms,
                              const kafka_stop *stop);

/* Fill in the offsets of the list (RD_KAFKA_OFFSET_INVALID: none). */
rl_err *kafka_consumer_committed(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list,
                                 int timeout_ms, const kafka_stop *stop);
rl_err *kafka_consumer_position(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list);

rl_err *kafka_consumer_seek(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list,
                            int timeout_ms);
rl_err *kafka_consumer_pause(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list);
rl_err *kafka_consumer_resume(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list);
rl_err *kafka_consumer_assignment(kafka_consumer *consumer, rd_kafka_topic_partition_list_t **out);
rl_err *kafka_consumer_subscription(kafka_consumer *consumer,
                                    rd_kafka_topic_partition_list_t **out);

/* Asks the leader: low and end offset; the end is the LSO under read_committed, else the high
 * watermark. */
rl_err *kafka_consumer_watermarks(kafka_consumer *consumer, const char *topic, int32_t partition,
                                  int timeout_ms, const kafka_stop *stop, int64_t *low,
                                  int64_t *high);

int kafka_consumer_generation(kafka_consumer *consumer);
kafka_rebalance *
kafka_consumer_events(kafka_consumer *consumer); /* oldest first, taken by the caller */
void kafka_rebalance_free(kafka_rebalance *list);
kafka_notes *kafka_consumer_notes(kafka_consumer *consumer);
rd_kafka_t *kafka_consumer_rk(kafka_consumer *consumer);

/* Makes a blocked poll look at its stop flag. */
void kafka_consumer_wake(kafka_consumer *consumer);
/* Every blocking call, under way or to come, ends with CANCELLED. */
void kafka_consumer_cancel(kafka_consumer *consumer);

/* How long close may take to leave the group; 3000 when never set, 0 leaves without a word (the
 * broker finds out by the session timeout). */
void kafka_consumer_close_within(kafka_consumer *consumer, int timeout_ms);

/* Leaves the group and drops the caller's reference; the client is destroyed with its last
 * batch. */
void kafka_consumer_close(kafka_consumer *consumer);

#endif
