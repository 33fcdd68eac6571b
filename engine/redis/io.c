#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "redis/internal.h"

static rl_err *conn_lost(redisc_conn *conn, const char *name, const char *what)
{
    rl_err *err = err_new(RL_REDIS, 0, name, "%s", what);
    err->fatal = true;
    return redisc_break(conn, err);
}

static rl_err *io_failed(redisc_conn *conn)
{
    if (conn->beyond)
        return conn_lost(conn, "PROTOCOL", conn->beyond);
    switch (conn->ctx->err) {
    case REDIS_ERR_EOF:
        return conn_lost(conn, "CONNECTION_LOST", "the server closed the connection");
    case REDIS_ERR_PROTOCOL:
        return conn_lost(conn, "PROTOCOL", conn->ctx->errstr);
    default:
        return conn_lost(conn, "CONNECTION_LOST", conn->ctx->errstr);
    }
}

static bool unsent(const redisc_conn *conn)
{
    return sdslen(conn->ctx->obuf) > 0;
}

/* What has been read already: a reply, or NULL. Attributes are commentary on the reply that
 * follows. */
static rl_err *parsed(redisc_conn *conn, redisReply **reply)
{
    void *r = NULL;
    do {
        freeReplyObject(r);
        r = NULL;
        if (redisGetReplyFromReader(conn->ctx, &r) != REDIS_OK)
            return io_failed(conn);
        if (r)
            redisc_reply_ended(conn);
    } while (r && ((redisReply *)r)->type == REDIS_REPLY_ATTR);
    *reply = r;
    return NULL;
}

static rl_err *move_bytes(redisc_conn *conn, short ready)
{
    int done;
    if ((ready & POLLOUT) && unsent(conn) && redisBufferWrite(conn->ctx, &done) != REDIS_OK)
        return io_failed(conn);
    if (!(ready & (POLLIN | POLLHUP | POLLERR)))
        return NULL;
    size_t before = conn->ctx->reader->len;
    if (redisBufferRead(conn->ctx) != REDIS_OK ||
        !redisc_within_bytes(conn, conn->ctx->reader->len - before))
        return io_failed(conn);
    return NULL;
}

rl_err *redisc_send_some(redisc_conn *conn)
{
    return move_bytes(conn, POLLOUT);
}

/* Bytes that keep coming without ever making up a reply do not outlast the deadline. */
rl_err *redisc_try_receive(redisc_conn *conn, rl_deadline deadline, redisReply **reply)
{
    rl_assert(conn->ctx && !conn->broken);
    *reply = NULL;
    for (int wait_ms = 1;;) {
        rl_err *err = parsed(conn, reply);
        if (err || *reply || wait_ms == 0)
            return err;
        err = unsent(conn) ? move_bytes(conn, POLLOUT) : NULL;
        if (err)
            return err;
        struct pollfd p = {.fd = conn->ctx->fd,
                           .events = (short)(POLLIN | (unsent(conn) ? POLLOUT : 0))};
        wait_ms = deadline_poll_ms(deadline);
        int n = poll(&p, 1, wait_ms);
        if (n < 0 && errno != EINTR)
            return conn_lost(conn, "CONNECTION_LOST", strerror(errno));
        if (n == 0)
            return NULL;
        err = n > 0 ? move_bytes(conn, p.revents) : NULL;
        if (err)
            return err;
    }
}

/* Nor do push messages, which are no answer: what came is kept, but the time is up. */
rl_err *redisc_receive(redisc_conn *conn, rl_deadline deadline, redisReply **reply)
{
    rl_err *err = redisc_try_receive(conn, deadline, reply);
    bool late = *reply && (*reply)->type == REDIS_REPLY_PUSH && deadline_passed(deadline);
    if (err || (*reply && !late))
        return err;
    if (late)
        redisc_keep_push(conn, *reply);
    *reply = NULL;
    return conn_lost(conn, "TIMEOUT",
                     "no reply in time; whether the command was carried out is unknown");
}

/* ---- push messages: a ring that forgets the oldest ---- */

static void pushes_grow(redisc_conn *conn)
{
    size_t cap = conn->push_cap ? conn->push_cap * 2 : 16;
    redisc_push_slot *ring = mem_alloc(cap * sizeof *ring);
    for (size_t i = 0; i < conn->push_count; i++)
        ring[i] = conn->pushes[(conn->push_head + i) % conn->push_cap];
    free(conn->pushes);
    conn->pushes = ring;
    conn->push_cap = cap;
    conn->push_head = 0;
}

static redisReply *pushes_oldest(redisc_conn *conn)
{
    redisc_push_slot oldest = conn->pushes[conn->push_head];
    conn->push_head = (conn->push_head + 1) % conn->push_cap;
    conn->push_count--;
    conn->push_bytes -= oldest.bytes;
    return oldest.message;
}

void redisc_keep_push(redisc_conn *conn, redisReply *message)
{
    rl_assert(message->type == REDIS_REPLY_PUSH);
    rl_assert(conn->push_count <= REDISC_PUSH_MAX);
    redisc_push_slot slot = {message, redisc_weight(message)};
    while (conn->push_count && (conn->push_count == REDISC_PUSH_MAX ||
                                conn->push_bytes + slot.bytes > REDISC_PUSH_BYTES)) {
        freeReplyObject(pushes_oldest(conn));
        conn->pushes_dropped++;
    }
    if (conn->push_count == conn->push_cap)
        pushes_grow(conn);
    conn->pushes[(conn->push_head + conn->push_count++) % conn->push_cap] = slot;
    conn->push_bytes += slot.bytes;
}

void redisc_drop_pushes(redisc_conn *conn)
{
    while (conn->push_count)
        freeReplyObject(pushes_oldest(conn));
    conn->push_head = 0;
}

static rl_err *stray_reply(redisc_conn *conn, redisReply *reply)
{
    freeReplyObject(reply);
    return conn_lost(conn, "PROTOCOL", "the server sent a reply that no command was waiting for");
}

rl_err *redisc_push(redisc_conn *conn, double seconds, redisReply **message)
{
    *message = NULL;
    if (conn->push_count) {
        *message = pushes_oldest(conn);
        return NULL;
    }
    rl_err *err = redisc_usable(conn);
    if (err)
        return err;
    redisReply *reply;
    err = redisc_try_receive(conn, deadline_in(seconds), &reply);
    if (err)
        return err;
    if (reply && reply->type != REDIS_REPLY_PUSH)
        return stray_reply(conn, reply);
    *message = reply;
    if (reply)
        return NULL;
    return err_new(RL_REDIS, 0, "TIMEOUT", "no push message came");
}
