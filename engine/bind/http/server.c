/* rlab.core_http: a server whose requests are answered by tasks.
 *
 * The server's threads put a request into one queue and wake the loop; there each becomes a task
 * that runs dispatch(request, method, path, query, headers, body, raw path), the function that was
 * given to serve(). request:reply(status, headers, body[, after]) answers; `after` is called in a task
 * of its own when the answer has been written to the socket. A request that was dropped without
 * an answer gets 500. */
#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/buf.h"
#include "bind/http/module.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/task/handle.h"
#include "bind/http/front.h"
#include "bind/value/meta.h"
#include "bind/value/opts.h"
#include "bind/task/scheduler.h"
#include "http/server.h"
#include "http/target.h"

enum { THREADS_MAX = 256 };

#define REQUEST_META "http.request"
#define DISPATCH_KEY "rlab.http.dispatch"
#define AFTER_KEY "rlab.http.after"

/* What the server's threads have to tell: a request of the server `id`, or the end of the answer
 * `id`. */
typedef struct news {
    http_request *req; /* NULL: an answer was sent, or not */
    lua_Integer id;
    bool sent;
    struct news *next;
} news;

static struct {
    uv_async_t async;
    lua_State *L;
    pthread_mutex_t lock;
    news *head, *tail;
    int servers;
    bool open; /* the module may be opened again, as busted does for each file */
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

typedef struct bound_server {
    http_server *server;
    lua_Integer id;
    double grace;
} bound_server;

typedef struct bound_request {
    http_request *req; /* NULL once answered */
} bound_request;

/* ---- the server's threads ---- */

static void put_news(http_request *req, lua_Integer id, bool sent)
{
    news *n = mem_alloc(sizeof *n);
    *n = (news){.req = req, .id = id, .sent = sent};
    pthread_mutex_lock(&queue.lock);
    bool wake = !queue.head;
    if (queue.tail)
        queue.tail->next = n;
    else
        queue.head = n;
    queue.tail = n;
    pthread_mutex_unlock(&queue.lock);
    if (wake)
        uv_async_send(&queue.async);
}

static void on_request(http_request *req, void *arg)
{
    put_news(req, (lua_Integer)(intptr_t)arg, false);
}

static void on_sent(void *arg, bool sent)
{
    put_news(NULL, (lua_Integer)(intptr_t)arg, sent);
}

/* ---- the loop ---- */

static news *take_news(void)
{
    pthread_mutex_lock(&queue.lock);
    news *list = queue.head;
    queue.head = queue.tail = NULL;
    pthread_mutex_unlock(&queue.lock);
    return list;
}

static void put_pair(void *arg, const char *name, const char *value)
{
    lua_State *L = arg;
    field_set_text(L, name, value);
}

/* One that comes several times is one, joined by ", ". */
static void put_header(void *arg, const char *name, const char *value)
{
    lua_State *L = arg;
    char lower[128];
    size_t i = 0;
    for (; name[i] && i < sizeof lower - 1; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    lower[i] = '\0';
    if (lua_getfield(L, -1, lower) == LUA_TSTRING)
        lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), value);
    else
        lua_pushstring(L, value);
    lua_setfield(L, -3, lower);
    lua_pop(L, 1);
}

static void push_request(lua_State *L, http_request *req)
{
    bound_request *bound = lua_newuserdatauv(L, sizeof *bound, 0);
    bound->req = req;
    luaL_setmetatable(L, REQUEST_META);
    lua_pushstring(L, http_method(req));
    lua_pushstring(L, http_path(req));
    lua_newtable(L);
    http_each_query(req, put_pair, L);
    lua_newtable(L);
    http_each_header(req, put_header, L);
    size_t len;
    const char *body = http_body(req, &len);
    lua_pushlstring(L, body, len);
    lua_pushstring(L, http_raw_path(req));
}

static void start_request(lua_State *L, const news *n)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, DISPATCH_KEY);
    if (lua_rawgeti(L, -1, n->id) != LUA_TFUNCTION) {
        lua_pop(L, 2);
        http_reply_text(n->req, 503, "text/plain", "the server is stopping");
        return;
    }
    push_request(L, n->req);
    task_start(L, 7);
    lua_pop(L, 2);
}

static void start_after(lua_State *L, const news *n)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, AFTER_KEY);
    if (lua_rawgeti(L, -1, n->id) == LUA_TFUNCTION) {
        lua_pushboolean(L, n->sent);
        task_start(L, 1);
    }
    lua_pop(L, 1);
    luaL_unref(L, -1, (int)n->id);
    lua_pop(L, 1);
}

