#include <lauxlib.h>
#include <string.h>

#include "bind/kafka/admin/client.h"
#include "bind/task/await.h"
#include "bind/value/opts.h"

typedef struct acl_job {
    admin_job job;
    const kafka_acl *acls;
    int count, deleted;
    const char *user, *password;
    rd_kafka_ScramMechanism_t mechanism;
} acl_job;

/* ---- reading ---- */

static rd_kafka_AclOperation_t read_operation(lua_State *L, const char *call)
{
    /* librdkafka's enum from ALL on */
    static const char *const words[] = {"all",
                                        "read",
                                        "write",
                                        "create",
                                        "delete",
                                        "alter",
                                        "describe",
                                        "cluster-action",
                                        "describe-configs",
                                        "alter-configs",
                                        "idempotent-write",
                                        NULL};
    int idx = lua_gettop(L);
    admin_text(L, idx, "operation", call);
    lua_pop(L, 1);
    return (rd_kafka_AclOperation_t)(RD_KAFKA_ACL_OPERATION_ALL +
                                     opts_word(L, idx, "operation", NULL, call, words));
}

static rd_kafka_ResourceType_t read_resource(lua_State *L, const char *call)
{
    static const char *const words[] = {"topic", "group", "cluster", "transactional-id", NULL};
    static const rd_kafka_ResourceType_t types[] = {
        RD_KAFKA_RESOURCE_TOPIC, RD_KAFKA_RESOURCE_GROUP,
        RD_KAFKA_RESOURCE_BROKER, /* which is the cluster where ACLs are meant */
        RD_KAFKA_RESOURCE_TRANSACTIONAL_ID};
    return types[opts_word(L, lua_gettop(L), "resource", "topic", call, words)];
}

/* The table on top; its texts stay below it. */
static kafka_acl read_acl(lua_State *L, const char *call)
{
    static const char *const allowed[] = {"principal", "resource",  "name",
                                          "pattern",   "operation", NULL};
    static const char *const patterns[] = {"literal", "prefixed", NULL};
    int idx = lua_gettop(L);
    luaL_checktype(L, idx, LUA_TTABLE);
    opts_check(L, idx, call, allowed);
    kafka_acl acl = {.operation = read_operation(L, call),
                     .resource = read_resource(L, call),
                     .prefixed = opts_word(L, idx, "pattern", "literal", call, patterns) == 1};
    acl.principal = admin_text(L, idx, "principal", call);
    acl.name = acl.resource == RD_KAFKA_RESOURCE_BROKER ? "kafka-cluster"
                                                        : admin_text(L, idx, "name", call);
    return acl;
}

static kafka_acl *read_acls(lua_State *L, const char *call, int *count)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer n = luaL_len(L, 2);
    if (n > 10000)
        luaL_error(L, "%s: %d ACLs at once are too many", call, (int)n);
    luaL_checkstack(L, 3 * (int)n + 8, "too many ACLs");
    kafka_acl *acls = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *acls, 0);
    for (int i = 0; i < n; i++) {
        lua_geti(L, 2, i + 1);
        acls[i] = read_acl(L, call);
    }
    *count = (int)n;
    return acls;
}

/* ---- the calls ---- */

static void run_create(rl_await *a)
{
    acl_job *job = (acl_job *)a;
    a->err = kafka_admin_create_acls(job->job.admin, &job->job.call, job->acls, job->count);
}

static void run_delete(rl_await *a)
{
    acl_job *job = (acl_job *)a;
    a->err = kafka_admin_delete_acls(job->job.admin, &job->job.call, job->acls, job->count,
                                     &job->deleted);
}

static int push_deleted(lua_State *L, rl_await *a)
{
    lua_pushinteger(L, ((acl_job *)a)->deleted);
    return 1;
}

static int await_acls(lua_State *L, const char *call, void (*run)(rl_await *),
                      int (*push)(lua_State *, rl_await *))
{
    int count;
    lua_settop(L, 3);
    opts_check(L, 3, call, admin_only_at_most);
    const kafka_acl *acls = read_acls(L, call, &count);
    acl_job *job = admin_job_new(L, sizeof *job, run, push, 3);
    job->acls = acls;
    job->count = count;
    return admin_await(L, &job->job);
}

static int admin_acls_l_create_acls(lua_State *L)
{
    return await_acls(L, "create_acls", run_create, NULL);
}

static int admin_acls_l_delete_acls(lua_State *L)
{
    return await_acls(L, "delete_acls", run_delete, push_deleted);
}

static void run_scram(rl_await *a)
{
    acl_job *job = (acl_job *)a;
    a->err = kafka_admin_set_scram(job->job.admin, &job->job.call, job->user, job->mechanism,
                                   job->password);
}

static int admin_acls_l_set_scram(lua_State *L)
{
    static const char *const allowed[] = {"user", "password", "mechanism", "at_most", NULL};
    static const char *const mechanisms[] = {"SCRAM-SHA-256", "SCRAM-SHA-512", NULL};
    opts_check(L, 2, "set_scram", allowed);
    luaL_checktype(L, 2, LUA_TTABLE);
    int mechanism = opts_word(L, 2, "mechanism", "SCRAM-SHA-512", "set_scram", mechanisms);
    const char *user = admin_text(L, 2, "user", "set_scram"),
               *password = admin_text(L, 2, "password", "set_scram");
    if (!*user || !*password)
        return luaL_error(L, "set_scram: neither user nor password may be empty");
    acl_job *job = admin_job_new(L, sizeof *job, run_scram, NULL, 2);
    job->user = user;
    job->password = password;
    job->mechanism =
        mechanism ? RD_KAFKA_SCRAM_MECHANISM_SHA_512 : RD_KAFKA_SCRAM_MECHANISM_SHA_256;
    return admin_await(L, &job->job);
}

void admin_acls_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {{"create_acls", admin_acls_l_create_acls},
                                       {"delete_acls", admin_acls_l_delete_acls},
                                       {"set_scram", admin_acls_l_set_scram},
                                       {NULL, NULL}};
    luaL_setfuncs(L, methods, 0);
}
