/* The inside of a consumer, shared by consumer.c, consumer_events.c and consumer_held.c only:
 * librdkafka's callbacks, the list of rebalances they leave behind, and the records that a poll
 * gave back.
 *
 * Uses: kafka/consumer. Thread: the callbacks run on the polling thread; the list is guarded by
 * the consumer's lock. */
#ifndef RL_KAFKA_CONSUMER_INTERNAL_H
#define RL_KAFKA_CONSUMER_INTERNAL_H

#include "kafka/consumer.h"

struct kafka_consumer {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    atomic_int refs, generation;
    atomic_bool cancelled;
    int leave_ms;
    kafka_rebalance_fn on_rebalance;
    void *rebalance_arg;
    pthread_mutex_t lock;
    kafka_rebalance *first, *last;
    int nevents;
    rd_kafka_message_t **held; /* given back by kafka_consumer_unread */
    int nheld, held_generation;
    kafka_notes notes;
};

void consumer_events_conf(rd_kafka_conf_t *conf, kafka_consumer *consumer);
void consumer_events_free(kafka_consumer *consumer);

/* In front of those that are there; the messages are taken, the batch keeps its reference. */
void consumer_held_put(kafka_consumer *consumer, const kafka_batch *batch);
bool consumer_held_take(kafka_consumer *consumer, int max, kafka_batch *out);
/* Those of the listed partitions, or all (NULL). */
void consumer_held_drop(kafka_consumer *consumer, const rd_kafka_topic_partition_list_t *list);
void consumer_batch_take(kafka_batch *out, kafka_consumer *consumer, rd_kafka_message_t **msgs,
                         int n, int generation);
void consumer_free_msgs(rd_kafka_message_t **msgs, int n);

#endif
