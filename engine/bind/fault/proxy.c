/* rlab.core_proxy: open{seed=, anywhere=} -> the fault proxy on this process's loop. What it knows is
 * handed out as JSON text; calls return true or a value, or nil, err. */
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "bind/value/errs.h"
#include "bind/task/handle.h"
#include "bind/value/opts.h"
#include "bind/task/scheduler.h"
#include "fault/proxy/gate.h"
#include "fault/proxy/life.h"
#include "fault/proxy/rule.h"
#include "fault/proxy/toxic.h"
#include "fault/proxy/watch.h"

enum { ATTRIBUTES_MAX = 8 };

int luaopen_rlab_core_proxy(lua_State *L);

/* The proxy belongs to the loop thread, so it ends in detach; what is left for close is nothing. */
static void proxy_detach(rl_handle *h)
{
    proxy_free(h->impl, NULL, NULL);
}

static void proxy_closed(void *impl)
{
    (void)impl;
}

static const rl_handle_type proxy_handle = {
    .name = "proxy", .close = proxy_closed, .detach = proxy_detach};

static rl_proxy *proxy_check(lua_State *L)
{
    return handle_check(L, 1, &proxy_handle)->impl;
}

static int proxy_l_open(lua_State *L)
{
    static const char *const keys[] = {"seed", "anywhere", NULL};
    opts_check(L, 1, "proxy.open", keys);
    lua_Integer seed = opts_int(L, 1, "seed", 7);
    bool anywhere = opts_bool(L, 1, "anywhere", false);
    rl_handle *h = handle_new(L, &proxy_handle, 0);
    rl_proxy *proxy = proxy_new(task_loop(L), (uint64_t)seed);
    if (anywhere)
        proxy_listen_anywhere(proxy);
    handle_set(h, proxy);
    return 1;
}

static int push_number(lua_State *L, rl_err *err, int64_t n)
{
    if (err)
        return errs_fail(L, err);
    lua_pushinteger(L, n);
    return 1;
}

static int push_json(lua_State *L, rl_err *err, rl_buf *text)
{
    if (err) {
        buf_free(text);
        return errs_fail(L, err);
    }
    lua_pushlstring(L, text->data, text->len);
    buf_free(text);
    return 1;
}

static proto_kind proto_opt(lua_State *L, int idx, const char *def)
{
    proto_kind kind;
    const char *name = opts_str(L, idx, "proto", def);
    if (!proto_parse(name, &kind))
        luaL_error(L, "proto is tcp, kafka, mysql or redis, not '%s'", name);
    return kind;
}

static const char *required(lua_State *L, int idx, const char *key)
{
    const char *text = opts_str(L, idx, key, NULL);
    if (!text || !*text)
        luaL_error(L, "'%s' is missing", key);
    return text;
}

/* ---- gates ---- */

/* gate{name=, listen=, upstream=, owner=, proto=, enabled=} */
static int proxy_l_gate(lua_State *L)
{
    static const char *const keys[] = {"name",  "listen",  "upstream", "owner",
                                       "proto", "enabled", NULL};
    rl_proxy *proxy = proxy_check(L);
    opts_check(L, 2, "proxy:gate", keys);
    proxy_gate_spec spec = {.name = required(L, 2, "name"),
                            .listen = opts_str(L, 2, "listen", "127.0.0.1:0"),
                            .upstream = required(L, 2, "upstream"),
                            .owner = opts_str(L, 2, "owner", ""),
                            .proto = proto_opt(L, 2, "tcp"),
                            .enabled = opts_bool(L, 2, "enabled", true)};
    return errs_ok(L, proxy_gate_add(proxy, &spec));
}

