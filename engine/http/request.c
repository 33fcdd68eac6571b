#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "http/server_internal.h"
#include "http/target.h"

/* ---- life ---- */

http_request *http_request_new(http_server *server, struct MHD_Connection *connection,
                               const char *method)
{
    http_request *req = mem_zero(sizeof *req);
    req->server = server;
    req->connection = connection;
    req->method = mem_strdup(method);
    atomic_init(&req->refs, 1);
    atomic_fetch_add(&server->under_way, 1);
    return req;
}

void http_request_unref(http_request *req)
{
    int refs = atomic_fetch_sub(&req->refs, 1);
    rl_assert(refs >= 1);
    if (refs != 1)
        return;
    if (req->response)
        MHD_destroy_response(req->response);
    buf_free(&req->body);
    free(req->method);
    free(req->path);
    free(req->raw_path);
    free(req->query);
    free(req);
}

void http_request_suspend(http_request *req)
{
    http_server *server = req->server;
    pthread_mutex_lock(&server->lock);
    req->next = server->suspended;
    if (req->next)
        req->next->prev = req;
    server->suspended = req;
    req->listed = true;
    pthread_mutex_unlock(&server->lock);
}

void http_request_forget(http_request *req)
{
    http_server *server = req->server;
    if (!req->listed)
        return;
    pthread_mutex_lock(&server->lock);
    if (req->prev)
        req->prev->next = req->next;
    else if (server->suspended == req)
        server->suspended = req->next;
    if (req->next)
        req->next->prev = req->prev;
    req->prev = req->next = NULL;
    pthread_mutex_unlock(&server->lock);
}

/* ---- kept ---- */

void http_request_count_kept(http_request *req, bool kept)
{
    if (kept != req->counted)
        atomic_fetch_add(&req->server->kept, kept ? 1 : -1);
    req->counted = kept;
}

void http_keep(http_request *req)
{
    http_request_count_kept(req, true);
    atomic_store(&req->kept, true);
}

void http_let_go(http_request *req)
{
    atomic_store(&req->kept, false);
}

unsigned http_thread(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned own; /* 0: none yet */
    if (!own)
        own = atomic_fetch_add(&threads, 1) + 1;
    return own;
}

/* ---- what was asked ---- */

const char *http_method(const http_request *req)
{
    return req->method;
}

const char *http_path(const http_request *req)
{
    return req->path;
}

const char *http_raw_path(const http_request *req)
{
    return req->raw_path;
}

const char *http_header(const http_request *req, const char *name)
{
    return MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, name);
}

const char *http_body(const http_request *req, size_t *len)
{
    *len = req->body.len;
    return req->body.data ? req->body.data : "";
}

typedef struct visitor {
    http_visit *visit;
    void *arg;
} visitor;

static enum MHD_Result visit_value(void *arg, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    visitor *v = arg;
    (void)kind;
    v->visit(v->arg, name, value ? value : "");
    return MHD_YES;
}

void http_each_header(const http_request *req, http_visit *visit, void *arg)
{
    visitor v = {visit, arg};
    MHD_get_connection_values(req->connection, MHD_HEADER_KIND, visit_value, &v);
}

static char *decode_plus(const char *text, size_t len)
{
    char *blank = mem_dup(text, len);
    for (size_t i = 0; i < len; i++)
        if (blank[i] == '+')
            blank[i] = ' ';
    char *decoded = http_decode(blank, len);
    free(blank);
    return decoded;
}

/* "a=1", "a" or "a="; the query was decoded as a whole before, so its parts can be. */
static void visit_pair(const char *text, size_t len, http_visit *visit, void *arg)
{
    const char *sign = memchr(text, '=', len);
    size_t name_len = sign ? (size_t)(sign - text) : len;
    size_t value_at = name_len + (sign != NULL);
    char *name = decode_plus(text, name_len);
    char *value = decode_plus(text + value_at, len - value_at);
    rl_assert(name && value);
    visit(arg, name, value);
    free(name);
    free(value);
}

void http_each_query(const http_request *req, http_visit *visit, void *arg)
{
    for (const char *at = req->query; *at;) {
        size_t len = strcspn(at, "&");
        if (len)
            visit_pair(at, len, visit, arg);
        at += len + (at[len] == '&');
    }
}

const char *http_reason(int status)
{
    const char *text = MHD_get_reason_phrase_for((unsigned)status);
    return text ? text : "Unknown";
}
