/* Connections: a client on one side, the upstream on the other, a stream for each direction. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fault/proxy/internal.h"

/* ---- what libuv calls ---- */

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
    else if (!stream_keeps_held(st))
        conn_reset(st->conn);
}

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

static void remember_client(proxy_conn *conn, const proto_msg *msg)
{
    size_t n =
        msg->client.len < sizeof conn->client_id - 1 ? msg->client.len : sizeof conn->client_id - 1;
    memcpy(conn->client_id, msg->client.data ? msg->client.data : "", n);
    conn->client_id[n] = 0;
}

static proto_verdict on_request(void *arg, const proto_msg *msg, proto_pending *pending)
{
    remember_client(arg, msg);
    watches_on_request(arg, msg, pending);
    return rules_on_request(arg, msg, pending);
}

static proto_verdict on_response(void *arg, const proto_msg *msg, const proto_pending *pending)
{
    watches_on_response(arg, msg, pending);
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
    conn->on_due = on_timer;
    conn->on_alloc = on_alloc;
    conn->on_read = on_read;
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
