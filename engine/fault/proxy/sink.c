/* To the sink: what goes on behind the toxics, as fast as the sink takes it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "fault/proxy/internal.h"

enum { WAKE = 4 << 10 }; /* waits in memory until the sink takes more */

typedef struct write_req {
    uv_write_t req;
    proxy_stream *st;
    size_t len;
    char data[];
} write_req;

static void cut_if_sent(proxy_stream *st)
{
    if (st->cut_when_sent && st->unsent == 0)
        conn_cut(st->conn);
}

static void on_written(uv_write_t *req, int status)
{
    write_req *w = (write_req *)req;
    proxy_stream *st = w->st;
    rl_assert(st->unsent >= w->len);
    st->unsent -= w->len;
    free(w);
    if (st->conn->closing)
        return;
    if (status < 0) {
        conn_cut(st->conn);
        return;
    }
    pipe_drain(st);
    cut_if_sent(st);
    stream_flow(st);
}

void stream_write_later(proxy_stream *st, const char *data, size_t len)
{
    rl_assert(len > 0 && len <= UINT_MAX);
    write_req *w = mem_alloc(sizeof *w + len);
    w->st = st;
    w->len = len;
    memcpy(w->data, data, len);
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)len);
    st->unsent += len;
    if (uv_write(&w->req, (uv_stream_t *)st->sink, &buf, 1, on_written) == 0)
        return;
    st->unsent -= len;
    free(w);
    conn_cut(st->conn);
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
    int sink = pipe_tcp_fd(st->sink);
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

/* What the pipe holds joins what waits in memory, so that more can follow it. */
static void settle_pipe(proxy_stream *st)
{
    char *piece = pipe_held(st) ? mem_alloc(PROXY_BULK) : NULL;
    for (size_t n; piece && (n = pipe_take(st, piece, PROXY_BULK)) > 0;)
        stream_write_later(st, piece, n);
    free(piece);
}

void stream_deliver(proxy_stream *st, const char *data, size_t len)
{
    if (!stream_sink_open(st) || len == 0)
        return;
    st->bytes += len;
    if (pipe_join(st, data, len))
        return;
    pipe_drain(st);
    int n = 0;
    if (st->unsent == 0) {
        uv_buf_t buf = uv_buf_init((char *)data, (unsigned)len);
        n = uv_try_write((uv_stream_t *)st->sink, &buf, 1);
        if (n < 0 && n != UV_EAGAIN) {
            conn_cut(st->conn);
            return;
        }
        n = n < 0 ? 0 : n;
    }
    if ((size_t)n < len) {
        settle_pipe(st);
        stream_write_later(st, data + n, len - (size_t)n);
        stream_flow(st);
    }
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    proxy_conn *conn = req->data;
    free(req);
    (void)status;
    if (!conn->closing && conn->stream[PROTO_UP].shut && conn->stream[PROTO_DOWN].shut)
        conn_cut(conn);
}

void stream_end(proxy_stream *st)
{
    if (st->shut || st->conn->closing)
        return;
    if (!stream_sink_open(st)) {
        conn_cut(st->conn);
        return;
    }
    pipe_drain(st);
    settle_pipe(st);
    st->shut = true;
    uv_shutdown_t *req = mem_alloc(sizeof *req);
    req->data = st->conn;
    if (uv_shutdown(req, (uv_stream_t *)st->sink, on_shutdown) == 0)
        return;
    free(req);
    conn_cut(st->conn);
}
