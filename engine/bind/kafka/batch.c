#include "bind/kafka/batch.h"

#include <lauxlib.h>
#include <string.h>

#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/kafka/values.h"

#define BATCH_META "rlab.kafka.batch"
#define RECORD_META "rlab.kafka.record"

/* A view; its user value 1 is the batch, which keeps the message alive. */
typedef struct record_view {
    const kafka_batch *batch;
    int index;
} record_view;

static bool is_data(const rd_kafka_message_t *msg)
{
    return msg->err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- records ---- */

static const rd_kafka_message_t *view_message(lua_State *L, const record_view *view)
{
    if (view->index >= view->batch->n)
        luaL_error(L, "the batch of this record is closed");
    return view->batch->msgs[view->index];
}

const rd_kafka_message_t *kafka_message_test(lua_State *L, int idx)
{
    const record_view *view = luaL_testudata(L, idx, RECORD_META);
    return view ? view_message(L, view) : NULL;
}

static void push_bytes(lua_State *L, const void *bytes, size_t len)
{
    if (bytes)
        lua_pushlstring(L, bytes, len);
    else
        errs_push_null(L);
}

static void push_key(lua_State *L, const rd_kafka_message_t *msg)
{
    push_bytes(L, msg->key, msg->key_len);
}

static void batch_push_value(lua_State *L, const rd_kafka_message_t *msg)
{
    push_bytes(L, msg->payload, msg->len);
}

static void push_offset(lua_State *L, const rd_kafka_message_t *msg)
{
    lua_pushinteger(L, msg->offset);
}

static void batch_push_partition(lua_State *L, const rd_kafka_message_t *msg)
{
    lua_pushinteger(L, msg->partition);
}

static void push_timestamp(lua_State *L, const rd_kafka_message_t *msg)
{
    rd_kafka_timestamp_type_t type;
    int64_t ms = rd_kafka_message_timestamp(msg, &type);
    if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
        lua_pushnil(L);
    else
        lua_pushinteger(L, ms);
}

static void push_timestamp_type(lua_State *L, const rd_kafka_message_t *msg)
{
    static const char *const names[] = {NULL, "create", "append"};
    rd_kafka_timestamp_type_t type;
    rd_kafka_message_timestamp(msg, &type);
    lua_pushstring(L, names[type]);
}

static void push_topic(lua_State *L, const rd_kafka_message_t *msg)
{
    lua_pushstring(L, msg->rkt ? rd_kafka_topic_name(msg->rkt) : NULL);
}

static void push_eof(lua_State *L, const rd_kafka_message_t *msg)
{
    lua_pushboolean(L, msg->err == RD_KAFKA_RESP_ERR__PARTITION_EOF);
}

static void push_err(lua_State *L, const rd_kafka_message_t *msg)
{
    if (is_data(msg) || msg->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        lua_pushnil(L);
    else
        errs_push_table(L, kafka_err(NULL, msg->err, "%s", rd_kafka_message_errstr(msg)));
}

static void push_epoch(lua_State *L, const rd_kafka_message_t *msg)
{
    int32_t epoch = rd_kafka_message_leader_epoch(msg);
    if (epoch >= 0)
        lua_pushinteger(L, epoch);
    else
        lua_pushnil(L);
}

/* record:header(name) -> the value of the last header of that name, nil when there is none */
static int batch_l_header(lua_State *L)
{
    const rd_kafka_message_t *msg = view_message(L, luaL_checkudata(L, 1, RECORD_META));
    const char *name = luaL_checkstring(L, 2);
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(msg, &headers) ||
        rd_kafka_header_get_last(headers, name, &value, &size))
        return 0;
    push_bytes(L, value, size);
    return 1;
}

static const struct {
    const char *name;
    void (*push)(lua_State *L, const rd_kafka_message_t *msg);
    bool of_data; /* nil in EOF events and errors */
} fields[] = {{"value", batch_push_value, true},
              {"key", push_key, true},
              {"offset", push_offset, false},
              {"partition", batch_push_partition, false},
              {"topic", push_topic, false},
              {"timestamp", push_timestamp, true},
              {"timestamp_type", push_timestamp_type, true},
              {"headers", kafka_headers_push, true},
              {"eof", push_eof, false},
              {"err", push_err, false},
              {"leader_epoch", push_epoch, false}};

enum { FIELDS = sizeof fields / sizeof *fields };

void kafka_record_table_push(lua_State *L, const rd_kafka_message_t *msg)
{
    lua_createtable(L, 0, FIELDS + 1);
    for (int i = 0; i < FIELDS; i++) {
        if (fields[i].of_data && !is_data(msg))
            continue;
        fields[i].push(L, msg);
        lua_setfield(L, -2, fields[i].name);
    }
}

static int push_generation(lua_State *L)
{
    const record_view *view = lua_touserdata(L, 1);
    lua_pushinteger(L, view->batch->generation);
    return 1;
}

/* As luaL_checkudata, without a look into the registry: upvalue 2 is the metatable. */
static const record_view *check_view(lua_State *L)
{
    if (!lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(2)))
        luaL_checkudata(L, 1, RECORD_META);
    lua_settop(L, 2);
    return lua_touserdata(L, 1);
}

