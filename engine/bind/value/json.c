/* rlab.json: encode, decode, array, is_array, null. */
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "bind/value/errs.h"
#include "bind/value/json.h"
#include "bind/value/opts.h"

int luaopen_rlab_json(lua_State *L);

/* ---- encode ---- */

typedef struct encoder {
    lua_State *L;
    rl_buf *out;
    unsigned how;
    int depth;
    rl_err *err;
    const char *
        path[JSON_DEPTH_MAX + 1]; /* the keys down to here, alive on the stack or in their tables */
    lua_Integer index[JSON_DEPTH_MAX + 1];
} encoder;

static void put(encoder *e);

static void newline(encoder *e)
{
    if (!(e->how & LUA_JSON_PRETTY))
        return;
    buf_u8(e->out, '\n');
    for (int i = 0; i < e->depth; i++)
        buf_str(e->out, "  ");
}

static void json_refuse(encoder *e, const char *what)
{
    rl_buf where = {0};
    if (e->err)
        return;
    for (int i = 1; i <= e->depth && i <= 8; i++) {
        if (e->path[i])
            buf_printf(&where, "%s%s", i > 1 ? "." : "", e->path[i]);
        else
            buf_printf(&where, "[%lld]", (long long)e->index[i]);
    }
    e->err = err_lab("USAGE", "json.encode: %s%s%s", what, where.len ? " at " : "",
                     where.len ? where.data : "");
    buf_free(&where);
}

static bool marked_array(lua_State *L, int idx)
{
    if (!lua_getmetatable(L, idx))
        return false;
    luaL_getmetatable(L, JSON_ARRAY_META);
    bool yes = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return yes;
}

/* The number of keys, and whether they are exactly 1..n. */
static size_t count_keys(lua_State *L, int idx, bool *sequence)
{
    size_t n = 0, in_sequence = 0, len = lua_rawlen(L, idx);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        n++;
        if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 &&
            (size_t)lua_tointeger(L, -2) <= len)
            in_sequence++;
    }
    *sequence = n > 0 && n == len && in_sequence == n;
    return n;
}

static void put_array(encoder *e, int idx)
{
    lua_Integer n = (lua_Integer)lua_rawlen(e->L, idx);
    buf_u8(e->out, '[');
    e->depth++;
    e->path[e->depth] = NULL;
    for (lua_Integer i = 1; i <= n && !e->err; i++) {
        if (i > 1)
            buf_str(e->out, ",");
        newline(e);
        e->index[e->depth] = i;
        lua_rawgeti(e->L, idx, i);
        put(e);
        lua_pop(e->L, 1);
    }
    e->depth--;
    if (n)
        newline(e);
    buf_u8(e->out, ']');
}

typedef struct object_key {
    const char *text;
    size_t len;
    lua_Integer number;
    bool is_number;
    char digits[24];
} object_key;

static int by_text(const void *a, const void *b)
{
    const object_key *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->text ? x->text : x->digits, y->text ? y->text : y->digits, n);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* The table's keys, sorted, in memory that the Lua stack owns (one value is pushed). */
static object_key *sorted_keys(encoder *e, int idx, size_t n)
{
    lua_State *L = e->L;
    object_key *keys = lua_newuserdatauv(L, n * sizeof *keys + 1, 0), *k = keys;
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1), k++) {
        memset(k, 0, sizeof *k);
        if (lua_type(L, -2) == LUA_TSTRING) {
            k->text = lua_tolstring(L, -2, &k->len);
        } else if (lua_isinteger(L, -2)) {
            k->is_number = true;
            k->number = lua_tointeger(L, -2);
            k->len = (size_t)snprintf(k->digits, sizeof k->digits, "%lld", (long long)k->number);
        } else {
            json_refuse(e, lua_pushfstring(L, "a key is a %s", luaL_typename(L, -2)));
            lua_pop(L, 3);
            return NULL;
        }
    }
    qsort(keys, n, sizeof *keys, by_text);
    for (size_t i = 1; i < n; i++) {
        if (by_text(&keys[i - 1], &keys[i]) != 0)
            continue;
        const char *digits = keys[i].digits; /* of one of the two */
        json_refuse(e, lua_pushfstring(L, "the number and the text %s are the same key",
                                       *digits ? digits : keys[i - 1].digits));
        lua_pop(L, 1);
        return NULL;
    }
    return keys;
}

