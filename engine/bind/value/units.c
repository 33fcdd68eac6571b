/* rlab.units: durations, sizes and rates for Lua, and "did you mean". */
#include <lauxlib.h>
#include <lua.h>

#include "base/units.h"
#include "bind/value/opts.h"

int luaopen_rlab_units(lua_State *L);

static int units_l_duration(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushnumber(L, arg_duration(L, 1, 0));
    return 1;
}

static int units_l_size(lua_State *L)
{
    int64_t bytes;
    if (lua_type(L, 1) != LUA_TNUMBER)
        luaL_checkstring(L, 1);
    if (!arg_size(L, 1, &bytes))
        return luaL_error(L, "'%s' is no size; write 64, \"64KiB\" or \"1MB\"",
                          luaL_tolstring(L, 1, NULL));
    lua_pushinteger(L, bytes);
    return 1;
}

static int units_l_rate(lua_State *L)
{
    double rate;
    if (!units_rate(luaL_checkstring(L, 1), &rate))
        return luaL_error(L, "'%s' is no rate; write \"2000/s\"", lua_tostring(L, 1));
    lua_pushnumber(L, rate);
    return 1;
}

static int units_l_print_duration(lua_State *L)
{
    char text[48];
    units_print_duration(luaL_checknumber(L, 1), text, sizeof text);
    lua_pushstring(L, text);
    return 1;
}

/* nearest(word, {words}) -> word | nil */
static int units_l_nearest(lua_State *L)
{
    const char *word = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = (size_t)luaL_len(L, 2);
    const char **words = lua_newuserdatauv(L, (n + 1) * sizeof *words, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        words[i] = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        lua_pop(L, 1); /* the table keeps the string alive */
    }
    words[n] = NULL;
    lua_pushstring(L, units_nearest(word, words));
    return 1;
}

int luaopen_rlab_units(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"duration", units_l_duration}, {"size", units_l_size},
        {"rate", units_l_rate},         {"print_duration", units_l_print_duration},
        {"nearest", units_l_nearest},   {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
