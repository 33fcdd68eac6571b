/* rlab.fail: failpoints in Lua, and the arming of all. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/opts.h"
#include "bind/task/timed.h"
#include "fault/point/registry.h"

enum { CTX_MAX = 16 };

#define CALLS_KEY "rlab.fail.calls"

int luaopen_rlab_fail(lua_State *L);

/* ---- tasks that wait at a pause or barrier; any thread may let them go, so the loop is woken
 * by uv_async ---- */

typedef struct pause_wait {
    rl_timed timed; /* first */
    fail_ticket ticket;
    struct pause_wait *next;
} pause_wait;

static struct {
    uv_async_t async;
    pause_wait *list;
    bool open;
} paused;

static void on_async(uv_async_t *async)
{
    (void)async;
    for (pause_wait *w = paused.list, *next; w; w = next) {
        next = w->next;
        if (fail_passed(&w->ticket))
            timed_wake(&w->timed);
    }
}

static void on_release(void)
{
    uv_async_send(&paused.async);
}

static void open_async(uv_loop_t *loop)
{
    if (paused.open)
        return;
    uv_async_init(loop, &paused.async, on_async);
    uv_unref((uv_handle_t *)&paused.async);
    paused.open = true;
    fail_on_release(on_release);
}

/* While a task is paused the loop lives on: another thread may resume it. */
static void pause_forget(rl_timed *t)
{
    pause_wait **p = &paused.list;
    while (*p && *p != (pause_wait *)t)
        p = &(*p)->next;
    if (*p)
        *p = (*p)->next;
    if (!paused.list)
        uv_unref((uv_handle_t *)&paused.async);
    fail_leave(&((pause_wait *)t)->ticket);
}

static int push_nothing(lua_State *L, rl_wait *wait)
{
    (void)L;
    (void)wait;
    return 0;
}

static int wait_here(lua_State *L, const fail_ticket *ticket)
{
    open_async(task_loop(L));
    pause_wait *w = timed_new(L, sizeof *w, push_nothing);
    w->timed.forget = pause_forget;
    w->ticket = *ticket;
    w->next = paused.list;
    paused.list = w;
    uv_ref((uv_handle_t *)&paused.async);
    fail_wait(ticket);
    uv_async_send(&paused.async); /* it may have been let go already */
    return timed_wait(L, &w->timed, -1);
}

/* ---- fail.point ---- */

/* The table at idx as keys and values; the texts stay on the stack. */
static int read_ctx(lua_State *L, int idx, fail_kv *ctx)
{
    int n = 0;
    if (lua_isnoneornil(L, idx))
        return 0;
    luaL_checktype(L, idx, LUA_TTABLE);
    luaL_checkstack(L, CTX_MAX + 8, NULL);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            continue;
        if (n == CTX_MAX)
            luaL_error(L, "fail.point: at most %d fields in ctx", CTX_MAX);
        ctx[n].key = lua_tostring(L, -2);
        ctx[n].number = lua_isinteger(L, -1);
        ctx[n++].value = luaL_tolstring(L, -1, NULL);
        lua_insert(L, -3); /* under key and value, where it is kept */
    }
    return n;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const fail_kv *)a)->key, ((const fail_kv *)b)->key);
}

static int point_push_value(lua_State *L, const fail_value *v)
{
    switch (v->kind) {
    case FAIL_V_INT:
        lua_pushinteger(L, v->i);
        break;
    case FAIL_V_FLOAT:
        lua_pushnumber(L, v->d);
        break;
    case FAIL_V_BOOL:
        lua_pushboolean(L, v->i != 0);
        break;
    case FAIL_V_NULL:
        errs_push_null(L);
        break;
    case FAIL_V_TEXT:
        if (*v->text) {
            lua_pushstring(L, v->text);
            break;
        } /* return() is return */
        /* fallthrough */
    default:
        lua_pushboolean(L, 1);
    }
    return 1;
}

static int push_error(lua_State *L, const char *point, const fail_value *v)
{
    bool number = v->kind == FAIL_V_INT;
    return errs_fail(L, err_new(RL_LAB, number ? (int)v->i : 0, number ? "FAILPOINT" : v->text,
                                "failpoint %s", point));
}

static int call_done(lua_State *L, int status, lua_KContext base)
{
    (void)status;
    return lua_gettop(L) - (int)base;
}

/* call(name): the function given to fail.define, with ctx and the hit number; its results are
 * the point's. */
static int call_defined(lua_State *L, const fail_decision *decision, const char *point)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, CALLS_KEY);
    if (lua_getfield(L, -1, decision->name) != LUA_TFUNCTION)
        return luaL_error(L, "failpoint %s: call(%s): no such function, give it by fail.define",
                          point, decision->name);
    int base = lua_gettop(L) - 1;
    lua_pushvalue(L, 2);
    lua_pushinteger(L, decision->hit);
    lua_callk(L, 2, LUA_MULTRET, base, call_done);
    return call_done(L, LUA_OK, base);
}