static void put_object(encoder *e, int idx, size_t n)
{
    lua_State *L = e->L;
    object_key *keys = sorted_keys(e, idx, n);
    buf_u8(e->out, '{');
    e->depth++;
    for (size_t i = 0; keys && i < n && !e->err; i++) {
        object_key *k = &keys[i];
        const char *text = k->text ? k->text : k->digits;
        if (i > 0)
            buf_str(e->out, ",");
        newline(e);
        json_put_string(e->out, text, k->len);
        buf_str(e->out, e->how & LUA_JSON_PRETTY ? ": " : ":");
        e->path[e->depth] = text;
        if (k->is_number)
            lua_rawgeti(L, idx, k->number);
        else
            lua_pushlstring(L, text, k->len), lua_rawget(L, idx);
        put(e);
        lua_pop(L, 1);
    }
    e->depth--;
    if (n)
        newline(e);
    buf_u8(e->out, '}');
    lua_pop(L, 1);
}

static void put_table(encoder *e)
{
    int idx = lua_gettop(e->L);
    bool sequence;
    if (e->depth == JSON_DEPTH_MAX || !lua_checkstack(e->L, 8)) {
        json_refuse(e, "nested too deep (a table inside itself?)");
        return;
    }
    size_t n = count_keys(e->L, idx, &sequence);
    if (sequence || marked_array(e->L, idx))
        put_array(e, idx);
    else
        put_object(e, idx, n);
}

static void put_float(encoder *e, double v)
{
    if (isfinite(v) || e->how & LUA_JSON_GAPS)
        json_put_float(e->out, v);
    else
        json_refuse(e, "a number that is not finite");
}

/* Appends the value on top of the stack. */
static void put(encoder *e)
{
    lua_State *L = e->L;
    size_t len;
    const char *text;
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
        buf_str(e->out, "null");
        return;
    case LUA_TBOOLEAN:
        buf_str(e->out, lua_toboolean(L, -1) ? "true" : "false");
        return;
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1))
            json_put_int(e->out, lua_tointeger(L, -1));
        else
            put_float(e, lua_tonumber(L, -1));
        return;
    case LUA_TSTRING:
        text = lua_tolstring(L, -1, &len);
        json_put_string(e->out, text, len);
        return;
    case LUA_TTABLE:
        put_table(e);
        return;
    default:
        if (errs_is_null(L, -1))
            buf_str(e->out, "null");
        else
            json_refuse(e, lua_type(L, -1) == LUA_TFUNCTION ? "a function" : "a userdata");
    }
}

rl_err *lua_json_put(lua_State *L, int idx, rl_buf *out, unsigned how)
{
    encoder e = {.L = L, .out = out, .how = how, .depth = 0};
    luaL_checkstack(L, 16, NULL);
    lua_pushvalue(L, idx);
    put(&e);
    lua_pop(L, 1);
    return e.err;
}

/* encode(value[, {pretty = bool, gaps = bool}]) -> text */
static int json_l_encode(lua_State *L)
{
    static const char *const keys[] = {"pretty", "gaps", NULL};
    luaL_checkany(L, 1);
    opts_check(L, 2, "json.encode", keys);
    unsigned how = (opts_bool(L, 2, "pretty", false) ? LUA_JSON_PRETTY : 0) |
                   (opts_bool(L, 2, "gaps", false) ? LUA_JSON_GAPS : 0);
    rl_buf out = {0};
    rl_err *err = lua_json_put(L, 1, &out, how);
    if (err) {
        buf_free(&out);
        lua_pushstring(L, err->msg);
        err_free(err);
        return luaL_error(L, "%s", lua_tostring(L, -1));
    }
    lua_pushlstring(L, out.data, out.len);
    buf_free(&out);
    return 1;
}

/* ---- decode ---- */

typedef struct decoder {
    lua_State *L;
    json_reader *r;
    bool unique;   /* no key may be there twice */
    rl_err *twice; /* it was */
} decoder;

