/* From the source: what one side says is parsed, passes the toxics and goes on, in as few pieces as it
 * came in. */
#include <string.h>

#include "base/clock.h"
#include "fault/proxy/internal.h"

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

bool stream_keeps_held(proxy_stream *st)
{
    if (st->dir != PROTO_UP || !st->conn->held)
        return false;
    st->conn->held->late = true;
    conn_cut_client(st->conn);
    return true;
}

/* What is held when both sides have ended can no more be answered, and nobody would notice. */
void stream_source_ended(proxy_stream *st)
{
    proxy_conn *conn = st->conn;
    bool over = conn->held && conn->stream[PROTO_UP].eof && conn->stream[PROTO_DOWN].eof;
    if (st->swallow || over || (st->dir == PROTO_DOWN && conn->client_gone)) {
        conn_cut(conn);
        return;
    }
    if (st->blocked) /* its end comes behind what is held */
        return;
    if (conn->session) {
        proto_end(conn->session, st->dir);
        stream_flush(st);
    }
    push(st, NULL, 0, true);
    if (!conn->closing && conn->stream[!st->dir].deaf)
        conn_cut(conn);
}
