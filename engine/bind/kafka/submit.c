/* p:submit(list) and p:post_batch{}: many records at once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bind/kafka/module.h"
#include "bind/kafka/producer.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/kafka/values.h"
#include "bind/value/opts.h"

#define SET_META "kafka.deliveries"

/* ---- the userdata: user value 1 is the list of records, 2 the producer ---- */

static delivery_set *check_set(lua_State *L, int idx)
{
    return *(delivery_set **)luaL_checkudata(L, idx, SET_META);
}

static int set_gc(lua_State *L)
{
    delivery_set **box = lua_touserdata(L, 1);
    if (*box) {
        if ((*box)->pending > 0)
            delivery_set_unlink(*box);
        delivery_set_unref(*box);
    }
    *box = NULL;
    return 0;
}

static const char *topic_of(lua_State *L, int set_idx, int i)
{
    lua_getiuservalue(L, set_idx, 1);
    lua_geti(L, -1, i + 1);
    const char *topic = lua_type(L, -1) == LUA_TTABLE && lua_getfield(L, -1, "topic") == LUA_TSTRING
                            ? lua_tostring(L, -1)
                            : NULL;
    return topic; /* the list holds it; the caller restores the top */
}

/* Pushes what is known of record i: a report, an error table, or nil. */
static void push_slot(lua_State *L, int set_idx, delivery_set *set, int i)
{
    const kafka_report *report = &set->slots[i].report;
    if (report->code == RD_KAFKA_RESP_ERR__IN_PROGRESS) {
        lua_pushnil(L);
        return;
    }
    int top = lua_gettop(L);
    lua_getiuservalue(L, set_idx, 2);
    kafka_producer *producer = kafka_producer_if_open(L, -1);
    const char *topic = topic_of(L, set_idx, i);
    if (report->code)
        kafka_send_error_push(L, producer, topic, report);
    else
        kafka_report_push(L, topic, report);
    field_set_int(L, "index", i + 1);
    lua_insert(L, top + 1);
    lua_settop(L, top + 1);
}

