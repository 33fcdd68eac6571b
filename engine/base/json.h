/* JSON, read and written without loss.
 *
 * Offers: a pull reader (one token a call, strict RFC 8259, bounded nesting, errors with line and
 * column) and the writing of strings and numbers into a buffer. Integers stay 64-bit integers; an
 * integer that does not fit is handed out as its digits. Bytes that are no UTF-8 are written as the
 * lone surrogates \udc80-\udcff and come back as the same bytes, so that any record key survives a
 * report. What is UTF-8, and what a hex digit is worth, others ask here too.
 * Uses: base/buf. Thread: plain memory, one owner. */
#ifndef RL_BASE_JSON_H
#define RL_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { JSON_DEPTH_MAX = 256 };

typedef enum json_token {
    JSON_ERROR, /* see error */
    JSON_END,   /* the text is over */
    JSON_OBJECT,
    JSON_OBJECT_END,
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_KEY,    /* str; its value follows */
    JSON_STRING, /* str */
    JSON_INT,    /* i */
    JSON_BIG,    /* str: the digits of an integer beyond 64 bits */
    JSON_FLOAT,  /* d */
    JSON_BOOL,   /* i */
    JSON_NULL,
} json_token;

typedef struct json_reader {
    const char *text;
    size_t len, pos;
    int depth;
    char in[JSON_DEPTH_MAX]; /* '{' or '[' at each depth */
    int state;
    rl_buf str; /* may hold zero bytes; freed by json_close */
    int64_t i;
    double d;
    char error[160]; /* "line 2, column 7: a ',' or '}' is missing" */
} json_reader;

void json_open(json_reader *r, const char *text, size_t len);
json_token json_next(json_reader *r);
void json_close(json_reader *r);

void json_put_string(rl_buf *out, const char *text, size_t len); /* with its quotes */
void json_put_cstr(rl_buf *out, const char *text);
void json_put_int(rl_buf *out, int64_t v);
/* The shortest that reads back the same. JSON has no word for what is not finite: null, for callers
 * that mean "not measured"; others refuse it before. */
void json_put_float(rl_buf *out, double v);

/* Overlong forms, surrogates and what lies beyond U+10FFFF are not. */
bool json_is_utf8(const char *text, size_t len);
int json_hex_digit(char c); /* -1: it is none */

#endif
