#include "bind/kafka/values.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"

/* ---- records ---- */

/* Text at the top of the stack, or NULL for null. */
static const char *bytes_at(lua_State *L, const char *field, size_t *len)
{
    int type = lua_type(L, -1);
    if (type == LUA_TSTRING)
        return lua_tolstring(L, -1, len);
    if (!errs_is_null(L, -1))
        luaL_error(L, "record.%s: a string or null expected, got %s", field, luaL_typename(L, -1));
    *len = 0;
    return NULL;
}

static lua_Integer integer_at(lua_State *L, const char *field, lua_Integer low, lua_Integer high)
{
    int ok;
    lua_Integer n = lua_tointegerx(L, -1, &ok);
    if (ok && lua_type(L, -1) == LUA_TNUMBER && n >= low && n <= high)
        return n;
    const char *got = luaL_tolstring(L, -1, NULL);
    if (low == LUA_MININTEGER)
        luaL_error(L, "record.%s: an integer expected, got %s", field, got);
    luaL_error(L, "record.%s: an integer from %I expected, got %s", field, (LUAI_UACINT)low, got);
    return n;
}

static void header_check(lua_State *L)
{
    if (lua_type(L, -1) != LUA_TTABLE || lua_geti(L, -1, 1) != LUA_TSTRING)
        luaL_error(L, "record.headers: a list of {name, value} expected");
    int type = lua_geti(L, -2, 2);
    if (type != LUA_TSTRING && type != LUA_TNIL && !errs_is_null(L, -1))
        luaL_error(L, "record.headers: the value of '%s' must be a string or null, got %s",
                   lua_tostring(L, -2), luaL_typename(L, -1));
    lua_pop(L, 2);
}

static void headers_check(lua_State *L, int idx)
{
    if (lua_type(L, idx) != LUA_TTABLE)
        luaL_error(L, "record.headers: a list of {name, value} expected, got %s",
                   luaL_typename(L, idx));
    lua_Integer n = luaL_len(L, idx);
    if (n == 0 && (lua_pushnil(L), lua_next(L, idx)))
        luaL_error(L, "record.headers: a list of {name, value} expected: their order counts");
    for (lua_Integer i = 1; i <= n; i++, lua_pop(L, 1)) {
        lua_geti(L, idx, i);
        header_check(L);
    }
}

static rd_kafka_headers_t *headers_build(lua_State *L, int idx)
{
    lua_Integer n = luaL_len(L, idx);
    rd_kafka_headers_t *headers = n ? rd_kafka_headers_new((size_t)n) : NULL;
    for (lua_Integer i = 1; i <= n; i++, lua_pop(L, 3)) {
        size_t name_len, value_len = 0;
        lua_geti(L, idx, i);
        lua_geti(L, -1, 1);
        lua_geti(L, -2, 2);
        const char *name = lua_tolstring(L, -2, &name_len);
        const char *value =
            lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &value_len) : NULL;
        rd_kafka_header_add(headers, name, (ssize_t)name_len, value, (ssize_t)value_len);
    }
    return headers;
}

static void unknown_field(lua_State *L, const char *field)
{
    luaL_error(L, "record: unknown field '%s' (topic, key, value, partition, timestamp, headers)",
               field);
}

/* Key and value lie on top of the stack. */
static void read_field(lua_State *L, kafka_record *record, const char *field)
{
    if (strcmp(field, "topic") == 0) {
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "record.topic: a string expected, got %s", luaL_typename(L, -1));
        record->topic = lua_tostring(L, -1);
    } else if (strcmp(field, "value") == 0) {
        record->value = bytes_at(L, field, &record->value_len);
    } else if (strcmp(field, "key") == 0) {
        record->key = bytes_at(L, field, &record->key_len);
    } else if (strcmp(field, "partition") == 0) {
        record->partition = (int32_t)integer_at(L, field, 0, INT32_MAX);
    } else if (strcmp(field, "timestamp") == 0) {
        record->timestamp = integer_at(L, field, INT64_MIN, INT64_MAX);
        if (record->timestamp <= 0) /* to librdkafka 0 is now, and a broker takes none below */
            luaL_error(L,
                       "record.timestamp: ms since 1970 from 1 on, not %I: the client sends the "
                       "present time in place of 0",
                       (LUAI_UACINT)record->timestamp);
    } else if (strcmp(field, "headers") == 0) {
        headers_check(L, lua_gettop(L));
    } else {
        unknown_field(L, field);
    }
}

