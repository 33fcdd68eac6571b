/* rlab.flow_relay: open{name =, topic =, brokers =, mysql = {...}, producer = {...}, mark =,
 * batch =, ...} -> relay | nil, err. */
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "bind/value/errs.h"
#include "bind/flow/handle.h"
#include "bind/kafka/conf.h"
#include "bind/value/opts.h"
#include "bind/value/store_opts.h"
#include "flow/relay/flow.h"
#include "kafka/client.h"

int luaopen_rlab_flow_relay(lua_State *L);

static const rl_handle_type relay_handle = {.name = "flow.relay",
                                            .close = flow_relay_close,
                                            .cancel = flow_handle_cancel,
                                            .detach = flow_handle_detach};

/* ---- options ---- */

static int relay_read_word(lua_State *L, const char *key, const char *const *words)
{
    return opts_word(L, 1, key, words[0], "flow_relay.open", words);
}

static const char *need_str(lua_State *L, const char *key)
{
    const char *text = opts_str(L, 1, key, NULL);
    if (!text)
        luaL_error(L, "flow_relay.open: %s is missing", key);
    return text;
}

static const char *need_topic(lua_State *L)
{
    const char *topic = need_str(L, "topic");
    if (!kafka_topic_can_be(topic))
        luaL_error(L, "flow_relay.open: topic: there can be no topic '%s'", topic);
    return topic;
}

static my_opts read_mysql(lua_State *L)
{
    if (lua_getfield(L, 1, "mysql") != LUA_TTABLE)
        luaL_error(L,
                   "flow_relay.open: mysql = { host =, port =, user =, password =, database = }");
    my_opts opts = mysql_opts_read(L, lua_gettop(L), "flow_relay.open: mysql");
    lua_getfield(L, -1, "read_timeout");
    if (lua_isnil(L, -1))
        opts.read_timeout = 5; /* a frozen server must show */
    lua_pop(L, 2);
    return opts;
}

/* Nothing is never. */
static double read_age(lua_State *L)
{
    bool given = lua_getfield(L, 1, "cleanup_age") != LUA_TNIL;
    lua_pop(L, 1);
    return given ? opts_duration(L, 1, "cleanup_age", 0) : -1;
}

static flow_relay_opts read_opts(lua_State *L)
{
    static const char *const marks[] = {"update", "delete", "cursor", NULL};
    static const char *const gaps[] = {"safe", "ignore", "wait", NULL};
    static const char *const leaders[] = {"lease", "lock", NULL};
    return (flow_relay_opts){.name = opts_str(L, 1, "name", "relay"),
                             .topic = need_topic(L),
                             .mysql = read_mysql(L),
                             .mark = (flow_relay_mark)relay_read_word(L, "mark", marks),
                             .gaps = (flow_relay_gaps)relay_read_word(L, "gaps", gaps),
                             .gap_wait = opts_duration(L, 1, "gap_wait", 0.1),
                             .batch = (int)opts_int_in(L, 1, "batch", 2000, INT_MIN, INT_MAX),
                             .in_flight = (int)opts_int_in(L, 1, "in_flight", 8, INT_MIN, INT_MAX),
                             .poll = opts_duration(L, 1, "poll", 0.002),
                             .poll_max = opts_duration(L, 1, "poll_max", 0.05),
                             .leader = (flow_relay_leader)relay_read_word(L, "leader", leaders),
                             .lease = opts_duration(L, 1, "lease", 10),
                             .fence = opts_bool(L, 1, "fence", true),
                             .cleanup_age = read_age(L),
                             .cleanup_chunk =
                                 (int)opts_int_in(L, 1, "cleanup_chunk", 1000, INT_MIN, INT_MAX),
                             .figures = opts_duration(L, 1, "figures", 1)};
}

/* The value on top becomes the property's, by whichever way its name is written. */
static void put_property(lua_State *L, int table, const char *name)
{
    const kafka_property *property = kafka_property_find(name);
    lua_setfield(L, table, property ? property->name : name);
}

