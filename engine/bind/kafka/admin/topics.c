#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bind/kafka/admin/client.h"
#include "bind/task/await.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/kafka/places.h"
#include "bind/kafka/values.h"
#include "bind/value/opts.h"

typedef struct topic_job {
    admin_job job;
    kafka_new_topic topic;
    const char *const *names;
    int count;
    bool wait, internal;
    int64_t before, low;
    int partition;
    rd_kafka_ElectionType_t election;
    wire_metadata metadata;
    wire_quorum quorum;
} topic_job;

/* ---- reading of a new topic ---- */

static wire_ids read_replicas(lua_State *L, int partition)
{
    if (!lua_istable(L, -1))
        luaL_error(L, "assignment: the brokers of partition %d must be a list, got %s", partition,
                   luaL_typename(L, -1));
    int n = (int)luaL_len(L, -1);
    if (n < 1)
        luaL_error(L, "assignment: partition %d has no brokers", partition);
    wire_ids ids = {.count = n};
    ids.id = lua_newuserdatauv(L, (size_t)n * sizeof *ids.id, 0);
    for (int i = 0; i < n; i++) {
        int ok;
        lua_geti(L, -2, i + 1);
        lua_Integer id = lua_tointegerx(L, -1, &ok);
        if (!ok || id < 0 || id > INT32_MAX)
            luaL_error(L, "assignment: brokers of partition %d: an id expected, got %s", partition,
                       luaL_tolstring(L, -1, NULL));
        ids.id[i] = (int)id;
        lua_pop(L, 1);
    }
    return ids;
}

/* The assignment's memory are userdata that stay on the stack. */
static void read_assignment(lua_State *L, const char *call, kafka_new_topic *topic)
{
    if (lua_getfield(L, 2, "assignment") == LUA_TNIL)
        return;
    luaL_checktype(L, -1, LUA_TTABLE);
    int list = lua_gettop(L), n = (int)luaL_len(L, list);
    if (n < 1 || (topic->partitions > 0 && n != topic->partitions))
        luaL_error(L, "%s: an assignment of %d partitions for a topic of %d", call, n,
                   topic->partitions);
    luaL_checkstack(L, 2 * n + 8, "too many partitions");
    wire_ids *assignment = lua_newuserdatauv(L, (size_t)n * sizeof *assignment, 0);
    for (int i = 0; i < n; i++) {
        lua_geti(L, list, i + 1);
        assignment[i] = read_replicas(L, i);
    }
    topic->partitions = n;
    topic->assignment = assignment;
}

static int count_option(lua_State *L, const char *key, const char *call)
{
    lua_Integer n = opts_int(L, 2, key, -1);
    if (n != -1 && (n < 1 || n > 100000))
        luaL_error(L, "%s: %s: from 1 to 100000, not %I", call, key, (LUAI_UACINT)n);
    return (int)n;
}

/* A configuration as text; what scripts write as numbers and booleans is taken as such. Stays on
 * the stack. */
static const char *config_text(lua_State *L, const char *name)
{
    int type = lua_type(L, -1);
    if (type == LUA_TBOOLEAN)
        return lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
    if (type != LUA_TSTRING && type != LUA_TNUMBER)
        luaL_error(L, "config '%s': text or a number expected, got %s", name, luaL_typename(L, -1));
    if (lua_isinteger(L, -1) || type == LUA_TSTRING)
        return lua_tostring(L, -1);
    return lua_pushfstring(L, "%f", lua_tonumber(L, -1));
}

static int table_size(lua_State *L, int idx)
{
    int n = 0;
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1))
        n++;
    return n;
}

kafka_pair *admin_pairs(lua_State *L, int idx, const char *key, int extra, int *count)
{
    int type = lua_getfield(L, idx, key), at = lua_gettop(L);
    if (type != LUA_TNIL)
        luaL_checktype(L, at, LUA_TTABLE);
    int n = type == LUA_TNIL ? 0 : table_size(L, at);
    luaL_checkstack(L, 3 * n + 8, "too many configs");
    kafka_pair *pairs = lua_newuserdatauv(L, ((size_t)(n + extra) + 1) * sizeof *pairs, 0);
    *count = 0;
    if (type == LUA_TNIL)
        return pairs;
    for (lua_pushnil(L); lua_next(L, at);) {
        int name = lua_gettop(L) - 1;
        if (lua_type(L, name) != LUA_TSTRING)
            luaL_error(L, "%s: a table of names and values expected", key);
        const char *text = lua_tostring(L, name);
        pairs[(*count)++] = (kafka_pair){.name = text, .value = config_text(L, text)};
        lua_pushvalue(L, name); /* the key again, for lua_next; the rest stays */
    }
    return pairs;
}