/* Upvalue 1: name -> its number in `fields`, -1 for the generation, or a method */
static int record_index(lua_State *L)
{
    const record_view *view = check_view(L);
    const rd_kafka_message_t *msg = view_message(L, view);
    lua_pushvalue(L, 2);
    int type = lua_rawget(L, lua_upvalueindex(1));
    if (type == LUA_TNIL)
        return luaL_error(L, "a record has no field '%s'", luaL_tolstring(L, 2, NULL));
    if (type == LUA_TFUNCTION)
        return 1;
    lua_Integer field = lua_tointeger(L, -1);
    if (field < 0)
        return push_generation(L);
    if (fields[field].of_data && !is_data(msg))
        lua_pushnil(L);
    else
        fields[field].push(L, msg);
    return 1;
}

/* The metatable lies on top of the stack. */
static void push_record_index(lua_State *L)
{
    int meta = lua_gettop(L);
    lua_createtable(L, 0, FIELDS + 2);
    for (int i = 0; i < FIELDS; i++) {
        field_set_int(L, fields[i].name, i);
    }
    field_set_int(L, "generation", -1);
    lua_pushcfunction(L, batch_l_header);
    lua_setfield(L, -2, "header");
    lua_pushvalue(L, meta);
    lua_pushcclosure(L, record_index, 2);
}

static int record_tostring(lua_State *L)
{
    const rd_kafka_message_t *msg = view_message(L, luaL_checkudata(L, 1, RECORD_META));
    push_topic(L, msg);
    const char *topic = luaL_optstring(L, -1, "?");
    const char *what = is_data(msg)                                   ? "record"
                       : msg->err == RD_KAFKA_RESP_ERR__PARTITION_EOF ? "eof"
                                                                      : "error";
    lua_pushfstring(L, "%s %s[%d]@%I", what, topic, (int)msg->partition, (LUAI_UACINT)msg->offset);
    return 1;
}

/* ---- batches ---- */

typedef struct batch_box {
    kafka_batch batch; /* first */
    size_t bytes;
} batch_box;

/* Of the batches that are not closed: the collector does not see librdkafka's memory. While it is little,
 * whoever polls closes each batch, and nothing is to be collected. */
static size_t held_bytes;
enum { RECORD_BYTES = 256, HELD_MAX = 4 << 20 };

void kafka_batch_push(lua_State *L, kafka_batch *batch)
{
    batch_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (batch_box){.batch = *batch};
    *batch = (kafka_batch){0};
    luaL_setmetatable(L, BATCH_META);
    for (int i = 0; i < box->batch.n; i++)
        box->bytes += RECORD_BYTES + box->batch.msgs[i]->len;
    held_bytes += box->bytes;
    if (held_bytes > HELD_MAX)
        lua_gc(L, LUA_GCSTEP, (int)(box->bytes / 1024));
}

static kafka_batch *check_batch(lua_State *L)
{
    return luaL_checkudata(L, 1, BATCH_META);
}

const kafka_batch *kafka_batch_test(lua_State *L, int idx)
{
    return luaL_testudata(L, idx, BATCH_META);
}

/* batch and meta: where the batch and the metatable of records lie on the stack. */
static void push_record(lua_State *L, int batch, int meta, int index)
{
    record_view *view = lua_newuserdatauv(L, sizeof *view, 1);
    view->batch = lua_touserdata(L, batch);
    view->index = index;
    lua_pushvalue(L, batch);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, meta);
    lua_setmetatable(L, -2);
}

static int batch_index(lua_State *L)
{
    int isint;
    lua_Integer i = lua_tointegerx(L, 2, &isint);
    if (isint) {
        if (i < 1 || i > check_batch(L)->n)
            return 0;
        luaL_getmetatable(L, RECORD_META);
        push_record(L, 1, lua_gettop(L), (int)i - 1);
        return 1;
    }
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (lua_isnil(L, -1))
        return luaL_error(L, "a batch has no method '%s'", luaL_tolstring(L, 2, NULL));
    return 1;
}

static int batch_l_len(lua_State *L)
{
    lua_pushinteger(L, check_batch(L)->n);
    return 1;
}

