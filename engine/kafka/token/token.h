/* OAUTHBEARER logins by tokens of a command.
 *
 * Offers: a configuration whose clients ask the command for tokens (kafka_token_use), the serving of
 * such a client by a thread of librdkafka's own (kafka_token_serve), and a token for others who log in
 * (kafka_token_get). A token is kept for all clients of the process until half of its life is over; who
 * asks then has the command run again. librdkafka asks when four fifths are over. A failure is told to
 * all who ask within a second.
 * Uses: librdkafka, kafka/token/run. Thread: any (a mutex inside, held while the command runs). */
#ifndef RL_KAFKA_TOKEN_H
#define RL_KAFKA_TOKEN_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/err.h"
#include "kafka/token/text.h"

/* `command` is the argv as a JSON list. */
rl_err *kafka_token_use(rd_kafka_conf_t *conf, const char *command);

/* The command of such a configuration, copied into out; false: it has none. */
bool kafka_token_command(const rd_kafka_conf_t *conf, char *out, size_t size);

/* Whether the configuration asks a command; from then on a client of it is served. */
rl_err *kafka_token_serve(rd_kafka_t *rk);

/* A token that is good now; freed with kafka_token_free. */
rl_err *kafka_token_get(const char *command, kafka_token *out);

/* Why the last run of any command gave no token, copied into out; false: it did. */
bool kafka_token_trouble(char *out, size_t size);

#endif
