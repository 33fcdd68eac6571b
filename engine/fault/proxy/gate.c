/* Gates: a port that forwards to an upstream. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/document.h"
#include "base/json.h"
#include "fault/proxy/internal.h"

enum { BACKLOG = 511 };

/* "host:port", "[::1]:80", ":80" */
static rl_err *split_address(const char *text, char host[256], char port[8])
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    char *end = NULL;
    long number = colon ? strtol(colon + 1, &end, 10) : -1;
    if (!colon || n > 255 || !*(colon + 1) || *end || number < 0 || number > 65535)
        return err_lab("ADDRESS", "'%s' is no address; write host:port, such as 127.0.0.1:19092",
                       text);
    bool bracket = n > 2 && text[0] == '[' && text[n - 1] == ']';
    memcpy(host, text + bracket, n - 2 * (size_t)bracket);
    host[n - 2 * (size_t)bracket] = 0;
    snprintf(port, 8, "%ld", number);
    return NULL;
}

static rl_err *resolve(const char *text, struct sockaddr_storage *at)
{
    char host[256], port[8];
    rl_err *err = split_address(text, host, port);
    if (err)
        return err;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int wrong = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (wrong)
        return err_lab("ADDRESS", "%s: %s", text, gai_strerror(wrong));
    memcpy(at, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return NULL;
}

static void on_client(uv_stream_t *listener, int status)
{
    if (status == 0)
        conn_accept(listener->data);
}

static void on_listener_closed(uv_handle_t *handle)
{
    rl_proxy *proxy = (rl_proxy *)handle->data;
    free(handle);
    proxy_handle_closed(proxy);
}

static void close_listener(rl_proxy *proxy, uv_tcp_t *listener)
{
    listener->data = proxy;
    uv_close((uv_handle_t *)listener, on_listener_closed);
}

static int bound_port(uv_tcp_t *listener, char text[300])
{
    struct sockaddr_storage at;
    int len = sizeof at;
    char host[INET6_ADDRSTRLEN] = "";
    uv_tcp_getsockname(listener, (struct sockaddr *)&at, &len);
    uv_ip_name((struct sockaddr *)&at, host, sizeof host);
    int port = ntohs(((struct sockaddr_in *)&at)->sin_port);
    snprintf(text, 300, at.ss_family == AF_INET6 ? "[%s]:%d" : "%s:%d", host, port);
    return port;
}

static rl_err *open_listener(proxy_gate *gate)
{
    struct sockaddr_storage at;
    rl_err *err = resolve(gate->listen, &at);
    if (err)
        return err;
    uv_tcp_t *listener = mem_alloc(sizeof *listener);
    uv_tcp_init(gate->proxy->loop, listener);
    proxy_handle_opened(gate->proxy);
    listener->data = gate;
    int wrong = uv_tcp_bind(listener, (struct sockaddr *)&at, 0);
    if (!wrong)
        wrong = uv_listen((uv_stream_t *)listener, BACKLOG, on_client);
    if (wrong) {
        close_listener(gate->proxy, listener);
        return err_lab("LISTEN", "%s: cannot listen at %s: %s", gate->name, gate->listen,
                       uv_strerror(wrong));
    }
    char text[300];
    gate->listener = listener;
    gate->bound = bound_port(listener, text);
    free(gate->listen);
    gate->listen = mem_strdup(text);
    return NULL;
}

static void gate_off(proxy_gate *gate)
{
    if (gate->listener)
        close_listener(gate->proxy, gate->listener);
    gate->listener = NULL;
    while (gate->conns)
        conn_cut(gate->conns);
}

static void gate_free(proxy_gate *gate)
{
    free(gate->name);
    free(gate->listen);
    free(gate->upstream);
    free(gate->owner);
    free(gate);
}

rl_err *proxy_gate_add(rl_proxy *proxy, const proxy_gate_spec *spec)
{
    rl_assert(spec->name && spec->listen && spec->upstream && spec->owner);
    if (gate_find(proxy, spec->name))
        return err_lab("EXISTS", "there is a proxy '%s' already", spec->name);
    proxy_gate *gate = mem_zero(sizeof *gate), **end = &proxy->gates;
    gate->proxy = proxy;
    gate->name = mem_strdup(spec->name);
    gate->listen = mem_strdup(spec->listen);
    gate->upstream = mem_strdup(spec->upstream);
    gate->owner = mem_strdup(spec->owner);
    gate->proto = spec->proto;
    gate->enabled = spec->enabled;
    rl_err *err = split_address(gate->upstream, gate->host, gate->port);
    if (!err && gate->enabled)
        err = open_listener(gate);
    if (err) {
        gate_free(gate);
        return err;
    }
    while (*end)
        end = &(*end)->next;
    *end = gate;
    return NULL;
}

static bool change_text(char **text, const char *to)
{
    if (!to || strcmp(*text, to) == 0)
        return false;
    free(*text);
    *text = mem_strdup(to);
    return true;
}

rl_err *proxy_gate_change(rl_proxy *proxy, const char *name, const char *listen,
                          const char *upstream)
{
    proxy_gate *gate = gate_find(proxy, name);
    if (!gate)
        return gate_unknown(name);
    char host[256], port[8];
    rl_err *err = split_address(upstream ? upstream : gate->upstream, host, port);
    if (err)
        return err;
    memcpy(gate->host, host, sizeof host);
    memcpy(gate->port, port, sizeof port);
    bool moved = change_text(&gate->upstream, upstream);
    bool changed = change_text(&gate->listen, listen) || moved;
    if (!changed)
        return NULL;
    gate_off(gate);
    return gate->enabled ? open_listener(gate) : NULL;
}

rl_err *proxy_gate_enable(rl_proxy *proxy, const char *name, bool enabled)
{
    proxy_gate *gate = gate_find(proxy, name);
    if (!gate)
        return gate_unknown(name);
    if (gate->enabled == enabled)
        return NULL;
    rl_err *err = enabled ? open_listener(gate) : NULL;
    if (!enabled)
        gate_off(gate);
    gate->enabled = enabled && !err;
    return err;
}

rl_err *proxy_gate_remove(rl_proxy *proxy, const char *name)
{
    proxy_gate *gate = gate_find(proxy, name), **at = &proxy->gates;
    if (!gate)
        return gate_unknown(name);
    gate_off(gate);
    toxic_free_all(gate);
    while (*at != gate)
        at = &(*at)->next;
    *at = gate->next;
    gate_free(gate);
    return NULL;
}

/* ---- as JSON ---- */

static uint64_t bytes_of(const proxy_gate *gate, proto_dir dir)
{
    uint64_t n = gate->bytes[dir];
    for (const proxy_conn *conn = gate->conns; conn; conn = conn->next)
        n += conn->stream[dir].bytes;
    return n;
}

static uint64_t opaque_of(const proxy_gate *gate)
{
    uint64_t n = gate->opaque;
    for (const proxy_conn *conn = gate->conns; conn; conn = conn->next)
        n += conn->session && proto_opaque(conn->session);
    return n;
}

static cJSON *gate_document(const proxy_gate *gate)
{
    int open = 0;
    for (const proxy_conn *conn = gate->conns; conn; conn = conn->next)
        open++;
    cJSON *document = document_object();
    document_add_text(document, "name", gate->name);
    document_add_text(document, "listen", gate->listen);
    document_add_text(document, "upstream", gate->upstream);
    document_add_text(document, "proto", proto_name(gate->proto));
    document_add_text(document, "owner", gate->owner);
    cJSON_AddBoolToObject(document, "enabled", gate->enabled);
    document_add_int(document, "port", gate->bound);
    document_add_int(document, "open", open);
    document_add_int(document, "accepted", (int64_t)gate->accepted);
    document_add_int(document, "refused", (int64_t)gate->refused);
    document_add_int(document, "opaque", (int64_t)opaque_of(gate));
    document_add_int(document, "bytes_up", (int64_t)bytes_of(gate, PROTO_UP));
    document_add_int(document, "bytes_down", (int64_t)bytes_of(gate, PROTO_DOWN));
    cJSON_AddItemToObject(document, "toxics", toxic_list_document(gate));
    return document;
}

void proxy_gates_json(const rl_proxy *proxy, const char *name, rl_buf *out)
{
    if (name) {
        document_put(gate_document(gate_find(proxy, name)), out);
        return;
    }
    buf_u8(out, '{'); /* not as a document: the names of members are of any bytes here */
    for (const proxy_gate *gate = proxy->gates; gate; gate = gate->next) {
        if (gate != proxy->gates)
            buf_u8(out, ',');
        json_put_cstr(out, gate->name);
        buf_u8(out, ':');
        document_put(gate_document(gate), out);
    }
    buf_u8(out, '}');
}
