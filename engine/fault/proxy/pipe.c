/* Bytes that nobody wants to see: from socket to socket by splice, through a pipe, without a
 * copy in this process. A message's first bytes are read as ever, and join the pipe, where its
 * parser can say how long a message is. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault/proxy/internal.h"

enum {
    TURN = 8 * PROXY_PIPE, /* then others have their turn */
    SMALLEST = 64 << 10,   /* of a pipe; less is no faster than reads */
    LEAVE = 16 << 10,      /* a turn of less: back to reads */
    WAKE = 4 << 10,        /* waits in memory until the sink takes more */
    HEAD_MAX = 64,
};

/* ---- pipes ---- */

static proxy_pipe *pipe_open(void)
{
    int fd[2];
    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
        return NULL;
    (void)fcntl(fd[1], F_SETPIPE_SZ, PROXY_PIPE); /* refused beyond the user's share */
    if (fcntl(fd[1], F_GETPIPE_SZ) < SMALLEST) {
        close(fd[0]);
        close(fd[1]);
        return NULL;
    }
    proxy_pipe *pipe = mem_zero(sizeof *pipe);
    pipe->from = fd[0];
    pipe->to = fd[1];
    return pipe;
}

static void pipe_close(proxy_pipe *pipe)
{
    close(pipe->from);
    close(pipe->to);
    free(pipe);
}

static bool pipe_get(proxy_stream *st)
{
    rl_proxy *proxy = st->conn->proxy;
    if (st->pipe)
        return true;
    st->pipe = proxy->pipes;
    if (st->pipe)
        proxy->pipes = st->pipe->next;
    else
        st->pipe = pipe_open();
    return st->pipe != NULL;
}

void pipe_give_back(proxy_stream *st)
{
    proxy_pipe *pipe = st->pipe;
    rl_proxy *proxy = st->conn->proxy;
    st->pipe = NULL;
    if (!pipe)
        return;
    if (pipe->held) {
        pipe_close(pipe);
        return;
    }
    pipe->next = proxy->pipes;
    proxy->pipes = pipe;
}

void pipe_free_all(rl_proxy *proxy)
{
    while (proxy->pipes) {
        proxy_pipe *pipe = proxy->pipes;
        proxy->pipes = pipe->next;
        pipe_close(pipe);
    }
}

size_t pipe_held(const proxy_stream *st)
{
    return st->pipe ? st->pipe->held : 0;
}

static int fd_of(const uv_tcp_t *tcp)
{
    uv_os_fd_t fd = -1;
    return uv_fileno((const uv_handle_t *)tcp, &fd) == 0 ? fd : -1;
}

/* ---- out of the pipe ---- */

size_t pipe_take(proxy_stream *st, char *to, size_t most)
{
    size_t held = pipe_held(st);
    ssize_t n = held ? read(st->pipe->from, to, most < held ? most : held) : 0;
    if (n <= 0)
        return 0;
    st->pipe->held -= (size_t)n;
    return (size_t)n;
}

/* libuv says when the sink takes more, if it has something to write there: so the first bytes go
 * that way. */
static void wake_when_writable(proxy_stream *st)
{
    char first[WAKE];
    size_t n = pipe_take(st, first, sizeof first);
    if (n)
        stream_write_later(st, first, n);
}

void pipe_drain(proxy_stream *st)
{
    int sink = fd_of(st->sink);
    while (pipe_held(st) && st->unsent == 0 && !st->conn->closing) {
        ssize_t n = splice(st->pipe->from, NULL, sink, NULL, st->pipe->held,
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n > 0)
            st->pipe->held -= (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            wake_when_writable(st);
        else if (n == 0 || errno != EINTR)
            conn_cut(st->conn);
    }
    if (st->pipe && !st->pipe->held && !st->filling)
        pipe_give_back(st);
}

/* ---- into the pipe ---- */

bool pipe_join(proxy_stream *st, const char *data, size_t len)
{
    if (!st->filling || len > PIPE_BUF || write(st->pipe->to, data, len) != (ssize_t)len)
        return false;
    st->pipe->held += len;
    return true;
}

static uint64_t unseen(const proxy_stream *st)
{
    const proxy_conn *conn = st->conn;
    return conn->session ? proto_unseen(conn->session, st->dir) : PROTO_ALL;
}

static uint64_t unwanted(const proxy_stream *st)
{
    const proxy_conn *conn = st->conn;
    return conn->session ? proto_unwanted(conn->session, st->dir) : PROTO_ALL;
}

/* Whether nobody stands between source and sink. */
static bool is_free(const proxy_stream *st)
{
    return !st->stages && !st->blocked && !st->swallow && stream_sink_open(st);
}

bool pipe_fits(const proxy_stream *st)
{
    if (!st->bulk || st->no_pipe || !is_free(st))
        return false;
    return st->passing || unwanted(st) >= PROXY_UNSEEN;
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
    ssize_t n = recv(fd_of(st->source), head, proto_head(st->conn->session, st->dir), 0);
    if (n > 0)
        stream_feed(st, head, (size_t)n);
    st->passing = n <= 0 || unwanted(st) >= PROXY_UNSEEN;
    return outcome(n);
}

static ssize_t fill(proxy_stream *st, uint64_t most)
{
    ssize_t n =
        splice(fd_of(st->source), NULL, st->pipe->to, NULL,
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
    while (moved < TURN && st->passing && st->unsent == 0 && is_free(st)) {
        uint64_t most = unseen(st);
        n = most ? fill(st, most) : see_head(st);
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
