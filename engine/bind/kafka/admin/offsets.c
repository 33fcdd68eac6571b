#include <lauxlib.h>
#include <string.h>

#include "bind/kafka/admin/client.h"
#include "bind/task/await.h"
#include "bind/kafka/values.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/opts.h"

typedef struct offsets_job {
    admin_job job;
    const char *topic; /* or the transaction's id */
    int partition;
    bool committed;
    const char *const *states;
    int count;
    wire_positions positions;
    wire_producers producers;
    wire_txns txns;
    wire_txn_info info;
} offsets_job;

static void drop_offsets(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    wire_positions_free(&job->positions);
    wire_producers_free(&job->producers);
    wire_txns_free(&job->txns);
    wire_txn_info_free(&job->info);
    admin_job_drop(a);
}

static offsets_job *offsets_job_new(lua_State *L, void (*run)(rl_await *),
                                    int (*push)(lua_State *, rl_await *), int opts)
{
    offsets_job *job = admin_job_new(L, sizeof *job, run, push, opts);
    admin_job_on_drop(&job->job, drop_offsets);
    return job;
}

/* ---- all positions of one partition ---- */

static void run_positions(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    a->err = kafka_admin_positions(job->job.admin, &job->job.call, job->topic, job->partition,
                                   &job->positions);
}

static void set_position(lua_State *L, const char *key, int64_t v)
{
    if (v != WIRE_UNKNOWN)
        field_set_int(L, key, v);
}

/* Log ends by broker, and what kept the others from telling. */
static void set_replicas(lua_State *L, wire_positions *positions)
{
    bool failed = false;
    lua_createtable(L, 0, positions->replica_count);
    lua_newtable(L);
    for (int i = 0; i < positions->replica_count; i++) {
        wire_replica *replica = &positions->replicas[i];
        if (replica->leo != WIRE_UNKNOWN) {
            lua_pushinteger(L, replica->leo);
            lua_rawseti(L, -3, replica->broker);
        }
        if (!replica->err)
            continue;
        errs_push_table(L, replica->err);
        replica->err = NULL;
        lua_rawseti(L, -2, replica->broker);
        failed = true;
    }
    if (failed)
        lua_setfield(L, -3, "failed");
    else
        lua_pop(L, 1);
    lua_setfield(L, -2, "leo_by");
}

static int64_t leader_leo(const wire_positions *positions)
{
    for (int i = 0; i < positions->replica_count; i++)
        if (positions->replicas[i].broker == positions->leader)
            return positions->replicas[i].leo;
    return WIRE_UNKNOWN;
}

static int push_positions(lua_State *L, rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    wire_positions *positions = &job->positions;
    rl_err *gap = wire_positions_gap(positions, job->topic, job->partition);
    lua_createtable(L, 0, 12);
    field_set_text(L, "topic", job->topic);
    field_set_int(L, "partition", job->partition);
    field_set_int(L, "epoch", positions->epoch);
    if (positions->leader >= 0)
        field_set_int(L, "leader", positions->leader);
    set_position(L, "low", positions->low);
    set_position(L, "lso", positions->lso);
    set_position(L, "hw", positions->hw);
    set_position(L, "leo", leader_leo(positions));
    admin_set_ids(L, "isr", &positions->isr);
    if (gap) {
        errs_push_table(L, gap);
        lua_setfield(L, -2, "why");
    }
    set_replicas(L, positions);
    return 1;
}

/* (topic, partition [, options]) */
static offsets_job *place_job(lua_State *L, const char *call, void (*run)(rl_await *),
                              int (*push)(lua_State *, rl_await *))
{
    const char *topic = luaL_checkstring(L, 2);
    int partition = admin_partition_arg(L, 3);
    opts_check(L, 4, call, admin_only_at_most);
    offsets_job *job = offsets_job_new(L, run, push, 4);
    job->topic = topic;
    job->partition = partition;
    return job;
}

