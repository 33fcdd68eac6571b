/* rlab.hdr: histograms of integers (by habit: latencies in ns) with a bounded relative error. A
 * value above `highest` counts as `highest` and is told by summary().clamped. */
#include <hdr/hdr_histogram.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "bind/value/errs.h"
#include "bind/value/hdr.h"
#include "bind/value/meta.h"
#include "bind/value/opts.h"
#include "bind/value/fields.h"
#include "evidence/hdr_text.h"

#define HDR_META "rlab.hdr"

static const lua_Integer default_highest = 3600000000000; /* one hour in ns */

int luaopen_rlab_hdr(lua_State *L);

typedef struct recorder {
    struct hdr_histogram *h;
    int64_t clamped;
} recorder;

static recorder *check_at(lua_State *L, int idx)
{
    recorder *r = luaL_checkudata(L, idx, HDR_META);
    if (!r->h)
        luaL_error(L, "this histogram is closed");
    return r;
}

static recorder *push_empty(lua_State *L)
{
    recorder *r = lua_newuserdatauv(L, sizeof *r, 0);
    *r = (recorder){0};
    luaL_setmetatable(L, HDR_META);
    return r;
}

/* new([{lowest = 1, highest = 3600000000000, digits = 3}]) */
static int hdr_l_new(lua_State *L)
{
    static const char *const keys[] = {"lowest", "highest", "digits", NULL};
    opts_check(L, 1, "hdr.new", keys);
    lua_Integer lowest = opts_int(L, 1, "lowest", 1),
                highest = opts_int(L, 1, "highest", default_highest);
    lua_Integer digits = opts_int(L, 1, "digits", 3);
    recorder *r = push_empty(L);
    if (digits < 1 || digits > 5 || lowest < 1 || highest / 2 < lowest ||
        hdr_init(lowest, highest, (int)digits, &r->h) != 0)
        return luaL_error(
            L, "hdr.new: lowest >= 1, highest >= 2 * lowest and digits 1..5 are expected");
    return 1;
}

struct hdr_histogram *hdr_push(lua_State *L)
{
    luaL_requiref(L, HDR_META, luaopen_rlab_hdr, 0);
    lua_pop(L, 1);
    recorder *r = push_empty(L);
    if (hdr_init(1, default_highest, 3, &r->h) != 0)
        luaL_error(L, "no memory for a histogram");
    return r->h;
}

static int64_t clamp(lua_State *L, recorder *r, int idx, int64_t count)
{
    lua_Integer v = luaL_checkinteger(L, idx);
    luaL_argcheck(L, v >= 0, idx, "a value cannot be negative");
    if (v <= r->h->highest_trackable_value)
        return v;
    r->clamped += count;
    return r->h->highest_trackable_value;
}

static int64_t count_arg(lua_State *L, int idx)
{
    lua_Integer n = luaL_optinteger(L, idx, 1);
    luaL_argcheck(L, n >= 0, idx, "a count cannot be negative");
    return n;
}

/* h:record(value[, count]) */
static int hdr_l_record(lua_State *L)
{
    recorder *r = check_at(L, 1);
    int64_t count = count_arg(L, 3);
    hdr_record_values(r->h, clamp(L, r, 2, count), count);
    return 0;
}

/* h:record_paced(value, interval): of a load with a steady pace, whose next requests waited too:
 * they are added as well (coordinated omission) */
static int hdr_l_record_paced(lua_State *L)
{
    recorder *r = check_at(L, 1);
    lua_Integer interval = luaL_checkinteger(L, 3);
    luaL_argcheck(L, interval > 0, 3, "an interval is positive");
    hdr_record_corrected_value(r->h, clamp(L, r, 2, 1), interval);
    return 0;
}

/* h:percentile(p), p in 0..100 */
static int hdr_l_percentile(lua_State *L)
{
    recorder *r = check_at(L, 1);
    lua_Number p = luaL_checknumber(L, 2);
    luaL_argcheck(L, p >= 0 && p <= 100, 2, "a percentile lies between 0 and 100");
    lua_pushinteger(L, r->h->total_count ? hdr_value_at_percentile(r->h, p) : 0);
    return 1;
}

