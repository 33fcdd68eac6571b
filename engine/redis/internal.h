/* What the files of engine/redis share and nobody else needs. Uses: redis/conn, base/deadline. Thread: as
 * there. */
#ifndef RL_REDIS_INTERNAL_H
#define RL_REDIS_INTERNAL_H

#include <pthread.h>

#include "base/deadline.h"
#include "redis/conn.h"

/* ELEMENTS: of one array, set or map; a server that announces more is not waited for. */
enum { REDISC_PUSH_MAX = 65536, REDISC_ELEMENTS_MAX = 1 << 24 };

struct redisc_conn {
    redisc_opts opts;     /* its strings are owned */
    pthread_mutex_t lock; /* guards fd and cancelled, which redisc_cancel touches */
    int fd;
    bool cancelled;
    redisContext *ctx;
    int resp;
    char *fallback, *broken;
    redisReply **pushes; /* a ring */
    size_t push_head, push_count, push_cap;
    unsigned long pushes_dropped;
};

/* Makes the connection unusable and says why; returns err, or CANCELLED in its place when
 * redisc_cancel was the cause (broken.c). */
rl_err *redisc_break(redisc_conn *conn, rl_err *err);
rl_err *redisc_usable(redisc_conn *conn); /* NULL or BROKEN */

/* Sockets (net.c): connects and sets conn->fd, which redisc_cancel may shut down meanwhile. */
rl_err *redisc_dial(redisc_conn *conn, rl_deadline deadline);
void redisc_hang_up(redisc_conn *conn);

/* Whether the server has closed a connection that nobody is reading. */
bool redisc_hung_up(const redisc_conn *conn);

/* Sends what lies in the context's buffer and waits for one reply or push message of any kind
 * (io.c). Breaks the connection on every failure. */
rl_err *redisc_receive(redisc_conn *conn, rl_deadline deadline, redisReply **reply);
/* The same without waiting longer than the deadline being fatal: *reply NULL when nothing came. */
rl_err *redisc_try_receive(redisc_conn *conn, rl_deadline deadline, redisReply **reply);
/* Sends as much as goes without waiting; the rest goes when a reply is waited for. */
rl_err *redisc_send_some(redisc_conn *conn);
void redisc_drop_pushes(redisc_conn *conn);
void redisc_keep_push(redisc_conn *conn, redisReply *message);

#endif
