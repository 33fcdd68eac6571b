/* Transactions of a producer (transactional.id set).
 *
 * Offers: init, begin, offsets, commit, abort. librdkafka's three kinds are kept in the error:
 * retriable (the same call again; commit and abort go on where they were), abortable
 * (kafka_txn_abort, then the producer is as good as before), fatal (make a new producer: librdkafka
 * cannot raise its epoch after the coordinator ended the transaction). commit flushes by itself;
 * abort purges what is queued.
 * Uses: kafka/producer. Thread: a job's thread or a flow's own, one call at a time a producer;
 * they block at most timeout_ms and end soon after the stop flag or kafka_producer_cancel,
 * except kafka_txn_offsets, which librdkafka cannot resume: it ends at its timeout. */
#ifndef RL_KAFKA_TXN_H
#define RL_KAFKA_TXN_H

#include "kafka/producer.h"

rl_err *kafka_txn_init(kafka_producer *producer, int timeout_ms, const kafka_stop *stop);
rl_err *kafka_txn_begin(kafka_producer *producer); /* does not block */
rl_err *kafka_txn_offsets(kafka_producer *producer, const rd_kafka_topic_partition_list_t *offsets,
                          const rd_kafka_consumer_group_metadata_t *group, int timeout_ms);
rl_err *kafka_txn_commit(kafka_producer *producer, int timeout_ms, const kafka_stop *stop);
rl_err *kafka_txn_abort(kafka_producer *producer, int timeout_ms, const kafka_stop *stop);

#endif
