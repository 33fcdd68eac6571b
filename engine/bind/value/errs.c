#include "bind/value/errs.h"
#include "base/assert.h"
#include "bind/value/fields.h"

#include <lauxlib.h>
#include <stdbool.h>

#define ERR_META "rlab.err"

static const char null_address;

static int err_tostring(lua_State *L)
{
    lua_getfield(L, 1, "domain");
    lua_getfield(L, 1, "name");
    lua_getfield(L, 1, "code");
    lua_getfield(L, 1, "message");
    const char *domain = luaL_optstring(L, 2, "rlab");
    const char *name = luaL_optstring(L, 3, "ERROR");
    const char *message = luaL_optstring(L, 5, "");
    lua_Integer code = luaL_optinteger(L, 4, 0);
    if (code)
        lua_pushfstring(L, "%s %s (%I): %s", domain, name, (LUAI_UACINT)code, message);
    else
        lua_pushfstring(L, "%s %s: %s", domain, name, message);
    return 1;
}

/* In the order of rl_blame. */
static const char *const blames[] = {"call", "record", "place", "server"};

static void set_word(lua_State *L, const char *key, const char *word)
{
    bool given = lua_getfield(L, 1, key) != LUA_TNIL;
    lua_pop(L, 1);
    if (!given)
        field_set_text(L, key, word);
}

/* error values made in Lua: rlab.err { name = ..., message = ... } */
static int err_make(lua_State *L)
{
    rl_domain domain;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "domain");
    lua_getfield(L, 1, "name");
    if (!err_domain_find(luaL_optstring(L, 2, "rlab"), &domain))
        domain = RL_LAB;
    err_meaning meaning = err_meaning_of(domain, luaL_optstring(L, 3, ""));
    lua_settop(L, 1);
    set_word(L, "happened", err_happened_name(meaning.happened));
    set_word(L, "blame", blames[meaning.blame]);
    luaL_setmetatable(L, ERR_META);
    return 1;
}

static int err_test(lua_State *L)
{
    bool yes = lua_getmetatable(L, 1) && (luaL_getmetatable(L, ERR_META), lua_rawequal(L, -1, -2));
    lua_pushboolean(L, yes);
    return 1;
}

static int null_tostring(lua_State *L)
{
    lua_pushstring(L,
                   lua_touserdata(L, 1) == (const void *)&null_address ? "null" : "lightuserdata");
    return 1;
}

static int open_null(lua_State *L)
{
    errs_push_null(L);
    return 1;
}

static int open_err(lua_State *L)
{
    static const luaL_Reg functions[] = {{"new", err_make}, {"is", err_test}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

void errs_open(lua_State *L)
{
    luaL_newmetatable(L, ERR_META);
    lua_pushcfunction(L, err_tostring);
    lua_setfield(L, -2, "__tostring");
    field_set_text(L, "__name", ERR_META);
    lua_pop(L, 1);

    errs_push_null(L);
    lua_newtable(L);
    lua_pushcfunction(L, null_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);

    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, open_null);
    lua_setfield(L, -2, "rlab.null");
    lua_pushcfunction(L, open_err);
    lua_setfield(L, -2, "rlab.err");
    lua_pop(L, 1);
}

void errs_push_null(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&null_address);
}

int errs_is_null(lua_State *L, int idx)
{
    return lua_islightuserdata(L, idx) && lua_touserdata(L, idx) == (const void *)&null_address;
}

void errs_push_table(lua_State *L, rl_err *err)
{
    int top = lua_gettop(L);
    lua_createtable(L, 0, 9);
    field_set_text(L, "domain", err_domain_name(err->domain));
    field_set_int(L, "code", err->code);
    field_set_text(L, "name", err->name);
    field_set_text(L, "message", err->msg ? err->msg : "");
    field_set_bool(L, "retriable", err->retriable);
    field_set_bool(L, "abortable", err->abortable);
    field_set_bool(L, "fatal", err->fatal);
    field_set_text(L, "happened", err_happened_name(err->happened));
    field_set_text(L, "blame", blames[err->blame]);
    luaL_setmetatable(L, ERR_META);
    err_free(err);
    rl_assert(lua_gettop(L) == top + 1);
}

int errs_fail(lua_State *L, rl_err *err)
{
    lua_pushnil(L);
    errs_push_table(L, err);
    return 2;
}

int errs_raise(lua_State *L, rl_err *err)
{
    errs_push_table(L, err);
    return lua_error(L);
}

int errs_raise_usage(lua_State *L, const char *call, rl_err *err)
{
    lua_pushstring(L, err->msg);
    err_free(err);
    return luaL_error(L, "%s: %s", call, lua_tostring(L, -1));
}

int errs_ok(lua_State *L, rl_err *err)
{
    if (err)
        return errs_fail(L, err);
    lua_pushboolean(L, true);
    return 1;
}
