#include "bind/system/child_opts.h"

#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "bind/value/opts.h"

enum { MAX_OUTPUT = 1 << 20 };

/* Pushes a table that keeps the strings alive and returns the array of them, collected with the
 * stack. */
static char **string_array(lua_State *L, lua_Integer n)
{
    char **list = lua_newuserdatauv(L, sizeof *list * (size_t)(n + 1), 1);
    memset(list, 0, sizeof *list * (size_t)(n + 1));
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, 1);
    return list;
}

/* Takes the string on top into the array whose keeper table lies at `keep`. */
static void array_add(lua_State *L, char **list, int *n, int keep)
{
    list[(*n)++] = (char *)lua_tostring(L, -1);
    lua_rawseti(L, keep, *n);
}

static char **read_cmd(lua_State *L, int idx)
{
    if (lua_getfield(L, idx, "cmd") != LUA_TTABLE || luaL_len(L, -1) == 0)
        luaL_error(L, "process.spawn: cmd = {\"program\", \"argument\", ...} expected");
    int cmd = lua_gettop(L), n = 0;
    lua_Integer len = luaL_len(L, cmd);
    char **argv = string_array(L, len);
    for (lua_Integer i = 1; i <= len; i++) {
        int type = lua_geti(L, cmd, i);
        if (type != LUA_TSTRING && type != LUA_TNUMBER)
            luaL_error(L, "process.spawn: cmd[%I] is a %s, a string is expected", (LUAI_UACINT)i,
                       lua_typename(L, type));
        array_add(L, argv, &n, cmd + 2);
    }
    return argv;
}

static bool overridden(lua_State *L, int env, const char *entry)
{
    const char *eq = strchr(entry, '=');
    lua_pushlstring(L, entry, eq ? (size_t)(eq - entry) : strlen(entry));
    bool yes = lua_rawget(L, env) != LUA_TNIL;
    lua_pop(L, 1);
    return yes;
}

static void add_own_env(lua_State *L, int env, char **list, int *n, int keep)
{
    for (lua_pushnil(L); lua_next(L, env); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "process.spawn: env = {NAME = \"value\"} expected");
        if (lua_isboolean(L, -1) && !lua_toboolean(L, -1))
            continue;
        const char *value = luaL_tolstring(L, -1, NULL);
        lua_pushfstring(L, "%s=%s", lua_tostring(L, -3), value);
        array_add(L, list, n, keep);
        lua_pop(L, 1);
    }
}

/* Our environment with the changes of `env`; a variable that is false there is taken out. */
static char **read_env(lua_State *L, int idx)
{
    bool clear = opts_bool(L, idx, "clear_env", false);
    if (lua_getfield(L, idx, "env") == LUA_TNIL)
        lua_newtable(L), lua_replace(L, -2);
    luaL_checktype(L, -1, LUA_TTABLE);
    int env = lua_gettop(L), n = 0;
    lua_Integer count = 0;
    for (char **e = environ; *e; e++)
        count++;
    for (lua_pushnil(L); lua_next(L, env); lua_pop(L, 1))
        count++;
    char **list = string_array(L, count);
    for (char **e = environ; *e && !clear; e++) {
        if (overridden(L, env, *e))
            continue;
        lua_pushstring(L, *e);
        array_add(L, list, &n, env + 2);
    }
    add_own_env(L, env, list, &n, env + 2);
    return list;
}

static proc_io read_io(lua_State *L, int idx, const char *key, const char *def)
{
    static const char *const words[] = {"null", "inherit", "capture", "pipe", "stdout", NULL};
    const char *text = opts_str(L, idx, key, def);
    bool input = strcmp(key, "stdin") == 0;
    if (strcmp(text, "null") == 0)
        return (proc_io){PROC_NULL, NULL};
    if (strcmp(text, "inherit") == 0)
        return (proc_io){PROC_INHERIT, NULL};
    if (strcmp(text, input ? "pipe" : "capture") == 0)
        return (proc_io){PROC_PIPE, NULL};
    if (strcmp(key, "stderr") == 0 && strcmp(text, "stdout") == 0)
        return (proc_io){PROC_AS_STDOUT, NULL};
    if (!strpbrk(text, "/.")) {
        const char *near = units_nearest(text, words);
        luaL_error(
            L, "process.spawn: %s = '%s' is neither \"null\", \"inherit\", \"%s\" nor a path%s%s%s",
            key, text, input ? "pipe" : "capture", near ? "; did you mean '" : "", near ? near : "",
            near ? "'?" : "");
    }
    return (proc_io){PROC_FILE, text};
}

proc_opts child_opts(lua_State *L)
{
    static const char *const keys[] = {"cmd",    "env",    "clear_env", "cwd",        "stdin",
                                       "stdout", "stderr", "detached",  "max_output", NULL};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    opts_check(L, 1, "process.spawn", keys);
    proc_opts opts = {.detached = opts_bool(L, 1, "detached", false),
                      .cwd = opts_str(L, 1, "cwd", NULL)};
    int64_t max = opts_size(L, 1, "max_output", MAX_OUTPUT);
    luaL_argcheck(L, max > 0, 1, "max_output must be positive");
    opts.max_output = (size_t)max;
    const char *out = opts.detached ? "null" : "capture";
    opts.io[0] = read_io(L, 1, "stdin", "null");
    opts.io[1] = read_io(L, 1, "stdout", out);
    opts.io[2] = read_io(L, 1, "stderr", out);
    for (int i = 0; i < 3; i++)
        if (opts.detached && opts.io[i].kind == PROC_PIPE)
            luaL_error(L, "process.spawn: a detached child outlives rlab; give its output a file "
                          "path, \"inherit\" or \"null\"");
    opts.argv = read_cmd(L, 1);
    opts.env = read_env(L, 1);
    return opts;
}
