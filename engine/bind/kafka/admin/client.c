#include "bind/kafka/admin/client.h"

#include <lauxlib.h>
#include <string.h>

#include "base/units.h"
#include "bind/task/await.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/kafka/conf.h"
#include "bind/value/opts.h"

#define AT_MOST_S 5.0

const char *const admin_only_at_most[] = {"at_most", NULL};

static void close_admin(void *impl)
{
    kafka_admin_free(impl);
}

static void cancel_admin(void *impl)
{
    kafka_admin_stop(impl);
}

static const rl_handle_type admin_type = {
    .name = "kafka.admin", .close = close_admin, .cancel = cancel_admin};

/* ---- calls ---- */

static void cancel_job(rl_await *a)
{
    admin_job *job = (admin_job *)a;
    kafka_admin_cancel(job->admin, &job->call);
}

void admin_job_drop(rl_await *a)
{
    admin_job *job = (admin_job *)a;
    rd_kafka_event_destroy(job->event);
    if (job->list)
        rd_kafka_topic_partition_list_destroy(job->list);
    kafka_items_free(&job->items);
}

static int timeout_ms(lua_State *L, int opts)
{
    lua_getiuservalue(L, 1, 1);
    double s = lua_tonumber(L, -1);
    lua_pop(L, 1);
    if (opts && lua_istable(L, opts))
        s = opts_duration(L, opts, "at_most", s);
    return units_ms(s);
}

void *admin_job_new(lua_State *L, size_t size, void (*run)(rl_await *),
                    int (*push)(lua_State *, rl_await *), int opts)
{
    rl_handle *h = handle_check(L, 1, &admin_type);
    int ms = timeout_ms(L, opts);
    admin_job *job = await_new(size, run, push, admin_job_drop);
    job->admin = h->impl;
    job->call.timeout_ms = ms;
    job->await.cancel = cancel_job;
    return job;
}

void admin_check(lua_State *L, int opts)
{
    handle_check(L, 1, &admin_type);
    timeout_ms(L, opts);
}

void admin_job_on_drop(admin_job *job, void (*drop)(rl_await *))
{
    job->await.drop = drop;
}

int admin_await(lua_State *L, admin_job *job)
{
    return await_job(L, 1, &job->await);
}

/* ---- reading ---- */

const char **admin_names(lua_State *L, int idx, const char *what, int *count)
{
    if (lua_type(L, idx) == LUA_TSTRING) {
        const char **one = lua_newuserdatauv(L, sizeof *one, 0);
        *one = lua_tostring(L, idx);
        *count = 1;
        return one;
    }
    luaL_checktype(L, idx, LUA_TTABLE);
    lua_Integer n = luaL_len(L, idx);
    if (n > 100000)
        luaL_error(L, "%d %ss at once are too many", (int)n, what);
    luaL_checkstack(L, (int)n + 8, "too many names");
    const char **names = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *names, 0);
    for (int i = 0; i < n; i++)
        if (lua_geti(L, idx, i + 1) != LUA_TSTRING)
            luaL_error(L, "%s %d must be a string, got %s", what, i + 1, luaL_typename(L, -1));
        else
            names[i] = lua_tostring(L, -1);
    *count = (int)n;
    return names;
}

int admin_names_opts(lua_State *L)
{
    lua_settop(L, 3);
    return lua_istable(L, 2) && !lua_istable(L, 3) ? 2 : 3;
}

const char *admin_text(lua_State *L, int idx, const char *key, const char *call)
{
    if (lua_getfield(L, idx, key) != LUA_TSTRING)
        luaL_error(L, "%s: option '%s' must be a string, got %s", call, key, luaL_typename(L, -1));
    return lua_tostring(L, -1);
}

int admin_partition_arg(lua_State *L, int idx)
{
    lua_Integer n = luaL_checkinteger(L, idx);
    luaL_argcheck(L, n >= 0 && n <= INT32_MAX, idx, "a partition counts from 0");
    return (int)n;
}

int admin_partition_opt(lua_State *L, int idx, const char *call)
{
    lua_Integer n = opts_int(L, idx, "partition", -1);
    if (n < 0 || n > INT32_MAX)
        luaL_error(L, "%s: option 'partition' must be a number from 0", call);
    return (int)n;
}

/* ---- pushing ---- */

void admin_set_ids(lua_State *L, const char *key, const wire_ids *ids)
{
    lua_createtable(L, ids->count, 0);
    for (int i = 0; i < ids->count; i++) {
        lua_pushinteger(L, ids->id[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, key);
}

void admin_push_name(lua_State *L, const kafka_item *item)
{
    lua_pushstring(L, item->name);
}

void admin_push_place(lua_State *L, const kafka_item *item)
{
    lua_createtable(L, 0, 3);
    field_set_text(L, "topic", item->name);
    field_set_int(L, "partition", item->partition);
}

static void push_failed(lua_State *L, kafka_item *item)
{
    rl_err *err = item->err;
    item->err = NULL;
    lua_createtable(L, 0, 3);
    field_set_text(L, item->partition < 0 ? "name" : "topic", item->name);
    if (item->partition >= 0)
        field_set_int(L, "partition", item->partition);
    errs_push_table(L, err);
    lua_setfield(L, -2, "err");
}

/* The list of failures is on top; nil and the first error, which carries the list. */
static int all_failed(lua_State *L)
{
    lua_geti(L, -1, 1);
    lua_getfield(L, -1, "err");
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "failed");
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

int admin_push_items(lua_State *L, kafka_items *items, const char *done, admin_push_item push)
{
    int good = 0, bad = 0;
    lua_createtable(L, 0, 2);
    lua_createtable(L, items->count, 0);
    lua_newtable(L);
    for (int i = 0; i < items->count; i++) {
        kafka_item *item = &items->items[i];
        bool failed = item->err != NULL;
        if (failed)
            push_failed(L, item);
        else
            push(L, item);
        lua_rawseti(L, failed ? -2 : -3, failed ? ++bad : ++good);
    }
    if (bad && !good)
        return all_failed(L);
    lua_setfield(L, -3, "failed");
    lua_setfield(L, -2, done);
    return 1;
}

/* ---- the module ---- */

static int admin_l_admin(lua_State *L)
{
    static const char *const own[] = {"at_most", NULL};
    double at_most = AT_MOST_S;
    if (lua_istable(L, 1))
        at_most = opts_duration(L, 1, "at_most", AT_MOST_S);
    rl_handle *h = handle_new(L, &admin_type, 1);
    lua_pushnumber(L, at_most);
    lua_setiuservalue(L, -2, 1);
    kafka_admin *admin;
    rl_err *err = kafka_admin_new(kafka_conf_read(L, 1, "kafka.admin", KAFKA_ADMIN, own), &admin);
    if (err)
        return errs_fail(L, err);
    handle_set(h, admin);
    return 1;
}

void kafka_admin_open(lua_State *L)
{
    static const luaL_Reg none[] = {{NULL, NULL}};
    handle_type_open(L, &admin_type, none);
    luaL_getmetatable(L, admin_type.name);
    lua_getfield(L, -1, "__index");
    admin_topics_bind(L);
    admin_configs_bind(L);
    admin_features_bind(L);
    admin_groups_bind(L);
    admin_offsets_bind(L);
    admin_survey_bind(L);
    admin_acls_bind(L);
    lua_pop(L, 2);
    lua_pushcfunction(L, admin_l_admin);
    lua_setfield(L, -2, "admin");
}
