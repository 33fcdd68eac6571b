/* rlab.units: durations, sizes, rates, numbers and sums for Lua, and "did you mean". */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <string.h>

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

/* whole(value) -> integer | nil: a text of decimal digits, or a number that is one */
static int units_l_whole(lua_State *L)
{
    int64_t n;
    luaL_checkany(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING) {
        int ok;
        n = lua_tointegerx(L, 1, &ok);
        if (!ok)
            return 0;
    } else if (lua_rawlen(L, 1) != strlen(lua_tostring(L, 1)) ||
               !units_whole(lua_tostring(L, 1), &n)) {
        return 0;
    }
    lua_pushinteger(L, n);
    return 1;
}

/* number(value) -> number | nil: finite, decimal; an integer stays one */
static int units_l_number(lua_State *L)
{
    double n = 0;
    luaL_checkany(L, 1);
    if (units_l_whole(L) == 1)
        return 1;
    if (lua_type(L, 1) == LUA_TNUMBER)
        n = lua_tonumber(L, 1);
    else if (lua_type(L, 1) != LUA_TSTRING || lua_rawlen(L, 1) != strlen(lua_tostring(L, 1)) ||
             !units_number(lua_tostring(L, 1), &n))
        return 0;
    if (!isfinite(n))
        return 0;
    lua_pushnumber(L, n);
    return 1;
}

/* add(a, b) -> integer | nil where the sum does not fit into 64 bits */
static int units_l_add(lua_State *L)
{
    lua_Integer sum;
    if (__builtin_add_overflow(luaL_checkinteger(L, 1), luaL_checkinteger(L, 2), &sum))
        return 0;
    lua_pushinteger(L, sum);
    return 1;
}

/* subtract(a, b) -> integer | nil */
static int units_l_subtract(lua_State *L)
{
    lua_Integer difference;
    if (__builtin_sub_overflow(luaL_checkinteger(L, 1), luaL_checkinteger(L, 2), &difference))
        return 0;
    lua_pushinteger(L, difference);
    return 1;
}

/* share(low, high, k, n) -> integer: the upper end of the first k of n equal parts of low..high */
static int units_l_share(lua_State *L)
{
    lua_Integer low = luaL_checkinteger(L, 1), high = luaL_checkinteger(L, 2);
    lua_Integer k = luaL_checkinteger(L, 3), n = luaL_checkinteger(L, 4);
    luaL_argcheck(L, low <= high, 2, "the range is empty");
    luaL_argcheck(L, n >= 1 && n <= INT32_MAX, 4, "1 part at least");
    luaL_argcheck(L, k >= 1 && k <= n, 3, "one of the parts");
    lua_pushinteger(L, units_share(low, high, k, n));
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
    static const luaL_Reg functions[] = {{"duration", units_l_duration},
                                         {"size", units_l_size},
                                         {"rate", units_l_rate},
                                         {"print_duration", units_l_print_duration},
                                         {"nearest", units_l_nearest},
                                         {"whole", units_l_whole},
                                         {"number", units_l_number},
                                         {"add", units_l_add},
                                         {"subtract", units_l_subtract},
                                         {"share", units_l_share},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
