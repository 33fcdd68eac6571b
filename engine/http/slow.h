/* Clients that take too long to say what they want.
 *
 * libmicrohttpd closes a connection on which nothing comes; one byte every other second it takes for
 * ever. Offers: a limit on the time of a head and of a body, however they trickle, and room for
 * others when most connections are taken by clients that have not said anything whole yet.
 * Uses: base, libmicrohttpd's connections and names of statuses. Thread: a link's calls on the
 * thread of its connection; one thread of its own cuts those that are late. */
#ifndef RL_HTTP_SLOW_H
#define RL_HTTP_SLOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct MHD_Connection;
typedef struct http_slow http_slow;

typedef struct http_link {
    http_slow *slow;
    int fd;
    _Atomic int64_t due;     /* ns; when it is cut. 0: it is not waited for; -1: it has been cut */
    atomic_bool body;        /* it is its body that is awaited */
    atomic_bool fresh;       /* it has not asked anything yet */
    atomic_bool told;        /* its last answer went out past libmicrohttpd */
    char *target;            /* what it asks for, as it was sent */
    const void *sent_target; /* where that stands in the head; only its place counts */
    struct http_link *prev, *next;
} http_link;

typedef struct http_slow_opts {
    double head, body;    /* seconds */
    double idle;          /* between an answer and the next request */
    unsigned connections; /* that the server has at most */
} http_slow_opts;

http_slow *http_slow_open(const http_slow_opts *opts);
void http_slow_close(http_slow *slow); /* once all links are closed */

http_link *http_link_open(http_slow *slow, int fd); /* its first head is awaited */
void http_link_close(http_link *link);              /* before its fd is */

http_link *http_link_of(struct MHD_Connection *connection); /* NULL: of no server of ours */

void http_link_await_body(http_link *link);
bool http_link_complete(http_link *link);   /* the request has come; false: it was cut */
void http_link_await_next(http_link *link); /* it was answered */

/* A problem as the connection's last answer, where libmicrohttpd takes none; once. */
void http_link_tell(http_link *link, int status, const char *detail);

#endif
