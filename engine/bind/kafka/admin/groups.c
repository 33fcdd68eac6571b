#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bind/kafka/admin/client.h"
#include "bind/task/await.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/kafka/places.h"
#include "bind/kafka/values.h"
#include "bind/value/opts.h"

typedef struct group_job {
    admin_job job;
    const char *id;
    wire_group group;
    const char *const *names;
    int count;
    bool stable;
} group_job;

/* ---- list ---- */

static void run_list(rl_await *a)
{
    group_job *j = (group_job *)a;
    a->err = kafka_admin_groups(j->job.admin, &j->job.call, &j->job.event);
}

static void push_listing(lua_State *L, const rd_kafka_ConsumerGroupListing_t *group)
{
    lua_createtable(L, 0, 4);
    field_set_text(L, "id", rd_kafka_ConsumerGroupListing_group_id(group));
    field_set_text(L, "state",
                   rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupListing_state(group)));
    field_set_text(L, "type",
                   rd_kafka_consumer_group_type_name(rd_kafka_ConsumerGroupListing_type(group)));
    field_set_bool(L, "simple", rd_kafka_ConsumerGroupListing_is_simple_consumer_group(group));
}

static int by_group(const void *a, const void *b)
{
    return strcmp(
        rd_kafka_ConsumerGroupListing_group_id(*(rd_kafka_ConsumerGroupListing_t *const *)a),
        rd_kafka_ConsumerGroupListing_group_id(*(rd_kafka_ConsumerGroupListing_t *const *)b));
}

/* A broker that did not tell is said under `failed`, so that a list with gaps is not taken for a
 * whole one. */
