#include <lauxlib.h>
#include <stdio.h>

#include "bind/kafka/admin/client.h"
#include "bind/task/await.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/opts.h"

typedef struct config_job {
    admin_job job;
    rd_kafka_ResourceType_t type;
    const char *name;
    const kafka_pair *pairs;
    int count;
    bool details;
} config_job;

/* One of {topic=}, {group=} and {broker=}; the name stays on the stack. */
static const char *read_resource(lua_State *L, const char *call, rd_kafka_ResourceType_t *type)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer broker = opts_int(L, 2, "broker", -1);
    bool group = lua_getfield(L, 2, "group") != LUA_TNIL;
    bool topic = lua_getfield(L, 2, "topic") != LUA_TNIL;
    if (topic + group + (broker >= 0) != 1)
        luaL_error(L, "%s: one of 'topic', 'group' and 'broker' must be given", call);
    *type = topic   ? RD_KAFKA_RESOURCE_TOPIC
            : group ? RD_KAFKA_RESOURCE_GROUP
                    : RD_KAFKA_RESOURCE_BROKER;
    if (topic || group)
        return luaL_checkstring(L, topic ? -1 : -2);
    return lua_pushfstring(L, "%I", (LUAI_UACINT)broker);
}

static void run_configs(rl_await *a)
{
    config_job *j = (config_job *)a;
    a->err = kafka_admin_configs(j->job.admin, &j->job.call, j->type, j->name, &j->job.event);
}

static const char *source_name(rd_kafka_ConfigSource_t source)
{
    switch (source) {
    case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG:
        return "topic";
    case RD_KAFKA_CONFIG_SOURCE_GROUP_CONFIG:
        return "group";
    case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_BROKER_CONFIG:
        return "broker";
    case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER_CONFIG:
        return "all brokers";
    case RD_KAFKA_CONFIG_SOURCE_STATIC_BROKER_CONFIG:
        return "file";
    case RD_KAFKA_CONFIG_SOURCE_DEFAULT_CONFIG:
        return "default";
    default:
        return "unknown";
    }
}

/* What a broker keeps to itself (passwords) is null. */
static void admin_configs_push_value(lua_State *L, const rd_kafka_ConfigEntry_t *entry)
{
    const char *value = rd_kafka_ConfigEntry_value(entry);
    if (value)
        lua_pushstring(L, value);
    else
        errs_push_null(L);
}

static void push_details(lua_State *L, const rd_kafka_ConfigEntry_t *entry)
{
    lua_createtable(L, 0, 4);
    admin_configs_push_value(L, entry);
    lua_setfield(L, -2, "value");
    field_set_text(L, "source", source_name(rd_kafka_ConfigEntry_source(entry)));
    field_set_bool(L, "read_only", rd_kafka_ConfigEntry_is_read_only(entry) == 1);
    field_set_bool(L, "sensitive", rd_kafka_ConfigEntry_is_sensitive(entry) == 1);
}

static int push_configs(lua_State *L, rl_await *a)
{
    config_job *j = (config_job *)a;
    size_t resources, n;
    const rd_kafka_ConfigResource_t *resource = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(j->job.event), &resources)[0];
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &n);
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        (j->details ? push_details : admin_configs_push_value)(L, entries[i]);
        lua_setfield(L, -2, rd_kafka_ConfigEntry_name(entries[i]));
    }
    return 1;
}

static int admin_configs_l_configs(lua_State *L)
{
    static const char *const allowed[] = {"topic", "group", "broker", "details", "at_most", NULL};
    rd_kafka_ResourceType_t type;
    opts_check(L, 2, "configs", allowed);
    const char *name = read_resource(L, "configs", &type);
    bool details = opts_bool(L, 2, "details", false);
    config_job *j = admin_job_new(L, sizeof *j, run_configs, push_configs, 2);
    j->type = type;
    j->name = name;
    j->details = details;
    return admin_await(L, &j->job);
}

static void run_alter(rl_await *a)
{
    config_job *j = (config_job *)a;
    a->err =
        kafka_admin_alter_configs(j->job.admin, &j->job.call, j->type, j->name, j->pairs, j->count);
}

/* Sets first, then the names that go back to their defaults, in one request. */
static kafka_pair *read_changes(lua_State *L, int *count)
{
    int removed = 0;
    const char **names = NULL;
    if (lua_getfield(L, 2, "delete") != LUA_TNIL)
        names = admin_names(L, lua_gettop(L), "config", &removed);
    kafka_pair *pairs = admin_pairs(L, 2, "set", removed, count);
    for (int i = 0; i < removed; i++)
        pairs[(*count)++] = (kafka_pair){.name = names[i]};
    if (!*count)
        luaL_error(L, "alter_configs: nothing to change; give 'set' or 'delete'");
    return pairs;
}

static int admin_configs_l_alter_configs(lua_State *L)
{
    static const char *const allowed[] = {"topic",  "group",   "broker", "set",
                                          "delete", "at_most", NULL};
    rd_kafka_ResourceType_t type;
    int count;
    opts_check(L, 2, "alter_configs", allowed);
    const char *name = read_resource(L, "alter_configs", &type);
    const kafka_pair *pairs = read_changes(L, &count);
    config_job *j = admin_job_new(L, sizeof *j, run_alter, NULL, 2);
    j->type = type;
    j->name = name;
    j->pairs = pairs;
    j->count = count;
    return admin_await(L, &j->job);
}

void admin_configs_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {{"configs", admin_configs_l_configs},
                                       {"alter_configs", admin_configs_l_alter_configs},
                                       {NULL, NULL}};
    luaL_setfuncs(L, methods, 0);
}
