/* rlab.flow_load: open{url = | kafka =, request =, rate = | readers =, count =, duration =, ...}
 * -> load | nil, err. */
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "bind/evidence/history.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/flow/handle.h"
#include "bind/kafka/conf.h"
#include "bind/value/opts.h"
#include "flow/load/flow.h"

enum { TAKE_MAX = 1000 };

/* The stack of open: the options, the handle, what keeps memory alive meanwhile. */
enum { OPTS = 1, HANDLE = 2, KEEP = 3 };

int luaopen_rlab_flow_load(lua_State *L);

static void load_close_impl(void *impl)
{
    flow_load_close(impl);
}

static const rl_handle_type load_handle = {.name = "flow.load",
                                           .close = load_close_impl,
                                           .cancel = flow_handle_cancel,
                                           .detach = flow_handle_detach};

static flow_load *load_check(lua_State *L)
{
    return handle_check(L, 1, &load_handle)->impl;
}

/* ---- options ---- */

static double read_rate(lua_State *L, int idx)
{
    double rate = 0;
    int type = lua_getfield(L, idx, "rate");
    if (type == LUA_TNUMBER)
        rate = lua_tonumber(L, -1);
    else if (type != LUA_TNIL && (type != LUA_TSTRING || !units_rate(lua_tostring(L, -1), &rate)))
        luaL_error(L, "rate: '%s' is no rate; write \"200/s\", \"30/m\" or a number a second",
                   luaL_tolstring(L, -1, NULL));
    lua_pop(L, 1);
    return rate;
}

static void *keep_new(lua_State *L, size_t size)
{
    void *memory = lua_newuserdatauv(L, size, 0);
    lua_rawseti(L, KEEP, (lua_Integer)lua_rawlen(L, KEEP) + 1);
    return memory;
}