static void on_async(uv_async_t *async)
{
    (void)async;
    for (news *n = take_news(), *next; n; n = next) {
        next = n->next;
        luaL_checkstack(queue.L, 20, NULL);
        if (n->req)
            start_request(queue.L, n);
        else
            start_after(queue.L, n);
        free(n);
    }
}

/* ---- request:reply ---- */

enum { FIELDS_MAX = 64 };

static bool harmless(const char *text)
{
    return !strpbrk(text, "\r\n");
}

/* {name = value} at idx; the texts live in the table. */
static size_t read_fields(lua_State *L, int idx, http_field *fields)
{
    size_t n = 0;
    if (lua_isnoneornil(L, idx))
        return 0;
    luaL_checktype(L, idx, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "the headers of an answer are strings by name");
        if (n == FIELDS_MAX)
            luaL_error(L, "an answer has at most %d headers", FIELDS_MAX);
        fields[n] = (http_field){lua_tostring(L, -2), lua_tostring(L, -1)};
        if (!harmless(fields[n].name) || !harmless(fields[n].value))
            luaL_error(L, "a header of an answer has no line breaks");
        n++;
    }
    return n;
}

/* request:reply(status, headers, body[, after]) -> whether it was the first answer */
static int http_server_l_reply(lua_State *L)
{
    bound_request *bound = luaL_checkudata(L, 1, REQUEST_META);
    http_field fields[FIELDS_MAX];
    http_reply_opts reply = {.status = (int)luaL_checkinteger(L, 2)};
    luaL_argcheck(L, reply.status >= 200 && reply.status < 600, 2, "a status is 200 to 599");
    reply.fields = fields;
    reply.fields_count = read_fields(L, 3, fields);
    reply.body = luaL_checklstring(L, 4, &reply.len);
    lua_settop(L, 5);
    if (!lua_isnil(L, 5))
        luaL_checktype(L, 5, LUA_TFUNCTION);
    http_request *req = bound->req;
    bound->req = NULL; /* nothing raises from here on but a lack of memory */
    if (req && !lua_isnil(L, 5)) {
        luaL_getsubtable(L, LUA_REGISTRYINDEX, AFTER_KEY);
        lua_pushvalue(L, 5);
        reply.arg = (void *)(intptr_t)luaL_ref(L, -2);
        reply.after = on_sent;
    }
    if (req)
        http_reply(req, &reply);
    lua_pushboolean(L, req != NULL);
    return 1;
}

static int request_gc(lua_State *L)
{
    bound_request *bound = luaL_checkudata(L, 1, REQUEST_META);
    if (bound->req)
        http_reply_text(bound->req, 500, "text/plain", "the request was dropped");
    bound->req = NULL;
    return 0;
}

/* ---- servers ---- */

static void server_close(void *impl)
{
    bound_server *bound = impl;
    http_stop(bound->server, bound->grace);
    free(bound);
}

/* Requests still come while the server stops, so its dispatch stays until forget(). */
static void server_detach(rl_handle *handle)
{
    (void)handle;
    if (--queue.servers == 0)
        uv_unref((uv_handle_t *)&queue.async);
}

static const rl_handle_type server_type = {
    .name = "http.core_server", .close = server_close, .detach = server_detach};

/* Ids are not used again: a request of a server that has stopped may still be in the queue. */
static lua_Integer keep_dispatch(lua_State *L, int idx)
{
    static lua_Integer last;
    luaL_getsubtable(L, LUA_REGISTRYINDEX, DISPATCH_KEY);
    lua_pushvalue(L, idx);
    lua_rawseti(L, -2, ++last);
    lua_pop(L, 1);
    return last;
}

static void drop_dispatch(lua_State *L, lua_Integer id)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, DISPATCH_KEY);
    lua_pushnil(L);
    lua_rawseti(L, -2, id);
    lua_pop(L, 1);
}

/* "a,b" of the list under the key, or NULL; it is left on the stack */
static const char *names_opt(lua_State *L, int idx, const char *key)
{
    luaL_Buffer b;
    if (lua_getfield(L, idx, key) == LUA_TNIL)
        return NULL;
    luaL_checktype(L, -1, LUA_TTABLE);
    int list = lua_gettop(L);
    luaL_buffinit(L, &b);
    for (lua_Integer i = 1; i <= luaL_len(L, list); i++) {
        lua_rawgeti(L, list, i);
        luaL_addvalue(&b);
        luaL_addchar(&b, ',');
    }
    luaL_pushresult(&b);
    return lua_tostring(L, -1);
}

