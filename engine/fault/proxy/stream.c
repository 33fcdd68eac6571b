/* Streams: what one side says goes to the other, as fast as it takes it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fault/proxy/internal.h"

typedef struct write_req {
    uv_write_t req;
    proxy_stream *st;
    size_t len;
    char data[];
} write_req;

/* ---- to the sink ---- */

static void cut_if_sent(proxy_stream *st)
{
    if (st->cut_when_sent && st->unsent == 0)
        conn_cut(st->conn);
}

static void on_written(uv_write_t *req, int status)
{
    write_req *w = (write_req *)req;
    proxy_stream *st = w->st;
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

/* What the pipe holds joins what waits in memory, so that more can follow it. */
static void settle_pipe(proxy_stream *st)
{
    char *piece = pipe_held(st) ? mem_alloc(PROXY_BULK) : NULL;
    for (size_t n; piece && (n = pipe_take(st, piece, PROXY_BULK)) > 0;)
        stream_write_later(st, piece, n);
    free(piece);
}

bool stream_sink_open(const proxy_stream *st)
{
    return !st->conn->closing && !st->shut && !(st->dir == PROTO_DOWN && st->conn->client_gone);
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

/* ---- from the source ---- */

static void push(proxy_stream *st, const char *data, size_t len, bool eof)
{
    if (!st->stages) {
        if (eof)
            stream_end(st);
        else
            stream_deliver(st, data, len);
        return;
    }
    proxy_chunk *chunk = mem_alloc(sizeof *chunk + len);
    *chunk = (proxy_chunk){.at = clock_ns(), .eof = eof, .len = len};
    if (len)
        memcpy(chunk->data, data, len);
    stage_push(st, st->stages, chunk);
    stage_tick(st);
    conn_schedule(st->conn);
}

/* What was gathered, then the run of the chunk that follows it. */
void stream_flush(proxy_stream *st)
{
    rl_buf cork = st->cork;
    const char *run = st->run;
    size_t run_len = st->run_len;
    st->cork = (rl_buf){0};
    st->run_len = 0;
    if (cork.len && !st->conn->closing)
        push(st, cork.data, cork.len, false);
    if (run_len && !st->conn->closing)
        push(st, run, run_len, false);
    buf_reset(&cork);
    if (st->cork.data)
        buf_free(&cork);
    else
        st->cork = cork;
}

static bool in_chunk(const proxy_conn *conn, const char *data, size_t len)
{
    return data >= conn->chunk && data + len <= conn->chunk + conn->chunk_len;
}

/* Messages that stand side by side in the chunk go on in one piece and without a copy; others
 * are gathered. So a batch of requests stays one write. */
void conn_emit(void *arg, proto_dir dir, const char *data, size_t len)
{
    proxy_conn *conn = arg;
    proxy_stream *st = &conn->stream[dir];
    if (conn->closing)
        return;
    if (st->run_len && data == st->run + st->run_len && in_chunk(conn, data, len)) {
        st->run_len += len;
        return;
    }
    if (st->run_len || st->cork.len + len > PROXY_CORK)
        stream_flush(st);
    if (conn->closing)
        return;
    if (in_chunk(conn, data, len)) {
        st->run = data;
        st->run_len = len;
    } else if (len <= PROXY_CORK) {
        buf_add(&st->cork, data, len);
    } else {
        push(st, data, len, false);
    }
}

void stream_feed(proxy_stream *st, const char *data, size_t len)
{
    proxy_conn *conn = st->conn;
    if (st->swallow) {
        if (conn->black_hole)
            conn->black_hole->bytes += (int64_t)len;
        return;
    }
    if (!conn->session) {
        push(st, data, len, false);
        return;
    }
    conn->chunk = data;
    conn->chunk_len = len;
    size_t used = proto_feed(conn->session, st->dir, data, len);
    stream_flush(&conn->stream[PROTO_UP]);
    stream_flush(&conn->stream[PROTO_DOWN]);
    conn->chunk_len = 0;
    if (conn->closing)
        return;
    if (used < len && st->swallow)
        stream_feed(st, data + used, len - used);
    else if (used < len)
        buf_add(&st->waiting, data + used, len - used);
    if (conn->client_gone && !conn->held && proto_waiting(conn->session) == 0)
        conn_cut(conn);
}

/* A client that leaves while its request is held: the request is still under way, as in a slow
 * network. */
static bool keeps_held(proxy_stream *st)
{
    if (st->dir != PROTO_UP || !st->conn->held)
        return false;
    st->conn->held->late = true;
    conn_cut_client(st->conn);
    return true;
}

void stream_source_ended(proxy_stream *st)
{
    proxy_conn *conn = st->conn;
    if (st->swallow || (st->dir == PROTO_DOWN && conn->client_gone)) {
        conn_cut(conn);
        return;
    }
    if (keeps_held(st) || st->blocked)
        return;
    if (conn->session) {
        proto_end(conn->session, st->dir);
        stream_flush(st);
    }
    push(st, NULL, 0, true);
    if (!conn->closing && conn->stream[!st->dir].deaf)
        conn_cut(conn);
}

static proxy_stream *stream_of(const void *source)
{
    proxy_conn *conn = ((const uv_handle_t *)source)->data;
    return &conn->stream[source == &conn->client ? PROTO_UP : PROTO_DOWN];
}

/* Without memory libuv reads nothing, and says so: then it is the pipe's turn. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    const proxy_stream *st = stream_of(handle);
    (void)suggested;
    if (st->unsent == 0 && pipe_fits(st))
        *buf = uv_buf_init(NULL, 0);
    else
        *buf = uv_buf_init(st->conn->proxy->chunk, PROXY_READ);
}

static void on_data(proxy_stream *st, const char *data, size_t len)
{
    st->bulk = len >= PROXY_BULK;
    st->passing = false;
    if (st->blocked)
        buf_add(&st->waiting, data, len);
    else
        stream_feed(st, data, len);
}

static void on_read(uv_stream_t *source, ssize_t nread, const uv_buf_t *buf)
{
    proxy_stream *st = stream_of(source);
    bool piped = nread == UV_ENOBUFS && !buf->base;
    if (piped)
        nread = pipe_pass(st);
    else if (nread > 0)
        on_data(st, buf->base, (size_t)nread);
    if (nread >= 0) {
        stream_flow(st);
        return;
    }
    st->eof = true;
    stream_flow(st);
    if (nread == UV_EOF)
        stream_source_ended(st);
    else if (!keeps_held(st))
        conn_reset(st->conn);
}

void stream_flow(proxy_stream *st)
{
    if (st->conn->closing || uv_is_closing((uv_handle_t *)st->source))
        return;
    size_t held = st->unsent + st->waiting.len;
    bool behind = pipe_held(st) || (st->unsent && pipe_fits(st));
    bool full = behind || held > PROXY_HIGH || st->staged > PROXY_STAGED;
    bool may = !behind && held <= PROXY_LOW && st->staged <= PROXY_STAGED;
    if (st->reading && (full || st->eof)) {
        uv_read_stop((uv_stream_t *)st->source);
        st->reading = false;
    } else if (!st->reading && may && !st->eof && st->conn->connected) {
        st->reading = uv_read_start((uv_stream_t *)st->source, on_alloc, on_read) == 0;
    }
}
