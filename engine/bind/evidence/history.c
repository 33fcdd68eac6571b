/* rlab.history: open(path[, {start = ns}]) -> h; h:invoke(actor, f[, value]) -> process | nil, err;
 * h:ok, h:fail, h:info(process[, value[, error]]) -> true | nil, err. */
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

static void history_close_impl(void *impl)
{
    rl_err *err = history_close(impl);
    if (err)
        log_msg(LOG_LEVEL_ERROR, "history: %s", err->msg);
    err_free(err);
}

static const rl_handle_type history_handle = {
    .name = "history", .close = history_close_impl, .detach = history_detach};

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

/* The argument as JSON; what cannot be written down is raised. */
static void put_value(lua_State *L, int idx, rl_buf *out)
{
    rl_err *err = lua_json_put(L, idx, out, 0);
    if (!err)
        return;
    buf_free(out);
    lua_pushstring(L, err->msg);
    err_free(err);
    luaL_error(L, "history: %s", lua_tostring(L, -1));
}

static int history_l_invoke(lua_State *L)
{
    rl_handle *h = handle_check(L, 1, &history_handle);
    const char *actor = luaL_checkstring(L, 2), *f = luaL_checkstring(L, 3);
    lua_settop(L, 4);
    rl_buf value = {0};
    put_value(L, 4, &value);
    int64_t process;
    rl_err *err = history_invoke(h->impl, actor, f, value.data, &process);
    buf_free(&value);
    if (err)
        return errs_fail(L, err);
    lua_pushinteger(L, process);
    return 1;
}

static int complete(lua_State *L, history_type how)
{
    rl_handle *h = handle_check(L, 1, &history_handle);
    int64_t process = luaL_checkinteger(L, 2);
    lua_settop(L, 4);
    const char *error = lua_isnil(L, 4) ? NULL : luaL_tolstring(L, 4, NULL);
    rl_buf value = {0};
    put_value(L, 3, &value);
    if (!history_outstanding(h->impl, process)) {
        buf_free(&value);
        return luaL_error(L, "history: process %I has no operation that could end",
                          (LUAI_UACINT)process);
    }
    rl_err *err = history_complete(h->impl, process, how, value.data, error);
    buf_free(&value);
    return errs_ok(L, err);
}

static int history_l_ok(lua_State *L)
{
    return complete(L, HISTORY_OK);
}

static int history_l_fail(lua_State *L)
{
    return complete(L, HISTORY_FAIL);
}

static int history_l_info(lua_State *L)
{
    return complete(L, HISTORY_INFO);
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
