/* How large a record may be for a topic.
 *
 * Offers: the topic's own max.message.bytes, asked of the brokers by any client. What is refused by
 * a guess would be refused for good, so nobody guesses.
 * Uses: librdkafka's admin API, kafka/client. Thread: any; the call waits for an answer. */
#ifndef RL_KAFKA_LIMIT_H
#define RL_KAFKA_LIMIT_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#include "base/err.h"

/* What the client adds to key, value and headers at most, for a record alone in its batch. */
enum { KAFKA_FRAME_BYTES = 128 };

/* 0: the brokers give no answer (an ACL, no such topic yet). The error is a retriable one: ask again. */
rl_err *kafka_limit_ask(rd_kafka_t *rk, const char *topic, int64_t *limit);

#endif
