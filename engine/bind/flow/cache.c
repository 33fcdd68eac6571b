/* rlab.flow_cache: open{redis = {...}, mysql = {...}, prefix =, ttl =, ...} -> cache | nil, err. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bind/value/hdr.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/flow/handle.h"
#include "bind/http/front.h"
#include "bind/value/opts.h"
#include "bind/value/store_opts.h"
#include "flow/cache/flow.h"
#include "flow/cache/http.h"

enum { CLOSE_SECONDS = 10, WORKERS_MAX = 512, READERS_MAX = 16 };

int luaopen_rlab_flow_cache(lua_State *L);

/* A thread that hangs keeps the memory that it looks at. */
static void close_cache(void *impl)
{
    flow_cache_close(impl, CLOSE_SECONDS);
}

static const rl_handle_type cache_handle = {.name = "flow.cache",
                                            .close = close_cache,
                                            .cancel = flow_handle_cancel,
                                            .detach = flow_handle_detach};

/* ---- options ---- */

static int cache_read_word(lua_State *L, const char *key, const char *const *words)
{
    return opts_word(L, 1, key, words[0], "flow_cache.open", words);
}

static double read_number(lua_State *L, const char *key, double def, double lo, double hi)
{
    int ok = 1;
    double v = lua_getfield(L, 1, key) == LUA_TNIL ? def : lua_tonumberx(L, -1, &ok);
    lua_pop(L, 1);
    if (!ok || !(v >= lo && v <= hi))
        luaL_error(L, "flow_cache.open: %s is a number from %f to %f", key, lo, hi);
    return v;
}

static int64_t read_ms(lua_State *L, const char *key, double def_seconds)
{
    double ms = opts_duration(L, 1, key, def_seconds) * 1000;
    if (ms > 0 && ms < 1)
        luaL_error(L, "flow_cache.open: %s is at least 1ms, or 0", key);
    return (int64_t)ms;
}

static void need_table(lua_State *L, const char *key)
{
    if (lua_getfield(L, 1, key) != LUA_TTABLE)
        luaL_error(L, "flow_cache.open: %s = { host =, port =, ... }", key);
}

static void read_lifetimes(lua_State *L, flow_cache_opts *opts)
{
    opts->ttl_ms = read_ms(L, "ttl", 60);
    opts->soft_ttl_ms = read_ms(L, "soft_ttl", 0);
    opts->negative_ttl_ms = read_ms(L, "negative_ttl", 0);
    opts->jitter = read_number(L, "jitter", 0, 0, 1);
    opts->beta = read_number(L, "beta", 0, 0, 1000);
    opts->seed = (uint64_t)opts_int(L, 1, "seed", 0);
    opts->lease_ms = read_ms(L, "lease", 2);
    opts->local_ms = read_ms(L, "l1", 0);
    opts->stale_ms = read_ms(L, "stale", 0);
    opts->local_size = opts_int(L, 1, "l1_size", 65536);
    if (opts->ttl_ms < 1 || opts->lease_ms < 1)
        luaL_error(L, "flow_cache.open: ttl and lease are at least 1ms");
}

static void read_limits(lua_State *L, flow_cache_opts *opts)
{
    opts->redis_timeout = opts_duration(L, 1, "redis_timeout", 0.05);
    opts->db_timeout = opts_duration(L, 1, "db_timeout", 0.2);
    opts->db_wait = opts_duration(L, 1, "db_wait", 0.1);
    opts->breaker_pause = opts_duration(L, 1, "breaker_pause", 0.3);
    opts->ramp = opts_duration(L, 1, "ramp", 0);
    opts->redis_readers = (int)read_number(L, "redis_readers", 1, 1, READERS_MAX);
    opts->workers = (int)read_number(L, "workers", 32, 1, WORKERS_MAX);
    opts->db_reads_max = (int)read_number(L, "db_reads_max", 16, 1, WORKERS_MAX);
    opts->breaker_failures = (int)read_number(L, "breaker", 5, 0, 1e9);
    opts->retries = (int)read_number(L, "retries", 1, 0, 100);
}

static const char *read_prefix(lua_State *L)
{
    const char *prefix = opts_str(L, 1, "prefix", "");
    if (!cache_prefix_fits(prefix))
        luaL_error(L, "flow_cache.open: prefix is too long");
    return prefix;
}

