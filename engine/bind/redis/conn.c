/* rlab.redis: connections, pipelines, scripts and push messages as awaitable calls. */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bind/value/errs.h"
#include "bind/task/connect.h"
#include "bind/task/handle.h"
#include "bind/value/meta.h"
#include "bind/value/opts.h"
#include "bind/redis/cluster.h"
#include "bind/redis/values.h"
#include "bind/value/store_opts.h"
#include "bind/task/await.h"
#include "bind/task/scheduler.h"
#include "redis/conn.h"
#include "redis/pipe.h"
#include "redis/script.h"

#define SCRIPT_META "redis.script"

int luaopen_rlab_redis(lua_State *L);

static void close_conn(void *impl)
{
    redisc_free(impl);
}

static void cancel_conn(void *impl)
{
    redisc_cancel(impl);
}

static const rl_handle_type redis_type = {"redis.connection", close_conn, cancel_conn, NULL};

/* ---- connect and reconnect ---- */

static rl_err *connect_conn(void *impl)
{
    return redisc_connect(impl);
}

static void warn_of_fallback(lua_State *L, void *impl)
{
    const redisc_conn *conn = impl;
    if (!redisc_fallback(conn))
        return;
    lua_pushfstring(L,
                    "this Redis server speaks RESP2 only (%s): no push messages, no typed replies",
                    redisc_fallback(conn));
    lua_warning(L, lua_tostring(L, -1), 0);
    lua_pop(L, 1);
}

static const rl_connector connector = {&redis_type, connect_conn, warn_of_fallback};

/* redis.connect{host=, port=, ...} -> r | nil, err */
static int redis_l_connect(lua_State *L)
{
    redisc_opts opts = redis_opts_read(L, 1, "redis.connect");
    task_require(L);
    return connect_new(L, &connector, redisc_new(&opts));
}

/* r:reconnect() -> r | nil, err: a new connection with the options of connect */
static int redis_l_reconnect(lua_State *L)
{
    return connect_again(L, &connector);
}

/* ---- commands ---- */

typedef struct call_job {
    rl_await await;
    redisc_conn *conn;
    redisc_pipe pipe;
    redisReply **replies;
    size_t got;
    rl_err *broken; /* of a pipeline: the replies before it are still given */
} call_job;

static void call_run(rl_await *a)
{
    call_job *job = (call_job *)a;
    a->err = redisc_pipe_run(job->conn, &job->pipe, job->replies, &job->got);
}

static void pipeline_run(rl_await *a)
{
    call_run(a);
    ((call_job *)a)->broken = a->err;
    a->err = NULL;
}

static void call_drop(rl_await *a)
{
    call_job *job = (call_job *)a;
    for (size_t i = 0; i < job->got; i++)
        freeReplyObject(job->replies[i]);
    free(job->replies);
    redisc_pipe_free(&job->pipe);
    err_free(job->broken);
}

static int push_one(lua_State *L, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return errs_fail(L, redisc_reply_err(reply));
    redis_push_reply(L, reply);
    return 1;
}

static int call_push(lua_State *L, rl_await *a)
{
    return push_one(L, ((call_job *)a)->replies[0]);
}

