/* rlab.history: open(path[, {start = ns}]) -> h; h:invoke, h:ok, h:fail, h:info(process, f[,
 * value[, error]]) -> index | nil, err. */
#include "bind/evidence/history.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/log.h"
#include "bind/value/errs.h"
#include "bind/task/handle.h"
#include "bind/value/json.h"
#include "bind/value/opts.h"
#include "bind/task/scheduler.h"
#include "evidence/history.h"

enum { FLUSH_MS = 100 };

int luaopen_rlab_history(lua_State *L);

/* h->extra: the timer that flushes; a write that failed is told by the next operation. */
static void on_timer(uv_timer_t *timer)
{
    err_free(history_flush(timer->data));
}

static void free_timer(uv_handle_t *timer)
{
    free(timer);
}

static void start_timer(lua_State *L, rl_handle *h)
{
    uv_timer_t *timer = mem_zero(sizeof *timer);
    uv_timer_init(task_loop(L), timer);
    timer->data = h->impl;
    uv_timer_start(timer, on_timer, FLUSH_MS, FLUSH_MS);
    uv_unref((uv_handle_t *)timer);
    h->extra = timer;
}

static void history_detach(rl_handle *h)
{
    uv_close(h->extra, free_timer);
    h->extra = NULL;
}

static void close_impl(void *impl)
{
    rl_err *err = history_close(impl);
    if (err)
        log_msg(LOG_LEVEL_ERROR, "history: %s", err->msg);
    err_free(err);
}

static const rl_handle_type history_handle = {
    .name = "history", .close = close_impl, .detach = history_detach};

rl_history *history_check(lua_State *L, int idx)
{
    return handle_check(L, idx, &history_handle)->impl;
}

static int history_l_open(lua_State *L)
{
    static const char *const keys[] = {"start", NULL};
    const char *path = luaL_checkstring(L, 1);
    opts_check(L, 2, "history.open", keys);
    lua_Integer start = opts_int(L, 2, "start", 0);
    rl_handle *h = handle_new(L, &history_handle, 0);
    rl_history *history;
    rl_err *err = history_open(path, start, &history);
    if (err)
        return errs_fail(L, err);
    handle_set(h, history);
    start_timer(L, h);
    return 1;
}

static int raise_usage(lua_State *L, rl_err *err, rl_buf *a, rl_buf *b)
{
    buf_free(a);
    buf_free(b);
    lua_pushstring(L, err->msg);
    err_free(err);
    return luaL_error(L, "history: %s", lua_tostring(L, -1));
}

static int add(lua_State *L, history_type type)
{
    rl_handle *h = handle_check(L, 1, &history_handle);
    luaL_checkany(L, 2);
    history_op op = {.type = type, .f = luaL_checkstring(L, 3)};
    lua_settop(L, 5);
    op.error = lua_isnil(L, 5) ? NULL : luaL_tolstring(L, 5, NULL);
    rl_buf process = {0}, value = {0};
    rl_err *err = lua_json_put(L, 2, &process, -1);
    if (!err)
        err = lua_json_put(L, 4, &value, -1);
    if (err)
        return raise_usage(L, err, &process, &value);
    op.process = process.data;
    op.value = value.data;
    int64_t index = 0;
    err = history_add(h->impl, &op, &index);
    buf_free(&process);
    buf_free(&value);
    if (err)
        return errs_fail(L, err);
    lua_pushinteger(L, index);
    return 1;
}

static int history_l_invoke(lua_State *L)
{
    return add(L, HISTORY_INVOKE);
}

static int history_l_ok(lua_State *L)
{
    return add(L, HISTORY_OK);
}

static int history_l_fail(lua_State *L)
{
    return add(L, HISTORY_FAIL);
}

static int history_l_info(lua_State *L)
{
    return add(L, HISTORY_INFO);
}

static int history_l_flush(lua_State *L)
{
    return errs_ok(L, history_flush(handle_check(L, 1, &history_handle)->impl));
}

static int history_l_count(lua_State *L)
{
    lua_pushinteger(L, history_count(handle_check(L, 1, &history_handle)->impl));
    return 1;
}

int luaopen_rlab_history(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", history_l_open}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"invoke", history_l_invoke},
                                       {"ok", history_l_ok},
                                       {"fail", history_l_fail},
                                       {"info", history_l_info},
                                       {"flush", history_l_flush},
                                       {"count", history_l_count},
                                       {NULL, NULL}};
    handle_type_open(L, &history_handle, methods);
    luaL_newlib(L, functions);
    return 1;
}
