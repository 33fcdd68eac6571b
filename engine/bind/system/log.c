/* rlab.log: debug, info, warn, error(message[, fields]), level([name]), form(name),
 * enabled(name). */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "bind/value/errs.h"
#include "bind/value/json.h"

int luaopen_rlab_log(lua_State *L);

/* In text, plain words stand bare and anything else as JSON. */
static bool bare(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f ||
            strchr("\"\\=", text[i]))
            return false;
    return len > 0;
}

static rl_err *put_field(lua_State *L, rl_buf *out, const char *key)
{
    bool json = log_as_json();
    size_t len;
    if (json) {
        buf_str(out, ",");
        json_put_cstr(out, key);
        buf_str(out, ":");
    } else {
        buf_printf(out, " %s=", key);
    }
    if (!json && lua_type(L, -1) == LUA_TSTRING &&
        bare(lua_tolstring(L, -1, &len), lua_rawlen(L, -1))) {
        buf_str(out, lua_tostring(L, -1));
        return NULL;
    }
    return lua_json_put(L, -1, out, LUA_JSON_GAPS);
}

/* The fields in the order of their names. */
static rl_err *put_fields(lua_State *L, int idx, rl_buf *out)
{
    rl_err *err = NULL;
    lua_newtable(L);
    int names = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            continue;
        lua_pushvalue(L, -2);
        lua_rawseti(L, names, (lua_Integer)lua_rawlen(L, names) + 1);
    }
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "sort");
    lua_pushvalue(L, names);
    lua_call(L, 1, 0);
    for (lua_Integer i = 1; !err && lua_rawgeti(L, names, i) == LUA_TSTRING; i++) {
        const char *key = lua_tostring(L, -1);
        lua_getfield(L, idx, key);
        err = put_field(L, out, key);
        lua_pop(L, 2);
    }
    lua_settop(L, names - 1);
    return err;
}

static int log_at(lua_State *L, log_level level)
{
    lua_settop(L, 2);
    if (!log_enabled(level))
        return 0;
    rl_buf fields = {0};
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        rl_err *err = put_fields(L, 2, &fields);
        if (err) {
            buf_free(&fields);
            return errs_raise_usage(L, "log", err);
        }
    }
    size_t len;
    const char *msg = luaL_tolstring(L, 1, &len);
    log_write(level, msg, len, &fields);
    buf_free(&fields);
    return 0;
}

static int log_l_debug(lua_State *L)
{
    return log_at(L, LOG_LEVEL_DEBUG);
}

static int log_l_info(lua_State *L)
{
    return log_at(L, LOG_LEVEL_INFO);
}

static int log_l_warn(lua_State *L)
{
    return log_at(L, LOG_LEVEL_WARN);
}

static int log_l_error(lua_State *L)
{
    return log_at(L, LOG_LEVEL_ERROR);
}

static log_level level_arg(lua_State *L)
{
    log_level level = LOG_LEVEL_OFF;
    const char *name = luaL_checkstring(L, 1);
    if (!log_level_parse(name, &level))
        luaL_error(L, "'%s' is no log level; write debug, info, warn, error or off", name);
    return level;
}

/* level([name]) -> the level that holds now */
static int log_l_level(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        log_set_level(level_arg(L));
    lua_pushstring(L, log_level_name());
    return 1;
}

/* form("text" | "json") */
static int log_l_form(lua_State *L)
{
    static const char *const forms[] = {"text", "json", NULL};
    log_set_json(luaL_checkoption(L, 1, NULL, forms) == 1);
    return 0;
}

static int log_l_enabled(lua_State *L)
{
    lua_pushboolean(L, log_enabled(level_arg(L)));
    return 1;
}

int luaopen_rlab_log(lua_State *L)
{
    static const luaL_Reg functions[] = {{"debug", log_l_debug},     {"info", log_l_info},
                                         {"warn", log_l_warn},       {"error", log_l_error},
                                         {"level", log_l_level},     {"form", log_l_form},
                                         {"enabled", log_l_enabled}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