static int pipeline_push(lua_State *L, rl_await *a)
{
    call_job *job = (call_job *)a;
    int extra = 0;
    if (job->broken) {
        extra = errs_fail(L, job->broken);
        job->broken = NULL;
    }
    lua_createtable(L, (int)job->got, 0);
    for (size_t i = 0; i < job->got; i++) {
        redis_push_reply(L, job->replies[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return extra + 1;
}

static call_job *new_call(rl_handle *h, size_t commands, void (*run)(rl_await *),
                          int (*push)(lua_State *, rl_await *))
{
    call_job *job = await_new(sizeof *job, run, push, call_drop);
    job->conn = h->impl;
    job->replies = mem_zero((commands ? commands : 1) * sizeof *job->replies);
    return job;
}

/* r:call("SET", key, value, ...) -> reply | nil, err; a list among the arguments is spread out */
static int redis_l_call(lua_State *L)
{
    rl_handle *h = handle_check(L, 1, &redis_type);
    luaL_checktype(L, 2, LUA_TSTRING);
    int top = lua_gettop(L), argc = 0;
    for (int i = 2; i <= top; i++)
        argc += redis_count_arg(L, i, "redis:call", i - 1);
    call_job *job = new_call(h, 1, call_run, call_push);
    redisc_pipe_begin(&job->pipe, argc);
    for (int i = 2; i <= top; i++)
        redis_add_arg(L, i, &job->pipe);
    return await_job(L, 1, &job->await);
}

static int count_command(lua_State *L, int idx, int n)
{
    char where[48];
    int argc = 0;
    snprintf(where, sizeof where, "redis:pipeline: command %d", n);
    if (lua_type(L, idx) != LUA_TTABLE || luaL_len(L, idx) == 0)
        return luaL_error(L, "%s: a list such as {\"GET\", key} expected", where);
    for (int i = 1, len = (int)luaL_len(L, idx); i <= len; i++) {
        lua_rawgeti(L, idx, i);
        argc += redis_count_arg(L, -1, where, i);
        lua_pop(L, 1);
    }
    return argc;
}

static void add_command(lua_State *L, int idx, int argc, redisc_pipe *pipe)
{
    redisc_pipe_begin(pipe, argc);
    for (int i = 1, len = (int)luaL_len(L, idx); i <= len; i++) {
        lua_rawgeti(L, idx, i);
        redis_add_arg(L, -1, pipe);
        lua_pop(L, 1);
    }
}

/* r:pipeline{{"SET", k, v}, {"GET", k}} -> list of replies, errors in their places | nil, err,
 * the replies that came */
static int redis_l_pipeline(lua_State *L)
{
    rl_handle *h = handle_check(L, 1, &redis_type);
    luaL_checktype(L, 2, LUA_TTABLE);
    int n = (int)luaL_len(L, 2);
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        count_command(L, lua_gettop(L), i);
        lua_pop(L, 1);
    }
    call_job *job = new_call(h, (size_t)n, pipeline_run, pipeline_push);
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        add_command(L, lua_gettop(L), count_command(L, lua_gettop(L), i), &job->pipe);
        lua_pop(L, 1);
    }
    return await_job(L, 1, &job->await);
}

/* ---- push messages and small questions ---- */

typedef struct ask_job {
    rl_await await;
    redisc_conn *conn;
    double seconds;
    redisReply *message;
    char *text;
    int number;
} ask_job;

static void ask_drop(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    freeReplyObject(job->message);
    free(job->text);
}

static ask_job *new_ask(lua_State *L, void (*run)(rl_await *), int (*push)(lua_State *, rl_await *))
{
    redisc_conn *conn = handle_check(L, 1, &redis_type)->impl;
    ask_job *job = await_new(sizeof *job, run, push, ask_drop);
    job->conn = conn;
    return job;
}

static void push_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    a->err = redisc_push(job->conn, job->seconds, &job->message);
}

static int push_push(lua_State *L, rl_await *a)
{
    redis_push_reply(L, ((ask_job *)a)->message);
    return 1;
}

/* r:push(at_most) -> {"message", channel, text} | nil, err TIMEOUT */
static int redis_l_push(lua_State *L)
{
    double seconds = arg_duration(L, 2, 0);
    ask_job *job = new_ask(L, push_run, push_push);
    job->seconds = seconds;
    return await_job(L, 1, &job->await);
}

static void resp_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    const char *why = redisc_fallback(job->conn);
    job->number = redisc_resp(job->conn);
    job->text = why ? mem_strdup(why) : NULL;
}

static int resp_push(lua_State *L, rl_await *a)
{
    ask_job *job = (ask_job *)a;
    lua_pushinteger(L, job->number);
    lua_pushstring(L, job->text);
    return 2;
}

/* r:resp() -> 3 | 2, why RESP2 is spoken though 3 was asked for */
static int redis_l_resp(lua_State *L)
{
    return await_job(L, 1, &new_ask(L, resp_run, resp_push)->await);
}

static void broken_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    const char *why = redisc_broken(job->conn);
    job->text = why ? mem_strdup(why) : NULL;
}

static int broken_push(lua_State *L, rl_await *a)
{
    lua_pushstring(L, ((ask_job *)a)->text);
    return 1;
}

/* r:broken() -> why | nil */
static int redis_l_broken(lua_State *L)
{
    return await_job(L, 1, &new_ask(L, broken_run, broken_push)->await);
}

static void timeout_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    redisc_set_timeout(job->conn, job->seconds);
}

