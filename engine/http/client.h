/* An HTTP client.
 *
 * Offers: http_client, which makes one request at a time and keeps its connections for the next; a
 * deadline for the whole call and a cancel from another thread. Redirects are not followed and no
 * proxy of the environment is used: who is asked is who answers. A request that may not be repeated
 * (POST, PATCH) is never sent twice by itself: when its connection breaks the outcome is unknown
 * and the error says so. Errors: domain RL_HTTP; CONNECT, UNKNOWN_HOST, TIMEOUT, CONNECTION_LOST,
 * TLS, TOO_LARGE, URL; CANCELLED is RL_LAB. `retriable`: nothing was sent.
 * Uses: libcurl. Thread: one at a time; http_client_cancel from any. */
#ifndef RL_HTTP_CLIENT_H
#define RL_HTTP_CLIENT_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct http_client http_client;

typedef struct http_call {
    const char *method, *url;
    const char
        *socket; /* path of a unix socket that is dialled instead of the URL's host; may be NULL */
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    const char *body;
    size_t len;
    double timeout, connect_timeout; /* seconds; 0: none, 5 */
    size_t max_body;                 /* of the answer, bytes */
} http_call;

/* `head` holds name, NUL, value, NUL for each header, names in lower case. */
typedef struct http_answer {
    int status;
    rl_buf head, body;
} http_answer;

http_client *http_client_new(void);
rl_err *http_client_call(http_client *client, const http_call *call, http_answer *answer);
void http_client_cancel(http_client *client);
void http_client_free(http_client *client);

void http_answer_free(http_answer *answer);

#endif
