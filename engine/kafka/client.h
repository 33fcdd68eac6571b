/* What every Kafka client of ours shares: configuration, errors, partition lists, destruction that
 * ends.
 *
 * Offers: the known librdkafka properties (for strict option tables and "did you mean"), a
 * configuration with our defaults, conversion of librdkafka's errors to rl_err with
 * retriable/abortable/fatal kept apart, a client made from a configuration, and a destroy bounded
 * by a deadline. Our defaults, where they differ from librdkafka's: reconnect.backoff.ms=20 (100),
 * reconnect.backoff.max.ms=200 (10000), log_level=0 (6), log.connection.close=false,
 * client.id=rlab; for admin clients socket.timeout.ms=600 (60000). Everything else, also what is
 * unsafe, is librdkafka's: an experiment says what it wants.
 * Uses: librdkafka, base/err, base/buf. Thread: any; a configuration belongs to one thread until
 * it is taken. */
#ifndef RL_KAFKA_CLIENT_H
#define RL_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/deadline.h"
#include "base/err.h"

typedef enum kafka_kind {
    KAFKA_PRODUCER,
    KAFKA_CONSUMER,
    KAFKA_ADMIN,
} kafka_kind;

typedef struct kafka_property {
    const char *name; /* linger.ms */
    char scope;       /* 'P' producer, 'C' consumer, '*' both */
} kafka_property;

/* By exact name, or with dots written as underscores (linger_ms); NULL when librdkafka has no
 * such property. The table is made once and kept. */
const kafka_property *kafka_property_find(const char *name);
const char *kafka_property_nearest(const char *name);
bool kafka_property_fits(const kafka_property *property, kafka_kind kind);

/* A configuration with our defaults; taken by kafka_client_new or freed with
 * rd_kafka_conf_destroy. */
rd_kafka_conf_t *kafka_conf_new(kafka_kind kind);

/* Values are text as in librdkafka's manual; the error is a USAGE one with librdkafka's
 * sentence. */
rl_err *kafka_conf_put(rd_kafka_conf_t *conf, const char *name, const char *value);

/* Copies the value of a property, "" when unset. */
void kafka_conf_value(const rd_kafka_conf_t *conf, const char *name, char *out, size_t size);

/* At log_level 0 librdkafka still prints fatal errors: then it has nobody to print for. */
void kafka_conf_hush(rd_kafka_conf_t *conf);

/* Takes conf also when it fails. */
rl_err *kafka_client_new(kafka_kind kind, rd_kafka_conf_t *conf, rd_kafka_t **out);

/* Destroys in a thread of its own and waits at most deadline_ms for it (0: not at all), so that
 * no frozen broker can hold the caller. Flags as in rd_kafka_destroy_flags(). NULL is fine. */
void kafka_client_destroy(rd_kafka_t *rk, int flags, int deadline_ms);

/* The same for whatever `end` ends. */
void kafka_end_within(void (*end)(void *what, int flags), void *what, int flags, int deadline_ms);

/* ---- errors: NULL for RD_KAFKA_RESP_ERR_NO_ERROR ---- */

/* `rk` may be NULL; when it is in the fatal state, the error is that state's own and says that
 * the client must be replaced. */
rl_err *kafka_err(rd_kafka_t *rk, rd_kafka_resp_err_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Takes `error`, whose kinds and text are kept. NULL gives NULL. */
rl_err *kafka_err_take(rd_kafka_t *rk, rd_kafka_error_t *error, const char *what);

/* Whether another try of the same request may cure it, and who is to blame: base/err's table. */
bool kafka_code_retriable(rd_kafka_resp_err_t code);
rl_blame kafka_code_blame(rd_kafka_resp_err_t code);

/* Whether a topic of that name can exist. */
bool kafka_topic_can_be(const char *name);

/* "NOT_ENOUGH_REPLICAS", "_TIMED_OUT"; never NULL. */
const char *kafka_code_name(rd_kafka_resp_err_t code);

/* ---- waiting in slices, so that a blocked call can be stopped ---- */

enum { KAFKA_SLICE_MS = 100 };

/* Set by another thread to end a blocking call with CANCELLED; NULL where a call cannot be
 * stopped. */
typedef atomic_bool kafka_stop;

bool kafka_stopped(const kafka_stop *stop);
/* The next slice before `until`, 0 when it has passed. */
int kafka_slice(rl_deadline until, int slice_ms);

#endif
