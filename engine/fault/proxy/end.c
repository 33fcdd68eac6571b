/* How connections end: both sides at once, with a reset, or the client alone. */
#include <stdlib.h>

#include "base/assert.h"
#include "fault/proxy/internal.h"

void conn_gone(proxy_conn *conn)
{
    rl_assert(conn->handles > 0);
    if (--conn->handles > 0)
        return;
    rl_proxy *proxy = conn->proxy;
    for (int dir = 0; dir < 2; dir++) {
        stage_free_all(&conn->stream[dir]);
        pipe_give_back(&conn->stream[dir]);
        buf_free(&conn->stream[dir].waiting);
        buf_free(&conn->stream[dir].cork);
    }
    rl_assert(conn->closing && !conn->held);
    proto_close(conn->session);
    free(conn);
    proxy_handle_closed(proxy);
}

static void on_closed(uv_handle_t *handle)
{
    conn_gone(handle->data);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void reset_handle(uv_tcp_t *tcp)
{
    if (uv_is_closing((uv_handle_t *)tcp))
        return;
    if (uv_tcp_close_reset(tcp, on_closed) != 0)
        uv_close((uv_handle_t *)tcp, on_closed);
}

static void unlink_conn(proxy_conn *conn)
{
    proxy_gate *gate = conn->gate;
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        gate->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    for (int dir = 0; dir < 2; dir++)
        gate->bytes[dir] += conn->stream[dir].bytes;
    gate->opaque += conn->session && proto_opaque(conn->session);
}

void held_unlink(proxy_rule *rule, proxy_held *held)
{
    proxy_held **at = &rule->held;
    while (*at && *at != held)
        at = &(*at)->next;
    if (*at)
        *at = held->next;
}

static void drop_held(proxy_conn *conn)
{
    proxy_held *held = conn->held;
    if (!held)
        return;
    conn->held = NULL;
    held_unlink(held->rule, held);
    free(held->data);
    free(held);
}

static bool begin_end(proxy_conn *conn)
{
    if (conn->closing)
        return false;
    conn->closing = true;
    if (conn->held)
        traffic_event(conn, "the held request is lost: its connection ended", conn->held->rule);
    drop_held(conn);
    unlink_conn(conn);
    if (conn->looking)
        uv_cancel((uv_req_t *)&conn->lookup);
    close_handle((uv_handle_t *)&conn->timer);
    return true;
}

void conn_cut(proxy_conn *conn)
{
    if (!begin_end(conn))
        return;
    close_handle((uv_handle_t *)&conn->client);
    close_handle((uv_handle_t *)&conn->server);
}

void conn_reset(proxy_conn *conn)
{
    if (!begin_end(conn))
        return;
    reset_handle(&conn->client);
    reset_handle(&conn->server);
}

/* Where the upstream has ended too, no response can come any more, and nobody would notice. */
void conn_cut_client(proxy_conn *conn)
{
    if (conn->client_gone || conn->closing)
        return;
    conn->client_gone = true;
    close_handle((uv_handle_t *)&conn->client);
    if (conn->stream[PROTO_DOWN].eof)
        conn_cut(conn);
}