/* ---- create ---- */

static void run_create(rl_await *a)
{
    topic_job *job = (topic_job *)a;
    a->err = kafka_admin_create_topic(job->job.admin, &job->job.call, &job->topic, job->wait);
}

static int admin_topics_l_create_topic(lua_State *L)
{
    static const char *const allowed[] = {"name",    "partitions", "replication_factor",
                                          "configs", "assignment", "wait",
                                          "at_most", NULL};
    opts_check(L, 2, "create_topic", allowed);
    luaL_checktype(L, 2, LUA_TTABLE);
    kafka_new_topic t = {.name = admin_text(L, 2, "name", "create_topic"),
                         .partitions = count_option(L, "partitions", "create_topic"),
                         .replication_factor =
                             count_option(L, "replication_factor", "create_topic")};
    read_assignment(L, "create_topic", &t);
    t.configs = admin_pairs(L, 2, "configs", 0, &t.config_count);
    bool wait = opts_bool(L, 2, "wait", true);
    topic_job *job = admin_job_new(L, sizeof *job, run_create, NULL, 2);
    job->topic = t;
    job->wait = wait;
    return admin_await(L, &job->job);
}

static void run_partitions(rl_await *a)
{
    topic_job *job = (topic_job *)a;
    a->err = kafka_admin_create_partitions(job->job.admin, &job->job.call, &job->topic, job->wait);
}

static int admin_topics_l_create_partitions(lua_State *L)
{
    static const char *const allowed[] = {"topic", "count", "wait", "at_most", NULL};
    opts_check(L, 2, "create_partitions", allowed);
    luaL_checktype(L, 2, LUA_TTABLE);
    kafka_new_topic t = {.name = admin_text(L, 2, "topic", "create_partitions"),
                         .partitions = count_option(L, "count", "create_partitions")};
    if (t.partitions < 1)
        return luaL_error(
            L, "create_partitions: option 'count' is missing: how many there are to be in all");
    bool wait = opts_bool(L, 2, "wait", true);
    topic_job *job = admin_job_new(L, sizeof *job, run_partitions, NULL, 2);
    job->topic = t;
    job->wait = wait;
    return admin_await(L, &job->job);
}

/* ---- delete ---- */

static void run_delete(rl_await *a)
{
    topic_job *job = (topic_job *)a;
    a->err = kafka_admin_delete_topics(job->job.admin, &job->job.call, job->names, job->count,
                                       job->wait, &job->job.items);
}

static int push_deleted(lua_State *L, rl_await *a)
{
    return admin_push_items(L, &((admin_job *)a)->items, "deleted", admin_push_name);
}

static int admin_topics_l_delete_topics(lua_State *L)
{
    static const char *const allowed[] = {"wait", "at_most", NULL};
    int opts = admin_names_opts(L), count;
    opts_check(L, opts, "delete_topics", allowed);
    bool wait = opts_bool(L, opts, "wait", true);
    const char **names = admin_names(L, 2, "topic", &count);
    topic_job *job = admin_job_new(L, sizeof *job, run_delete, push_deleted, opts);
    job->names = names;
    job->count = count;
    job->wait = wait;
    return admin_await(L, &job->job);
}

/* ---- records and leaders ---- */

static void run_records(rl_await *a)
{
    topic_job *job = (topic_job *)a;
    a->err = kafka_admin_delete_records(job->job.admin, &job->job.call, job->topic.name,
                                        job->partition, job->before, &job->low);
}

static int push_low(lua_State *L, rl_await *a)
{
    lua_pushinteger(L, ((topic_job *)a)->low);
    return 1;
}

static int64_t read_before(lua_State *L)
{
    int type = lua_getfield(L, 2, "before"), ok;
    if (type == LUA_TNIL)
        return RD_KAFKA_OFFSET_END;
    if (type == LUA_TSTRING && strcmp(lua_tostring(L, -1), "end") == 0)
        return RD_KAFKA_OFFSET_END;
    lua_Integer n = lua_tointegerx(L, -1, &ok);
    if (!ok || n < 0)
        luaL_error(
            L, "delete_records: option 'before' must be an offset or \"end\" (the high watermark)");
    return n;
}

