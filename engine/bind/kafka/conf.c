#include "bind/kafka/conf.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/units.h"
#include "base/json.h"
#include "bind/value/errs.h"
#include "kafka/token/token.h"

#define DEFAULTS_KEY "rlab.kafka.defaults"
#define CONF_META "rlab.kafka.conf"
#define TOKEN_COMMAND "sasl.token_command"

typedef struct reading {
    const char *call;
    kafka_kind kind;
    const char *const *own;
    rd_kafka_conf_t *conf;
    bool have_brokers;
} reading;

/* Reading may raise at any key, so the unfinished configuration is kept in a userdata. */
static int box_gc(lua_State *L)
{
    rd_kafka_conf_t **box = lua_touserdata(L, 1);
    if (*box)
        rd_kafka_conf_destroy(*box);
    *box = NULL;
    return 0;
}

static rd_kafka_conf_t **box_new(lua_State *L)
{
    rd_kafka_conf_t **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    if (luaL_newmetatable(L, CONF_META)) {
        lua_pushcfunction(L, box_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return box;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool plain_number(const char *text)
{
    char *end;
    strtod(text, &end);
    return end != text && *end == '\0';
}

/* Text of a property as librdkafka wants it; pushes the result. */
static const char *push_text(lua_State *L, const reading *r, const char *name, const char *text)
{
    double seconds;
    int64_t bytes;
    if (plain_number(text))
        return lua_pushstring(L, text);
    if (ends_with(name, ".ms") && units_duration(text, &seconds))
        return lua_pushfstring(L, "%I", (LUAI_UACINT)llround(seconds * 1000));
    if (ends_with(name, ".bytes") && units_size(text, &bytes))
        return lua_pushfstring(L, "%I", (LUAI_UACINT)bytes);
    if (ends_with(name, ".ms"))
        luaL_error(
            L, "%s: %s: '%s' is no duration; write \"200ms\", \"5s\" or milliseconds as a number",
            r->call, name, text);
    return lua_pushstring(L, text);
}

/* librdkafka would see what stands before it only. */
static const char *without_nul(lua_State *L, const reading *r, const char *name, int idx)
{
    size_t len;
    const char *text = lua_tolstring(L, idx, &len);
    if (strlen(text) != len)
        luaL_error(L, "%s: %s: there is a NUL in it", r->call, name);
    return text;
}

/* { "a:1", "b:2" } -> "a:1,b:2" */
static const char *conf_push_list(lua_State *L, const reading *r, const char *name, int idx)
{
    luaL_Buffer b;
    lua_Integer n = luaL_len(L, idx);
    luaL_buffinit(L, &b);
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, ',');
        if (lua_geti(L, idx, i) != LUA_TSTRING)
            luaL_error(L, "%s: %s: a list of strings expected", r->call, name);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    return without_nul(L, r, name, -1);
}

static const char *push_number(lua_State *L, int idx)
{
    lua_Number n = lua_tonumber(L, idx);
    if (!lua_isinteger(L, idx) && n == floor(n) && fabs(n) < 9e15)
        return lua_pushfstring(L, "%I", (LUAI_UACINT)n);
    lua_pushvalue(L, idx);
    return lua_tostring(L, -1);
}

static const char *conf_push_value(lua_State *L, const reading *r, const char *name, int idx)
{
    switch (lua_type(L, idx)) {
    case LUA_TBOOLEAN:
        return lua_pushstring(L, lua_toboolean(L, idx) ? "true" : "false");
    case LUA_TNUMBER:
        return push_number(L, idx);
    case LUA_TSTRING:
        return push_text(L, r, name, without_nul(L, r, name, idx));
    case LUA_TTABLE:
        return conf_push_list(L, r, name, idx);
    default:
        luaL_error(L, "%s: %s: text, number, boolean or list expected, got %s", r->call, name,
                   luaL_typename(L, idx));
        return NULL;
    }
}

static bool is_own(const reading *r, const char *key)
{
    for (const char *const *own = r->own; own && *own; own++)
        if (strcmp(*own, key) == 0)
            return true;
    return false;
}

static const char *property_name(lua_State *L, const reading *r, const char *key)
{
    if (strcmp(key, "brokers") == 0)
        return "bootstrap.servers";
    if (strcmp(key, "group") == 0)
        key = "group.id";
    const kafka_property *property = kafka_property_find(key);
    if (!property) {
        const char *near = kafka_property_nearest(key);
        if (near)
            luaL_error(L, "%s: unknown option '%s', did you mean '%s'?", r->call, key, near);
        luaL_error(L, "%s: unknown option '%s'", r->call, key);
    }
    if (!kafka_property_fits(property, r->kind))
        luaL_error(L, "%s: '%s' is a property of %s", r->call, property->name,
                   property->scope == 'P' ? "producers" : "consumers");
    return property->name;
}

/* A list of words as JSON, pushed. */
static const char *push_command(lua_State *L, const reading *r, int idx)
{
    rl_buf text = {0};
    lua_Integer n = lua_istable(L, idx) ? luaL_len(L, idx) : 0;
    bool words = n > 0;
    buf_str(&text, "[");
    for (lua_Integer i = 1; words && i <= n; i++) {
        words = lua_geti(L, idx, i) == LUA_TSTRING;
        if (i > 1)
            buf_str(&text, ",");
        if (words)
            json_put_cstr(&text, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    buf_str(&text, "]");
    lua_pushlstring(L, text.data, text.len);
    buf_free(&text);
    if (!words)
        luaL_error(L, "%s: " TOKEN_COMMAND ": a list of words expected", r->call);
    return lua_tostring(L, -1);
}

/* Key and value on top of the stack. */
static void read_pair(lua_State *L, reading *r)
{
    int value = lua_gettop(L);
    if (lua_type(L, value - 1) != LUA_TSTRING)
        luaL_error(L, "%s: options are written name = value", r->call);
    const char *key = lua_tostring(L, value - 1);
    if (is_own(r, key))
        return;
    bool command = strcmp(key, TOKEN_COMMAND) == 0;
    const char *name = command ? key : property_name(L, r, key);
    rl_err *err = command ? kafka_token_use(r->conf, push_command(L, r, value))
                          : kafka_conf_put(r->conf, name, conf_push_value(L, r, name, value));
    if (err)
        errs_raise_usage(L, r->call, err);
    if (strcmp(name, "bootstrap.servers") == 0 || strcmp(name, "metadata.broker.list") == 0 ||
        strcmp(name, "test.mock.num.brokers") == 0)
        r->have_brokers = true;
    lua_settop(L, value);
}

static void read_table(lua_State *L, reading *r, int idx)
{
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1))
        read_pair(L, r);
}

/* The defaults serve every kind of client: what does not fit this one is passed over. */
static void read_defaults(lua_State *L, reading *r)
{
    kafka_conf_push_defaults(L);
    int idx = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        const kafka_property *property =
            key ? kafka_property_find(strcmp(key, "group") == 0 ? "group.id" : key) : NULL;
        if (!property || kafka_property_fits(property, r->kind))
            read_pair(L, r);
    }
    lua_pop(L, 1);
}

static void need_brokers(lua_State *L, reading *r)
{
    const char *env = getenv("RLAB_BROKERS");
    if (r->have_brokers)
        return;
    if (!env || !*env)
        luaL_error(L, "%s: no brokers: say brokers = \"host:port,...\" or set RLAB_BROKERS",
                   r->call);
    rl_err *err = kafka_conf_put(r->conf, "bootstrap.servers", env);
    err_free(err);
}

rd_kafka_conf_t *kafka_conf_read(lua_State *L, int idx, const char *call, kafka_kind kind,
                                 const char *const *own)
{
    int top = lua_gettop(L);
    idx = lua_absindex(L, idx);
    reading r = {.call = call, .kind = kind, .own = own};
    bool given = !lua_isnoneornil(L, idx);
    if (given)
        luaL_checktype(L, idx, LUA_TTABLE);
    rd_kafka_conf_t **box = box_new(L);
    r.conf = *box = kafka_conf_new(kind);
    read_defaults(L, &r);
    if (given)
        read_table(L, &r, idx);
    need_brokers(L, &r);
    *box = NULL;
    lua_settop(L, top);
    return r.conf;
}

rd_kafka_conf_t **kafka_conf_keep(lua_State *L, rd_kafka_conf_t *conf)
{
    rd_kafka_conf_t **box = box_new(L);
    *box = conf;
    return box;
}

rd_kafka_conf_t *kafka_conf_take(rd_kafka_conf_t **kept)
{
    rd_kafka_conf_t *conf = *kept;
    rl_assert(conf);
    *kept = NULL;
    return conf;
}

void kafka_conf_push_defaults(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, DEFAULTS_KEY);
}
