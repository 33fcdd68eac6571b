#include "bind/kafka/places.h"

#include <lauxlib.h>
#include <string.h>

#include "base/buf.h"
#include "bind/kafka/batch.h"
#include "bind/kafka/values.h"

static int64_t word_offset(lua_State *L, kafka_list_kind kind, const char *word)
{
    int64_t offset = kind == KAFKA_STARTS ? kafka_logical_offset(word) : RD_KAFKA_OFFSET_INVALID;
    if (offset != RD_KAFKA_OFFSET_INVALID)
        return offset;
    return luaL_error(L, "offset: %s expected, got '%s'",
                      kind == KAFKA_STARTS ? "a number, \"earliest\", \"latest\" or \"stored\""
                                           : "a number",
                      word);
}

/* The `offset` of the table at idx. */
static int64_t read_offset(lua_State *L, int idx, kafka_list_kind kind)
{
    int64_t offset = RD_KAFKA_OFFSET_INVALID;
    int type = lua_getfield(L, idx, "offset");
    if (type == LUA_TNUMBER) {
        int ok;
        offset = lua_tointegerx(L, -1, &ok);
        if (!ok || offset < 0)
            luaL_error(L, "offset: a number from 0 expected, got %s", lua_tostring(L, -1));
    } else if (type == LUA_TSTRING) {
        offset = word_offset(L, kind, lua_tostring(L, -1));
    } else if (kind == KAFKA_OFFSETS) {
        luaL_error(L, "offset is missing in {topic=, partition=, offset=}");
    }
    lua_pop(L, 1);
    return offset;
}

static void check_keys(lua_State *L, int idx)
{
    static const char *const known[] = {"topic",     "partition",  "offset", "leader_epoch",
                                        "metadata",  "generation", "err",    "position",
                                        "committed", "timestamp",  "status", NULL};
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        const char *const *k = known;
        while (*k && strcmp(*k, key) != 0)
            k++;
        if (!*k)
            luaL_error(L, "unknown field '%s' in {topic=, partition=, offset=}",
                       *key ? key : luaL_tolstring(L, -2, NULL));
    }
}

static void add_extras(lua_State *L, int idx, rd_kafka_topic_partition_t *place)
{
    if (lua_getfield(L, idx, "leader_epoch") == LUA_TNUMBER)
        rd_kafka_topic_partition_set_leader_epoch(place, (int32_t)lua_tointeger(L, -1));
    size_t len;
    if (lua_getfield(L, idx, "metadata") == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &len);
        place->metadata = mem_dup(text, len); /* librdkafka frees it */
        place->metadata_size = len;
    }
    lua_pop(L, 2);
}

/* One table; with list == NULL it is only checked. */
static void add_table(lua_State *L, int idx, kafka_list_kind kind,
                      rd_kafka_topic_partition_list_t *list)
{
    if (!list)
        check_keys(L, idx);
    if (lua_getfield(L, idx, "topic") != LUA_TSTRING)
        luaL_error(L, "topic is missing in {topic=, partition=, offset=}");
    int ok;
    lua_getfield(L, idx, "partition");
    lua_Integer partition = lua_tointegerx(L, -1, &ok);
    if (!ok || partition < 0 || partition > INT32_MAX)
        luaL_error(L, "partition is missing in {topic=, partition=, offset=}");
    int64_t offset = kind == KAFKA_PLACES ? RD_KAFKA_OFFSET_INVALID : read_offset(L, idx, kind);
    if (list) {
        rd_kafka_topic_partition_t *place =
            rd_kafka_topic_partition_list_add(list, lua_tostring(L, -2), (int32_t)partition);
        place->offset = offset;
        if (kind != KAFKA_PLACES)
            add_extras(L, idx, place);
    }
    lua_pop(L, 2);
}

static void add_value(lua_State *L, int idx, kafka_list_kind kind,
                      rd_kafka_topic_partition_list_t *list)
{
    const rd_kafka_message_t *msg = kafka_message_test(L, idx);
    if (msg && list)
        kafka_message_position(msg, list);
    else if (!msg && lua_type(L, idx) == LUA_TTABLE)
        add_table(L, idx, kind, list);
    else if (!msg)
        luaL_error(
            L,
            "a batch, a record, {topic=, partition=, offset=} or a list of them expected, got %s",
            luaL_typename(L, idx));
}

static void add_all(lua_State *L, int idx, kafka_list_kind kind,
                    rd_kafka_topic_partition_list_t *list)
{
    bool single = lua_type(L, idx) != LUA_TTABLE || lua_getfield(L, idx, "topic") != LUA_TNIL;
    if (lua_type(L, idx) == LUA_TTABLE)
        lua_pop(L, 1);
    if (single) {
        add_value(L, idx, kind, list);
        return;
    }
    lua_Integer n = luaL_len(L, idx);
    if (n == 0 && (lua_pushnil(L), lua_next(L, idx)))
        luaL_error(L, "topic is missing in {topic=, partition=, offset=}");
    for (lua_Integer i = 1; i <= n; i++, lua_pop(L, 1)) {
        lua_geti(L, idx, i);
        add_value(L, lua_gettop(L), kind, list);
    }
}

rd_kafka_topic_partition_list_t *kafka_list_read(lua_State *L, int idx, kafka_list_kind kind)
{
    idx = lua_absindex(L, idx);
    const kafka_batch *batch = kafka_batch_test(L, idx);
    if (batch)
        return kafka_batch_positions(batch);
    add_all(L, idx, kind, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    add_all(L, idx, kind, list);
    return list;
}

rd_kafka_topic_partition_list_t *kafka_topics_read(lua_State *L, int idx)
{
    if (lua_type(L, idx) == LUA_TSTRING) {
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, idx);
        lua_rawseti(L, -2, 1);
        lua_replace(L, idx);
    }
    luaL_checktype(L, idx, LUA_TTABLE);
    lua_Integer n = luaL_len(L, idx);
    luaL_argcheck(L, n > 0, idx, "a list of topics expected");
    for (lua_Integer i = 1; i <= n; i++, lua_pop(L, 1))
        luaL_argcheck(L, lua_geti(L, idx, i) == LUA_TSTRING, idx, "a list of topics expected");
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new((int)n);
    for (lua_Integer i = 1; i <= n; i++, lua_pop(L, 1)) {
        lua_geti(L, idx, i);
        rd_kafka_topic_partition_list_add(topics, lua_tostring(L, -1), RD_KAFKA_PARTITION_UA);
    }
    return topics;
}
