#include <lauxlib.h>

#include "bind/kafka/admin/client.h"
#include "bind/task/await.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/opts.h"

typedef struct survey_job {
    admin_job job;
    bool groups;
    survey survey;
} survey_job;

static void run_survey(rl_await *a)
{
    survey_job *job = (survey_job *)a;
    a->err = kafka_admin_survey(job->job.admin, &job->job.call, job->groups, &job->survey);
}

static void drop_survey(rl_await *a)
{
    survey_free(&((survey_job *)a)->survey);
    admin_job_drop(a);
}

/* ---- topics ---- */

static void set_known(lua_State *L, const char *key, int64_t value, int64_t unknown)
{
    if (value != unknown)
        field_set_int(L, key, value);
}

static void push_place(lua_State *L, const survey_place *place)
{
    const wire_partition *p = place->partition;
    lua_createtable(L, 0, 9);
    field_set_int(L, "partition", p->partition);
    set_known(L, "leader", p->leader, -1);
    admin_set_ids(L, "replicas", &p->replicas);
    admin_set_ids(L, "isr", &p->isr);
    set_known(L, "low", place->low, WIRE_UNKNOWN);
    set_known(L, "lso", place->lso, WIRE_UNKNOWN);
    set_known(L, "hw", place->hw, WIRE_UNKNOWN);
    set_known(L, "holder", place->holder, -1);
    set_known(L, "open_since_ms", place->open_since_ms, -1);
}

static void set_topics(lua_State *L, const survey *s)
{
    lua_createtable(L, s->metadata.topic_count, 0);
    for (int i = 0; i < s->metadata.topic_count; i++) {
        const wire_topic *topic = &s->metadata.topics[i];
        lua_createtable(L, 0, 3);
        field_set_text(L, "name", topic->name);
        field_set_bool(L, "internal", topic->internal);
        lua_createtable(L, topic->count, 0);
        for (int p = 0; p < topic->count; p++) {
            push_place(L, &s->places[i][p]);
            lua_rawseti(L, -2, p + 1);
        }
        lua_setfield(L, -2, "partitions");
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "topics");
}

/* ---- groups ---- */

/* By topic and partition: {orders = {[0] = 17}} */
static void set_committed(lua_State *L, const survey_group *group)
{
    lua_createtable(L, 0, group->topic_count);
    for (int i = 0; i < group->topic_count; i++) {
        const survey_committed *topic = &group->topics[i];
        lua_createtable(L, topic->count, 1);
        for (int p = 0; p < topic->count; p++) {
            lua_pushinteger(L, topic->offsets[p].offset);
            lua_rawseti(L, -2, topic->offsets[p].partition);
        }
        lua_setfield(L, -2, topic->topic ? topic->topic : "");
    }
    lua_setfield(L, -2, "committed");
}

static void set_groups(lua_State *L, const survey *s)
{
    lua_createtable(L, s->group_count, 0);
    for (int i = 0; i < s->group_count; i++) {
        const survey_group *group = &s->groups[i];
        lua_createtable(L, 0, 5);
        field_set_text(L, "id", group->id);
        field_set_text(L, "type", group->classic ? "Classic" : "Consumer");
        field_set_int(L, "coordinator", group->coordinator);
        set_known(L, "members", group->members, -1);
        set_committed(L, group);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "groups");
}

/* ---- the rest ---- */

static void set_brokers(lua_State *L, const wire_metadata *metadata)
{
    lua_createtable(L, metadata->node_count, 0);
    for (int i = 0; i < metadata->node_count; i++) {
        lua_createtable(L, 0, 3);
        field_set_int(L, "id", metadata->nodes[i].id);
        field_set_text(L, "host", metadata->nodes[i].host);
        field_set_int(L, "port", metadata->nodes[i].port);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "brokers");
}

static void set_failures(lua_State *L, survey *s)
{
    lua_createtable(L, s->failure_count, 0);
    for (int i = 0; i < s->failure_count; i++) {
        lua_createtable(L, 0, 3);
        field_set_int(L, "broker", s->failures[i].broker);
        field_set_bool(L, "silent", s->failures[i].silent);
        errs_push_table(L, s->failures[i].err);
        s->failures[i].err = NULL;
        lua_setfield(L, -2, "err");
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "failed");
}

static int push_survey(lua_State *L, rl_await *a)
{
    survey_job *job = (survey_job *)a;
    lua_createtable(L, 0, 4);
    set_brokers(L, &job->survey.metadata);
    set_topics(L, &job->survey);
    if (job->groups)
        set_groups(L, &job->survey);
    set_failures(L, &job->survey);
    return 1;
}

static int admin_survey_l_survey(lua_State *L)
{
    static const char *const allowed[] = {"groups", "at_most", NULL};
    opts_check(L, 2, "survey", allowed);
    bool groups = opts_bool(L, 2, "groups", true);
    survey_job *job = admin_job_new(L, sizeof *job, run_survey, push_survey, 2);
    admin_job_on_drop(&job->job, drop_survey);
    job->groups = groups;
    return admin_await(L, &job->job);
}

void admin_survey_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {{"survey", admin_survey_l_survey}, {NULL, NULL}};
    luaL_setfuncs(L, methods, 0);
}
