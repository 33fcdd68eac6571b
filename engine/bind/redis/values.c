#include "bind/redis/values.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bind/value/errs.h"

static int redis_refuse(lua_State *L, int idx, const char *where, int n)
{
    const char *type = errs_is_null(L, idx) ? "null" : luaL_typename(L, idx);
    return luaL_error(L, "%s: argument %d is %s, but Redis knows only strings and numbers", where,
                      n, type);
}

/* Redis has inf, and no nan: it would keep the text. */
static void refuse_nan(lua_State *L, int idx, const char *where, int n)
{
    if (lua_type(L, idx) == LUA_TNUMBER && isnan(lua_tonumber(L, idx)))
        luaL_error(L, "%s: argument %d is nan, and Redis has no such number", where, n);
}

static int count_list(lua_State *L, int idx, const char *where, int n)
{
    int len = (int)luaL_len(L, idx);
    for (int i = 1; i <= len; i++) {
        int type = lua_rawgeti(L, idx, i);
        if (type != LUA_TSTRING && type != LUA_TNUMBER)
            redis_refuse(L, -1, where, n);
        refuse_nan(L, -1, where, n);
        lua_pop(L, 1);
    }
    return len;
}

int redis_count_arg(lua_State *L, int idx, const char *where, int n)
{
    idx = lua_absindex(L, idx);
    refuse_nan(L, idx, where, n);
    switch (lua_type(L, idx)) {
    case LUA_TSTRING:
    case LUA_TNUMBER:
        return 1;
    case LUA_TTABLE:
        return count_list(L, idx, where, n);
    default:
        return redis_refuse(L, idx, where, n);
    }
}

static int print_float(char *out, size_t size, double d)
{
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(out, size, "%.*g", digits, d);
        if (strtod(out, NULL) == d)
            break;
    }
    return n;
}

void redis_push_arg(lua_State *L, int idx)
{
    char text[40];
    if (lua_type(L, idx) == LUA_TNUMBER && !lua_isinteger(L, idx))
        lua_pushlstring(L, text, (size_t)print_float(text, sizeof text, lua_tonumber(L, idx)));
    else {
        lua_pushvalue(L, idx);
        lua_tolstring(L, -1, NULL);
    }
}

static void add_scalar(lua_State *L, int idx, redisc_pipe *pipe)
{
    size_t len;
    redis_push_arg(L, idx);
    const char *bytes = lua_tolstring(L, -1, &len);
    redisc_pipe_arg(pipe, bytes, len);
    lua_pop(L, 1);
}

void redis_add_arg(lua_State *L, int idx, redisc_pipe *pipe)
{
    idx = lua_absindex(L, idx);
    if (lua_type(L, idx) != LUA_TTABLE) {
        add_scalar(L, idx, pipe);
        return;
    }
    int len = (int)luaL_len(L, idx);
    for (int i = 1; i <= len; i++) {
        lua_rawgeti(L, idx, i);
        add_scalar(L, -1, pipe);
        lua_pop(L, 1);
    }
}

static void redis_push_list(lua_State *L, const redisReply *reply)
{
    lua_createtable(L, (int)reply->elements, 0);
    for (size_t i = 0; i < reply->elements; i++) {
        redis_push_reply(L, reply->element[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_map(lua_State *L, const redisReply *reply)
{
    lua_createtable(L, 0, (int)reply->elements / 2);
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *key = reply->element[i];
        if (key->type == REDIS_REPLY_DOUBLE && isnan(key->dval))
            lua_pushliteral(L, "nan"); /* no key of a table */
        else
            redis_push_reply(L, key);
        redis_push_reply(L, reply->element[i + 1]);
        lua_rawset(L, -3);
    }
}

void redis_push_reply(lua_State *L, const redisReply *reply)
{
    int top = lua_gettop(L);
    luaL_checkstack(L, 4, "a reply nested too deeply");
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        lua_pushinteger(L, reply->integer);
        break;
    case REDIS_REPLY_DOUBLE:
        lua_pushnumber(L, reply->dval);
        break;
    case REDIS_REPLY_BOOL:
        lua_pushboolean(L, reply->integer != 0);
        break;
    case REDIS_REPLY_NIL:
        errs_push_null(L);
        break;
    case REDIS_REPLY_ERROR:
        errs_push_table(L, redisc_reply_err(reply));
        break;
    case REDIS_REPLY_MAP:
        push_map(L, reply);
        break;
    case REDIS_REPLY_ARRAY:
    case REDIS_REPLY_SET:
    case REDIS_REPLY_PUSH:
    case REDIS_REPLY_ATTR:
        redis_push_list(L, reply);
        break;
    default: /* strings, statuses, big numbers, verbatim text */
        lua_pushlstring(L, reply->str ? reply->str : "", reply->len);
    }
    rl_assert(lua_gettop(L) == top + 1);
}
