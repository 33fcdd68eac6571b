/* A handler in Lua: batches are shown to the loop, which says what is to become of their
 * records. */
#include <lauxlib.h>
#include <string.h>

#include "bind/flow/consume.h"
#include "bind/kafka/values.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"

static void push_record(lua_State *L, const flow_consume_view *v)
{
    lua_createtable(L, 0, 13);
    field_set_text(L, "topic", v->topic);
    field_set_bytes(L, "key", v->key, v->key_len);
    field_set_bytes(L, "value", v->value, v->value_len);
    field_set_int(L, "partition", v->partition);
    field_set_int(L, "offset", v->offset);
    field_set_int(L, "timestamp", v->timestamp);
    field_set_int(L, "attempt", v->attempt);
    field_set_text(L, "id", v->event_id);
    field_set_int(L, "account", v->account);
    field_set_int(L, "amount", v->amount);
    field_set_int(L, "balance", v->balance);
    field_set_int(L, "version", v->version);
    kafka_header_list_push(L, v->headers);
    lua_setfield(L, -2, "headers");
}

static void see(void *arg, int i, const flow_consume_view *record)
{
    lua_State *L = arg;
    push_record(L, record);
    lua_rawseti(L, -2, i + 1);
}

/* flow:batch() -> number, list of records | nil: after an event "batch" */
int flow_consume_batch(lua_State *L)
{
    flow_consume *consume = flow_consume_check(L);
    lua_newtable(L);
    int64_t number = flow_consume_ask_take(consume, see, L);
    if (!number)
        return 0;
    lua_pushinteger(L, number);
    lua_insert(L, -2);
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
