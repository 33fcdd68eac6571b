/* Bytes that nobody wants to see: from socket to socket by splice, through a pipe, without a
 * copy in this process. A message's first bytes are read as ever, and join the pipe, where its
 * parser can say how long a message is. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "fault/proxy/internal.h"

enum {
    TURN = 8 * PROXY_PIPE, /* then others have their turn */
    LEAVE = 16 << 10,      /* a turn of less: back to reads */
    HEAD_MAX = 64,
};

static uint64_t unseen(const proxy_stream *st)
{
    const proxy_conn *conn = st->conn;
    return conn->session ? proto_unseen(conn->session, st->dir) : PROTO_ALL;
}

static ssize_t outcome(ssize_t n)
{
    if (n == 0)
        return UV_EOF;
    if (n > 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* The beginning of the next message decides whether it goes this way, too. */
static ssize_t see_head(proxy_stream *st)
{
    char head[HEAD_MAX];
    ssize_t n = recv(pipe_tcp_fd(st->source), head, proto_head(st->conn->session, st->dir), 0);
    if (n > 0)
        stream_feed(st, head, (size_t)n);
    st->passing = n <= 0 || stream_unwanted(st) >= PROXY_UNSEEN;
    return outcome(n);
}

static ssize_t fill_pipe(proxy_stream *st, uint64_t most)
{
    ssize_t n =
        splice(pipe_tcp_fd(st->source), NULL, st->pipe->to, NULL,
               most < PROXY_PIPE ? (size_t)most : PROXY_PIPE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n <= 0)
        return outcome(n);
    st->pipe->held += (size_t)n;
    st->bytes += (uint64_t)n;
    if (st->conn->session) {
        proto_passed(st->conn->session, st->dir, (size_t)n);
        stream_flush(st);
    }
    return n;
}

/* A full pipe and an empty source look the same; what is in the pipe goes on in either case. */
ssize_t pipe_pass(proxy_stream *st)
{
    ssize_t n = 0;
    size_t moved = 0;
    if (!pipe_get(st)) {
        st->no_pipe = true;
        return 0;
    }
    st->filling = st->passing = true;
    while (moved < TURN && st->passing && st->unsent == 0 && stream_is_free(st)) {
        uint64_t most = unseen(st);
        n = most ? fill_pipe(st, most) : see_head(st);
        if (n <= 0)
            break;
        moved += (size_t)n;
        if (pipe_held(st) >= PROXY_PIPE / 2)
            pipe_drain(st);
    }
    st->filling = false;
    pipe_drain(st);
    st->bulk = st->passing = st->passing && moved >= LEAVE;
    return n < 0 ? n : (ssize_t)moved;
}