static int act(lua_State *L, const char *point, fail_decision *decision)
{
    switch (decision->action) {
    case FAIL_RETURN:
        return point_push_value(L, &decision->value);
    case FAIL_ERROR:
        return push_error(L, point, &decision->value);
    case FAIL_SLEEP:
        return timed_wait(L, timed_new(L, sizeof(rl_timed), push_nothing), decision->seconds);
    case FAIL_PAUSE:
    case FAIL_BARRIER:
        return wait_here(L, &decision->ticket);
    case FAIL_CALL:
        return call_defined(L, decision, point);
    default:
        return 0;
    }
}

/* The decision's texts move into Lua's keeping before anything can raise or yield. */
static char *keep(lua_State *L, char *text)
{
    if (!text)
        return NULL;
    lua_pushstring(L, text);
    free(text);
    return (char *)lua_tostring(L, -1);
}

/* point(name[, ctx]) -> nil | the value of return(...) | nil, err */
static int fail_l_point(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    if (!atomic_load_explicit(&fail_armed, memory_order_relaxed))
        return 0;
    fail_kv ctx[CTX_MAX];
    fail_decision d;
    lua_settop(L, 2);
    int n = read_ctx(L, 2, ctx);
    qsort(ctx, (size_t)n, sizeof *ctx, by_key);
    fail_decide(name, ctx, n, &d);
    if (d.action == FAIL_OFF)
        return 0;
    luaL_checkstack(L, 8, NULL);
    d.value.text = keep(L, d.value.text);
    d.name = keep(L, d.name);
    return act(L, name, &d);
}

/* ---- arming ---- */

/* arm(name, expr): a wrong expression raises */
static int fail_l_arm(lua_State *L)
{
    rl_err *err = fail_arm(luaL_checkstring(L, 1), luaL_checkstring(L, 2));
    return err ? errs_raise(L, err) : 0;
}

/* disarm([name]) -> whether it was armed; without a name: all */
static int fail_l_disarm(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        fail_disarm_all();
        return 0;
    }
    lua_pushboolean(L, fail_disarm(luaL_checkstring(L, 1)));
    return 1;
}

static int fail_l_resume(lua_State *L)
{
    lua_pushboolean(L, fail_resume(luaL_checkstring(L, 1)));
    return 1;
}

/* hits(name) -> hits, firings, both since it was armed */
static int fail_l_hits(lua_State *L)
{
    int64_t hits, fired;
    fail_counts(luaL_checkstring(L, 1), &hits, &fired);
    lua_pushinteger(L, hits);
    lua_pushinteger(L, fired);
    return 2;
}

static int fail_l_seed(lua_State *L)
{
    fail_set_seed((uint64_t)luaL_checkinteger(L, 1));
    return 0;
}

static void add_info(const fail_info *info, void *arg)
{
    lua_State *L = arg;
    lua_createtable(L, 0, 4);
    field_set_text(L, "name", info->name);
    field_set_text(L, "expr", info->expr);
    field_set_int(L, "hits", info->hits);
    field_set_int(L, "fired", info->fired);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* list() -> {{name=, expr= (nil once disarmed), hits=, fired=}, ...} in the order of arming */
static int fail_l_list(lua_State *L)
{
    lua_newtable(L);
    fail_each(add_info, L);
    return 1;
}

/* points() -> {{name=, help=}, ...}: those in C */
static int fail_l_points(lua_State *L)
{
    lua_createtable(L, FAIL_POINT_COUNT, 0);
    for (int i = 0; i < FAIL_POINT_COUNT; i++) {
        lua_createtable(L, 0, 2);
        field_set_text(L, "name", fail_point_names[i]);
        field_set_text(L, "help", fail_point_helps[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* explain(expr) -> text | nil, err whose message shows the place */
static int fail_l_explain(lua_State *L)
{
    fail_expr expr;
    rl_err *err = fail_parse(luaL_checkstring(L, 1), &expr);
    if (err)
        return errs_fail(L, err);
    rl_buf text = {0};
    fail_explain(&expr, &text);
    fail_expr_free(&expr);
    lua_pushlstring(L, text.data, text.len);
    buf_free(&text);
    return 1;
}

/* define(name, f): what call(name) calls, as f(ctx, hit); nil takes it away */
static int fail_l_define(lua_State *L)
{
    luaL_checkstring(L, 1);
    lua_settop(L, 2);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_isfunction(L, 2), 2, "function");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, CALLS_KEY);
    lua_insert(L, 1);
    lua_rawset(L, 1);
    return 0;
}

/* selftest([key]) reaches the C point rlab.selftest -> "go on" | "returned", text | "failed",
 * text */
static int fail_l_selftest(lua_State *L)
{
    static const char *const names[] = {"go on", "returned", "failed"};
    fail_kv ctx = {"key", luaL_optstring(L, 1, ""), false};
    fail_value value = {0};
    fail_outcome outcome = fail_point(FAIL_POINT_SELFTEST, &ctx, 1, &value);
    lua_pushstring(L, names[outcome]);
    lua_pushstring(L, value.text);
    free(value.text);
    return 2;
}

int luaopen_rlab_fail(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"point", fail_l_point},   {"arm", fail_l_arm},           {"disarm", fail_l_disarm},
        {"resume", fail_l_resume}, {"hits", fail_l_hits},         {"list", fail_l_list},
        {"points", fail_l_points}, {"explain", fail_l_explain},   {"define", fail_l_define},
        {"seed", fail_l_seed},     {"selftest", fail_l_selftest}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