static void read_opts(lua_State *L, flow_cache_opts *opts)
{
    static const char *const keys[] = {"redis",
                                       "mysql",
                                       "prefix",
                                       "ttl",
                                       "soft_ttl",
                                       "negative_ttl",
                                       "jitter",
                                       "beta",
                                       "seed",
                                       "single",
                                       "fill",
                                       "lease",
                                       "l1",
                                       "stale",
                                       "l1_size",
                                       "db_timeout",
                                       "db_wait",
                                       "redis_timeout",
                                       "redis_readers",
                                       "workers",
                                       "db_reads_max",
                                       "breaker",
                                       "retries",
                                       "breaker_counts",
                                       "breaker_pause",
                                       "ramp",
                                       NULL};
    luaL_checktype(L, 1, LUA_TTABLE);
    opts_check(L, 1, "flow_cache.open", keys);
    opts->single = (flow_cache_single)cache_read_word(L, "single", flow_cache_single_names);
    opts->fill = (flow_cache_fill)cache_read_word(L, "fill", flow_cache_fill_names);
    opts->prefix = read_prefix(L);
    opts->breaks = (flow_cache_breaks)cache_read_word(L, "breaker_counts", flow_cache_breaks_names);
    read_lifetimes(L, opts);
    read_limits(L, opts);
    need_table(L, "redis");
    opts->redis = keyspace_opts_read(L, lua_gettop(L), "flow_cache.open: redis");
    need_table(L, "mysql");
    opts->mysql = mysql_opts_read(L, lua_gettop(L), "flow_cache.open: mysql");
}

/* open{...} -> cache | nil, err */
static int flow_cache_l_open(lua_State *L)
{
    flow_cache_opts opts = {0};
    flow_cache *cache;
    lua_settop(L, 1);
    read_opts(L, &opts);
    rl_handle *h = handle_new(L, &cache_handle, 0);
    rl_err *err = flow_cache_open(&opts, &cache);
    if (err)
        return errs_fail(L, err);
    flow_handle_set(L, h, flow_cache_flow(cache));
    return 1;
}

static flow_cache *cache_check(lua_State *L)
{
    return handle_check(L, 1, &cache_handle)->impl;
}

/* ---- figures ---- */

static void push_gauges(lua_State *L, flow_cache *cache)
{
    flow_cache_gauges g;
    flow_cache_measure(cache, &g);
    field_set_text(L, "redis_breaker", cache_breaker_names[g.redis]);
    field_set_text(L, "redis_write_breaker", cache_breaker_names[g.redis_writes]);
    field_set_text(L, "db_breaker", cache_breaker_names[g.db]);
    field_set_int(L, "redis_breaker_opens", g.redis_opens);
    field_set_int(L, "redis_write_breaker_opens", g.redis_writes_opens);
    field_set_int(L, "db_breaker_opens", g.db_opens);
    field_set_int(L, "db_busy", g.db_busy);
    field_set_int(L, "db_peak", g.db_peak);
    field_set_int(L, "db_allowed", g.db_allowed);
    field_set_int(L, "queued", g.queued);
    field_set_int(L, "events_dropped", flow_dropped(flow_cache_flow(cache)));
}

/* cache:stats() -> counters, gauges, latency = {source = hdr}, turn_wait, ahead = hdr */
static int flow_cache_l_stats(lua_State *L)
{
    flow_cache *cache = cache_check(L);
    lua_createtable(L, 0, CACHE_N_COUNT + 14);
    for (int i = 0; i < CACHE_N_COUNT; i++)
        field_set_int(L, flow_cache_count_names[i], flow_cache_counted(cache, (flow_cache_count)i));
    push_gauges(L, cache);
    flow_cache_add_turn_wait(cache, hdr_push(L));
    lua_setfield(L, -2, "turn_wait");
    flow_cache_add_ahead(cache, hdr_push(L));
    lua_setfield(L, -2, "ahead");
    lua_createtable(L, 0, CACHE_SOURCE_COUNT);
    for (int i = 0; i < CACHE_SOURCE_COUNT; i++) {
        flow_cache_add_latency(cache, (flow_cache_source)i, hdr_push(L));
        lua_setfield(L, -2, flow_cache_source_names[i]);
    }
    lua_setfield(L, -2, "latency");
    return 1;
}

/* cache:forget_peak(): db_peak begins anew */
static int flow_cache_l_forget_peak(lua_State *L)
{
    flow_cache_forget_peak(cache_check(L));
    return 0;
}

/* cache:front() -> what server:front() takes: the server then answers GET /accounts/{id} from
 * here */
static int flow_cache_l_front(lua_State *L)
{
    http_front_push(L, &flow_cache_http_front, cache_check(L));
    return 1;
}

int luaopen_rlab_flow_cache(lua_State *L)
{
    static const luaL_Reg methods[] = {{"stats", flow_cache_l_stats},
                                       {"forget_peak", flow_cache_l_forget_peak},
                                       {"front", flow_cache_l_front},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"open", flow_cache_l_open}, {NULL, NULL}};
    flow_type_open(L, &cache_handle, methods);
    luaL_newlib(L, functions);
    return 1;
}