static int admin_offsets_l_offsets(lua_State *L)
{
    return admin_await(L, &place_job(L, "offsets", run_positions, push_positions)->job);
}

/* ---- one position of many partitions ---- */

static void run_list(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    a->err = kafka_admin_list_offsets(job->job.admin, &job->job.call, job->job.list, job->committed,
                                      &job->job.event);
}

static void push_listed(lua_State *L, const rd_kafka_ListOffsetsResultInfo_t *info)
{
    const rd_kafka_topic_partition_t *place = rd_kafka_ListOffsetsResultInfo_topic_partition(info);
    int64_t timestamp = rd_kafka_ListOffsetsResultInfo_timestamp(info);
    kafka_place_push(L, place);
    if (!place->err && place->offset >= 0)
        field_set_int(L, "offset", place->offset);
    if (timestamp >= 0)
        field_set_int(L, "timestamp", timestamp);
    if (!place->err)
        return;
    errs_push_table(
        L, place->err == RD_KAFKA_RESP_ERR__TIMED_OUT
               ? err_lab("TIMEOUT", "offset of %s [%d]: no answer in time", place->topic,
                         place->partition)
               : wire_code(place->err, "offset of %s [%d]", place->topic, place->partition));
    lua_setfield(L, -2, "err");
}

static const rd_kafka_ListOffsetsResultInfo_t *
info_of(const rd_kafka_ListOffsetsResultInfo_t **infos, size_t n,
        const rd_kafka_topic_partition_t *want)
{
    for (size_t i = 0; i < n; i++) {
        const rd_kafka_topic_partition_t *place =
            rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
        if (place->partition == want->partition && strcmp(place->topic, want->topic) == 0)
            return infos[i];
    }
    return NULL;
}