/* Upvalues: the batch, the metatable of records, the number of the next one */
static int each_next(lua_State *L)
{
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(3));
    const kafka_batch *batch = lua_touserdata(L, lua_upvalueindex(1));
    if (i >= batch->n)
        return 0;
    lua_pushinteger(L, i + 1);
    lua_replace(L, lua_upvalueindex(3));
    push_record(L, lua_upvalueindex(1), lua_upvalueindex(2), (int)i);
    return 1;
}

static int batch_l_each(lua_State *L)
{
    check_batch(L);
    lua_settop(L, 1);
    luaL_getmetatable(L, RECORD_META);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, each_next, 3);
    return 1;
}

static int batch_l_generation(lua_State *L)
{
    lua_pushinteger(L, check_batch(L)->generation);
    return 1;
}

/* An array of one field of the records; EOF events and errors are left out. */
static int push_column(lua_State *L, void (*push)(lua_State *, const rd_kafka_message_t *))
{
    const kafka_batch *batch = check_batch(L);
    lua_createtable(L, batch->n, 0);
    lua_Integer n = 0;
    for (int i = 0; i < batch->n; i++) {
        if (!is_data(batch->msgs[i]))
            continue;
        push(L, batch->msgs[i]);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static int batch_l_values(lua_State *L)
{
    return push_column(L, batch_push_value);
}

static int batch_l_keys(lua_State *L)
{
    return push_column(L, push_key);
}

static int batch_l_offsets(lua_State *L)
{
    return push_column(L, push_offset);
}

static int batch_l_partitions(lua_State *L)
{
    return push_column(L, batch_push_partition);
}

static void push_timestamp_or_false(lua_State *L, const rd_kafka_message_t *msg)
{
    push_timestamp(L, msg);
    if (!lua_isnil(L, -1))
        return;
    lua_pop(L, 1);
    lua_pushboolean(L, 0);
}

static int batch_l_timestamps(lua_State *L)
{
    return push_column(L, push_timestamp_or_false);
}

/* batch:bytes() -> bytes of keys and values, number of records (without EOF events and errors) */
static int batch_l_bytes(lua_State *L)
{
    const kafka_batch *batch = check_batch(L);
    lua_Integer bytes = 0, records = 0;
    for (int i = 0; i < batch->n; i++) {
        if (!is_data(batch->msgs[i]))
            continue;
        bytes += (lua_Integer)(batch->msgs[i]->len + batch->msgs[i]->key_len);
        records++;
    }
    lua_pushinteger(L, bytes);
    lua_pushinteger(L, records);
    return 2;
}

/* batch:positions() -> {{topic, partition, offset}}: where to go on after this batch */
static int batch_l_positions(lua_State *L)
{
    rd_kafka_topic_partition_list_t *list = kafka_batch_positions(check_batch(L));
    kafka_list_push(L, list);
    rd_kafka_topic_partition_list_destroy(list);
    return 1;
}

static int batch_l_close(lua_State *L)
{
    batch_box *box = (batch_box *)check_batch(L);
    int generation = box->batch.generation;
    kafka_batch_free(&box->batch);
    box->batch.generation = generation;
    held_bytes -= box->bytes;
    box->bytes = 0;
    return 0;
}

static int batch_l_tostring(lua_State *L)
{
    const kafka_batch *batch = check_batch(L);
    lua_pushfstring(L, "kafka.batch (%d records, generation %d)", batch->n, batch->generation);
    return 1;
}

void kafka_batch_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"each", batch_l_each},
                                       {"generation", batch_l_generation},
                                       {"values", batch_l_values},
                                       {"keys", batch_l_keys},
                                       {"offsets", batch_l_offsets},
                                       {"partitions", batch_l_partitions},
                                       {"timestamps", batch_l_timestamps},
                                       {"bytes", batch_l_bytes},
                                       {"positions", batch_l_positions},
                                       {"close", batch_l_close},
                                       {NULL, NULL}};
    static const luaL_Reg batch_meta[] = {{"__len", batch_l_len},
                                          {"__gc", batch_l_close},
                                          {"__close", batch_l_close},
                                          {"__tostring", batch_l_tostring},
                                          {NULL, NULL}};
    static const luaL_Reg record_meta[] = {{"__tostring", record_tostring}, {NULL, NULL}};
    luaL_newmetatable(L, BATCH_META);
    luaL_setfuncs(L, batch_meta, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, batch_index, 1);
    lua_setfield(L, -2, "__index");
    luaL_newmetatable(L, RECORD_META);
    luaL_setfuncs(L, record_meta, 0);
    push_record_index(L);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
}
