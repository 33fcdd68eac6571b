/* Who may ask a server of ours, and how.
 *
 * A web page that a browser shows can send requests to any port of its own machine. What gives it
 * away: a Host that is none of ours (a name that was made to point here), a foreign Origin, or a
 * body of a type that a browser sends without asking first.
 * Offers: http_guard_check for what a request's head says. Uses: nothing. Thread: any. */
#ifndef RL_HTTP_GUARD_H
#define RL_HTTP_GUARD_H

#include <stdbool.h>

typedef struct http_guard {
    const char *listen; /* the address or name that the server listens on */
    const char *hosts;  /* more names that it goes by, "a,b"; may be NULL */
    bool json_only;     /* a body that changes something is JSON */
} http_guard;

typedef struct http_head {
    const char *method;
    const char *host; /* of the target or the header; NULL: HTTP/1.0 had none */
    const char *origin, *content_type, *content_coding;
    bool has_body;
} http_head;

/* NULL: it may; or why not, and the status to answer with. */
const char *http_guard_check(const http_guard *guard, const http_head *head, int *status);

#endif
