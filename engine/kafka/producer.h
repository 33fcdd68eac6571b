/* A Kafka producer.
 *
 * Offers: sending of records with the delivery report of each (partition, offset, timestamp, and
 * whether a failed one may be in the log nevertheless), flush, purge, counters, a bounded close.
 * Reports, errors and statistics come as events: somebody must call kafka_producer_drain. A loop
 * watches a descriptor (kafka_producer_watch) and drains when it is readable; without a watch, the
 * blocking calls here and in txn.h drain by themselves in the calling thread.
 * Uses: kafka/client, kafka/notes. Thread: send and drain belong to one thread at a time (the
 * loop or a flow), the blocking calls may run in another one; cancel, purge, pending and counts
 * in any. */
#ifndef RL_KAFKA_PRODUCER_H
#define RL_KAFKA_PRODUCER_H

#include "kafka/client.h"
#include "kafka/notes.h"

typedef struct kafka_producer kafka_producer;

typedef struct kafka_record {
    const char *topic;
    int32_t partition; /* RD_KAFKA_PARTITION_UA: by the partitioner */
    int64_t timestamp; /* ms; 0: now */
    /* NULL is no key; an empty key is a pointer with length 0. The same for value, where NULL is
     * a tombstone. */
    const void *key;
    size_t key_len;
    const void *value;
    size_t value_len;
    rd_kafka_headers_t *headers; /* taken when the send succeeds; NULL for none */
} kafka_record;

typedef struct kafka_counts {
    /* records taken, reports of both kinds, bytes of values taken */
    int64_t sent, acked, failed, bytes;
} kafka_counts;

/* One delivery report: msg->_private is the opaque of the send, msg->err the outcome;
 * rd_kafka_message_status() says whether it may be in the log. */
typedef void (*kafka_report_fn)(void *arg, const rd_kafka_message_t *msg);

/* Takes conf. */
rl_err *kafka_producer_open(rd_kafka_conf_t *conf, kafka_producer **out);

/* Who gets the reports, from the draining thread. NULL: they are only counted. */
void kafka_producer_on_report(kafka_producer *producer, kafka_report_fn fn, void *arg);

/* Eight bytes are written to the (non-blocking) descriptor whenever events come into an empty
 * queue; -1 ends the watch. */
void kafka_producer_watch(kafka_producer *producer, int fd);

/* Handles what is there, waiting at most timeout_ms for the first event; true when it stopped at
 * max_events with more to come. */
bool kafka_producer_drain(kafka_producer *producer, int timeout_ms, int max_events);

/* Copies and enqueues. _QUEUE_FULL: drain and try again. */
rd_kafka_resp_err_t kafka_producer_send(kafka_producer *producer, const kafka_record *record,
                                        void *opaque);

/* The handle of a topic, kept until close; NULL when librdkafka refuses the name. The fast path:
 * kafka_producer_send_to sends key and value only. */
rd_kafka_topic_t *kafka_producer_topic(kafka_producer *producer, const char *name);
rd_kafka_resp_err_t kafka_producer_send_to(kafka_producer *producer, rd_kafka_topic_t *topic,
                                           int32_t partition, const void *key, size_t key_len,
                                           const void *value, size_t value_len, void *opaque);

/* Copies and enqueues payload and key of n messages, in order and without opaque; returns how
 * many were taken. When that is not all of them, msgs[taken].err says why the next one was
 * refused, and none after it was taken. The fastest way: librdkafka locks and looks at the clock
 * once for all. */
int kafka_producer_send_many(kafka_producer *producer, rd_kafka_topic_t *topic, int32_t partition,
                             rd_kafka_message_t *msgs, int n);

/* Waits until every record has its report. TIMED_OUT leaves them in flight. */
rl_err *kafka_producer_flush(kafka_producer *producer, int timeout_ms, const kafka_stop *stop);

/* Fails what is queued or in flight, with reports _PURGE_QUEUE (never sent) and _PURGE_INFLIGHT
 * (may be in the log). */
void kafka_producer_purge(kafka_producer *producer);

/* Records without a report yet. */
int kafka_producer_pending(kafka_producer *producer);
kafka_counts kafka_producer_counts(kafka_producer *producer);
kafka_notes *kafka_producer_notes(kafka_producer *producer);
rd_kafka_t *kafka_producer_rk(kafka_producer *producer);
bool kafka_producer_watched(const kafka_producer *producer);

/* Set by txn.c: between a begin and the commit or abort that ended it. */
bool kafka_producer_in_transaction(const kafka_producer *producer);
void kafka_producer_set_transaction(kafka_producer *producer, bool open);

/* Broker connections lost so far; counted for transactional producers only. */
int64_t kafka_producer_lost(const kafka_producer *producer);
/* Set by txn.c, for good: a connection was lost while a transaction was being ended. The request
 * that ends it was repeated, and the first one may still reach the coordinator, whenever: then
 * it ends the *next* transaction. Make a new producer before that (its init_transactions fences
 * the late one). */
bool kafka_producer_end_uncertain(const kafka_producer *producer);
void kafka_producer_set_end_uncertain(kafka_producer *producer);

/* Every blocking call, under way or to come, ends with CANCELLED. */
void kafka_producer_cancel(kafka_producer *producer);
bool kafka_producer_stopped(kafka_producer *producer, const kafka_stop *stop);
rl_err *kafka_producer_cancelled(const char *what);

/* Purges, hands the last reports out, destroys; never waits longer than a few seconds. Frees p. */
void kafka_producer_close(kafka_producer *producer);

#endif