void kafka_record_read(lua_State *L, int idx, kafka_record *record, bool only_check)
{
    idx = lua_absindex(L, idx);
    *record = (kafka_record){.partition = RD_KAFKA_PARTITION_UA};
    if (lua_type(L, idx) != LUA_TTABLE)
        luaL_error(L, "a record table {topic=, key=, value=, ...} expected, got %s",
                   luaL_typename(L, idx));
    bool headers = false;
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "record: fields are written name = value");
        const char *field = lua_tostring(L, -2);
        read_field(L, record, field);
        headers |= field[0] == 'h';
    }
    if (!record->topic || !*record->topic)
        luaL_error(L, "record.topic is missing");
    if (!headers || only_check)
        return;
    lua_getfield(L, idx, "headers");
    record->headers = headers_build(L, lua_gettop(L));
    lua_pop(L, 1);
}

void kafka_record_drop(kafka_record *record)
{
    if (record->headers)
        rd_kafka_headers_destroy(record->headers);
    record->headers = NULL;
}

void kafka_header_list_push(lua_State *L, const rd_kafka_headers_t *headers)
{
    const char *name;
    const void *value;
    size_t size;
    lua_createtable(L, headers ? (int)rd_kafka_header_cnt(headers) : 0, 0);
    for (size_t i = 0; headers && !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++) {
        lua_createtable(L, 2, 0);
        lua_pushstring(L, name);
        lua_rawseti(L, -2, 1);
        if (value)
            lua_pushlstring(L, value, size);
        else
            errs_push_null(L);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

void kafka_headers_push(lua_State *L, const rd_kafka_message_t *msg)
{
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(msg, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
        kafka_header_list_push(L, headers);
    else
        lua_pushnil(L);
}

/* ---- lists of partitions ---- */

static const struct {
    const char *word;
    int64_t offset;
} logical[] = {{"earliest", RD_KAFKA_OFFSET_BEGINNING},
               {"latest", RD_KAFKA_OFFSET_END},
               {"stored", RD_KAFKA_OFFSET_STORED}};

int64_t kafka_logical_offset(const char *word)
{
    for (size_t i = 0; i < sizeof logical / sizeof *logical; i++)
        if (strcmp(word, logical[i].word) == 0)
            return logical[i].offset;
    return RD_KAFKA_OFFSET_INVALID;
}

static void push_offset(lua_State *L, int64_t offset)
{
    for (size_t i = 0; i < sizeof logical / sizeof *logical; i++) {
        if (logical[i].offset == offset) {
            lua_pushstring(L, logical[i].word);
            return;
        }
    }
    if (offset >= 0)
        lua_pushinteger(L, offset);
    else
        lua_pushnil(L);
}

void kafka_place_push(lua_State *L, const rd_kafka_topic_partition_t *place)
{
    lua_createtable(L, 0, 6);
    field_set_text(L, "topic", place->topic);
    field_set_int(L, "partition", place->partition);
    int32_t epoch = rd_kafka_topic_partition_get_leader_epoch(place);
    if (epoch >= 0)
        field_set_int(L, "leader_epoch", epoch);
    if (place->metadata && place->metadata_size)
        field_set_bytes(L, "metadata", place->metadata, place->metadata_size);
}

void kafka_list_push(lua_State *L, const rd_kafka_topic_partition_list_t *list)
{
    int top = lua_gettop(L);
    lua_createtable(L, list ? list->cnt : 0, 0);
    for (int i = 0; list && i < list->cnt; i++) {
        kafka_place_push(L, &list->elems[i]);
        push_offset(L, list->elems[i].offset);
        lua_setfield(L, -2, "offset");
        lua_rawseti(L, -2, i + 1);
    }
    rl_assert(lua_gettop(L) == top + 1);
}

/* ---- reports and errors ---- */

const char *kafka_status_name(rd_kafka_msg_status_t status)
{
    static const char *const names[] = {"NOT_PERSISTED", "POSSIBLY_PERSISTED", "PERSISTED"};
    return names[status];
}

kafka_report kafka_report_of(const rd_kafka_message_t *msg)
{
    return (kafka_report){.code = msg->err,
                          .status = rd_kafka_message_status(msg),
                          .reported = true,
                          .partition = msg->partition,
                          .offset = msg->offset,
                          .timestamp = rd_kafka_message_timestamp(msg, NULL)};
}

kafka_report kafka_report_none(rd_kafka_resp_err_t code, rd_kafka_msg_status_t status)
{
    return (kafka_report){
        .code = code, .status = status, .partition = -1, .offset = -1, .timestamp = -1};
}

static void set_place(lua_State *L, const char *topic, int32_t partition,
                      rd_kafka_msg_status_t status)
{
    field_set_text(L, "status", kafka_status_name(status));
    if (topic)
        field_set_text(L, "topic", topic);
    if (partition >= 0) {
        field_set_int(L, "partition", partition);
    }
}

void kafka_report_push(lua_State *L, const char *topic, const kafka_report *report)
{
    lua_createtable(L, 0, 5);
    set_place(L, topic, report->partition, report->status);
    if (report->offset >= 0) { /* acks=0 has none */
        lua_pushinteger(L, report->offset);
        lua_setfield(L, -2, "offset");
    }
    if (report->timestamp >= 0)
        field_set_int(L, "timestamp", report->timestamp);
}

/* A record whose report is bad while its transaction is open makes librdkafka ask for an abort;
 * one that fails because the producer is dead says so, whatever its own code. */
static rl_err *send_error(kafka_producer *producer, rd_kafka_resp_err_t code, bool reported,
                          const char *topic)
{
    rd_kafka_t *rk = producer ? kafka_producer_rk(producer) : NULL;
    if (code == RD_KAFKA_RESP_ERR__DESTROY)
        return err_lab("CLOSED", "the producer was closed before the report came");
    bool dead = code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__FENCED;
    rl_err *err = kafka_err(dead ? rk : NULL, code, "record to %s", topic ? topic : "?");
    err->fatal |= rk && rd_kafka_fatal_error(rk, NULL, 0);
    err->abortable = reported && producer && !err->fatal && kafka_producer_in_transaction(producer);
    err->retriable &= !err->abortable && !err->fatal;
    return err;
}

/* The client knows more of a record than its code says. */
static rl_happened happened_of(rd_kafka_msg_status_t status)
{
    return status == RD_KAFKA_MSG_STATUS_NOT_PERSISTED ? ERR_NOT_DONE
           : status == RD_KAFKA_MSG_STATUS_PERSISTED   ? ERR_DONE
                                                       : ERR_UNKNOWN;
}

void kafka_send_error_push(lua_State *L, kafka_producer *producer, const char *topic,
                           const kafka_report *report)
{
    rl_err *err = send_error(producer, report->code, report->reported, topic);
    err->happened = happened_of(report->status);
    errs_push_table(L, err);
    set_place(L, topic, report->partition, report->status);
}

int kafka_notes_push(lua_State *L, kafka_notes *notes)
{
    kafka_note list[KAFKA_NOTES_MAX];
    int n = kafka_notes_take(notes, list);
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        errs_push_table(L, list[i].err);
        field_set_int(L, "at", list[i].at_ms);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

void kafka_client_stats_set(lua_State *L, kafka_notes *notes)
{
    char *json = kafka_notes_stats_copy(notes);
    if (!json)
        return;
    field_set_text(L, "client", json);
    free(json);
}
