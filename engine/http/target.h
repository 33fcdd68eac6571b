/* What a request is for: "/accounts/a%2Fb?x=1".
 *
 * Offers: its parts, still as they were sent, and the decoding of one. A path is to be split at its
 * slashes first and decoded after that: then a segment may have slashes of its own.
 * Uses: base/json. Thread: any. */
#ifndef RL_HTTP_TARGET_H
#define RL_HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>

typedef struct http_part {
    const char *text;
    size_t len;
} http_part;

/* In the text that was given. */
typedef struct http_target {
    http_part authority; /* of the absolute form "http://host:port/path"; else empty */
    http_part path, query;
} http_target;

/* Origin and absolute form; false: neither, or it has bytes that no URL has. */
bool http_target_split(const char *text, http_target *target);

/* A copy with %XX decoded, for the caller to free; NULL: a % without two hex digits, a NUL, or no
 * UTF-8. */
char *http_decode(const char *text, size_t len);

#endif
