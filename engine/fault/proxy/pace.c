/* When a connection goes on: reading as fast as the sink takes, and the timer of what waits. Who is
 * called then is the connection's business (conn.c). */
#include "base/clock.h"
#include "fault/proxy/internal.h"

bool stream_sink_open(const proxy_stream *st)
{
    return !st->conn->closing && !st->shut && !(st->dir == PROTO_DOWN && st->conn->client_gone);
}

uint64_t stream_unwanted(const proxy_stream *st)
{
    const proxy_conn *conn = st->conn;
    return conn->session ? proto_unwanted(conn->session, st->dir) : PROTO_ALL;
}

/* Whether nobody stands between source and sink. */
bool stream_is_free(const proxy_stream *st)
{
    return !st->stages && !st->blocked && !st->swallow && stream_sink_open(st);
}

bool pipe_fits(const proxy_stream *st)
{
    if (!st->bulk || st->no_pipe || !stream_is_free(st))
        return false;
    return st->passing || stream_unwanted(st) >= PROXY_UNSEEN;
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
        st->reading =
            uv_read_start((uv_stream_t *)st->source, st->conn->on_alloc, st->conn->on_read) == 0;
    }
}

void conn_schedule(proxy_conn *conn)
{
    if (conn->closing)
        return;
    int64_t due = conn->held_until ? conn->held_until : INT64_MAX;
    for (int dir = 0; dir < 2; dir++) {
        int64_t at = stage_due(&conn->stream[dir]);
        due = at < due ? at : due;
    }
    if (due == INT64_MAX) {
        uv_timer_stop(&conn->timer);
        return;
    }
    int64_t wait = due - clock_ns();
    uv_update_time(conn->proxy->loop);
    uv_timer_start(&conn->timer, conn->on_due, wait > 0 ? (uint64_t)((wait + 999999) / 1000000) : 0,
                   0);
}