/* {{"name", "value"}, ...} of the table on top; the texts live as long as it does. */
static void read_headers(lua_State *L, flow_load_shape *shape)
{
    int request = lua_gettop(L);
    if (lua_getfield(L, request, "headers") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    luaL_argcheck(L, lua_istable(L, -1), 1, "headers must be a list of { name, value }");
    int list = lua_gettop(L);
    size_t n = lua_rawlen(L, list);
    flow_load_pair *pairs = keep_new(L, (n + 1) * sizeof *pairs);
    for (size_t i = 0; i < n; i++) {
        bool pair = lua_rawgeti(L, list, (lua_Integer)i + 1) == LUA_TTABLE &&
                    lua_rawgeti(L, -1, 1) == LUA_TSTRING && lua_rawgeti(L, -2, 2) == LUA_TSTRING;
        luaL_argcheck(L, pair, 1, "headers must be a list of { name, value }, both strings");
        pairs[i] = (flow_load_pair){lua_tostring(L, -2), lua_tostring(L, -1)};
        lua_pop(L, 3);
    }
    shape->headers = pairs;
    shape->nheaders = n;
    lua_pop(L, 1);
}

static void read_shape(lua_State *L, flow_load_shape *shape)
{
    static const char *const keys[] = {"id",  "method", "path",      "body",    "topic",
                                       "key", "value",  "partition", "headers", NULL};
    luaL_argcheck(L, lua_istable(L, -1), 1, "a request is a table");
    int idx = lua_gettop(L);
    opts_check(L, idx, "flow_load.open: request", keys);
    *shape = (flow_load_shape){.id = opts_str(L, idx, "id", NULL),
                               .method = opts_str(L, idx, "method", NULL),
                               .path = opts_str(L, idx, "path", NULL),
                               .body = opts_str(L, idx, "body", NULL),
                               .topic = opts_str(L, idx, "topic", NULL),
                               .key = opts_str(L, idx, "key", NULL),
                               .value = opts_str(L, idx, "value", NULL),
                               .partition = (int32_t)opts_int_in(
                                   L, idx, "partition", RD_KAFKA_PARTITION_UA, -1, INT32_MAX)};
    read_headers(L, shape);
}

/* `request` is one, `requests` is a list of them. */
static void read_shapes(lua_State *L, flow_load_opts *opts)
{
    bool one = lua_getfield(L, OPTS, "request") != LUA_TNIL;
    bool many = lua_getfield(L, OPTS, "requests") != LUA_TNIL;
    luaL_argcheck(L, one != many, 1, "say request = {...} or requests = {{...}, ...}");
    luaL_argcheck(L, !many || lua_istable(L, -1), 1, "requests must be a list");
    size_t n = one ? 1 : lua_rawlen(L, -1);
    int list = lua_gettop(L);
    flow_load_shape *shapes = keep_new(L, (n + 1) * sizeof *shapes);
    for (size_t i = 0; i < n; i++) {
        if (one)
            lua_getfield(L, OPTS, "request");
        else
            lua_rawgeti(L, list, (lua_Integer)i + 1);
        read_shape(L, &shapes[i]);
        lua_pop(L, 1);
    }
    opts->shapes = shapes;
    opts->nshapes = n;
}

static void read_numbers(lua_State *L, flow_load_opts *opts)
{
    static const char *const arrivals[] = {"constant", "poisson", NULL};
    opts->rate = read_rate(L, OPTS);
    opts->poisson = opts_word(L, OPTS, "arrivals", "constant", "flow_load.open", arrivals) == 1;
    opts->readers = (int)opts_int_in(L, OPTS, "readers", 0, INT_MIN, INT_MAX);
    luaL_argcheck(L, (opts->rate > 0) != (opts->readers > 0), 1,
                  "say rate = \"200/s\" (open) or readers = 64 (closed)");
    opts->count = opts_int(L, OPTS, "count", 0);
    opts->duration = opts_duration(L, OPTS, "duration", 0);
    opts->timeout = opts_duration(L, OPTS, "timeout", 2);
    opts->late = opts_duration(L, OPTS, "late", 0.001);
    opts->in_flight = (int)opts_int_in(L, OPTS, "in_flight", 0, INT_MIN, INT_MAX);
    opts->rows = opts_int(L, OPTS, "rows", 0);
    opts->body = (size_t)opts_size(L, OPTS, "body", 0);
    opts->seed = (uint64_t)opts_int(L, OPTS, "seed", 0);
}

static void read_target(lua_State *L, flow_load_opts *opts)
{
    bool kafka = lua_getfield(L, OPTS, "kafka") != LUA_TNIL;
    opts->url = opts_str(L, OPTS, "url", NULL);
    luaL_argcheck(L, kafka != (opts->url != NULL), 1,
                  "say url = \"http://127.0.0.1:PORT\" or kafka = { brokers = ... }");
    if (kafka)
        opts->kafka = kafka_conf_read(L, -1, "flow_load.open: kafka", KAFKA_PRODUCER, NULL);
}

static int flow_load_l_open(lua_State *L)
{
    static const char *const keys[] = {"url",      "kafka",     "request", "requests", "rate",
                                       "arrivals", "readers",   "count",   "duration", "timeout",
                                       "late",     "in_flight", "rows",    "body",     "seed",
                                       "history",  "name",      "f",       NULL};
    luaL_checktype(L, OPTS, LUA_TTABLE);
    lua_settop(L, OPTS);
    opts_check(L, OPTS, "flow_load.open", keys);
    rl_handle *h = handle_new(L, &load_handle, 0);
    lua_newtable(L);
    flow_load_opts opts = {.name = opts_str(L, OPTS, "name", NULL),
                           .f = opts_str(L, OPTS, "f", NULL)};
    read_numbers(L, &opts);
    read_shapes(L, &opts);
    if (lua_getfield(L, OPTS, "history") != LUA_TNIL)
        opts.history = history_check(L, -1);
    read_target(L, &opts); /* last: from here on the configuration is ours */
    flow_load *load;
    rl_err *err = flow_load_open(&opts, &load);
    if (err)
        return err_is(err, RL_LAB, "USAGE") ? errs_raise_usage(L, "flow_load.open", err)
                                            : errs_fail(L, err);
    lua_settop(L, HANDLE);
    flow_handle_set(L, h, flow_load_flow(load));
    return 1;
}

/* ---- stats ---- */

static void set_hdr(lua_State *L, flow_load *load, const char *key, flow_load_hdr which)
{
    flow_hdr *hdr = flow_load_hdr_of(load, which);
    flow_set_hdr(L, key, &hdr, 1);
}

/* load:stats() -> counters, `status` by first digit, and the histograms latency, service and
 * lateness (ns) */
static int flow_load_l_stats(lua_State *L)
{
    static const char *const classes[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    flow_load *load = load_check(L);
    flow_load_stats s = flow_load_stats_of(load);
    const struct {
        const char *key;
        int64_t value;
    } fields[] = {
        {"planned", s.planned},    {"started", s.started},     {"ok", s.ok},
        {"failed", s.failed},      {"unknown", s.unknown},     {"dropped", s.dropped},
        {"late", s.late},          {"in_flight", s.in_flight}, {"most_in_flight", s.most_in_flight},
        {"connects", s.connects},  {"bytes", s.bytes},         {"rows", s.rows},
        {"rows_lost", s.rows_lost}};
    lua_createtable(L, 0, 20);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        field_set_int(L, fields[i].key, fields[i].value);
    field_set_bool(L, "released", s.released);
    if (s.began)
        field_set_number(L, "seconds", (double)((s.ended ? s.ended : clock_ns()) - s.began) / 1e9);
    lua_createtable(L, 0, 5);
    for (int i = 1; i <= 5; i++)
        field_set_int(L, classes[i], s.status[i]);
    lua_setfield(L, -2, "status");
    set_hdr(L, load, "latency", LOAD_LATENCY);
    set_hdr(L, load, "service", LOAD_SERVICE);
    set_hdr(L, load, "lateness", LOAD_LATENESS);
    return 1;
}

/* ---- rows ---- */

static void push_row(lua_State *L, const flow_load_row *row)
{
    static const char *const outcomes[] = {"ok", "fail", "info", "dropped"};
    lua_createtable(L, 0, 10);
    field_set_int(L, "n", row->n);
    field_set_int(L, "intended", row->intended);
    if (row->started)
        field_set_int(L, "started", row->started);
    field_set_int(L, "ended", row->ended);
    field_set_text(L, "outcome", outcomes[row->outcome]);
    if (row->reader)
        field_set_int(L, "reader", row->reader);
    if (row->status)
        field_set_int(L, "status", row->status);
    if (row->partition >= 0) {
        field_set_int(L, "partition", row->partition);
        field_set_int(L, "offset", row->offset);
    }
    field_set_text(L, "id", row->id);
    field_set_bytes(L, "body", row->body, row->body_len);
    field_set_text(L, "error", row->error);
}

/* load:take([n = 1000]) -> list of rows, oldest first */
static int flow_load_l_take(lua_State *L)
{
    flow_load *load = load_check(L);
    lua_Integer want = luaL_optinteger(L, 2, TAKE_MAX);
    luaL_argcheck(L, want > 0, 2, "a positive number expected");
    lua_newtable(L);
    flow_load_row row;
    for (lua_Integer n = 1; n <= want && flow_load_take(load, &row, 1) == 1; n++) {
        push_row(L, &row);
        flow_load_row_free(&row);
        lua_rawseti(L, -2, n);
    }
    return 1;
}

/* ---- wait ---- */

static rl_err *failure_of(rl_flow *flow)
{
    return flow_load_failure((flow_load *)flow);
}

/* load:wait([at_most]) -> true | nil, err */
static int flow_load_l_wait(lua_State *L)
{
    static const flow_end wait = {false, "the wait", "the load has not come to its end",
                                  failure_of};
    flow_load *load = load_check(L);
    double seconds = lua_isnoneornil(L, 2) ? -1 : arg_duration(L, 2, -1);
    return flow_end_await(L, flow_load_flow(load), seconds, &wait);
}

int luaopen_rlab_flow_load(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", flow_load_l_open}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"stats", flow_load_l_stats},
                                       {"take", flow_load_l_take},
                                       {"wait", flow_load_l_wait},
                                       {NULL, NULL}};
    flow_type_open(L, &load_handle, methods);
    luaL_newlib(L, functions);
    return 1;
}