static int admin_groups_push_list(lua_State *L, rl_await *a)
{
    const rd_kafka_ListConsumerGroups_result_t *result =
        rd_kafka_event_ListConsumerGroups_result(((admin_job *)a)->event);
    size_t n, bad;
    const rd_kafka_ConsumerGroupListing_t **groups =
        rd_kafka_ListConsumerGroups_result_valid(result, &n);
    const rd_kafka_error_t **errors = rd_kafka_ListConsumerGroups_result_errors(result, &bad);
    if (n)
        qsort(groups, n, sizeof *groups, by_group);
    lua_createtable(L, (int)n, 1);
    for (size_t i = 0; i < n; i++) {
        push_listing(L, groups[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_createtable(L, (int)bad, 0);
    for (size_t i = 0; i < bad; i++) {
        errs_push_table(L, kafka_err(NULL, rd_kafka_error_code(errors[i]), "list groups: %s",
                                     rd_kafka_error_string(errors[i])));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "failed");
    return 1;
}

static int admin_groups_l_groups(lua_State *L)
{
    opts_check(L, 2, "groups", admin_only_at_most);
    group_job *j = admin_job_new(L, sizeof *j, run_list, admin_groups_push_list, 2);
    return admin_await(L, &j->job);
}

/* ---- describe ---- */

static void run_describe(rl_await *a)
{
    group_job *j = (group_job *)a;
    a->err = kafka_admin_group(j->job.admin, &j->job.call, j->id, &j->group);
}

static void drop_describe(rl_await *a)
{
    wire_group_free(&((group_job *)a)->group);
    admin_job_drop(a);
}

static void set_places(lua_State *L, const char *key, const rd_kafka_topic_partition_list_t *list)
{
    lua_createtable(L, list->cnt, 0);
    for (int i = 0; i < list->cnt; i++) {
        kafka_place_push(L, &list->elems[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, key);
}

static void push_member(lua_State *L, const wire_member *m)
{
    lua_createtable(L, 0, 6);
    field_set_text(L, "id", m->id);
    field_set_text(L, "client_id", m->client_id);
    field_set_text(L, "instance_id", m->instance_id);
    field_set_text(L, "host", m->host);
    set_places(L, "assignment", m->assignment);
    if (m->target)
        set_places(L, "target", m->target);
}

static void set_coordinator(lua_State *L, const wire_node *node)
{
    lua_createtable(L, 0, 3);
    field_set_int(L, "id", node->id);
    field_set_text(L, "host", node->host);
    field_set_int(L, "port", node->port);
    lua_setfield(L, -2, "coordinator");
}

static int push_group(lua_State *L, rl_await *a)
{
    const group_job *j = (group_job *)a;
    const wire_group *group = &j->group;
    lua_createtable(L, 0, 6);
    field_set_text(L, "id", j->id);
    field_set_text(L, "state", group->state);
    field_set_text(L, "type", group->classic ? "Classic" : "Consumer");
    field_set_text(L, "protocol", group->protocol);
    set_coordinator(L, &group->coordinator);
    lua_createtable(L, group->member_count, 0);
    for (int i = 0; i < group->member_count; i++) {
        push_member(L, &group->members[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "members");
    return 1;
}

static int admin_groups_l_group(lua_State *L)
{
    const char *id = luaL_checkstring(L, 2);
    opts_check(L, 3, "group", admin_only_at_most);
    group_job *j = admin_job_new(L, sizeof *j, run_describe, push_group, 3);
    admin_job_on_drop(&j->job, drop_describe);
    j->id = id;
    return admin_await(L, &j->job);
}

/* ---- offsets ---- */

static void run_offsets(rl_await *a)
{
    group_job *j = (group_job *)a;
    rd_kafka_topic_partition_list_t *places = j->job.list;
    j->job.list = NULL;
    a->err = kafka_admin_group_offsets(j->job.admin, &j->job.call, j->id, places, j->stable,
                                       &j->job.list);
    if (places)
        rd_kafka_topic_partition_list_destroy(places);
}

static void push_offset(lua_State *L, const rd_kafka_topic_partition_t *place)
{
    kafka_place_push(L, place);
    if (place->offset >= 0)
        field_set_int(L, "offset", place->offset);
    if (place->err) {
        errs_push_table(L,
                        wire_code(place->err, "offset of %s [%d]", place->topic, place->partition));
        lua_setfield(L, -2, "err");
    }
}

static int push_offsets(lua_State *L, rl_await *a)
{
    rd_kafka_topic_partition_list_t *list = ((admin_job *)a)->list;
    rd_kafka_topic_partition_list_sort(list, NULL, NULL);
    lua_createtable(L, list->cnt, 0);
    for (int i = 0; i < list->cnt; i++) {
        push_offset(L, &list->elems[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int admin_groups_l_group_offsets(lua_State *L)
{
    static const char *const allowed[] = {"partitions", "stable", "at_most", NULL};
    const char *group = luaL_checkstring(L, 2);
    opts_check(L, 3, "group_offsets", allowed);
    bool stable = opts_bool(L, 3, "stable", false);
    rd_kafka_topic_partition_list_t *list = NULL;
    admin_check(L, 3);
    if (lua_istable(L, 3) && lua_getfield(L, 3, "partitions") != LUA_TNIL)
        list = kafka_list_read(L, lua_gettop(L), KAFKA_PLACES);
    group_job *j = admin_job_new(L, sizeof *j, run_offsets, push_offsets, 3);
    j->job.list = list;
    j->id = group;
    j->stable = stable;
    return admin_await(L, &j->job);
}

static void run_alter(rl_await *a)
{
    group_job *j = (group_job *)a;
    a->err = kafka_admin_alter_group_offsets(j->job.admin, &j->job.call, j->id, j->job.list,
                                             &j->job.items);
}

static void push_altered_item(lua_State *L, const kafka_item *item)
{
    admin_push_place(L, item);
    field_set_int(L, "offset", item->offset);
}

static int push_altered(lua_State *L, rl_await *a)
{
    return admin_push_items(L, &((admin_job *)a)->items, "altered", push_altered_item);
}

static void run_forget(rl_await *a)
{
    group_job *j = (group_job *)a;
    a->err = kafka_admin_delete_group_offsets(j->job.admin, &j->job.call, j->id, j->job.list,
                                              &j->job.items);
}

static int push_forgotten(lua_State *L, rl_await *a)
{
    return admin_push_items(L, &((admin_job *)a)->items, "deleted", admin_push_place);
}

/* (group, list [, options]); an empty list is a mistake that the broker would answer in its own
 * dark way. */
static int change_offsets(lua_State *L, const char *call, kafka_list_kind kind,
                          void (*run)(rl_await *), int (*push)(lua_State *, rl_await *))
{
    const char *group = luaL_checkstring(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 4);
    opts_check(L, 4, call, admin_only_at_most);
    admin_check(L, 4);
    rd_kafka_topic_partition_list_t *list = kafka_list_read(L, 3, kind);
    if (!list->cnt) {
        rd_kafka_topic_partition_list_destroy(list);
        return luaL_error(L, "%s: no partitions are named", call);
    }
    group_job *j = admin_job_new(L, sizeof *j, run, push, 4);
    j->id = group;
    j->job.list = list;
    return admin_await(L, &j->job);
}

static int admin_groups_l_alter_group_offsets(lua_State *L)
{
    return change_offsets(L, "alter_group_offsets", KAFKA_OFFSETS, run_alter, push_altered);
}

static int admin_groups_l_delete_group_offsets(lua_State *L)
{
    return change_offsets(L, "delete_group_offsets", KAFKA_PLACES, run_forget, push_forgotten);
}

/* ---- delete ---- */

static void run_delete(rl_await *a)
{
    group_job *j = (group_job *)a;
    a->err =
        kafka_admin_delete_groups(j->job.admin, &j->job.call, j->names, j->count, &j->job.items);
}

static int push_deleted(lua_State *L, rl_await *a)
{
    return admin_push_items(L, &((admin_job *)a)->items, "deleted", admin_push_name);
}

static int admin_groups_l_delete_groups(lua_State *L)
{
    int opts = admin_names_opts(L), count;
    opts_check(L, opts, "delete_groups", admin_only_at_most);
    const char **names = admin_names(L, 2, "group", &count);
    group_job *j = admin_job_new(L, sizeof *j, run_delete, push_deleted, opts);
    j->names = names;
    j->count = count;
    return admin_await(L, &j->job);
}

void admin_groups_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"groups", admin_groups_l_groups},
        {"group", admin_groups_l_group},
        {"group_offsets", admin_groups_l_group_offsets},
        {"alter_group_offsets", admin_groups_l_alter_group_offsets},
        {"delete_group_offsets", admin_groups_l_delete_group_offsets},
        {"delete_groups", admin_groups_l_delete_groups},
        {NULL, NULL}};
    luaL_setfuncs(L, methods, 0);
}
