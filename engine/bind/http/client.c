/* rlab.core_http: requests as awaitable calls. Clients that have nothing to do are kept, with
 * their connections, for the next request. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bind/http/module.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/opts.h"
#include "bind/task/await.h"
#include "bind/task/scheduler.h"
#include "http/client.h"

enum { IDLE_MAX = 32 };

#define IDLE_META "http.idle"

typedef struct idle_clients {
    http_client *list[IDLE_MAX];
    int count;
} idle_clients;

typedef struct request_job {
    rl_await await;
    idle_clients *idle;
    http_client *client;
    bool spent; /* a cancel that came too late would end the client's next call */
    http_call call;
    char *method, *url, *socket, *body, **headers;
    http_answer answer;
} request_job;

static idle_clients *idle_of(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, IDLE_META ".clients");
    idle_clients *idle = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return idle;
}

static http_client *take_client(idle_clients *idle)
{
    return idle->count ? idle->list[--idle->count] : http_client_new();
}

static void give_client(idle_clients *idle, http_client *client, bool spent)
{
    if (!spent && idle->count < IDLE_MAX)
        idle->list[idle->count++] = client;
    else
        http_client_free(client);
}

static int idle_gc(lua_State *L)
{
    idle_clients *idle = lua_touserdata(L, 1);
    while (idle->count)
        http_client_free(idle->list[--idle->count]);
    return 0;
}

static void request_run(rl_await *a)
{
    request_job *job = (request_job *)a;
    a->err = http_client_call(job->client, &job->call, &job->answer);
}

static void request_cancel(rl_await *a)
{
    request_job *job = (request_job *)a;
    job->spent = true;
    http_client_cancel(job->client);
}

static void request_drop(rl_await *a)
{
    request_job *job = (request_job *)a;
    give_client(job->idle, job->client, job->spent);
    for (char **h = job->headers; h && *h; h++)
        free(*h);
    free(job->headers);
    free(job->method);
    free(job->url);
    free(job->socket);
    free(job->body);
    http_answer_free(&job->answer);
}

/* A header that came several times is one, joined by ", ". */
static void push_headers(lua_State *L, const rl_buf *head)
{
    const char *at = head->data, *end = head->data + head->len;
    lua_newtable(L);
    while (at && at < end) {
        const char *name = at, *value = name + strlen(name) + 1;
        at = value + strlen(value) + 1;
        if (lua_getfield(L, -1, name) == LUA_TSTRING)
            lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), value);
        else
            lua_pushstring(L, value);
        lua_setfield(L, -3, name);
        lua_pop(L, 1);
    }
}

static int request_push(lua_State *L, rl_await *a)
{
    const http_answer *answer = &((request_job *)a)->answer;
    lua_createtable(L, 0, 3);
    field_set_int(L, "status", answer->status);
    push_headers(L, &answer->head);
    lua_setfield(L, -2, "headers");
    field_set_bytes(L, "body", answer->body.data ? answer->body.data : "", answer->body.len);
    return 1;
}

/* The list {"Name: value", ...} under the key, copied. */
static char **copy_headers(lua_State *L, int idx)
{
    lua_getfield(L, idx, "headers");
    size_t n = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    char **list = mem_zero((n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        list[i] = mem_strdup(lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return list;
}

static void copy_body(lua_State *L, int idx, request_job *job)
{
    lua_getfield(L, idx, "body");
    const char *body = lua_tolstring(L, -1, &job->call.len);
    job->body = mem_dup(body ? body : "", job->call.len);
    lua_pop(L, 1);
}

/* The keys have been looked at by lua/rlab/http.lua. */
int http_l_request(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    task_require(L);
    const char *method = opts_str(L, 1, "method", "GET"), *url = opts_str(L, 1, "url", "");
    const char *socket = opts_str(L, 1, "socket", NULL);
    double timeout = opts_duration(L, 1, "timeout", 10),
           connect = opts_duration(L, 1, "connect_timeout", 5);
    int64_t max_body = opts_size(L, 1, "max_body", 64 << 20);
    request_job *job = await_new(sizeof *job, request_run, request_push, request_drop);
    job->await.cancel = request_cancel;
    job->idle = idle_of(L);
    job->client = take_client(job->idle);
    job->method = mem_strdup(method);
    job->url = mem_strdup(url);
    job->socket = socket ? mem_strdup(socket) : NULL;
    job->headers = copy_headers(L, 1);
    copy_body(L, 1, job);
    job->call = (http_call){.method = job->method,
                            .url = job->url,
                            .socket = job->socket,
                            .headers = (const char *const *)job->headers,
                            .body = job->body,
                            .len = job->call.len,
                            .timeout = timeout,
                            .connect_timeout = connect,
                            .max_body = (size_t)max_body};
    return await_job(L, 0, &job->await);
}

void http_client_open(lua_State *L)
{
    if (idle_of(L))
        return; /* opened before: calls under way may hold it */
    idle_clients *idle = lua_newuserdatauv(L, sizeof *idle, 0);
    memset(idle, 0, sizeof *idle);
    luaL_newmetatable(L, IDLE_META);
    lua_pushcfunction(L, idle_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, IDLE_META ".clients");
}