static int hdr_l_count(lua_State *L)
{
    lua_pushinteger(L, check_at(L, 1)->h->total_count);
    return 1;
}

/* h:summary() -> {count, min, mean, stddev, p50, p90, p99, p999, max, clamped}; zeros when empty */
static int hdr_l_summary(lua_State *L)
{
    static const struct {
        const char *key;
        double p;
    } percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p999", 99.9}};
    const recorder *r = check_at(L, 1);
    bool any = r->h->total_count > 0;
    lua_createtable(L, 0, 10);
    field_set_int(L, "count", r->h->total_count);
    field_set_int(L, "min", any ? hdr_min(r->h) : 0);
    field_set_int(L, "max", any ? hdr_max(r->h) : 0);
    field_set_number(L, "mean", any ? hdr_mean(r->h) : 0);
    field_set_number(L, "stddev", any ? hdr_stddev(r->h) : 0);
    for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++)
        field_set_int(L, percentiles[i].key,
                      any ? hdr_value_at_percentile(r->h, percentiles[i].p) : 0);
    field_set_int(L, "clamped", r->clamped);
    return 1;
}

/* h:buckets() -> {{value = highest of the bucket, count =}, ...}: those that hold something */
static int hdr_l_buckets(lua_State *L)
{
    const recorder *r = check_at(L, 1);
    struct hdr_iter iter;
    lua_Integer n = 0;
    lua_newtable(L);
    hdr_iter_recorded_init(&iter, r->h);
    while (hdr_iter_next(&iter)) {
        lua_createtable(L, 0, 2);
        field_set_int(L, "value", iter.highest_equivalent_value);
        field_set_int(L, "count", iter.count);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* h:merge(other) -> h; what lies above h's highest counts as clamped */
static int hdr_l_merge(lua_State *L)
{
    recorder *r = check_at(L, 1), *other = check_at(L, 2);
    int64_t dropped = hdr_add(r->h, other->h);
    if (dropped)
        hdr_record_values(r->h, r->h->highest_trackable_value, dropped);
    r->clamped += other->clamped + dropped;
    lua_settop(L, 1);
    return 1;
}

/* h:encode() -> text */
static int hdr_l_encode(lua_State *L)
{
    const recorder *r = check_at(L, 1);
    rl_buf text = {0};
    hdr_text_write(r->h, &text);
    lua_pushlstring(L, text.data, text.len);
    buf_free(&text);
    return 1;
}

/* decode(text) -> histogram | nil, err */
static int hdr_l_decode(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    recorder *r = push_empty(L);
    rl_err *err = hdr_text_read(text, len, &r->h);
    return err ? errs_fail(L, err) : 1;
}

static int hdr_l_reset(lua_State *L)
{
    recorder *r = check_at(L, 1);
    hdr_reset(r->h);
    r->clamped = 0;
    return 0;
}

static int hdr_l_close(lua_State *L)
{
    recorder *r = luaL_checkudata(L, 1, HDR_META);
    if (r->h)
        hdr_close(r->h);
    r->h = NULL;
    return 0;
}

int luaopen_rlab_hdr(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"new", hdr_l_new}, {"decode", hdr_l_decode}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"record", hdr_l_record},
                                       {"record_paced", hdr_l_record_paced},
                                       {"percentile", hdr_l_percentile},
                                       {"count", hdr_l_count},
                                       {"summary", hdr_l_summary},
                                       {"buckets", hdr_l_buckets},
                                       {"merge", hdr_l_merge},
                                       {"encode", hdr_l_encode},
                                       {"reset", hdr_l_reset},
                                       {"close", hdr_l_close},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {
        {"__gc", hdr_l_close}, {"__close", hdr_l_close}, {"__len", hdr_l_count}, {NULL, NULL}};
    meta_open(L, HDR_META, meta, methods);
    luaL_newlib(L, functions);
    return 1;
}
