/* Texts of requests that differ from one to the next.
 *
 * Offers: a template, read once and rendered for each request: ${n} (the request's number from 1;
 * ${n:4} with zeros), ${id}, ${uuid} (version 7, of the intended time), ${range:1:20} (an integer,
 * both ends included), ${pick:a,b,c}, ${pad:100} (that many letters). What is random comes from the
 * generator's seed. "$${" stands for "${".
 * Uses: base/buf, base/rng. Thread: a template is constant once read. */
#ifndef RL_FLOW_LOAD_TEXT_H
#define RL_FLOW_LOAD_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"

typedef struct load_text load_text;

typedef struct load_values {
    int64_t n, unix_ms; /* its number, its intended time */
    const char *id;
    size_t id_len;
    rl_rng *rng;
} load_values;

/* The error is a USAGE one that shows the place. */
rl_err *load_text_read(const char *text, size_t len, load_text **out);
void load_text_put(const load_text *t, const load_values *v, rl_buf *out);
bool load_text_constant(const load_text *t); /* the same for every request */
void load_text_free(load_text *t);           /* NULL is fine */

#endif