static bool push_value(decoder *d, json_token token);

/* The key lies on top of its table. */
static bool may_be_set(decoder *d)
{
    lua_State *L = d->L;
    if (!d->unique)
        return true;
    lua_pushvalue(L, -1);
    bool there = lua_rawget(L, -3) != LUA_TNIL;
    lua_pop(L, 1);
    if (there)
        d->twice = err_lab("JSON", "the key '%s' is there twice", lua_tostring(L, -1));
    return !there;
}

static bool push_object(decoder *d)
{
    lua_State *L = d->L;
    json_reader *r = d->r;
    lua_newtable(L);
    for (json_token token; (token = json_next(r)) != JSON_OBJECT_END;) {
        if (token == JSON_ERROR)
            return false;
        lua_pushlstring(L, r->str.data, r->str.len);
        if (!may_be_set(d) || !push_value(d, json_next(r)))
            return false;
        lua_rawset(L, -3);
    }
    return true;
}

static bool push_array(decoder *d)
{
    lua_State *L = d->L;
    json_reader *r = d->r;
    lua_newtable(L);
    luaL_setmetatable(L, JSON_ARRAY_META);
    lua_Integer n = 0;
    for (json_token token; (token = json_next(r)) != JSON_ARRAY_END;) {
        if (!push_value(d, token))
            return false;
        lua_rawseti(L, -2, ++n);
    }
    return true;
}

static bool push_value(decoder *d, json_token token)
{
    lua_State *L = d->L;
    json_reader *r = d->r;
    if (!lua_checkstack(L, 8))
        return false;
    switch (token) {
    case JSON_OBJECT:
        return push_object(d);
    case JSON_ARRAY:
        return push_array(d);
    case JSON_STRING:
    case JSON_BIG:
        lua_pushlstring(L, r->str.data ? r->str.data : "", r->str.len);
        return true;
    case JSON_INT:
        lua_pushinteger(L, r->i);
        return true;
    case JSON_FLOAT:
        lua_pushnumber(L, r->d);
        return true;
    case JSON_BOOL:
        lua_pushboolean(L, r->i != 0);
        return true;
    case JSON_NULL:
        errs_push_null(L);
        return true;
    default:
        return false;
    }
}

static rl_err *push_text(lua_State *L, const char *text, size_t len, bool unique)
{
    decoder d = {.L = L, .r = mem_alloc(sizeof *d.r), .unique = unique};
    int top = lua_gettop(L);
    rl_err *err = NULL;
    json_open(d.r, text, len);
    if (!push_value(&d, json_next(d.r)) || json_next(d.r) != JSON_END) {
        err = d.twice ? d.twice : err_lab("JSON", "%s", d.r->error);
        lua_settop(L, top);
    }
    json_close(d.r);
    free(d.r);
    return err;
}

rl_err *lua_json_push(lua_State *L, const char *text, size_t len)
{
    return push_text(L, text, len, false);
}

/* decode(text [, {unique =}]) -> value | nil, err */
static int json_l_decode(lua_State *L)
{
    static const char *const keys[] = {"unique", NULL};
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    bool unique = !lua_isnoneornil(L, 2);
    if (unique) {
        opts_check(L, 2, "json.decode", keys);
        unique = opts_bool(L, 2, "unique", false);
    }
    rl_err *err = push_text(L, text, len, unique);
    return err ? errs_fail(L, err) : 1;
}

/* array(t) -> t, marked: it is written as [...] also when empty */
static int json_l_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_setmetatable(L, JSON_ARRAY_META);
    return 1;
}

static int json_l_is_array(lua_State *L)
{
    lua_pushboolean(L, lua_istable(L, 1) && marked_array(L, 1));
    return 1;
}

int luaopen_rlab_json(lua_State *L)
{
    static const luaL_Reg functions[] = {{"encode", json_l_encode},
                                         {"decode", json_l_decode},
                                         {"array", json_l_array},
                                         {"is_array", json_l_is_array},
                                         {NULL, NULL}};
    luaL_newmetatable(L, JSON_ARRAY_META);
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    errs_push_null(L);
    lua_setfield(L, -2, "null");
    return 1;
}
