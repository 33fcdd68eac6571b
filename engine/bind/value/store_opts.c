#include "bind/value/store_opts.h"

#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "bind/value/opts.h"

my_opts mysql_opts_read(lua_State *L, int idx, const char *call)
{
    static const char *const tls[] = {"off", "on", "verify", NULL};
    static const char *const allowed[] = {
        "host", "port", "socket", "user",       "password",        "database",     "tls",
        "ca",   "cert", "key",    "found_rows", "connect_timeout", "read_timeout", "write_timeout",
        NULL};
    opts_check(L, idx, call, allowed);
    return (my_opts){.host = opts_str(L, idx, "host", NULL),
                     .port = (int)opts_int_in(L, idx, "port", 3306, 0, UINT16_MAX),
                     .socket = opts_str(L, idx, "socket", NULL),
                     .user = opts_str(L, idx, "user", "root"),
                     .password = opts_str(L, idx, "password", NULL),
                     .database = opts_str(L, idx, "database", NULL),
                     .ca = opts_str(L, idx, "ca", NULL),
                     .cert = opts_str(L, idx, "cert", NULL),
                     .key = opts_str(L, idx, "key", NULL),
                     .tls = (my_tls)opts_word(L, idx, "tls", "off", call, tls),
                     .found_rows = opts_bool(L, idx, "found_rows", false),
                     .connect_timeout = opts_duration(L, idx, "connect_timeout", 5),
                     .read_timeout = opts_duration(L, idx, "read_timeout", 60),
                     .write_timeout = opts_duration(L, idx, "write_timeout", 0)};
}

redisc_tls redis_opts_tls(lua_State *L, int idx, const char *call)
{
    static const char *const modes[] = {"off", "on", "verify", NULL};
    redisc_tls tls = {.mode = (redisc_tls_mode)opts_word(L, idx, "tls", "off", call, modes),
                      .ca = opts_str(L, idx, "ca", NULL),
                      .cert = opts_str(L, idx, "cert", NULL),
                      .key = opts_str(L, idx, "key", NULL)};
    if (!tls.cert != !tls.key)
        luaL_error(L, "%s: cert and key are given together", call);
    return tls;
}

redisc_opts redis_opts_read(lua_State *L, int idx, const char *call)
{
    static const char *const allowed[] = {"host",        "port",     "socket",
                                          "user",        "password", "db",
                                          "resp",        "timeout",  "connect_timeout",
                                          "client_name", "tls",      "ca",
                                          "cert",        "key",      NULL};
    opts_check(L, idx, call, allowed);
    redisc_opts opts = {.host = opts_str(L, idx, "host", NULL),
                        .port = (int)opts_int_in(L, idx, "port", 6379, 0, UINT16_MAX),
                        .socket = opts_str(L, idx, "socket", NULL),
                        .user = opts_str(L, idx, "user", NULL),
                        .password = opts_str(L, idx, "password", NULL),
                        .client_name = opts_str(L, idx, "client_name", NULL),
                        .tls = redis_opts_tls(L, idx, call),
                        .db = (int)opts_int_in(L, idx, "db", 0, 0, INT_MAX),
                        .resp = (int)opts_int_in(L, idx, "resp", 3, INT_MIN, INT_MAX),
                        .timeout = opts_duration(L, idx, "timeout", 10),
                        .connect_timeout = opts_duration(L, idx, "connect_timeout", 5)};
    if (opts.resp != 2 && opts.resp != 3)
        luaL_error(L, "%s: resp is 2 or 3", call);
    return opts;
}

static const char *join_nodes(lua_State *L)
{
    int list = lua_gettop(L);
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    for (lua_Integer i = 1, n = luaL_len(L, list); i <= n; i++) {
        lua_rawgeti(L, list, i);
        if (!lua_isstring(L, -1))
            luaL_error(L, "option 'nodes': a list of \"host:port\" expected");
        luaL_addvalue(&text);
        luaL_addchar(&text, ',');
    }
    luaL_pushresult(&text);
    return lua_tostring(L, -1);
}

const char *redis_opts_nodes(lua_State *L, int idx, const char *def, const char *call)
{
    bool list = lua_getfield(L, idx, "nodes") == LUA_TTABLE;
    const char *nodes = list ? join_nodes(L) : opts_str(L, idx, "nodes", def);
    if (nodes[strspn(nodes, ", ")] == '\0')
        luaL_error(L, "%s: nodes = \"host:port,host:port\" expected", call);
    return nodes;
}

static bool is_given(lua_State *L, int idx, const char *key)
{
    bool given = lua_getfield(L, idx, key) != LUA_TNIL;
    lua_pop(L, 1);
    return given;
}

/* What only one server has. */
static void refuse_one(lua_State *L, int idx, const char *call)
{
    static const char *const keys[] = {"host", "port", "socket", "db", "resp", NULL};
    for (const char *const *key = keys; *key; key++)
        if (is_given(L, idx, *key))
            luaL_error(L, "%s: nodes means a Redis Cluster, which has no %s", call, *key);
}

keyspace_opts keyspace_opts_read(lua_State *L, int idx, const char *call)
{
    if (!is_given(L, idx, "nodes"))
        return (keyspace_opts){.conn = redis_opts_read(L, idx, call)};
    static const char *const allowed[] = {
        "nodes", "user", "password", "client_name", "timeout", "connect_timeout",
        "host",  "port", "socket",   "db",          "resp",    "tls",
        "ca",    "cert", "key",      NULL};
    opts_check(L, idx, call, allowed);
    refuse_one(L, idx, call);
    keyspace_opts opts = {.nodes = redis_opts_nodes(L, idx, NULL, call),
                          .conn = {.user = opts_str(L, idx, "user", NULL),
                                   .password = opts_str(L, idx, "password", NULL),
                                   .client_name = opts_str(L, idx, "client_name", NULL),
                                   .tls = redis_opts_tls(L, idx, call),
                                   .resp = 3,
                                   .timeout = opts_duration(L, idx, "timeout", 10),
                                   .connect_timeout = opts_duration(L, idx, "connect_timeout", 5)}};
    return opts;
}
