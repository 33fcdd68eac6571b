/* Connections: a client on one side, the upstream on the other, a stream for each direction. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fault/proxy/internal.h"

/* ---- the end ---- */

static void conn_gone(proxy_conn *conn)
{
    if (--conn->handles > 0)
        return;
    rl_proxy *proxy = conn->proxy;
    for (int dir = 0; dir < 2; dir++) {
        stage_free_all(&conn->stream[dir]);
        pipe_give_back(&conn->stream[dir]);
        buf_free(&conn->stream[dir].waiting);
        buf_free(&conn->stream[dir].cork);
    }
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

static void drop_held(proxy_conn *conn)
{
    proxy_held *held = conn->held;
    if (!held)
        return;
    conn->held = NULL;
    rule_forget_held(held->rule, held);
    free(held->data);
    free(held);
}

static bool begin_end(proxy_conn *conn)
{
    if (conn->closing)
        return false;
    conn->closing = true;
    if (conn->held)
        wire_event(conn, "the held request is lost: its connection ended", conn->held->rule);
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

void conn_cut_client(proxy_conn *conn)
{
    if (conn->client_gone || conn->closing)
        return;
    conn->client_gone = true;
    close_handle((uv_handle_t *)&conn->client);
}

/* ---- held requests ---- */

void conn_hold(proxy_conn *conn, proxy_rule *rule, const proto_msg *msg, proto_pending pending,
               double seconds, bool late)
{
    proxy_held *held = mem_alloc(sizeof *held);
    *held = (proxy_held){.conn = conn,
                         .rule = rule,
                         .len = msg->len,
                         .late = late,
                         .data = mem_dup(msg->data, msg->len),
                         .pending = pending};
    held->next = rule->held;
    rule->held = held;
    conn->held = held;
    conn->held_until = seconds > 0 ? clock_ns() + (int64_t)(seconds * 1e9) : 0;
    conn->stream[PROTO_UP].blocked = true;
    conn_schedule(conn);
    if (late)
        conn_cut_client(conn);
}

static void unblock(proxy_stream *st)
{
    st->blocked = false;
    rl_buf waiting = st->waiting;
    st->waiting = (rl_buf){0};
    if (waiting.len && !st->conn->client_gone)
        stream_feed(st, waiting.data, waiting.len);
    buf_free(&waiting);
    if (st->eof && !st->blocked && !st->conn->client_gone && !st->conn->closing)
        stream_source_ended(st);
    stream_flow(st);
}

bool conn_release(proxy_conn *conn)
{
    proxy_held *held = conn->held;
    if (!held || conn->closing)
        return false;
    conn->held = NULL;
    conn->held_until = 0;
    rule_forget_held(held->rule, held);
    held->rule->released++;
    wire_event(conn, "released", held->rule);
    if (held->late)
        held->pending.wanted = true;
    proto_inject(conn->session, held->data, held->len, held->pending);
    stream_flush(&conn->stream[PROTO_UP]);
    free(held->data);
    free(held);
    unblock(&conn->stream[PROTO_UP]);
    return true;
}

/* ---- time ---- */

static void on_timer(uv_timer_t *timer)
{
    proxy_conn *conn = timer->data;
    if (conn->held_until && clock_ns() >= conn->held_until)
        conn_release(conn);
    for (int dir = 0; dir < 2 && !conn->closing; dir++) {
        stage_tick(&conn->stream[dir]);
        stream_flow(&conn->stream[dir]);
    }
    conn_schedule(conn);
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
    uv_timer_start(&conn->timer, on_timer, wait > 0 ? (uint64_t)((wait + 999999) / 1000000) : 0, 0);
}

/* ---- the beginning ---- */

static void on_connected(uv_connect_t *req, int status)
{
    proxy_conn *conn = req->data;
    if (conn->closing)
        return;
    if (status < 0) {
        conn->gate->refused++;
        conn_cut(conn);
        return;
    }
    uv_tcp_nodelay(&conn->server, 1);
    conn->connected = true;
    stage_attach(&conn->stream[PROTO_UP]);
    stage_attach(&conn->stream[PROTO_DOWN]);
    conn_schedule(conn);
    stream_flow(&conn->stream[PROTO_UP]);
    stream_flow(&conn->stream[PROTO_DOWN]);
}

static void dial(proxy_conn *conn, const struct sockaddr *at)
{
    conn->connect.data = conn;
    if (uv_tcp_connect(&conn->connect, &conn->server, at, on_connected) == 0)
        return;
    conn->gate->refused++;
    conn_cut(conn);
}

static void on_found(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    proxy_conn *conn = req->data;
    conn->looking = false;
    if (!conn->closing && status == 0 && found) {
        dial(conn, found->ai_addr);
    } else if (!conn->closing) {
        conn->gate->refused++;
        conn_cut(conn);
    }
    uv_freeaddrinfo(found);
    conn_gone(conn);
}

static void look_up(proxy_conn *conn)
{
    proxy_gate *gate = conn->gate;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    if (uv_ip4_addr(gate->host, atoi(gate->port), &four) == 0) {
        dial(conn, (const struct sockaddr *)&four);
        return;
    }
    if (uv_ip6_addr(gate->host, atoi(gate->port), &six) == 0) {
        dial(conn, (const struct sockaddr *)&six);
        return;
    }
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    conn->lookup.data = conn;
    if (uv_getaddrinfo(conn->proxy->loop, &conn->lookup, on_found, gate->host, gate->port,
                       &hints) == 0) {
        conn->looking = true;
        conn->handles++;
        return;
    }
    gate->refused++;
    conn_cut(conn);
}

static bool wants(void *arg, int api)
{
    return rules_want(arg, api);
}

static proto_verdict on_request(void *arg, const proto_msg *msg, proto_pending *pending)
{
    return rules_on_request(arg, msg, pending);
}

static proto_verdict on_response(void *arg, const proto_msg *msg, const proto_pending *pending)
{
    return rules_on_response(arg, msg, pending);
}

static proto_failure failure(void *arg)
{
    return ((proxy_conn *)arg)->failure;
}

static void link_conn(proxy_gate *gate, proxy_conn *conn)
{
    conn->next = gate->conns;
    if (gate->conns)
        gate->conns->prev = conn;
    gate->conns = conn;
    conn->number = ++gate->proxy->conns;
    gate->accepted++;
}

static void init_handles(proxy_conn *conn)
{
    uv_loop_t *loop = conn->proxy->loop;
    uv_tcp_init(loop, &conn->client);
    uv_tcp_init(loop, &conn->server);
    uv_timer_init(loop, &conn->timer);
    conn->client.data = conn->server.data = conn->timer.data = conn;
    conn->handles = 3;
    proxy_handle_opened(conn->proxy);
}

void conn_accept(proxy_gate *gate)
{
    proxy_conn *conn = mem_zero(sizeof *conn);
    conn->proxy = gate->proxy;
    conn->gate = gate;
    init_handles(conn);
    link_conn(gate, conn);
    conn->stream[PROTO_UP] = (proxy_stream){
        .conn = conn, .dir = PROTO_UP, .source = &conn->client, .sink = &conn->server};
    conn->stream[PROTO_DOWN] = (proxy_stream){
        .conn = conn, .dir = PROTO_DOWN, .source = &conn->server, .sink = &conn->client};
    if (gate->proto != PROTO_TCP) {
        proto_host host = {conn, conn_emit, wants, on_request, on_response, failure};
        conn->session = proto_open(gate->proto, &host);
    }
    if (uv_accept((uv_stream_t *)gate->listener, (uv_stream_t *)&conn->client) != 0) {
        conn_cut(conn);
        return;
    }
    uv_tcp_nodelay(&conn->client, 1);
    look_up(conn);
}