static int admin_topics_l_delete_records(lua_State *L)
{
    static const char *const allowed[] = {"topic", "partition", "before", "at_most", NULL};
    opts_check(L, 2, "delete_records", allowed);
    luaL_checktype(L, 2, LUA_TTABLE);
    const char *topic = admin_text(L, 2, "topic", "delete_records");
    int partition = admin_partition_opt(L, 2, "delete_records");
    int64_t before = read_before(L);
    topic_job *job = admin_job_new(L, sizeof *job, run_records, push_low, 2);
    job->topic.name = topic;
    job->partition = partition;
    job->before = before;
    return admin_await(L, &job->job);
}

static void run_elect(rl_await *a)
{
    topic_job *job = (topic_job *)a;
    a->err = kafka_admin_elect(job->job.admin, &job->job.call, job->election, job->job.list,
                               &job->job.items);
}

/* That the right one leads already is no failure. */
static int push_elected(lua_State *L, rl_await *a)
{
    kafka_items *items = &((admin_job *)a)->items;
    for (int i = 0; i < items->count; i++) {
        if (!err_is(items->items[i].err, RL_KAFKA, "ELECTION_NOT_NEEDED"))
            continue;
        err_free(items->items[i].err);
        items->items[i].err = NULL;
    }
    return admin_push_items(L, items, "elected", admin_push_place);
}

static int admin_topics_l_elect_leaders(lua_State *L)
{
    static const char *const allowed[] = {"type", "partitions", "at_most", NULL};
    static const char *const types[] = {"preferred", "unclean", NULL};
    opts_check(L, 2, "elect_leaders", allowed);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_getfield(L, 2, "type");
    int type = luaL_checkoption(L, -1, "preferred", types);
    rd_kafka_topic_partition_list_t *list = NULL;
    admin_check(L, 2);
    if (lua_getfield(L, 2, "partitions") != LUA_TNIL)
        list = kafka_list_read(L, lua_gettop(L), KAFKA_PLACES);
    else if (type == 1)
        return luaL_error(L, "elect_leaders: name the partitions for an unclean election");
    topic_job *job = admin_job_new(L, sizeof *job, run_elect, push_elected, 2);
    job->job.list = list;
    job->election = type ? RD_KAFKA_ELECTION_TYPE_UNCLEAN : RD_KAFKA_ELECTION_TYPE_PREFERRED;
    return admin_await(L, &job->job);
}

/* ---- what there is ---- */

static void drop_metadata(rl_await *a)
{
    topic_job *job = (topic_job *)a;
    wire_metadata_free(&job->metadata);
    wire_quorum_free(&job->quorum);
    admin_job_drop(a);
}

static topic_job *metadata_job(lua_State *L, void (*run)(rl_await *),
                               int (*push)(lua_State *, rl_await *), int opts)
{
    topic_job *job = admin_job_new(L, sizeof *job, run, push, opts);
    admin_job_on_drop(&job->job, drop_metadata);
    return job;
}

static void run_topics(rl_await *a)
{
    topic_job *job = (topic_job *)a;
    const char *const *one = job->topic.name ? &job->topic.name : NULL;
    a->err = kafka_admin_metadata(job->job.admin, &job->job.call, one, 1, &job->metadata);
    const wire_topic *topic = a->err || !one ? NULL : wire_metadata_topic(&job->metadata, *one);
    if (topic)
        a->err = wire_code(topic->code, "topic %s", *one);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const wire_topic *)a)->name, ((const wire_topic *)b)->name);
}

