/* The codes with which brokers answer.
 *
 * Offers: wire_code, a code as an error. Uses: kafka/client (names only), base/err. Thread: any. */
#ifndef RL_KAFKA_WIRE_CODE_H
#define RL_KAFKA_WIRE_CODE_H

#include "base/err.h"

/* NULL for 0. Known codes carry librdkafka's names (NOT_ENOUGH_REPLICAS). */
rl_err *wire_code(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
