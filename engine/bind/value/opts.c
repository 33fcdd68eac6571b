#include "bind/value/opts.h"

#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "base/units.h"

static const double DURATION_MAX = 1e9; /* as base/units reads them */

void opts_check(lua_State *L, int idx, const char *call, const char *const *allowed)
{
    if (lua_isnoneornil(L, idx))
        return;
    luaL_checktype(L, idx, LUA_TTABLE);
    idx = lua_absindex(L, idx);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            continue;
        const char *key = lua_tostring(L, -2);
        const char *const *a = allowed;
        while (*a && strcmp(*a, key) != 0)
            a++;
        if (*a)
            continue;
        const char *near = units_nearest(key, allowed);
        if (near)
            luaL_error(L, "%s: unknown option '%s', did you mean '%s'?", call, key, near);
        luaL_error(L, "%s: unknown option '%s'", call, key);
    }
}

/* Pushes the option's value and returns its type; nil where the table is absent. */
static int get(lua_State *L, int idx, const char *key)
{
    if (lua_isnoneornil(L, idx)) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    return lua_getfield(L, idx, key);
}

static int wrong(lua_State *L, const char *key, const char *want)
{
    return luaL_error(L, "option '%s': %s expected, got %s", key, want, luaL_typename(L, -1));
}

const char *opts_str(lua_State *L, int idx, const char *key, const char *def)
{
    int type = get(L, idx, key);
    if (type != LUA_TNIL && type != LUA_TSTRING && type != LUA_TNUMBER)
        wrong(L, key, "string");
    size_t len = 0;
    const char *s = type == LUA_TNIL ? def : lua_tolstring(L, -1, &len);
    if (type != LUA_TNIL && strlen(s) != len)
        luaL_error(L, "option '%s': there is a NUL in it", key);
    lua_pop(L, 1);
    return s;
}

lua_Integer opts_int(lua_State *L, int idx, const char *key, lua_Integer def)
{
    int isint = 1;
    lua_Integer n = get(L, idx, key) == LUA_TNIL ? def : lua_tointegerx(L, -1, &isint);
    if (!isint)
        wrong(L, key, "integer");
    lua_pop(L, 1);
    return n;
}

lua_Integer opts_int_in(lua_State *L, int idx, const char *key, lua_Integer def, lua_Integer least,
                        lua_Integer most)
{
    lua_Integer n = opts_int(L, idx, key, def);
    if (n != def && (n < least || n > most))
        luaL_error(L, "option '%s': from %I to %I, not %I", key, (LUAI_UACINT)least,
                   (LUAI_UACINT)most, (LUAI_UACINT)n);
    return n;
}

bool opts_bool(lua_State *L, int idx, const char *key, bool def)
{
    int type = get(L, idx, key);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN)
        wrong(L, key, "boolean");
    bool b = type == LUA_TNIL ? def : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return b;
}

/* A text that holds a NUL is none that means something. */
static const char *text_at(lua_State *L, int idx)
{
    const char *text = lua_tostring(L, idx);
    return strlen(text) == lua_rawlen(L, idx) ? text : "";
}

static double top_duration(lua_State *L, double def, const char *what)
{
    double s = def;
    if (lua_type(L, -1) == LUA_TNUMBER)
        s = lua_tonumber(L, -1);
    else if (!lua_isnil(L, -1) &&
             (lua_type(L, -1) != LUA_TSTRING || !units_duration(text_at(L, -1), &s)))
        luaL_error(
            L, "%s: '%s' is no duration; write \"200ms\", \"5s\", \"1m\" or seconds as a number",
            what, luaL_tolstring(L, -1, NULL));
    if (!(s >= 0))
        luaL_error(L, "%s: a duration cannot be negative", what);
    if (s >= DURATION_MAX && s != def)
        luaL_error(L, "%s: a duration ends at thirty years", what);
    return s;
}

double opts_duration(lua_State *L, int idx, const char *key, double def)
{
    get(L, idx, key);
    double s = top_duration(L, def, key);
    lua_pop(L, 1);
    return s;
}

bool arg_size(lua_State *L, int idx, int64_t *bytes)
{
    if (lua_isinteger(L, idx)) {
        *bytes = lua_tointeger(L, idx);
        return *bytes >= 0;
    }
    if (lua_type(L, idx) == LUA_TSTRING)
        return units_size(text_at(L, idx), bytes);
    double n = lua_type(L, idx) == LUA_TNUMBER ? lua_tonumber(L, idx) : -1;
    if (!(n == 0 || (n >= 1 && n < 0x1p63)))
        return false;
    *bytes = (int64_t)n;
    return true;
}

int64_t opts_size(lua_State *L, int idx, const char *key, int64_t def)
{
    int64_t n = def;
    if (get(L, idx, key) != LUA_TNIL && !arg_size(L, -1, &n))
        luaL_error(L, "option '%s': '%s' is no size; write 64, \"64KiB\" or \"1MB\"", key,
                   luaL_tolstring(L, -1, NULL));
    lua_pop(L, 1);
    return n;
}

static int no_such_word(lua_State *L, const char *key, const char *word, const char *call,
                        const char *const *words)
{
    const char *near = units_nearest(word, words);
    luaL_Buffer all;
    luaL_buffinit(L, &all);
    for (int i = 0; words[i]; i++) {
        luaL_addstring(&all, i ? ", " : "");
        luaL_addstring(&all, words[i]);
    }
    luaL_pushresult(&all);
    if (near)
        return luaL_error(L, "%s: %s: '%s' is none of %s; did you mean '%s'?", call, key, word,
                          lua_tostring(L, -1), near);
    return luaL_error(L, "%s: %s: '%s' is none of %s", call, key, word, lua_tostring(L, -1));
}

int opts_word(lua_State *L, int idx, const char *key, const char *def, const char *call,
              const char *const *words)
{
    const char *word = opts_str(L, idx, key, def);
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return no_such_word(L, key, word, call, words);
}

double arg_duration(lua_State *L, int idx, double def)
{
    if (lua_isnone(L, idx))
        return def;
    lua_pushvalue(L, idx);
    double s = top_duration(L, def, "duration");
    lua_pop(L, 1);
    return s;
}

int arg_duration_ms(lua_State *L, int idx, double def)
{
    double ms = arg_duration(L, idx, def) * 1000;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}