static int push_some(lua_State *L, bool failed)
{
    delivery_set *set = check_set(L, 1);
    lua_newtable(L);
    lua_Integer n = 0;
    for (int i = 0; i < set->n; i++) {
        rd_kafka_resp_err_t code = set->slots[i].report.code;
        if (code == RD_KAFKA_RESP_ERR__IN_PROGRESS ||
            (code != RD_KAFKA_RESP_ERR_NO_ERROR) != failed)
            continue;
        push_slot(L, 1, set, i);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* deliveries:acked() -> list of reports, each with `index` */
static int submit_l_acked(lua_State *L)
{
    return push_some(L, false);
}

/* deliveries:failed() -> list of errors, each with `status` and `index` */
static int submit_l_failed(lua_State *L)
{
    return push_some(L, true);
}

/* deliveries:counts() -> acked, failed, pending */
static int submit_l_counts(lua_State *L)
{
    delivery_set *set = check_set(L, 1);
    lua_pushinteger(L, set->n - set->pending - set->failed);
    lua_pushinteger(L, set->failed);
    lua_pushinteger(L, set->pending);
    return 3;
}

static int set_len(lua_State *L)
{
    lua_pushinteger(L, check_set(L, 1)->n);
    return 1;
}

static int set_index(lua_State *L)
{
    delivery_set *set = check_set(L, 1);
    int isint;
    lua_Integer i = lua_tointegerx(L, 2, &isint);
    if (isint) {
        if (i < 1 || i > set->n)
            return 0;
        push_slot(L, 1, set, (int)i - 1);
        return 1;
    }
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (lua_isnil(L, -1))
        return luaL_error(L, "deliveries have no method '%s'", luaL_tolstring(L, 2, NULL));
    return 1;
}

static int set_tostring(lua_State *L)
{
    delivery_set *set = check_set(L, 1);
    lua_pushfstring(L, "kafka.deliveries (%d acked, %d failed, %d pending)",
                    set->n - set->pending - set->failed, set->failed, set->pending);
    return 1;
}

static void wait_forget(rl_timed *t)
{
    delivery_wait *w = (delivery_wait *)t;
    delivery_wait **p = &w->set->waits;
    while (*p && *p != w)
        p = &(*p)->next;
    if (*p)
        *p = w->next;
}

static void wait_drop(rl_timed *t)
{
    delivery_set_unref(((delivery_wait *)t)->set);
}

static int wait_push(lua_State *L, rl_wait *wait)
{
    lua_pushboolean(L, ((delivery_wait *)wait)->set->pending == 0);
    return 1;
}

/* deliveries:wait([at_most]) -> whether every record has its report */
static int submit_l_wait(lua_State *L)
{
    delivery_set *set = check_set(L, 1);
    double limit = timed_limit(L, 2);
    if (set->pending == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    delivery_wait *w = timed_new(L, sizeof *w, wait_push);
    atomic_fetch_add(&set->refs, 1);
    w->set = set;
    w->timed.forget = wait_forget;
    w->timed.drop = wait_drop;
    w->next = set->waits;
    set->waits = w;
    return timed_wait(L, &w->timed, limit);
}

/* ---- submit ---- */

static void push_set(lua_State *L, producer_side *side, int list_idx, int n)
{
    delivery_set **box = lua_newuserdatauv(L, sizeof *box, 2);
    *box = NULL;
    luaL_setmetatable(L, SET_META);
    lua_pushvalue(L, list_idx);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 2);
    *box = delivery_set_new(&side->sets, n);
}

static rd_kafka_resp_err_t submit_one(lua_State *L, kafka_producer *producer, delivery_set *set,
                                      int i)
{
    kafka_record record;
    lua_geti(L, 2, i + 1);
    kafka_record_read(L, -1, &record, false);
    atomic_fetch_add(&set->refs, 1);
    rd_kafka_resp_err_t code = kafka_producer_send(producer, &record, &set->slots[i].target);
    lua_pop(L, 1);
    if (!code)
        return code;
    delivery_set_unref(set);
    kafka_record_drop(&record);
    return code;
}

/* Index 1 producer, 2 list, 3 deliveries; ctx is how many are sent. */
static int submit_from(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    kafka_producer *producer = kafka_producer_check(L, 1);
    delivery_set *set = check_set(L, 3);
    for (int i = (int)ctx; i < set->n; i++) {
        rd_kafka_resp_err_t code = submit_one(L, producer, set, i);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return kafka_wait_room(L, i, submit_from);
        if (!code)
            continue;
        kafka_report failed = kafka_report_none(code, RD_KAFKA_MSG_STATUS_NOT_PERSISTED);
        delivery_end(&set->slots[i], &failed);
    }
    lua_settop(L, 3);
    return 1;
}

/* p:submit(list) -> deliveries: sent in list order, without waiting for reports (only for room
 * when the queue is full) */
int kafka_l_submit(lua_State *L)
{
    task_require(L);
    producer_side *side = kafka_producer_side(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    int n = (int)luaL_len(L, 2);
    for (int i = 1; i <= n; i++, lua_pop(L, 1)) {
        kafka_record record;
        lua_geti(L, 2, i);
        kafka_record_read(L, -1, &record, true);
    }
    push_set(L, side, 2, n);
    return submit_from(L, LUA_OK, 0);
}

/* ---- post_batch: no table and no report a record ---- */

enum {
    ARG_VALUES = 3,
    ARG_KEYS = 4,
    ARG_PARTITION = 5,
    ARG_TOPIC = 6,
    DRAIN_EVENTS = 64,
    CHUNK = 250
};

static const char *element(lua_State *L, int list, lua_Integer i, const char *what, size_t *len)
{
    int type = lua_rawgeti(L, list, i);
    if (type == LUA_TSTRING)
        return lua_tolstring(L, -1, len);
    if (!errs_is_null(L, -1))
        luaL_error(L, "post_batch: %s[%I]: a string or null expected, got %s", what, (LUAI_UACINT)i,
                   luaL_typename(L, -1));
    *len = 0;
    return NULL;
}

static int batch_failed(lua_State *L, kafka_producer *producer, rd_kafka_resp_err_t code,
                        lua_Integer i)
{
    kafka_send_failed(L, producer, code, lua_tostring(L, ARG_TOPIC));
    field_set_int(L, "index", i);
    return 2;
}

/* Reads records from + 1 .. from + n; the pointers hold as long as the lists, which nobody
 * changes meanwhile. */
static void read_chunk(lua_State *L, lua_Integer from, rd_kafka_message_t *msgs, int n)
{
    bool keys = lua_istable(L, ARG_KEYS);
    for (int i = 0; i < n; i++) {
        msgs[i] = (rd_kafka_message_t){0};
        msgs[i].payload = (void *)element(L, ARG_VALUES, from + i + 1, "values", &msgs[i].len);
        if (keys)
            msgs[i].key = (void *)element(L, ARG_KEYS, from + i + 1, "keys", &msgs[i].key_len);
        lua_settop(L, ARG_TOPIC);
    }
}

static int post_from(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    rd_kafka_message_t msgs[CHUNK];
    kafka_producer *producer = kafka_producer_check(L, 1);
    rd_kafka_topic_t *topic = kafka_producer_topic(producer, lua_tostring(L, ARG_TOPIC));
    if (!topic)
        return batch_failed(L, producer, rd_kafka_last_error(), 1);
    int32_t partition = (int32_t)lua_tointeger(L, ARG_PARTITION);
    lua_Integer n = (lua_Integer)lua_rawlen(L, ARG_VALUES);
    for (lua_Integer i = (lua_Integer)ctx; i < n;) {
        int want = n - i < CHUNK ? (int)(n - i) : CHUNK;
        read_chunk(L, i, msgs, want);
        int taken = kafka_producer_send_many(producer, topic, partition, msgs, want);
        i += taken;
        if (taken == want)
            continue;
        if (msgs[taken].err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return kafka_wait_room(L, (lua_KContext)i, post_from);
        return batch_failed(L, producer, msgs[taken].err, i + 1);
    }
    kafka_producer_drain(producer, 0,
                         DRAIN_EVENTS); /* a loop of batches never comes back to the loop */
    lua_pushinteger(L, n);
    return 1;
}

/* p:post_batch{ topic=, values={...} [, keys={...}, partition=] } -> how many | nil, err with
 * `index`, before which all were taken */
int kafka_l_post_batch(lua_State *L)
{
    static const char *const known[] = {"topic", "partition", "keys", "values", NULL};
    task_require(L);
    kafka_producer_check(L, 1);
    lua_settop(L, 2);
    luaL_checktype(L, 2, LUA_TTABLE);
    opts_check(L, 2, "post_batch", known);
    lua_Integer partition = opts_int(L, 2, "partition", RD_KAFKA_PARTITION_UA);
    luaL_argcheck(L, lua_getfield(L, 2, "values") == LUA_TTABLE, 2,
                  "post_batch: values must be a list");
    int keys = lua_getfield(L, 2, "keys");
    luaL_argcheck(L, keys == LUA_TNIL || keys == LUA_TTABLE, 2, "post_batch: keys must be a list");
    luaL_argcheck(L, keys == LUA_TNIL || lua_rawlen(L, ARG_KEYS) == lua_rawlen(L, ARG_VALUES), 2,
                  "post_batch: there must be as many keys as values");
    lua_pushinteger(L, partition);
    luaL_argcheck(L, lua_getfield(L, 2, "topic") == LUA_TSTRING, 2,
                  "post_batch: topic must be a string");
    return post_from(L, LUA_OK, 0);
}

void kafka_submit_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"wait", submit_l_wait},
                                       {"acked", submit_l_acked},
                                       {"failed", submit_l_failed},
                                       {"counts", submit_l_counts},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {
        {"__gc", set_gc}, {"__len", set_len}, {"__tostring", set_tostring}, {NULL, NULL}};
    luaL_newmetatable(L, SET_META);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, set_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