/* r:set_timeout("30s"): for the commands from now on, such as a BLPOP; 0 waits for ever */
static int redis_l_set_timeout(lua_State *L)
{
    double seconds = arg_duration(L, 2, 10);
    ask_job *job = new_ask(L, timeout_run, NULL);
    job->seconds = seconds;
    return await_job(L, 1, &job->await);
}

/* ---- scripts ---- */

typedef struct script_job {
    rl_await await;
    redisc_conn *conn;
    const redisc_script *script;
    int nkeys, argc;
    const char **argv;
    size_t *lens;
    redisReply *reply;
} script_job;

static void script_run(rl_await *a)
{
    script_job *job = (script_job *)a;
    a->err = redisc_script_call(job->conn, job->script, job->nkeys, job->argc, job->argv, job->lens,
                                &job->reply);
}

static int script_push(lua_State *L, rl_await *a)
{
    redis_push_reply(L, ((script_job *)a)->reply);
    return 1;
}

static void script_drop(rl_await *a)
{
    script_job *job = (script_job *)a;
    freeReplyObject(job->reply);
    free(job->argv);
    free(job->lens);
}

/* The texts of a list go onto the stack, where they stay for as long as the call waits. */
static int push_texts(lua_State *L, int idx, const char *where)
{
    if (lua_isnoneornil(L, idx))
        return 0;
    luaL_checktype(L, idx, LUA_TTABLE);
    int n = redis_count_arg(L, idx, where, 1);
    luaL_checkstack(L, n + 4, "too many arguments for a script");
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, idx, i);
        redis_push_arg(L, -1);
        lua_remove(L, -2);
    }
    return n;
}

/* script:call({key, ...}, {arg, ...}) -> reply | nil, err */
static int redis_l_script_call(lua_State *L)
{
    redisc_script *script = luaL_checkudata(L, 1, SCRIPT_META);
    lua_settop(L, 3);
    lua_getiuservalue(L, 1, 1);
    rl_handle *h = handle_check(L, 4, &redis_type);
    int nkeys = push_texts(L, 2, "script:call: keys"),
        argc = nkeys + push_texts(L, 3, "script:call: args");
    script_job *job = await_new(sizeof *job, script_run, script_push, script_drop);
    job->conn = h->impl;
    job->script = script;
    job->nkeys = nkeys;
    job->argc = argc;
    job->argv = mem_alloc(((size_t)argc + 1) * sizeof *job->argv);
    job->lens = mem_alloc(((size_t)argc + 1) * sizeof *job->lens);
    for (int i = 0; i < argc; i++)
        job->argv[i] = lua_tolstring(L, 5 + i, &job->lens[i]);
    return await_job(L, 4, &job->await);
}

static int redis_l_script_sha(lua_State *L)
{
    redisc_script *script = luaL_checkudata(L, 1, SCRIPT_META);
    lua_pushstring(L, script->sha);
    return 1;
}

static int redis_l_script_gc(lua_State *L)
{
    redisc_script_free(luaL_checkudata(L, 1, SCRIPT_META));
    return 0;
}

/* r:script(source) -> script */
static int redis_l_script(lua_State *L)
{
    handle_check(L, 1, &redis_type);
    size_t len;
    const char *source = luaL_checklstring(L, 2, &len);
    redisc_script *script = lua_newuserdatauv(L, sizeof *script, 1);
    memset(script, 0, sizeof *script);
    luaL_setmetatable(L, SCRIPT_META);
    redisc_script_init(script, source, len);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

static void open_script(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"call", redis_l_script_call}, {"sha", redis_l_script_sha}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", redis_l_script_gc}, {NULL, NULL}};
    meta_open(L, SCRIPT_META, meta, methods);
}

int luaopen_rlab_redis(lua_State *L)
{
    static const luaL_Reg methods[] = {{"call", redis_l_call},
                                       {"pipeline", redis_l_pipeline},
                                       {"script", redis_l_script},
                                       {"push", redis_l_push},
                                       {"resp", redis_l_resp},
                                       {"broken", redis_l_broken},
                                       {"reconnect", redis_l_reconnect},
                                       {"set_timeout", redis_l_set_timeout},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"connect", redis_l_connect},
                                         {"cluster", redis_l_cluster},
                                         {"slot", redis_l_slot},
                                         {NULL, NULL}};
    handle_type_open(L, &redis_type, methods);
    open_script(L);
    redis_cluster_open(L);
    luaL_newlib(L, functions);
    return 1;
}