/* Pushes the producer's properties: `producer` over what we want by default: acks=all,
 * idempotent, murmur2 as Java's clients do it, no end to the patience of a record (see
 * flow/relay/flow.h on order; librdkafka bounds it for transactions), and an end to that with a
 * frozen broker. */
static void push_properties(lua_State *L)
{
    static const char *const defaults[][2] = {{"acks", "all"},
                                              {"enable.idempotence", "true"},
                                              {"partitioner", "murmur2_random"},
                                              {"linger.ms", "5"},
                                              {"message.timeout.ms", "0"},
                                              {"socket.timeout.ms", "5000"},
                                              {"queue.buffering.max.kbytes", "262144"}};
    lua_newtable(L);
    int table = lua_gettop(L);
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        lua_pushstring(L, defaults[i][1]);
        lua_setfield(L, table, defaults[i][0]);
    }
    lua_getfield(L, 1, "brokers");
    lua_setfield(L, table, "brokers");
    int type = lua_getfield(L, 1, "producer");
    if (type != LUA_TNIL && type != LUA_TTABLE)
        luaL_error(L, "flow_relay.open: producer is a table of properties");
    for (lua_pushnil(L); type == LUA_TTABLE && lua_next(L, table + 1);) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "flow_relay.open: producer: properties are written name = value");
        put_property(L, table, lua_tostring(L, -2));
    }
    lua_settop(L, table);
    if (lua_getfield(L, table, "transactional.id") != LUA_TNIL) {
        lua_pushnil(L);
        lua_setfield(L, table, "message.timeout.ms");
    }
    lua_settop(L, table);
}

/* open{...} -> relay | nil, err */
static int flow_relay_l_open(lua_State *L)
{
    static const char *const keys[] = {
        "name",          "topic",   "brokers",   "mysql",  "producer", "mark",  "gaps",
        "gap_wait",      "batch",   "in_flight", "poll",   "poll_max", "lease", "cleanup_age",
        "cleanup_chunk", "figures", "fence",     "leader", NULL};
    lua_settop(L, 1);
    luaL_checktype(L, 1, LUA_TTABLE);
    opts_check(L, 1, "flow_relay.open", keys);
    flow_relay_opts opts = read_opts(L);
    rl_handle *h = handle_new(L, &relay_handle, 0);
    push_properties(L);
    rd_kafka_conf_t *conf =
        kafka_conf_read(L, lua_gettop(L), "flow_relay.open: producer", KAFKA_PRODUCER, NULL);
    flow_relay *relay;
    rl_err *err = flow_relay_open(&opts, conf, &relay);
    if (err)
        return err_is(err, RL_LAB, "USAGE") ? errs_raise(L, err) : errs_fail(L, err);
    lua_settop(L, 2);
    flow_handle_set(L, h, flow_relay_flow(relay));
    return 1;
}

/* relay:stats() -> table */
static int flow_relay_l_stats(lua_State *L)
{
    flow_relay *relay = handle_check(L, 1, &relay_handle)->impl;
    flow_push_stats(L, flow_relay_flow(relay), flow_relay_counter_names, RELAY_N);
    return 1;
}

/* relay:times() -> {read = hdr, ack = hdr, mark = hdr}; copying them costs too much to do it
 * with every look at the counters */
static int flow_relay_l_times(lua_State *L)
{
    static const char *const hdrs[RELAY_HDRS] = {"read", "ack", "mark"};
    flow_relay *relay = handle_check(L, 1, &relay_handle)->impl;
    lua_createtable(L, 0, RELAY_HDRS);
    for (int i = 0; i < RELAY_HDRS; i++) {
        flow_hdr *hdr = flow_relay_hdr_of(relay, (flow_relay_hdr)i);
        flow_set_hdr(L, hdrs[i], &hdr, 1);
    }
    return 1;
}

int luaopen_rlab_flow_relay(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", flow_relay_l_open}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"stats", flow_relay_l_stats}, {"times", flow_relay_l_times}, {NULL, NULL}};
    flow_type_open(L, &relay_handle, methods);
    luaL_newlib(L, functions);
    return 1;
}
