#include "bind/value/fields.h"

#include "base/assert.h"

static void set(lua_State *L, const char *key)
{
    rl_assert(lua_istable(L, -2));
    lua_setfield(L, -2, key);
}

void field_set_int(lua_State *L, const char *key, int64_t value)
{
    lua_pushinteger(L, value);
    set(L, key);
}

void field_set_number(lua_State *L, const char *key, double value)
{
    lua_pushnumber(L, value);
    set(L, key);
}

void field_set_bool(lua_State *L, const char *key, bool value)
{
    lua_pushboolean(L, value);
    set(L, key);
}

void field_set_text(lua_State *L, const char *key, const char *text)
{
    lua_pushstring(L, text);
    set(L, key);
}

void field_set_bytes(lua_State *L, const char *key, const char *bytes, size_t len)
{
    if (!bytes)
        return;
    lua_pushlstring(L, bytes, len);
    set(L, key);
}
