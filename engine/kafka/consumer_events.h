/* The inside of a consumer, shared by consumer.c and consumer_events.c only: librdkafka's callbacks and the list of rebalances they leave behind.
 *
 * Uses: kafka/consumer. Thread: the callbacks run on the polling thread; the list is guarded by the consumer's lock. */
#ifndef RL_KAFKA_CONSUMER_EVENTS_H
#define RL_KAFKA_CONSUMER_EVENTS_H

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

void consumer_events_conf(rd_kafka_conf_t *conf, kafka_consumer *c);
void consumer_events_free(kafka_consumer *c);

#endif
