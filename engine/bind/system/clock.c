/* rlab.clock: ns() monotonic, unix_ms() and unix_ns() wall, iso([unix_ms]), parse(text). */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "base/clock.h"

int luaopen_rlab_clock(lua_State *L);

static int clock_l_ns(lua_State *L)
{
    lua_pushinteger(L, clock_ns());
    return 1;
}

static int clock_l_unix_ns(lua_State *L)
{
    lua_pushinteger(L, clock_unix_ns());
    return 1;
}

static int clock_l_unix_ms(lua_State *L)
{
    lua_pushinteger(L, clock_unix_ms());
    return 1;
}

static int clock_l_iso(lua_State *L)
{
    char text[CLOCK_ISO_SIZE];
    clock_iso(lua_isnoneornil(L, 1) ? clock_unix_ms() : luaL_checkinteger(L, 1), text);
    lua_pushstring(L, text);
    return 1;
}

/* parse(text) -> ms since 1970 | nil, why it is no time */
static int clock_l_parse(lua_State *L)
{
    size_t len;
    int64_t unix_ms;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *why =
        strlen(text) == len ? clock_parse(text, &unix_ms) : "a zero byte is in no time";
    if (!why) {
        lua_pushinteger(L, unix_ms);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

int luaopen_rlab_clock(lua_State *L)
{
    static const luaL_Reg functions[] = {{"ns", clock_l_ns},           {"unix_ns", clock_l_unix_ns},
                                         {"unix_ms", clock_l_unix_ms}, {"iso", clock_l_iso},
                                         {"parse", clock_l_parse},     {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
