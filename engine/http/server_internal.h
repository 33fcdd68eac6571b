/* The inside of the HTTP server, of its files only.
 *
 * Offers: the structs, and a request's life: it is counted while it is under way, held by its
 * connection and by who answers it, and listed while it is suspended.
 * Uses: http/server, libmicrohttpd. Thread: any; the list of the suspended has a lock. */
#ifndef RL_HTTP_SERVER_INTERNAL_H
#define RL_HTTP_SERVER_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "http/server.h"
#include "http/slow.h"

struct http_server {
    struct MHD_Daemon *daemon;
    http_server_opts opts; /* its texts are own copies */
    http_slow *slow;
    int port;
    atomic_int under_way;
    atomic_bool draining,
        stopped; /* answers close their connection; the handler is not asked any more */
    pthread_mutex_t lock;
    const http_front *_Atomic front;
    void *_Atomic front_arg;
    atomic_int in_front, kept;
    atomic_bool front_ends;  /* it takes nothing any more */
    http_request *suspended; /* under lock: whom http_stop has to answer at last */
};

/* HANDLING -> ANSWERED: the handler answered before it returned, or while the request was kept.
 * HANDLING -> SUSPENDED -> ANSWERED: somebody did later. COMPLETED: the connection is done with it. */
typedef enum request_state { HANDLING, SUSPENDED, ANSWERED, COMPLETED } request_state;

struct http_request {
    http_server *server;
    struct MHD_Connection *connection;
    http_link *link;
    char *method, *path, *raw_path, *query; /* all but the method are set once it is admitted */
    rl_buf body;
    size_t received;
    const char *version;     /* "HTTP/1.1" */
    const void *sent_method; /* where the head begins; only its place counts */
    bool has_body, too_large;
    bool refused;          /* it was answered by its head alone */
    bool handled, counted; /* it was handed on; it is one of server->kept */
    atomic_bool kept;
    atomic_bool claimed;    /* somebody answers or has answered */
    atomic_int state, refs; /* one of the connection, one of who answers */
    bool listed;            /* among the suspended */
    int status;
    struct MHD_Response *response;
    void (*after)(void *arg, bool sent);
    void *arg;
    http_request *prev, *next;
};

http_request *http_request_new(http_server *server, struct MHD_Connection *connection,
                               const char *method);
void http_request_unref(http_request *req);
/* Lists a request that will be answered later, for http_stop; and takes it off again. */
void http_request_suspend(http_request *req);
void http_request_forget(http_request *req);

void http_request_count_kept(http_request *req, bool kept);

/* answer.c; last: the connection is closed after it */
enum MHD_Result http_send_problem(struct MHD_Connection *connection, int status, bool last,
                                  const char *detail);
enum MHD_Result http_send_answer(http_request *req);

/* admit.c: looks at a request's head; sets its paths, or refuses it */
enum MHD_Result http_admit(http_request *req);

#endif
