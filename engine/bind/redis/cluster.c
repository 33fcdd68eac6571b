/* rlab.redis: clients of a Redis Cluster as awaitable calls. */
#include "bind/redis/cluster.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/buf.h"
#include "bind/redis/values.h"
#include "bind/task/await.h"
#include "bind/task/connect.h"
#include "bind/task/handle.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/opts.h"
#include "bind/value/store_opts.h"
#include "redis/cluster/client.h"

static void close_cluster(void *impl)
{
    cluster_free(impl);
}

static void cancel_cluster(void *impl)
{
    cluster_cancel(impl);
}

static const rl_handle_type cluster_type = {"redis.cluster", close_cluster, cancel_cluster, NULL};

/* ---- connect and reconnect ---- */

static rl_err *connect_cluster(void *impl)
{
    return cluster_connect(impl);
}

static const rl_connector connector = {&cluster_type, connect_cluster, NULL};

static cluster_opts read_opts(lua_State *L, int idx)
{
    static const char *const allowed[] = {
        "nodes", "pool",     "redirects",   "tries",   "replicas",
        "user",  "password", "client_name", "timeout", "connect_timeout",
        "tls",   "ca",       "cert",        "key",     NULL};
    opts_check(L, idx, "redis.cluster", allowed);
    return (cluster_opts){
        .nodes = redis_opts_nodes(L, idx, "127.0.0.1:16371", "redis.cluster"),
        .pool = (int)opts_int_in(L, idx, "pool", 4, 1, 1024),
        .redirects = (int)opts_int_in(L, idx, "redirects", CLUSTER_REDIRECTS, 0, 100),
        .tries = (int)opts_int_in(L, idx, "tries", CLUSTER_TRIES, 0, 1000),
        .replicas = opts_bool(L, idx, "replicas", false),
        .conn = {.user = opts_str(L, idx, "user", NULL),
                 .password = opts_str(L, idx, "password", NULL),
                 .client_name = opts_str(L, idx, "client_name", NULL),
                 .tls = redis_opts_tls(L, idx, "redis.cluster"),
                 .resp = 3,
                 .timeout = opts_duration(L, idx, "timeout", 10),
                 .connect_timeout = opts_duration(L, idx, "connect_timeout", 5)},
    };
}

/* redis.cluster{nodes =, ...} -> c | nil, err */
int redis_l_cluster(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    cluster_opts opts = read_opts(L, 1);
    task_require(L);
    redisc_cluster *cluster = cluster_new(&opts);
    lua_settop(L, 1);
    return connect_new(L, &connector, cluster);
}

static int cluster_l_reconnect(lua_State *L)
{
    return connect_again(L, &connector);
}

/* redis.slot(key) -> 0 .. 16383 */
int redis_l_slot(lua_State *L)
{
    size_t len;
    const char *key = luaL_checklstring(L, 1, &len);
    lua_pushinteger(L, cluster_slot(key, len));
    return 1;
}

/* ---- commands ---- */

typedef struct run_job {
    rl_await await;
    redisc_cluster *cluster;
    cluster_batch batch;
} run_job;

static void run_run(rl_await *a)
{
    run_job *job = (run_job *)a;
    cluster_run(job->cluster, &job->batch);
}

static void run_drop(rl_await *a)
{
    cluster_batch_free(&((run_job *)a)->batch);
}

static int call_push(lua_State *L, rl_await *a)
{
    cluster_command *cmd = ((run_job *)a)->batch.list;
    rl_err *err = cmd->err;
    cmd->err = NULL;
    if (err)
        return errs_fail(L, err);
    redis_push_reply(L, cmd->reply);
    return 1;
}