/* In the order in which they were asked for. */
static int admin_offsets_push_list(lua_State *L, rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    size_t n;
    const rd_kafka_ListOffsetsResultInfo_t **infos =
        rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(job->job.event), &n);
    lua_createtable(L, job->job.list->cnt, 0);
    for (int i = 0; i < job->job.list->cnt; i++) {
        const rd_kafka_ListOffsetsResultInfo_t *info = info_of(infos, n, &job->job.list->elems[i]);
        if (info)
            push_listed(L, info);
        else
            lua_newtable(L);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int64_t read_at(lua_State *L, int idx)
{
    static const char *const words[] = {"latest", "earliest", "max_timestamp", NULL};
    static const int64_t specs[] = {RD_KAFKA_OFFSET_SPEC_LATEST, RD_KAFKA_OFFSET_SPEC_EARLIEST,
                                    RD_KAFKA_OFFSET_SPEC_MAX_TIMESTAMP};
    int type = lua_getfield(L, idx, "at"), ok;
    lua_Integer n = lua_tointegerx(L, -1, &ok);
    const char *word = type == LUA_TNIL ? "latest" : type == LUA_TSTRING ? lua_tostring(L, -1) : "";
    lua_pop(L, 1);
    if (type == LUA_TNUMBER && ok && n >= 0)
        return n;
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return specs[i];
    return luaL_error(
        L,
        "list_offsets: 'at' must be \"latest\", \"earliest\", \"max_timestamp\" or a time in ms");
}

/* Twice over the list: first only to check, since reading raises. */
static void read_places(lua_State *L, rd_kafka_topic_partition_list_t *list)
{
    static const char *const allowed[] = {"topic", "partition", "at", NULL};
    lua_Integer n = luaL_len(L, 2);
    for (lua_Integer i = 1; i <= n; i++, lua_pop(L, 2)) {
        if (lua_geti(L, 2, i) != LUA_TTABLE)
            luaL_error(L, "list_offsets: {topic=, partition=, at=} expected, got %s",
                       luaL_typename(L, -1));
        int idx = lua_gettop(L);
        opts_check(L, idx, "list_offsets", allowed);
        const char *topic = admin_text(L, idx, "topic", "list_offsets");
        int partition = admin_partition_opt(L, idx, "list_offsets");
        int64_t at = read_at(L, idx);
        if (list)
            rd_kafka_topic_partition_list_add(list, topic, partition)->offset = at;
    }
}

static int admin_offsets_l_list_offsets(lua_State *L)
{
    static const char *const allowed[] = {"isolation", "at_most", NULL};
    static const char *const levels[] = {"read_uncommitted", "read_committed", NULL};
    luaL_checktype(L, 2, LUA_TTABLE);
    opts_check(L, 2, "list_offsets", allowed);
    lua_getfield(L, 2, "isolation");
    bool committed = luaL_checkoption(L, -1, levels[0], levels) == 1;
    if (luaL_len(L, 2) == 0)
        return luaL_error(L, "list_offsets: no partitions are named");
    read_places(L, NULL);
    offsets_job *job = offsets_job_new(L, run_list, admin_offsets_push_list, 2);
    job->committed = committed;
    job->job.list = rd_kafka_topic_partition_list_new((int)luaL_len(L, 2));
    read_places(L, job->job.list);
    return admin_await(L, &job->job);
}

/* ---- transactions ---- */

static void run_txns(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    a->err = kafka_admin_transactions(job->job.admin, &job->job.call, job->states, job->count,
                                      &job->txns, &job->job.items);
}

static void set_failed(lua_State *L, kafka_items *items)
{
    lua_createtable(L, items->count, 0);
    for (int i = 0; i < items->count; i++) {
        lua_createtable(L, 0, 2);
        field_set_int(L, "broker", items->items[i].partition);
        errs_push_table(L, items->items[i].err);
        items->items[i].err = NULL;
        lua_setfield(L, -2, "err");
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "failed");
}

static int push_txns(lua_State *L, rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    lua_createtable(L, job->txns.count, 1);
    for (int i = 0; i < job->txns.count; i++) {
        const wire_txn *t = &job->txns.txns[i];
        lua_createtable(L, 0, 4);
        field_set_text(L, "id", t->id);
        field_set_text(L, "state", t->state);
        field_set_int(L, "producer_id", t->producer_id);
        field_set_int(L, "coordinator", t->coordinator);
        lua_rawseti(L, -2, i + 1);
    }
    set_failed(L, &job->job.items);
    return 1;
}

static int admin_offsets_l_transactions(lua_State *L)
{
    static const char *const allowed[] = {"states", "at_most", NULL};
    int count = 0;
    const char **states = NULL;
    opts_check(L, 2, "transactions", allowed);
    if (lua_istable(L, 2) && lua_getfield(L, 2, "states") != LUA_TNIL)
        states = admin_names(L, lua_gettop(L), "state", &count);
    offsets_job *job = offsets_job_new(L, run_txns, push_txns, 2);
    job->states = states;
    job->count = count;
    return admin_await(L, &job->job);
}

static void run_txn(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    a->err = kafka_admin_transaction(job->job.admin, &job->job.call, job->topic, &job->info);
}

static void set_txn_places(lua_State *L, const wire_txn_info *info)
{
    int n = 0;
    lua_newtable(L);
    for (int i = 0; i < info->topic_count; i++)
        for (int p = 0; p < info->topics[i].partitions.count; p++) {
            lua_createtable(L, 0, 2);
            field_set_text(L, "topic", info->topics[i].name);
            field_set_int(L, "partition", info->topics[i].partitions.id[p]);
            lua_rawseti(L, -2, ++n);
        }
    lua_setfield(L, -2, "partitions");
}

static int push_txn(lua_State *L, rl_await *a)
{
    const wire_txn_info *info = &((offsets_job *)a)->info;
    lua_createtable(L, 0, 8);
    field_set_text(L, "id", info->id);
    field_set_text(L, "state", info->state);
    field_set_int(L, "coordinator", info->coordinator);
    field_set_int(L, "producer_id", info->producer_id);
    field_set_int(L, "epoch", info->producer_epoch);
    field_set_int(L, "timeout_ms", info->timeout_ms);
    if (info->start_ms >= 0)
        field_set_int(L, "start_ms", info->start_ms);
    set_txn_places(L, info);
    return 1;
}

static int admin_offsets_l_transaction(lua_State *L)
{
    const char *id = luaL_checkstring(L, 2);
    opts_check(L, 3, "transaction", admin_only_at_most);
    offsets_job *job = offsets_job_new(L, run_txn, push_txn, 3);
    job->topic = id;
    return admin_await(L, &job->job);
}

/* ---- who holds the LSO back ---- */

static bool any_open(const wire_producers *producers)
{
    for (int i = 0; i < producers->count; i++)
        if (producers->producers[i].txn_start >= 0)
            return true;
    return false;
}

/* The names of the open transactions are with their coordinators; one that is silent costs its
 * names only. */
static void run_producers(rl_await *a)
{
    static const char *const open_states[] = {"Ongoing", "PrepareCommit", "PrepareAbort"};
    offsets_job *job = (offsets_job *)a;
    a->err = kafka_admin_producers(job->job.admin, &job->job.call, job->topic, job->partition,
                                   &job->producers);
    if (a->err || !any_open(&job->producers))
        return;
    rl_err *err = kafka_admin_transactions(job->job.admin, &job->job.call, open_states, 3,
                                           &job->txns, &job->job.items);
    if (err_is(err, RL_LAB, "CANCELLED"))
        a->err = err;
    else
        err_free(err);
}

static const char *txn_of(const wire_txns *txns, int64_t producer_id)
{
    for (int i = 0; i < txns->count; i++)
        if (txns->txns[i].producer_id == producer_id)
            return txns->txns[i].id;
    return NULL;
}

/* The LSO stands at the first record of the oldest open transaction. */
static int64_t oldest_start(const wire_producers *producers)
{
    int64_t oldest = -1;
    for (int i = 0; i < producers->count; i++) {
        int64_t start = producers->producers[i].txn_start;
        if (start >= 0 && (oldest < 0 || start < oldest))
            oldest = start;
    }
    return oldest;
}

static int push_producers(lua_State *L, rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    int64_t oldest = oldest_start(&job->producers);
    lua_createtable(L, job->producers.count, 0);
    for (int i = 0; i < job->producers.count; i++) {
        const wire_producer *p = &job->producers.producers[i];
        lua_createtable(L, 0, 8);
        field_set_int(L, "producer_id", p->producer_id);
        field_set_int(L, "epoch", p->epoch);
        field_set_int(L, "last_sequence", p->last_sequence);
        field_set_int(L, "last_timestamp", p->last_timestamp);
        field_set_int(L, "coordinator_epoch", p->coordinator_epoch);
        if (p->txn_start >= 0) {
            field_set_int(L, "txn_start", p->txn_start);
            field_set_text(L, "transaction", txn_of(&job->txns, p->producer_id));
        }
        field_set_bool(L, "holds_lso", p->txn_start >= 0 && p->txn_start == oldest);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int admin_offsets_l_producers(lua_State *L)
{
    return admin_await(L, &place_job(L, "producers", run_producers, push_producers)->job);
}

static void run_abort_hanging(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    a->err = kafka_admin_abort_hanging(job->job.admin, &job->job.call, job->topic, job->partition,
                                       &job->producers);
}

static int admin_offsets_l_abort_hanging(lua_State *L)
{
    offsets_job *job = place_job(L, "abort_hanging", run_abort_hanging, push_producers);
    return admin_await(L, &job->job);
}

void admin_offsets_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {{"offsets", admin_offsets_l_offsets},
                                       {"list_offsets", admin_offsets_l_list_offsets},
                                       {"transactions", admin_offsets_l_transactions},
                                       {"transaction", admin_offsets_l_transaction},
                                       {"producers", admin_offsets_l_producers},
                                       {"abort_hanging", admin_offsets_l_abort_hanging},
                                       {NULL, NULL}};
    luaL_setfuncs(L, methods, 0);
}
