/* A handler in Lua: batches are shown to the loop, which says what is to become of their
 * records. */
#include <lauxlib.h>
#include <string.h>

#include "bind/flow/consume.h"
#include "bind/kafka/values.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"

#define RECORD_META "rlab.flow_consume.record"

/* A view; its user value 1 is the flow, which has the record as long as its batch is not answered. */
typedef struct asked_record {
    int64_t number;
    int index;
} asked_record;

/* ---- fields ---- */

#define PUSHES_INT(field)                                              \
    static void push_##field(lua_State *L, const flow_consume_view *v) \
    {                                                                  \
        lua_pushinteger(L, v->field);                                  \
    }
PUSHES_INT(partition)
PUSHES_INT(offset)
PUSHES_INT(timestamp)
PUSHES_INT(attempt)
PUSHES_INT(account)
PUSHES_INT(amount)
PUSHES_INT(balance)
PUSHES_INT(version)

static void push_bytes_or_nil(lua_State *L, const char *bytes, size_t len)
{
    if (bytes)
        lua_pushlstring(L, bytes, len);
    else
        lua_pushnil(L);
}

static void push_key(lua_State *L, const flow_consume_view *v)
{
    push_bytes_or_nil(L, v->key, v->key_len);
}

static void push_value(lua_State *L, const flow_consume_view *v)
{
    push_bytes_or_nil(L, v->value, v->value_len);
}

static void push_topic(lua_State *L, const flow_consume_view *v)
{
    lua_pushstring(L, v->topic);
}

static void push_id(lua_State *L, const flow_consume_view *v)
{
    lua_pushstring(L, v->event_id);
}

static void push_headers(lua_State *L, const flow_consume_view *v)
{
    kafka_header_list_push(L, v->headers);
}

static const struct {
    const char *name;
    void (*push)(lua_State *L, const flow_consume_view *v);
} fields[] = {{"topic", push_topic},     {"partition", push_partition},
              {"offset", push_offset},   {"timestamp", push_timestamp},
              {"key", push_key},         {"value", push_value},
              {"headers", push_headers}, {"attempt", push_attempt},
              {"id", push_id},           {"account", push_account},
              {"amount", push_amount},   {"balance", push_balance},
              {"version", push_version}};

enum { FIELDS = sizeof fields / sizeof *fields };

typedef struct look {
    lua_State *L;
    int field;
} look;

static void see(void *arg, const flow_consume_view *record)
{
    const look *l = arg;
    fields[l->field].push(l->L, record);
}

static void push_field(lua_State *L, int idx, int field)
{
    const asked_record *record = luaL_checkudata(L, idx, RECORD_META);
    look l = {.L = L, .field = field};
    lua_getiuservalue(L, idx, 1);
    flow_consume *consume = flow_consume_test(L, -1);
    lua_pop(L, 1);
    if (!consume || !flow_consume_ask_look(consume, record->number, record->index, see, &l))
        luaL_error(
            L, "the batch of this record is answered: keep what you need of it, not the record");
}

/* Upvalue 1: name -> its number in `fields` */
static int asked_index(lua_State *L)
{
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL)
        return luaL_error(L, "a record has no field '%s'", luaL_tolstring(L, 2, NULL));
    push_field(L, 1, (int)lua_tointeger(L, -1));
    return 1;
}

/* Upvalue 1: the number of the next field */
static int asked_next(lua_State *L)
{
    int i = (int)lua_tointeger(L, lua_upvalueindex(1));
    while (i < FIELDS) {
        lua_settop(L, 1);
        lua_pushstring(L, fields[i].name);
        push_field(L, 1, i++);
        lua_pushinteger(L, i);
        lua_replace(L, lua_upvalueindex(1));
        if (!lua_isnil(L, -1))
            return 2;
    }
    return 0;
}

static int asked_pairs(lua_State *L)
{
    luaL_checkudata(L, 1, RECORD_META);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, asked_next, 1);
    lua_pushvalue(L, 1);
    return 2;
}

static void push_meta(lua_State *L)
{
    if (!luaL_newmetatable(L, RECORD_META))
        return;
    lua_createtable(L, 0, FIELDS);
    for (int i = 0; i < FIELDS; i++)
        field_set_int(L, fields[i].name, i);
    lua_pushcclosure(L, asked_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, asked_pairs);
    lua_setfield(L, -2, "__pairs");
}

/* ---- batches ---- */

static void push_record(lua_State *L, int meta, int64_t number, int index)
{
    asked_record *record = lua_newuserdatauv(L, sizeof *record, 1);
    *record = (asked_record){.number = number, .index = index};
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, meta);
    lua_setmetatable(L, -2);
}

/* flow:batch() -> number, list of records | nil: after an event "batch" */
int flow_consume_batch(lua_State *L)
{
    int n;
    int64_t number = flow_consume_ask_take(flow_consume_check(L), &n);
    if (!number)
        return 0;
    lua_settop(L, 1);
    push_meta(L);
    lua_pushinteger(L, number);
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        push_record(L, 2, number, i);
        lua_rawseti(L, -2, i + 1);
    }
    return 2;
}

/* flow:answer(number [, verdicts]): verdicts[i] is "skip", or why record i fails; the others are
 * applied */
int flow_consume_answer(lua_State *L)
{
    flow_consume *consume = flow_consume_check(L);
    lua_Integer number = luaL_checkinteger(L, 2);
    if (!lua_isnoneornil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
            lua_Integer i = luaL_checkinteger(L, -2) - 1;
            const char *word = luaL_checkstring(L, -1);
            bool skip = strcmp(word, "skip") == 0;
            flow_consume_ask_verdict(consume, number, i, skip ? CONSUME_SKIP : CONSUME_REFUSE,
                                     word);
        }
    }
    flow_consume_ask_done(consume, number);
    return 0;
}

/* flow:again(number, why): in place of an answer; health says why, and the batch is shown again */
int flow_consume_again(lua_State *L)
{
    flow_consume *consume = flow_consume_check(L);
    flow_consume_ask_again(consume, luaL_checkinteger(L, 2), luaL_checkstring(L, 3));
    return 0;
}