/* serve({host, hosts, port, threads, max_body, max_connections, idle, head, body, json_only},
 * dispatch) -> handle, port, id | nil, err; the keys have been looked at */
int http_l_serve(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    http_server_opts opts = {.host = opts_str(L, 1, "host", "127.0.0.1"),
                             .port = (int)opts_int_in(L, 1, "port", 0, 0, UINT16_MAX),
                             .threads = (int)opts_int_in(L, 1, "threads", 1, 1, THREADS_MAX),
                             .max_connections =
                                 (unsigned)opts_int_in(L, 1, "max_connections", 1000, 0, INT_MAX),
                             .max_body = (size_t)opts_size(L, 1, "max_body", 1 << 20),
                             .idle_seconds = opts_duration(L, 1, "idle", 60),
                             .head_seconds = opts_duration(L, 1, "head", 10),
                             .body_seconds = opts_duration(L, 1, "body", 60),
                             .json_only = opts_bool(L, 1, "json_only", false),
                             .hosts = names_opt(L, 1, "hosts"),
                             .handler = on_request};
    rl_handle *h = handle_new(L, &server_type, 0);
    http_server *server;
    lua_Integer id = keep_dispatch(L, 2);
    opts.arg = (void *)(intptr_t)id;
    rl_err *err = http_serve(&opts, &server);
    if (err) {
        drop_dispatch(L, id);
        return errs_fail(L, err);
    }
    bound_server *bound = mem_zero(sizeof *bound);
    *bound = (bound_server){.server = server, .id = id, .grace = 2};
    handle_set(h, bound);
    if (queue.servers++ == 0)
        uv_ref((uv_handle_t *)&queue.async);
    lua_pushinteger(L, http_port(server));
    lua_pushinteger(L, id);
    return 3;
}

/* forget(id): the server has stopped and its handler is not needed any more */
int http_l_forget(lua_State *L)
{
    drop_dispatch(L, luaL_checkinteger(L, 1));
    return 0;
}

/* handle:grace(duration): how long close() waits for the requests under way */
static int http_server_l_grace(lua_State *L)
{
    bound_server *bound = handle_check(L, 1, &server_type)->impl;
    bound->grace = arg_duration(L, 2, 2);
    return 0;
}

#define FRONT_META "http.front"

void http_front_push(lua_State *L, const http_front *front, void *arg)
{
    rl_front *own = lua_newuserdatauv(L, sizeof *own, 0);
    *own = (rl_front){front, arg};
    luaL_newmetatable(L, FRONT_META);
    lua_setmetatable(L, -2);
}

const rl_front *http_front_check(lua_State *L, int idx)
{
    return luaL_checkudata(L, idx, FRONT_META);
}

/* handle:front(front | nil): what is asked before the dispatch, in C */
static int http_server_l_front(lua_State *L)
{
    bound_server *bound = handle_check(L, 1, &server_type)->impl;
    static const rl_front none;
    const rl_front *front = lua_isnoneornil(L, 2) ? &none : http_front_check(L, 2);
    http_set_front(bound->server, front->front, front->arg);
    return 0;
}

static int http_server_l_under_way(lua_State *L)
{
    bound_server *bound = handle_check(L, 1, &server_type)->impl;
    lua_pushinteger(L, http_under_way(bound->server));
    return 1;
}

int http_l_reason(lua_State *L)
{
    lua_pushstring(L, http_reason((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* decode(text) -> text with %XX decoded | nil: it is malformed */
int http_l_decode(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    char *decoded = http_decode(text, len);
    lua_pushstring(L, decoded);
    free(decoded);
    return 1;
}

static void open_request(lua_State *L)
{
    static const luaL_Reg methods[] = {{"reply", http_server_l_reply}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", request_gc}, {NULL, NULL}};
    meta_open(L, REQUEST_META, meta, methods);
}

void http_server_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"grace", http_server_l_grace},
                                       {"under_way", http_server_l_under_way},
                                       {"front", http_server_l_front},
                                       {NULL, NULL}};
    handle_type_open(L, &server_type, methods);
    open_request(L);
    if (queue.open)
        return;
    queue.open = true;
    queue.L = task_main_state(L);
    uv_async_init(task_loop(L), &queue.async, on_async);
    uv_unref((uv_handle_t *)&queue.async);
}
