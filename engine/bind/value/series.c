/* rlab.core_metrics: the part of the Prometheus text format of which there may be a million lines. */
#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int luaopen_rlab_core_metrics(lua_State *L);

enum { NUMBER_SIZE = 32, LABELS_SIZE = 64 /* about */ };

/* As short as it can be without being another number. */
static int write_float(char *out, double value)
{
    if (isnan(value))
        return snprintf(out, NUMBER_SIZE, "NaN");
    if (isinf(value))
        return snprintf(out, NUMBER_SIZE, value > 0 ? "+Inf" : "-Inf");
    int n = snprintf(out, NUMBER_SIZE, "%.15g", value);
    return strtod(out, NULL) == value ? n : snprintf(out, NUMBER_SIZE, "%.17g", value);
}

/* What snprintf does, for it would take half of the time. */
static int write_int(char *out, int64_t value)
{
    char digits[NUMBER_SIZE];
    int n = 0, at = 0;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        digits[n++] = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        out[at++] = '-';
    while (n > 0)
        out[at++] = digits[--n];
    return at;
}

static int write_number(lua_State *L, int idx, char *out)
{
    if (lua_isinteger(L, idx))
        return write_int(out, lua_tointeger(L, idx));
    return write_float(out, luaL_checknumber(L, idx));
}

/* number(value) -> text */
static int core_metrics_l_number(lua_State *L)
{
    char text[NUMBER_SIZE];
    int n = write_number(L, 1, text);
    lua_pushlstring(L, text, (size_t)n);
    return 1;
}

static void add_label(lua_State *L, luaL_Buffer *b, lua_Integer i)
{
    size_t len;
    lua_rawgeti(L, 2, i);
    const char *label = lua_tolstring(L, -1, &len);
    lua_pop(L, 1); /* the list keeps it */
    if (!label)
        luaL_error(L, "metrics: label %d of a series is no text", (int)(i + 1) / 2);
    luaL_addlstring(b, label, len);
}

/* series("name{", {labels, value, ...}) -> lines 'name{labels} value' */
static int core_metrics_l_series(lua_State *L)
{
    size_t head_len;
    char text[NUMBER_SIZE];
    const char *head = luaL_checklstring(L, 1, &head_len);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer n = luaL_len(L, 2);
    luaL_Buffer b;
    luaL_buffinitsize(L, &b, (size_t)n / 2 * (head_len + LABELS_SIZE) + 1);
    for (lua_Integer i = 1; i < n; i += 2) {
        if (i > 1)
            luaL_addchar(&b, '\n');
        luaL_addlstring(&b, head, head_len);
        add_label(L, &b, i);
        lua_rawgeti(L, 2, i + 1);
        int len = write_number(L, -1, text);
        lua_pop(L, 1);
        luaL_addlstring(&b, "} ", 2);
        luaL_addlstring(&b, text, (size_t)len);
    }
    luaL_pushresult(&b);
    return 1;
}

int luaopen_rlab_core_metrics(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"number", core_metrics_l_number}, {"series", core_metrics_l_series}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
