/* What a token command prints: a JWT, or JSON {"access_token": ..., "expires_in": seconds}.
 *
 * Offers: kafka_token_read, which tells the token, when it ends and of whom it speaks; and
 * kafka_token_hide, which takes tokens out of a line that somebody will read.
 * Uses: base/json. Thread: plain memory, one owner. */
#ifndef RL_KAFKA_TOKEN_TEXT_H
#define RL_KAFKA_TOKEN_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct kafka_token {
    char *text;
    int64_t got_ms, end_ms; /* wall clock */
    char subject[128];      /* the claim "sub", or "rlab" */
} kafka_token;

/* No error names the text. The earlier of both ends counts where two are given; without any, or
 * with one that has passed, it is no token. */
rl_err *kafka_token_read(const char *text, size_t len, int64_t now_ms, kafka_token *out);
void kafka_token_free(kafka_token *token);

/* Each word of `line` that begins as a JWT does, or stands in `secret`, becomes "***". */
void kafka_token_hide(char *line, const char *secret);

#endif
