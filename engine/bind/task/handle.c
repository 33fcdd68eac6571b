#include "bind/task/handle.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "bind/task/scheduler.h"

static int open_handles;

int handle_open_count(void)
{
    return open_handles;
}

void handle_set(rl_handle *h, void *impl)
{
    rl_assert(impl && !h->impl && !h->closed);
    h->impl = impl;
    open_handles++;
}

void handle_settle(rl_handle *h)
{
    rl_assert(h->settled || open_handles > 0);
    if (!h->settled)
        open_handles--;
    h->settled = true;
}

static void remember_place(lua_State *L, rl_handle *h)
{
    lua_Debug ar;
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0) {
            snprintf(h->where, sizeof h->where, "%s:%d", ar.short_src, ar.currentline);
            return;
        }
    }
}

rl_handle *handle_new(lua_State *L, const rl_handle_type *type, int user_values)
{
    rl_assert(type->close);
    rl_handle *h = lua_newuserdatauv(L, sizeof *h, user_values);
    memset(h, 0, sizeof *h);
    h->type = type;
    lane_init(&h->lane, task_loop(L));
    luaL_setmetatable(L, type->name);
    remember_place(L, h);
    return h;
}

rl_handle *handle_test(lua_State *L, int idx, const rl_handle_type *type)
{
    return luaL_testudata(L, idx, type->name);
}

rl_handle *handle_check(lua_State *L, int idx, const rl_handle_type *type)
{
    rl_handle *h = luaL_checkudata(L, idx, type->name);
    if (!h->impl)
        luaL_error(L, "this %s is closed (it was opened at %s)", type->name, h->where);
    return h;
}