static int push_topics(lua_State *L, rl_await *a)
{
    topic_job *job = (topic_job *)a;
    wire_metadata *metadata = &job->metadata;
    int n = 0;
    lua_newtable(L);
    if (metadata->topic_count)
        qsort(metadata->topics, (size_t)metadata->topic_count, sizeof *metadata->topics, by_name);
    for (int i = 0; i < metadata->topic_count; i++) {
        if (metadata->topics[i].internal && !job->internal)
            continue;
        lua_pushstring(L, metadata->topics[i].name);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static int admin_topics_l_topics(lua_State *L)
{
    static const char *const allowed[] = {"internal", "at_most", NULL};
    opts_check(L, 2, "topics", allowed);
    bool internal = opts_bool(L, 2, "internal", false);
    topic_job *job = metadata_job(L, run_topics, push_topics, 2);
    job->internal = internal;
    return admin_await(L, &job->job);
}

static void admin_topics_push_partition(lua_State *L, const wire_partition *p)
{
    lua_createtable(L, 0, 6);
    field_set_int(L, "partition", p->partition);
    if (p->leader >= 0)
        field_set_int(L, "leader", p->leader);
    field_set_int(L, "epoch", p->epoch);
    admin_set_ids(L, "replicas", &p->replicas);
    admin_set_ids(L, "isr", &p->isr);
    admin_set_ids(L, "offline", &p->offline);
}

static void set_uuid(lua_State *L, const uint8_t id[16])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char text[23];
    for (int i = 0; i < 22; i++) {
        int bit = i * 6, at = bit / 8;
        unsigned two = (unsigned)id[at] << 8 | (at + 1 < 16 ? id[at + 1] : 0);
        text[i] = digits[two >> (10 - bit % 8) & 63];
    }
    text[22] = '\0';
    field_set_text(L, "id", text);
}

static int push_topic(lua_State *L, rl_await *a)
{
    topic_job *job = (topic_job *)a;
    const wire_topic *topic = wire_metadata_topic(&job->metadata, job->topic.name);
    if (!topic)
        return errs_fail(L, err_lab("MALFORMED", "metadata without topic %s", job->topic.name));
    lua_createtable(L, 0, 4);
    field_set_text(L, "name", topic->name);
    set_uuid(L, topic->id);
    field_set_bool(L, "internal", topic->internal);
    lua_createtable(L, topic->count, 0);
    for (int i = 0; i < topic->count; i++) {
        admin_topics_push_partition(L, &topic->partitions[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "partitions");
    return 1;
}

static int admin_topics_l_topic(lua_State *L)
{
    const char *name = luaL_checkstring(L, 2);
    opts_check(L, 3, "topic", admin_only_at_most);
    topic_job *job = metadata_job(L, run_topics, push_topic, 3);
    job->topic.name = name;
    return admin_await(L, &job->job);
}

/* That the controllers have no leader just now is a fact about the cluster, not a failure of the
 * call. */
static void run_cluster(rl_await *a)
{
    topic_job *job = (topic_job *)a;
    static const char *const none[] = {""};
    a->err = kafka_admin_metadata(job->job.admin, &job->job.call, none, 0, &job->metadata);
    if (a->err)
        return;
    job->quorum.leader = -1;
    rl_err *err = kafka_admin_quorum(job->job.admin, &job->job.call, &job->quorum);
    if (err)
        job->quorum.leader = -1;
    if (err_is(err, RL_LAB, "CANCELLED"))
        a->err = err;
    else
        err_free(err);
}

static void push_quorum(lua_State *L, const wire_quorum *quorum)
{
    lua_createtable(L, 0, 4);
    field_set_int(L, "leader", quorum->leader);
    field_set_int(L, "epoch", quorum->epoch);
    field_set_int(L, "hw", quorum->hw);
    lua_createtable(L, quorum->voter_count, 0);
    for (int i = 0; i < quorum->voter_count; i++) {
        lua_createtable(L, 0, 2);
        field_set_int(L, "id", quorum->voters[i].id);
        field_set_int(L, "leo", quorum->voters[i].leo);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "voters");
}

static int push_cluster(lua_State *L, rl_await *a)
{
    topic_job *job = (topic_job *)a;
    const wire_metadata *metadata = &job->metadata;
    lua_createtable(L, 0, 4);
    field_set_text(L, "id", metadata->cluster_id);
    lua_createtable(L, metadata->node_count, 0);
    for (int i = 0; i < metadata->node_count; i++) {
        lua_createtable(L, 0, 4);
        field_set_int(L, "id", metadata->nodes[i].id);
        field_set_text(L, "host", metadata->nodes[i].host);
        field_set_int(L, "port", metadata->nodes[i].port);
        field_set_text(L, "rack", metadata->nodes[i].rack);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "brokers");
    if (job->quorum.leader < 0)
        return 1;
    field_set_int(L, "controller", job->quorum.leader);
    push_quorum(L, &job->quorum);
    lua_setfield(L, -2, "quorum");
    return 1;
}

static int admin_topics_l_cluster(lua_State *L)
{
    opts_check(L, 2, "cluster", admin_only_at_most);
    return admin_await(L, &metadata_job(L, run_cluster, push_cluster, 2)->job);
}

void admin_topics_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {{"create_topic", admin_topics_l_create_topic},
                                       {"create_partitions", admin_topics_l_create_partitions},
                                       {"delete_topics", admin_topics_l_delete_topics},
                                       {"delete_records", admin_topics_l_delete_records},
                                       {"elect_leaders", admin_topics_l_elect_leaders},
                                       {"topics", admin_topics_l_topics},
                                       {"topic", admin_topics_l_topic},
                                       {"cluster", admin_topics_l_cluster},
                                       {NULL, NULL}};
    luaL_setfuncs(L, methods, 0);
}
