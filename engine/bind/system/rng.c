/* rlab.rng: seeded random numbers. new(seed) takes a number or words. */
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/rng.h"
#include "bind/value/meta.h"

#define RNG_META "rlab.rng"

enum { BYTES_MAX = 1 << 28, ID_LEN = 16, ID_MAX = 64, SAMPLE_MAX = 10000000 };

int luaopen_rlab_rng(lua_State *L);

static rl_rng *rng_check(lua_State *L)
{
    return luaL_checkudata(L, 1, RNG_META);
}

static rl_rng *push_new(lua_State *L)
{
    rl_rng *rng = lua_newuserdatauv(L, sizeof *rng, 0);
    luaL_setmetatable(L, RNG_META);
    return rng;
}

static int rng_l_new(lua_State *L)
{
    uint64_t seed;
    if (lua_type(L, 1) == LUA_TSTRING) {
        size_t len;
        const char *text = lua_tolstring(L, 1, &len);
        seed = rng_seed_of(text, len);
    } else {
        seed = (uint64_t)luaL_checkinteger(L, 1);
    }
    rng_init(push_new(L), seed);
    return 1;
}

/* split(label) -> a generator of its own; the same however many numbers were drawn here */
static int rng_l_split(lua_State *L)
{
    size_t len;
    rl_rng *rng = rng_check(L);
    const char *label = luaL_checklstring(L, 2, &len);
    rng_split(rng, label, len, push_new(L));
    return 1;
}

/* int(hi) -> 1..hi; int(lo, hi) -> lo..hi */
static int rng_l_int(lua_State *L)
{
    rl_rng *rng = rng_check(L);
    lua_Integer lo = 1, hi = luaL_checkinteger(L, 2);
    if (!lua_isnoneornil(L, 3)) {
        lo = hi;
        hi = luaL_checkinteger(L, 3);
    }
    luaL_argcheck(L, lo <= hi, lua_isnoneornil(L, 3) ? 2 : 3, "the range is empty");
    uint64_t span = (uint64_t)hi - (uint64_t)lo + 1; /* 0 stands for all 2^64 */
    lua_pushinteger(L, (lua_Integer)((uint64_t)lo + rng_below(rng, span)));
    return 1;
}

/* float() -> [0, 1); float(hi) -> [0, hi); float(lo, hi) -> [lo, hi) */
static int rng_l_float(lua_State *L)
{
    rl_rng *rng = rng_check(L);
    lua_Number a = luaL_optnumber(L, 2, 1), lo = 0, hi = a;
    if (!lua_isnoneornil(L, 3)) {
        lo = a;
        hi = luaL_checknumber(L, 3);
    }
    lua_pushnumber(L, lo + (hi - lo) * rng_double(rng));
    return 1;
}

/* chance(p) -> true with probability p (0..1) */
static int rng_l_chance(lua_State *L)
{
    rl_rng *rng = rng_check(L);
    lua_Number p = luaL_checknumber(L, 2);
    luaL_argcheck(L, p >= 0 && p <= 1, 2, "a probability lies between 0 and 1");
    lua_pushboolean(L, rng_double(rng) < p);
    return 1;
}

static lua_Integer list_len(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    return luaL_len(L, 2);
}

/* pick(list) -> one of it */
static int rng_l_pick(lua_State *L)
{
    rl_rng *rng = rng_check(L);
    lua_Integer n = list_len(L);
    luaL_argcheck(L, n > 0, 2, "the list is empty");
    lua_geti(L, 2, (lua_Integer)rng_below(rng, (uint64_t)n) + 1);
    return 1;
}

/* The first n of a shuffled copy of the list at 2, or of 1..len when that is a number. */
static int push_sample(lua_State *L, rl_rng *rng, lua_Integer len, lua_Integer n)
{
    bool numbers = lua_type(L, 2) == LUA_TNUMBER;
    luaL_argcheck(L, n >= 0 && n <= len, 3, "there are not so many");
    lua_Integer *order = lua_newuserdatauv(L, sizeof *order * (size_t)len + 1, 0);
    for (lua_Integer i = 0; i < len; i++)
        order[i] = i + 1;
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 0; i < n; i++) {
        lua_Integer k = i + (lua_Integer)rng_below(rng, (uint64_t)(len - i)), chosen = order[k];
        order[k] = order[i];
        if (numbers)
            lua_pushinteger(L, chosen);
        else
            lua_geti(L, 2, chosen);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* shuffle(list) -> a shuffled copy */
static int rng_l_shuffle(lua_State *L)
{
    rl_rng *rng = rng_check(L);
    lua_Integer n = list_len(L);
    return push_sample(L, rng, n, n);
}

/* sample(list, n) -> n different elements in random order; sample(m, n) -> n different numbers
 * of 1..m */
static int rng_l_sample(lua_State *L)
{
    rl_rng *rng = rng_check(L);
    lua_Integer len = lua_type(L, 2) == LUA_TNUMBER ? luaL_checkinteger(L, 2) : list_len(L);
    luaL_argcheck(L, len >= 0 && len <= SAMPLE_MAX, 2, "between 0 and ten million");
    return push_sample(L, rng, len, luaL_checkinteger(L, 3));
}

static int rng_l_bytes(lua_State *L)
{
    rl_rng *rng = rng_check(L);
    lua_Integer n = luaL_checkinteger(L, 2);
    luaL_argcheck(L, n >= 0 && n <= BYTES_MAX, 2, "between 0 and 256 MiB");
    luaL_Buffer b;
    rng_bytes(rng, luaL_buffinitsize(L, &b, (size_t)n), (size_t)n);
    luaL_pushresultsize(&b, (size_t)n);
    return 1;
}

/* id([length]) -> lower-case letters and digits, safe in names of topics, schemas and keys */
static int rng_l_id(lua_State *L)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    rl_rng *rng = rng_check(L);
    lua_Integer n = luaL_optinteger(L, 2, ID_LEN);
    luaL_argcheck(L, n > 0 && n <= ID_MAX, 2, "between 1 and 64");
    char text[ID_MAX];
    for (lua_Integer i = 0; i < n; i++)
        text[i] = alphabet[rng_below(rng, i ? 36 : 26)];
    lua_pushlstring(L, text, (size_t)n);
    return 1;
}

static int rng_l_seed(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)rng_check(L)->seed);
    return 1;
}

int luaopen_rlab_rng(lua_State *L)
{
    static const luaL_Reg functions[] = {{"new", rng_l_new}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"split", rng_l_split},
                                       {"int", rng_l_int},
                                       {"float", rng_l_float},
                                       {"chance", rng_l_chance},
                                       {"pick", rng_l_pick},
                                       {"shuffle", rng_l_shuffle},
                                       {"sample", rng_l_sample},
                                       {"bytes", rng_l_bytes},
                                       {"id", rng_l_id},
                                       {"seed", rng_l_seed},
                                       {NULL, NULL}};
    meta_open(L, RNG_META, NULL, methods);
    luaL_newlib(L, functions);
    return 1;
}
