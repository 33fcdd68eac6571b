#include "bind/mysql/values.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"

static int mysql_refuse(lua_State *L, int idx, int n, const char *where)
{
    if (lua_isnil(L, idx))
        return luaL_error(L, "%s: parameter %d is nil; write null (require \"rlab.null\") for NULL",
                          where, n);
    if (lua_type(L, idx) == LUA_TNUMBER)
        return luaL_error(L, "%s: parameter %d is %s, and MySQL has no such number", where, n,
                          luaL_tolstring(L, idx, NULL));
    return luaL_error(L,
                      "%s: parameter %d is a %s; MySQL takes numbers, strings, booleans and null",
                      where, n, luaL_typename(L, idx));
}

static bool fits(lua_State *L, int idx)
{
    int type = lua_type(L, idx);
    if (type == LUA_TNUMBER)
        return isfinite(lua_tonumber(L, idx));
    return type == LUA_TSTRING || type == LUA_TBOOLEAN || errs_is_null(L, idx);
}

static my_value param(lua_State *L, int idx)
{
    my_value v = {.kind = MY_NULL};
    switch (lua_type(L, idx)) {
    case LUA_TSTRING:
        v.kind = MY_BYTES;
        v.s = lua_tolstring(L, idx, &v.len);
        break;
    case LUA_TBOOLEAN:
        v.kind = MY_BOOL;
        v.i = lua_toboolean(L, idx);
        break;
    case LUA_TNUMBER:
        v.kind = lua_isinteger(L, idx) ? MY_INT : MY_DOUBLE;
        if (v.kind == MY_INT)
            v.i = lua_tointeger(L, idx);
        else
            v.d = lua_tonumber(L, idx);
        break;
    default: /* null */
        break;
    }
    return v;
}

my_value *mysql_params(lua_State *L, int first, int last, const char *where)
{
    for (int i = first; i <= last; i++)
        if (!fits(L, i))
            mysql_refuse(L, i, i - first + 1, where);
    if (last < first)
        return NULL;
    my_value *values = mem_alloc((size_t)(last - first + 1) * sizeof *values);
    for (int i = first; i <= last; i++)
        values[i - first] = param(L, i);
    return values;
}

static void mysql_push_value(lua_State *L, const my_value *cell)
{
    switch (cell->kind) {
    case MY_NULL:
        errs_push_null(L);
        break;
    case MY_INT:
        lua_pushinteger(L, cell->i);
        break;
    case MY_BOOL:
        lua_pushboolean(L, cell->i != 0);
        break;
    case MY_DOUBLE:
        lua_pushnumber(L, cell->d);
        break;
    case MY_BYTES:
        lua_pushlstring(L, cell->s, cell->len);
        break;
    }
}

void mysql_push_columns(lua_State *L, const my_result *result)
{
    int top = lua_gettop(L);
    lua_createtable(L, result->ncols, 0);
    for (int i = 0; i < result->ncols; i++) {
        lua_pushstring(L, result->columns[i]);
        lua_rawseti(L, -2, i + 1);
    }
    rl_assert(lua_gettop(L) == top + 1);
}

void mysql_push_row(lua_State *L, const my_result *result, size_t row, int columns)
{
    int top = lua_gettop(L);
    lua_createtable(L, 0, result->ncols);
    for (int i = 0; i < result->ncols; i++) {
        my_value v = my_cell(result, row, i);
        lua_rawgeti(L, columns, i + 1);
        mysql_push_value(L, &v);
        if (result->twins) {
            lua_pushvalue(L, -1);
            lua_rawseti(L, top + 1, i + 1);
        }
        lua_rawset(L, -3);
    }
    rl_assert(lua_gettop(L) == top + 1);
}

static void push_count(lua_State *L, uint64_t n)
{
    char text[24];
    if (n <= INT64_MAX)
        lua_pushinteger(L, (lua_Integer)n);
    else
        lua_pushlstring(L, text,
                        (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)n));
}

void mysql_push_counts(lua_State *L, const my_result *result)
{
    push_count(L, result->ncols ? (uint64_t)result->nrows : result->affected);
    lua_setfield(L, -2, "affected");
    push_count(L, result->insert_id);
    lua_setfield(L, -2, "insert_id");
    field_set_int(L, "warnings", result->warnings);
}

static void push_set(lua_State *L, const my_result *result)
{
    int top = lua_gettop(L);
    lua_createtable(L, (int)result->nrows, 4);
    mysql_push_columns(L, result);
    int columns = lua_gettop(L);
    for (size_t i = 0; i < result->nrows; i++) {
        mysql_push_row(L, result, i, columns);
        lua_rawseti(L, columns - 1, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "columns");
    mysql_push_counts(L, result);
    rl_assert(lua_gettop(L) == top + 1);
}

void mysql_push_rows(lua_State *L, const my_result *result)
{
    luaL_checkstack(L, 10, NULL);
    push_set(L, result);
    if (!result->next)
        return;
    lua_newtable(L);
    lua_Integer n = 0;
    for (const my_result *more = result->next; more; more = more->next) {
        push_set(L, more);
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, -2, "more");
}
