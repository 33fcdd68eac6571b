#include <lauxlib.h>
#include <stdint.h>

#include "bind/kafka/admin/client.h"
#include "bind/task/await.h"
#include "bind/value/fields.h"
#include "bind/value/opts.h"

typedef struct feature_job {
    admin_job job;
    const char *name;
    int broker, level;
    wire_features features;
} feature_job;

static void run_features(rl_await *a)
{
    feature_job *job = (feature_job *)a;
    a->err = kafka_admin_features(job->job.admin, &job->job.call, job->broker, &job->features);
}

static void drop_features(rl_await *a)
{
    wire_features_free(&((feature_job *)a)->features);
    admin_job_drop(a);
}

static int push_features(lua_State *L, rl_await *a)
{
    const wire_features *features = &((feature_job *)a)->features;
    lua_createtable(L, 0, features->count);
    for (int i = 0; i < features->count; i++)
        field_set_int(L, features->features[i].name, features->features[i].level);
    return 1;
}

static int admin_features_l_features(lua_State *L)
{
    static const char *const allowed[] = {"broker", "at_most", NULL};
    opts_check(L, 2, "features", allowed);
    int broker = (int)opts_int_in(L, 2, "broker", WIRE_ANY, WIRE_ANY, INT32_MAX);
    feature_job *job = admin_job_new(L, sizeof *job, run_features, push_features, 2);
    admin_job_on_drop(&job->job, drop_features);
    job->broker = broker;
    return admin_await(L, &job->job);
}

static void run_set(rl_await *a)
{
    feature_job *job = (feature_job *)a;
    a->err = kafka_admin_set_feature(job->job.admin, &job->job.call, job->name, job->level);
}

static int admin_features_l_set_feature(lua_State *L)
{
    const char *name = luaL_checkstring(L, 2);
    lua_Integer level = luaL_checkinteger(L, 3);
    luaL_argcheck(L, level >= 0 && level <= INT16_MAX, 3, "a level is 0 to 32767");
    opts_check(L, 4, "set_feature", admin_only_at_most);
    feature_job *job = admin_job_new(L, sizeof *job, run_set, NULL, 4);
    job->name = name;
    job->level = (int)level;
    return admin_await(L, &job->job);
}

void admin_features_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {{"features", admin_features_l_features},
                                       {"set_feature", admin_features_l_set_feature},
                                       {NULL, NULL}};
    luaL_setfuncs(L, methods, 0);
}