static int pipeline_push(lua_State *L, rl_await *a)
{
    cluster_batch *batch = &((run_job *)a)->batch;
    lua_createtable(L, (int)batch->count, 0);
    for (size_t i = 0; i < batch->count; i++) {
        cluster_command *cmd = &batch->list[i];
        if (cmd->err)
            errs_push_table(L, cmd->err);
        else
            redis_push_reply(L, cmd->reply);
        cmd->err = NULL;
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* The texts of the values from `first` to the top become a command; lists are spread out. */
static void add_texts(lua_State *L, int first, cluster_batch *batch)
{
    int top = lua_gettop(L), argc = 0;
    for (int i = first; i <= top; i++) {
        int n = lua_type(L, i) == LUA_TTABLE ? (int)luaL_len(L, i) : 0;
        luaL_checkstack(L, n + 4, "too many arguments");
        if (lua_type(L, i) != LUA_TTABLE)
            redis_push_arg(L, i), argc++;
        for (int k = 1; k <= n; k++, argc++) {
            lua_rawgeti(L, i, k);
            redis_push_arg(L, -1);
            lua_remove(L, -2);
        }
    }
    const char **argv = mem_alloc((size_t)argc * sizeof *argv);
    size_t *lens = mem_alloc((size_t)argc * sizeof *lens);
    for (int i = 0; i < argc; i++)
        argv[i] = lua_tolstring(L, top + 1 + i, &lens[i]);
    cluster_batch_add(batch, argc, argv, lens);
    free(argv);
    free(lens);
    lua_settop(L, top);
}

static run_job *new_run(rl_handle *h, int (*push)(lua_State *, rl_await *))
{
    run_job *job = await_new(sizeof *job, run_run, push, run_drop);
    job->cluster = h->impl;
    return job;
}

/* c:call("SET", key, value, ...) -> reply | nil, err */
static int cluster_l_call(lua_State *L)
{
    rl_handle *h = handle_check(L, 1, &cluster_type);
    luaL_checktype(L, 2, LUA_TSTRING);
    for (int i = 2, top = lua_gettop(L); i <= top; i++)
        redis_count_arg(L, i, "cluster:call", i - 1);
    run_job *job = new_run(h, call_push);
    add_texts(L, 2, &job->batch);
    return await_job(L, 1, &job->await);
}

static void check_command(lua_State *L, int n)
{
    char where[48];
    snprintf(where, sizeof where, "cluster:pipeline: command %d", n);
    if (lua_type(L, -1) != LUA_TTABLE || luaL_len(L, -1) == 0)
        luaL_error(L, "%s: a list such as {\"GET\", key} expected", where);
    for (int i = 1, len = (int)luaL_len(L, -1); i <= len; i++) {
        if (lua_rawgeti(L, -1, i) == LUA_TTABLE)
            luaL_error(L, "%s: argument %d is a table", where, i);
        redis_count_arg(L, -1, where, i);
        lua_pop(L, 1);
    }
}

/* c:pipeline{{"SET", k, v}, {"GET", k}} -> list of replies, errors in their places */
static int cluster_l_pipeline(lua_State *L)
{
    rl_handle *h = handle_check(L, 1, &cluster_type);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    int n = (int)luaL_len(L, 2);
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        check_command(L, i);
        lua_pop(L, 1);
    }
    run_job *job = new_run(h, pipeline_push);
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        add_texts(L, 3, &job->batch);
        lua_pop(L, 1);
    }
    return await_job(L, 1, &job->await);
}

/* ---- what it knows ---- */

typedef struct map_job {
    rl_await await;
    redisc_cluster *cluster;
    cluster_range *list;
    size_t count;
} map_job;

static void map_run(rl_await *a)
{
    map_job *job = (map_job *)a;
    a->err = cluster_refresh(job->cluster);
    if (!a->err)
        job->count = cluster_ranges(job->cluster, &job->list);
}

static void map_drop(rl_await *a)
{
    free(((map_job *)a)->list);
}

static int map_push(lua_State *L, rl_await *a)
{
    const map_job *job = (map_job *)a;
    lua_createtable(L, (int)job->count, 0);
    for (size_t i = 0; i < job->count; i++) {
        const cluster_range *range = &job->list[i];
        lua_createtable(L, 0, 4);
        field_set_int(L, "first", range->first);
        field_set_int(L, "last", range->last);
        field_set_text(L, "primary", range->primary);
        field_set_text(L, "replicas", range->replicas);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* c:slots() -> list of {first, last, primary, replicas}, read anew | nil, err */
static int cluster_l_slots(lua_State *L)
{
    rl_handle *h = handle_check(L, 1, &cluster_type);
    map_job *job = await_new(sizeof *job, map_run, map_push, map_drop);
    job->cluster = h->impl;
    return await_job(L, 1, &job->await);
}

/* c:stats() -> table */
static int cluster_l_stats(lua_State *L)
{
    cluster_stats s = cluster_stats_of(handle_check(L, 1, &cluster_type)->impl);
    lua_createtable(L, 0, 7);
    field_set_int(L, "commands", (lua_Integer)s.commands);
    field_set_int(L, "moved", (lua_Integer)s.moved);
    field_set_int(L, "asked", (lua_Integer)s.asked);
    field_set_int(L, "tryagain", (lua_Integer)s.tryagain);
    field_set_int(L, "retries", (lua_Integer)s.retries);
    field_set_int(L, "refreshes", (lua_Integer)s.refreshes);
    field_set_int(L, "failures", (lua_Integer)s.failures);
    return 1;
}

void redis_cluster_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"call", cluster_l_call},   {"pipeline", cluster_l_pipeline},   {"slots", cluster_l_slots},
        {"stats", cluster_l_stats}, {"reconnect", cluster_l_reconnect}, {NULL, NULL}};
    handle_type_open(L, &cluster_type, methods);
}
