/* A Redis connection.
 *
 * Offers: redisc_conn, one blocking connection with typed RESP3 replies (hiredis' redisReply),
 * deadlines that hold for the whole call and a cancel from another thread. RESP3 is asked for by
 * HELLO; a server that does not know it is spoken to in RESP2 and redisc_fallback() says why. Push
 * messages are kept apart from replies, in a bounded queue. After a timeout, a cancel or a lost
 * connection it is broken: every call says so until redisc_connect() is called again, so that a
 * late reply is never taken for the answer of another call. Errors: domain RL_REDIS; the name is
 * the server's own word (MOVED, WRONGTYPE, ...), TIMEOUT, CONNECTION_LOST, BROKEN, PROTOCOL or,
 * while connecting, errno's (ECONNREFUSED); CANCELLED is RL_LAB. `retriable`: the same call may
 * succeed later; `fatal`: only after redisc_connect(). A handshake that fails is TLS.
 * Uses: hiredis for the protocol, own sockets, OpenSSL. Thread: one at a time; redisc_cancel from any. */
#ifndef RL_REDIS_CONN_H
#define RL_REDIS_CONN_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct redisc_conn redisc_conn;

typedef enum redisc_tls_mode {
    REDISC_TLS_OFF = 0,
    REDISC_TLS_ON,    /* encrypted, the server's certificate is not looked at */
    REDISC_TLS_VERIFY /* it must fit `ca` (NULL: the system's) and the host */
} redisc_tls_mode;

typedef struct redisc_tls {
    redisc_tls_mode mode;
    const char *ca, *cert,
        *key; /* files in PEM form; cert and key: our own, where it is asked for */
} redisc_tls;

typedef struct redisc_opts {
    const char *host; /* NULL: 127.0.0.1 */
    int port;
    const char *socket;                        /* a Unix socket's path, instead of host and port */
    const char *user, *password, *client_name; /* a user without a password: nopass of the ACL */
    redisc_tls tls;
    int db;
    int resp;                        /* 3 or 2 */
    double connect_timeout, timeout; /* seconds; 0: for ever */
} redisc_opts;

redisc_tls redisc_tls_copy(const redisc_tls *tls); /* to be freed */
void redisc_tls_free(redisc_tls *tls);

redisc_conn *redisc_new(const redisc_opts *opts); /* copies opts, does not connect */
rl_err *redisc_connect(redisc_conn *conn);        /* also mends a broken connection */
void redisc_cancel(redisc_conn *conn);
void redisc_free(redisc_conn *conn);

int redisc_resp(const redisc_conn *conn);
/* Why RESP2 is spoken though 3 was asked for, or NULL. */
const char *redisc_fallback(const redisc_conn *conn);
/* Why it can no longer be used, or NULL; between calls the socket is looked at. */
const char *redisc_broken(redisc_conn *conn);
void redisc_set_timeout(redisc_conn *conn, double seconds);

/* One command. *reply is the caller's (freeReplyObject) and never an error: those come back as
 * rl_err. */
rl_err *redisc_call(redisc_conn *conn, int argc, const char *const *argv, const size_t *lens,
                    redisReply **reply);
/* hiredis' %s %b %d formats */
rl_err *redisc_callf(redisc_conn *conn, redisReply **reply, const char *fmt, ...);

/* The next push message, waiting at most `seconds`; TIMEOUT when there is none, which leaves the
 * connection whole. */
rl_err *redisc_push(redisc_conn *conn, double seconds, redisReply **message);
unsigned long redisc_pushes_dropped(const redisc_conn *conn);

/* The error that an error reply stands for. */
rl_err *redisc_reply_err(const redisReply *reply);

#endif
