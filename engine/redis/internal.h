/* What the files of engine/redis share and nobody else needs. Uses: redis/conn, base/deadline. Thread: as
 * there. */
#ifndef RL_REDIS_INTERNAL_H
#define RL_REDIS_INTERNAL_H

#include <openssl/ssl.h>
#include <pthread.h>

#include "base/deadline.h"
#include "redis/conn.h"

/* What a server may send. PUSH_MAX, PUSH_BYTES: push messages that nobody has asked for yet; the oldest are
 * forgotten. ELEMENTS, BYTES, DEPTH: of one reply, with all that is nested in it (BYTES is the most that
 * Redis lets a string have); one that goes beyond breaks the connection. */
enum {
    REDISC_PUSH_MAX = 65536,
    REDISC_PUSH_BYTES = 64 << 20,
    REDISC_ELEMENTS_MAX = 1 << 24,
    REDISC_BYTES_MAX = 512 << 20,
    REDISC_DEPTH_MAX = 32
};

typedef struct redisc_push_slot {
    redisReply *message;
    size_t bytes;
} redisc_push_slot;

struct redisc_conn {
    redisc_opts opts;     /* its strings are owned */
    pthread_mutex_t lock; /* guards fd and cancelled, which redisc_cancel touches */
    int fd;
    bool cancelled;
    redisContext *ctx;
    SSL *ssl;                /* NULL: plain */
    redisContextFuncs funcs; /* hiredis', but for reading and writing through ssl */
    int resp;
    char *fallback, *broken;
    redisReplyObjectFunctions objects; /* hiredis', but for arrays, which are counted */
    void *(*make_array)(const redisReadTask *, size_t);
    size_t elements, bytes;   /* of the reply that is being read */
    const char *beyond;       /* the bound that it broke, or NULL */
    redisc_push_slot *pushes; /* a ring */
    size_t push_head, push_count, push_cap, push_bytes;
    unsigned long pushes_dropped;
};

/* Makes the connection unusable and says why; returns err, or CANCELLED in its place when
 * redisc_cancel was the cause (broken.c). */
rl_err *redisc_break(redisc_conn *conn, rl_err *err);
rl_err *redisc_usable(redisc_conn *conn); /* NULL or BROKEN */

/* Sockets (net.c): connects and sets conn->fd, which redisc_cancel may shut down meanwhile. */
rl_err *redisc_dial(redisc_conn *conn, rl_deadline deadline);
void redisc_hang_up(redisc_conn *conn);

/* TLS (tls.c), where the options ask for it: the handshake on conn->fd; then the context's bytes go through
 * it. */
rl_err *redisc_tls_start(redisc_conn *conn, rl_deadline deadline);
void redisc_tls_adopt(redisc_conn *conn);
bool redisc_tls_hung_up(redisc_conn *conn);
void redisc_tls_end(redisc_conn *conn);

/* Whether the server has closed a connection that nobody is reading. */
bool redisc_hung_up(redisc_conn *conn);

/* Sends what lies in the context's buffer and waits for one reply or push message of any kind
 * (io.c). Breaks the connection on every failure. */
rl_err *redisc_receive(redisc_conn *conn, rl_deadline deadline, redisReply **reply);
/* The same without waiting longer than the deadline being fatal: *reply NULL when nothing came. */
rl_err *redisc_try_receive(redisc_conn *conn, rl_deadline deadline, redisReply **reply);
/* Sends as much as goes without waiting; the rest goes when a reply is waited for. */
rl_err *redisc_send_some(redisc_conn *conn);
void redisc_bound_replies(redisc_conn *conn); /* of a new context (bound.c) */
bool redisc_within_bytes(redisc_conn *conn, size_t come);
void redisc_reply_ended(redisc_conn *conn);
size_t redisc_weight(const redisReply *reply); /* the memory that it takes, about */
void redisc_drop_pushes(redisc_conn *conn);
void redisc_keep_push(redisc_conn *conn, redisReply *message);

#endif
