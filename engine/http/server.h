/* An HTTP server.
 *
 * Offers: http_serve, a server on libmicrohttpd with a few threads of its own (epoll). `handler` is
 * called on one of them once the whole request has come; it may answer at once or keep the request,
 * which suspends its connection at no cost, and any thread answers later by http_reply. Connections
 * are kept alive whatever the status. The handler is not asked for what is malformed (400), not for
 * this server (guard.h) or larger than max_body (413), and a client may not take its time for a
 * request (slow.h). http_stop takes no new connections, waits for the requests under way and answers
 * what is still left 503.
 * Errors: domain RL_SYS, from binding the port. Uses: libmicrohttpd, base.
 * Thread: http_serve and http_stop one at a time; a request belongs to the handler until
 * http_reply, which may be called from any thread. */
#ifndef RL_HTTP_SERVER_H
#define RL_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct http_server http_server;
typedef struct http_request http_request;

typedef struct http_field {
    const char *name, *value;
} http_field;

typedef struct http_server_opts {
    const char *host;         /* NULL: 127.0.0.1 */
    int port;                 /* 0: any that is free */
    int threads;              /* 0: 1 */
    unsigned max_connections; /* 0: 1000 */
    size_t max_body;          /* bytes */
    double idle_seconds;      /* an idle connection is closed after that; 0: 60 */
    double head_seconds;      /* that the head of a request may take; 0: 10 */
    double body_seconds;      /* that its body may take; 0: 60 */
    const char *hosts;        /* more names that it is asked by, "a,b"; may be NULL */
    bool json_only;           /* bodies are JSON, but for PUT */
    void (*handler)(http_request *req, void *arg);
    void *arg;
} http_server_opts;

rl_err *http_serve(const http_server_opts *opts, http_server **out);
int http_port(const http_server *server);
int http_under_way(const http_server *server);       /* requests begun and not answered yet */
void http_stop(http_server *server, double at_most); /* blocks; frees the server */

/* A front is asked before the handler, on the same threads. take: true, it has taken the request and
 * answers it, now or later. A request that it keeps meanwhile (http_keep) stays with its thread and is not
 * suspended: turn is called for it as soon as the thread has looked at its other connections, and again
 * until it was answered or let go. So a front can ask another server once for all that came in one turn,
 * and answer without handing over to another thread. turn may block for a moment, with all of its thread's
 * connections; take must not. */
typedef struct http_front {
    bool (*take)(http_request *req, void *arg);
    void (*turn)(http_request *req, void *arg); /* NULL: it keeps none */
} http_front;

/* NULL takes the front away; it keeps nothing and no call of it is under way any more when this returns. */
void http_set_front(http_server *server, const http_front *front, void *arg);

void http_keep(http_request *req);   /* within its `take`, at most once */
void http_let_go(http_request *req); /* from any thread that has not answered it */
unsigned http_thread(void);          /* the caller's number among those that asked; from 1 */

/* What was asked; valid until http_reply. Names and values are decoded, UTF-8 and without NUL; the
 * raw path is as it was sent: who takes it apart decodes the parts (target.h). */
const char *http_method(const http_request *req);
const char *http_path(const http_request *req);
const char *http_raw_path(const http_request *req);
const char *http_header(const http_request *req, const char *name); /* any case; or NULL */
const char *http_body(const http_request *req, size_t *len);        /* never NULL */

typedef void http_visit(void *arg, const char *name, const char *value);
void http_each_header(const http_request *req, http_visit *visit, void *arg);
void http_each_query(const http_request *req, http_visit *visit, void *arg);

typedef struct http_reply_opts {
    int status;
    const http_field *fields;
    size_t fields_count;
    const void *body; /* copied */
    size_t len;
    /* Called once on a thread of the server when the last byte was handed to the kernel (sent)
     * or never will be; may be NULL. */
    void (*after)(void *arg, bool sent);
    void *arg;
} http_reply_opts;

/* Answers; the request must not be touched afterwards. Exactly once a request. */
void http_reply(http_request *req, const http_reply_opts *reply);

/* The same with a body that is text, and its type. */
void http_reply_text(http_request *req, int status, const char *type, const char *text);

const char *http_reason(int status); /* "Not Found" */

#endif