/* change_gate(name, {listen=, upstream=}) */
static int proxy_l_change_gate(lua_State *L)
{
    static const char *const keys[] = {"listen", "upstream", NULL};
    rl_proxy *proxy = proxy_check(L);
    const char *name = luaL_checkstring(L, 2);
    opts_check(L, 3, "proxy:change_gate", keys);
    return errs_ok(L, proxy_gate_change(proxy, name, opts_str(L, 3, "listen", NULL),
                                        opts_str(L, 3, "upstream", NULL)));
}

/* differs(name, listen | nil, upstream | nil) -> boolean */
static int proxy_l_differs(lua_State *L)
{
    bool differs = false;
    rl_err *err =
        proxy_gate_differs(proxy_check(L), luaL_checkstring(L, 2), luaL_optstring(L, 3, NULL),
                           luaL_optstring(L, 4, NULL), &differs);
    if (err)
        return errs_fail(L, err);
    lua_pushboolean(L, differs);
    return 1;
}

static int proxy_l_enable(lua_State *L)
{
    return errs_ok(L,
                   proxy_gate_enable(proxy_check(L), luaL_checkstring(L, 2), lua_toboolean(L, 3)));
}

static int proxy_l_remove_gate(lua_State *L)
{
    return errs_ok(L, proxy_gate_remove(proxy_check(L), luaL_checkstring(L, 2)));
}

/* gates([name]) -> JSON */
static int proxy_l_gates(lua_State *L)
{
    rl_proxy *proxy = proxy_check(L);
    const char *name = luaL_optstring(L, 2, NULL);
    rl_buf text = {0};
    if (name && !proxy_gate_known(proxy, name))
        return errs_fail(L, err_lab("NO_PROXY", "there is no proxy '%s'", name));
    proxy_gates_json(proxy, name, &text);
    return push_json(L, NULL, &text);
}

static int proxy_l_reset(lua_State *L)
{
    return errs_ok(L, proxy_reset(proxy_check(L)));
}

/* ---- toxics ---- */

typedef struct attributes {
    const char *keys[ATTRIBUTES_MAX + 1];
    int64_t values[ATTRIBUTES_MAX];
} attributes;

/* Far out of range stays far out of range: the core says so. */
static int64_t whole_number(lua_Number n)
{
    if (n < 0)
        return n < -9e18 ? INT64_MIN : (int64_t)n;
    return n < 9e18 ? (int64_t)n : INT64_MAX;
}

static void read_attributes(lua_State *L, int idx, attributes *a)
{
    int n = 0;
    memset(a, 0, sizeof *a);
    if (lua_getfield(L, idx, "attributes") != LUA_TTABLE)
        return;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (n == ATTRIBUTES_MAX || lua_type(L, -2) != LUA_TSTRING || !lua_isnumber(L, -1))
            luaL_error(L, "attributes are names with numbers");
        a->keys[n] = lua_tostring(L, -2);
        a->values[n++] = whole_number(lua_tonumber(L, -1));
    }
}

static int toxic_of(lua_State *L, int idx, const char *call, proxy_toxic_spec *spec, attributes *a)
{
    static const char *const keys[] = {"name", "type", "stream", "toxicity", "attributes", NULL};
    opts_check(L, idx, call, keys);
    const char *stream = opts_str(L, idx, "stream", "downstream");
    if (strcmp(stream, "upstream") != 0 && strcmp(stream, "downstream") != 0)
        return luaL_error(L, "stream is upstream or downstream, not '%s'", stream);
    read_attributes(L, idx, a);
    spec->dir = strcmp(stream, "upstream") == 0 ? PROTO_UP : PROTO_DOWN;
    spec->keys = a->keys;
    spec->values = a->values;
    spec->toxicity = -1;
    if (lua_getfield(L, idx, "toxicity") != LUA_TNIL)
        spec->toxicity = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return 0;
}

