/* Gates: a port that forwards to an upstream. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/document.h"
#include "base/json.h"
#include "base/units.h"
#include "fault/proxy/internal.h"

enum { BACKLOG = 511, ADDRESS_SIZE = 64 };

/* "host:port", "[::1]:80", ":80" */
static rl_err *split_address(const char *text, char host[256], char port[8])
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    int number = colon ? units_port(colon + 1, strlen(colon + 1)) : -1;
    if (number < 0 || n > 255)
        return err_lab("ADDRESS", "'%s' is no address; write host:port, such as 127.0.0.1:19092",
                       text);
    bool bracket = n > 2 && text[0] == '[' && text[n - 1] == ']';
    memcpy(host, text + bracket, n - 2 * (size_t)bracket);
    host[n - 2 * (size_t)bracket] = 0;
    snprintf(port, 8, "%hu", (unsigned short)number);
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

static bool is_loopback(const struct sockaddr_storage *at)
{
    if (at->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)at)->sin6_addr);
    return ntohl(((const struct sockaddr_in *)at)->sin_addr.s_addr) >> 24 == 127;
}

static rl_err *resolve_listen(const rl_proxy *proxy, const char *text, struct sockaddr_storage *at)
{
    rl_err *err = resolve(text, at);
    if (err || proxy->anywhere || is_loopback(at))
        return err;
    return err_lab("ADDRESS",
                   "'%s' is open to other machines: listen on 127.0.0.1, or start the proxy with "
                   "--anywhere",
                   text);
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

static int port_of(const struct sockaddr_storage *at)
{
    return ntohs(((const struct sockaddr_in *)at)->sin_port);
}

static void address_text(const struct sockaddr_storage *at, char text[ADDRESS_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "";
    uv_ip_name((const struct sockaddr *)at, host, sizeof host);
    snprintf(text, ADDRESS_SIZE, at->ss_family == AF_INET6 ? "[%s]:%d" : "%s:%d", host,
             port_of(at));
}

static int bound_port(uv_tcp_t *listener, char text[ADDRESS_SIZE])
{
    struct sockaddr_storage at;
    int len = sizeof at;
    uv_tcp_getsockname(listener, (struct sockaddr *)&at, &len);
    address_text(&at, text);
    return port_of(&at);
}

static rl_err *open_listener(proxy_gate *gate)
{
    struct sockaddr_storage at;
    rl_err *err = resolve_listen(gate->proxy, gate->listen, &at);
    if (err)
        return err;
    uv_tcp_t *listener = mem_alloc(sizeof *listener);
    uv_tcp_init(gate->proxy->loop, listener);
    proxy_handle_opened(gate->proxy);
    listener->data = gate;
    int wrong = uv_tcp_bind(listener, (struct sockaddr *)&at, 0);
    if (!wrong)
        wrong = uv_listen((uv_stream_t *)listener, BACKLOG, on_client);
    char text[ADDRESS_SIZE];
    if (wrong) {
        close_listener(gate->proxy, listener);
        address_text(&at, text);
        return err_lab("LISTEN", "listen tcp %s: bind: %s", text, uv_strerror(wrong));
    }
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

void proxy_listen_anywhere(rl_proxy *proxy)
{
    proxy->anywhere = true;
}

rl_err *proxy_gate_add(rl_proxy *proxy, const proxy_gate_spec *spec)
{
    rl_assert(spec->name && spec->listen && spec->upstream && spec->owner);
    rl_err *refused = name_refused("proxy", spec->name);
    if (refused)
        return refused;
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

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET6)
        return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
                                  &((const struct sockaddr_in6 *)b)->sin6_addr);
    return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
           ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

/* Names are resolved before they are compared: localhost:80 is 127.0.0.1:80. */
static rl_err *listen_differs(const proxy_gate *gate, const char *listen, bool *differs)
{
    struct sockaddr_storage wanted, now;
    *differs = false;
    if (!listen)
        return NULL;
    rl_err *err = resolve_listen(gate->proxy, listen, &wanted);
    if (err)
        return err;
    err = resolve(gate->listen, &now);
    *differs =
        err || !same_host(&wanted, &now) || (port_of(&wanted) && port_of(&wanted) != port_of(&now));
    err_free(err);
    return NULL;
}

rl_err *proxy_gate_differs(const rl_proxy *proxy, const char *name, const char *listen,
                           const char *upstream, bool *differs)
{
    char host[256], port[8];
    const proxy_gate *gate = gate_find(proxy, name);
    if (!gate)
        return gate_unknown(name);
    rl_err *err = upstream ? split_address(upstream, host, port) : NULL;
    if (!err)
        err = listen_differs(gate, listen, differs);
    *differs = *differs || (upstream && strcmp(gate->upstream, upstream) != 0);
    return err;
}

rl_err *proxy_gate_change(rl_proxy *proxy, const char *name, const char *listen,
                          const char *upstream)
{
    bool differs = false;
    rl_err *err = proxy_gate_differs(proxy, name, listen, upstream, &differs);
    if (err || !differs)
        return err;
    proxy_gate *gate = gate_find(proxy, name);
    gate_off(gate);
    change_text(&gate->listen, listen);
    if (change_text(&gate->upstream, upstream))
        err = split_address(gate->upstream, gate->host, gate->port);
    if (!err && gate->enabled)
        err = open_listener(gate);
    gate->enabled = gate->enabled && !err;
    return err;
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
    cJSON_AddBoolToObject(document, "enabled", gate->enabled);
    cJSON_AddItemToObject(document, "toxics", toxic_list_document(gate));
    cJSON *ours = cJSON_AddObjectToObject(document, "rlab");
    document_add_text(ours, "proto", proto_name(gate->proto));
    document_add_text(ours, "owner", gate->owner);
    document_add_int(ours, "port", gate->bound);
    document_add_int(ours, "open", open);
    document_add_int(ours, "accepted", (int64_t)gate->accepted);
    document_add_int(ours, "refused", (int64_t)gate->refused);
    document_add_int(ours, "opaque", (int64_t)opaque_of(gate));
    document_add_int(ours, "bytes_up", (int64_t)bytes_of(gate, PROTO_UP));
    document_add_int(ours, "bytes_down", (int64_t)bytes_of(gate, PROTO_DOWN));
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
