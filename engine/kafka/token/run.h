/* A token command, run once.
 *
 * Offers: kafka_token_run: the argv of a JSON list, without a shell, with an empty stdin, in a session
 * of its own and within a time limit, after which its process group is killed; what it printed is a
 * token (kafka/token/text). The error names the command and the last line of its stderr, without tokens.
 * Uses: base/json, base/deadline. Thread: any; blocks. */
#ifndef RL_KAFKA_TOKEN_RUN_H
#define RL_KAFKA_TOKEN_RUN_H

#include "kafka/token/text.h"

rl_err *kafka_token_run(const char *command, int limit_ms, kafka_token *out);

#endif