/* toxic(gate, {name=, type=, stream=, toxicity=, attributes={}}) */
static int proxy_l_toxic(lua_State *L)
{
    rl_proxy *proxy = proxy_check(L);
    const char *gate = luaL_checkstring(L, 2);
    proxy_toxic_spec spec;
    attributes a;
    toxic_of(L, 3, "proxy:toxic", &spec, &a);
    spec.name = required(L, 3, "name");
    spec.type = required(L, 3, "type");
    if (spec.toxicity < 0)
        spec.toxicity = 1;
    return errs_ok(L, proxy_toxic_add(proxy, gate, &spec));
}

/* change_toxic(gate, name, {toxicity=, attributes={}}) */
static int proxy_l_change_toxic(lua_State *L)
{
    rl_proxy *proxy = proxy_check(L);
    const char *gate = luaL_checkstring(L, 2), *name = luaL_checkstring(L, 3);
    proxy_toxic_spec spec;
    attributes a;
    toxic_of(L, 4, "proxy:change_toxic", &spec, &a);
    return errs_ok(L, proxy_toxic_change(proxy, gate, name, &spec));
}

static int proxy_l_remove_toxic(lua_State *L)
{
    return errs_ok(
        L, proxy_toxic_remove(proxy_check(L), luaL_checkstring(L, 2), luaL_checkstring(L, 3)));
}

/* toxics(gate[, name]) -> JSON */
static int proxy_l_toxics(lua_State *L)
{
    rl_buf text = {0};
    rl_err *err = proxy_toxics_json(proxy_check(L), luaL_checkstring(L, 2),
                                    luaL_optstring(L, 3, NULL), &text);
    return push_json(L, err, &text);
}

/* ---- rules ---- */

static double chance_opt(lua_State *L, int idx)
{
    double chance = 1;
    if (lua_getfield(L, idx, "chance") != LUA_TNIL)
        chance = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    if (!(chance >= 0 && chance <= 1))
        luaL_error(L, "chance is a number from 0 to 1");
    return chance;
}

/* rule{proto=, action=, api=, client_id=, topic=, statement=, contains=, param=, nth=, times=,
 * chance=, delay=, code=, error=, proxy=, owner=} -> id */
static int proxy_l_rule(lua_State *L)
{
    static const char *const keys[] = {"owner", "proxy",     "proto",    "api",   "client_id",
                                       "topic", "statement", "contains", "param", "nth",
                                       "times", "chance",    "action",   "delay", "code",
                                       "error", NULL};
    rl_proxy *proxy = proxy_check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    opts_check(L, 2, "proxy:rule", keys);
    proxy_rule_spec spec = {.owner = opts_str(L, 2, "owner", ""),
                            .gate = opts_str(L, 2, "proxy", ""),
                            .proto = proto_opt(L, 2, "kafka"),
                            .api = opts_str(L, 2, "api", ""),
                            .client_id = opts_str(L, 2, "client_id", ""),
                            .topic = opts_str(L, 2, "topic", ""),
                            .statement = opts_str(L, 2, "statement", ""),
                            .contains = opts_str(L, 2, "contains", ""),
                            .param = opts_str(L, 2, "param", ""),
                            .chance = chance_opt(L, 2),
                            .delay = opts_duration(L, 2, "delay", 0),
                            .code = (int)opts_int_in(L, 2, "code", -1, -1, INT_MAX),
                            .error = opts_str(L, 2, "error", "")};
    lua_Integer nth = opts_int_in(L, 2, "nth", LUA_MININTEGER, 1, LUA_MAXINTEGER);
    spec.nth = nth > 0 ? nth : 1;
    spec.times = opts_int_in(L, 2, "times", nth > 0 ? 1 : 0, 0, LUA_MAXINTEGER);
    const char *action = required(L, 2, "action");
    if (!proxy_action_parse(action, &spec.action))
        return luaL_error(L, "no action '%s'; there are %s", action, proxy_actions());
    int64_t id = 0;
    rl_err *err = proxy_rule_add(proxy, &spec, &id);
    return push_number(L, err, id);
}

