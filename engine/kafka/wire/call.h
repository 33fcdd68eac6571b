/* One call over the wire: how long it may take, whether anybody still wants it, and what the code
 * means with which a broker answers.
 *
 * Offers: wire_call, which is handed on down to the socket, and wire_code, a code as an error.
 * Uses: base/deadline, base/err, kafka/client (names of codes only). Thread: that of the caller;
 * the flags may be set from any. */
#ifndef RL_KAFKA_WIRE_CALL_H
#define RL_KAFKA_WIRE_CALL_H

#include <stdatomic.h>

#include "base/deadline.h"
#include "base/err.h"

/* The caller who sets a flag also writes 8 bytes to wake_fd (an eventfd, or -1). */
typedef struct wire_call {
    rl_deadline deadline;
    const atomic_bool *stop[2]; /* may be NULL */
    int wake_fd;
} wire_call;

/* The same call with an earlier deadline: at most `ms` from now. */
wire_call wire_call_within(const wire_call *call, int ms);
/* CANCELLED when a flag is set, else NULL. */
rl_err *wire_cancelled(const wire_call *call);

/* NULL for 0. Known codes carry librdkafka's names (NOT_ENOUGH_REPLICAS). */
rl_err *wire_code(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