/* release(id) -> how many held requests were let go */
static int proxy_l_release(lua_State *L)
{
    int64_t released = 0;
    rl_err *err = proxy_rule_release(proxy_check(L), luaL_checkinteger(L, 2), &released);
    return push_number(L, err, released);
}

static int proxy_l_remove_rule(lua_State *L)
{
    return errs_ok(L, proxy_rule_remove(proxy_check(L), luaL_checkinteger(L, 2)));
}

/* remove_owner(owner) -> how many rules, watches and gates of it are gone */
static int proxy_l_remove_owner(lua_State *L)
{
    lua_pushinteger(L, proxy_owner_remove(proxy_check(L), luaL_checkstring(L, 2)));
    return 1;
}

/* rules([id]) -> JSON */
static int proxy_l_rules(lua_State *L)
{
    rl_buf text = {0};
    rl_err *err = proxy_rules_json(proxy_check(L), luaL_optinteger(L, 2, 0), &text);
    return push_json(L, err, &text);
}

/* ---- the wire log ---- */

/* watch{proto=, api=, client_id=, topic=, contains=, proxy=, owner=} -> id */
static int proxy_l_watch(lua_State *L)
{
    static const char *const keys[] = {"owner",     "proxy", "proto",    "api",
                                       "client_id", "topic", "contains", NULL};
    rl_proxy *proxy = proxy_check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    opts_check(L, 2, "proxy:watch", keys);
    proxy_watch_spec spec = {.owner = opts_str(L, 2, "owner", ""),
                             .gate = opts_str(L, 2, "proxy", ""),
                             .proto = proto_opt(L, 2, "kafka"),
                             .api = opts_str(L, 2, "api", ""),
                             .client_id = opts_str(L, 2, "client_id", ""),
                             .topic = opts_str(L, 2, "topic", ""),
                             .contains = opts_str(L, 2, "contains", "")};
    int64_t id = 0;
    rl_err *err = proxy_watch_add(proxy, &spec, &id);
    return push_number(L, err, id);
}

static int proxy_l_unwatch(lua_State *L)
{
    return errs_ok(L, proxy_watch_remove(proxy_check(L), luaL_checkinteger(L, 2)));
}

/* wire([since[, {owner=, proxy=}]]) -> JSON {next, dropped, rows}: rows above that number, of
 * this owner's watches and rules, of this proxy */
static int proxy_l_wire(lua_State *L)
{
    static const char *const keys[] = {"owner", "proxy", NULL};
    rl_proxy *proxy = proxy_check(L);
    opts_check(L, 3, "proxy:wire", keys);
    rl_buf text = {0};
    proxy_traffic_json(proxy, (uint64_t)luaL_optinteger(L, 2, 0), opts_str(L, 3, "owner", ""),
                       opts_str(L, 3, "proxy", ""), &text);
    return push_json(L, NULL, &text);
}

int luaopen_rlab_core_proxy(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", proxy_l_open}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"gate", proxy_l_gate},
                                       {"change_gate", proxy_l_change_gate},
                                       {"differs", proxy_l_differs},
                                       {"enable", proxy_l_enable},
                                       {"remove_gate", proxy_l_remove_gate},
                                       {"gates", proxy_l_gates},
                                       {"reset", proxy_l_reset},
                                       {"toxic", proxy_l_toxic},
                                       {"change_toxic", proxy_l_change_toxic},
                                       {"remove_toxic", proxy_l_remove_toxic},
                                       {"toxics", proxy_l_toxics},
                                       {"rule", proxy_l_rule},
                                       {"release", proxy_l_release},
                                       {"remove_rule", proxy_l_remove_rule},
                                       {"remove_owner", proxy_l_remove_owner},
                                       {"rules", proxy_l_rules},
                                       {"watch", proxy_l_watch},
                                       {"unwatch", proxy_l_unwatch},
                                       {"wire", proxy_l_wire},
                                       {NULL, NULL}};
    handle_type_open(L, &proxy_handle, methods);
    luaL_newlib(L, functions);
    return 1;
}
