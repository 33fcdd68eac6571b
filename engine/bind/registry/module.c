/* rlab.schema: a Schema Registry and the records that carry its schemas, as awaitable calls. */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "bind/task/await.h"
#include "bind/task/handle.h"
#include "bind/task/scheduler.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/json.h"
#include "bind/value/opts.h"
#include "registry/schemas.h"

int luaopen_rlab_schema(lua_State *L);

static void registry_close(void *impl)
{
    registry_schemas_free(impl);
}

static void registry_cancel(void *impl)
{
    registry_schemas_cancel(impl);
}

static const rl_handle_type registry_type = {"schema.registry", registry_close, registry_cancel,
                                             NULL};

/* schema.open{url =, timeout =, tries =} -> registry: nothing is asked yet */
static int schema_l_open(lua_State *L)
{
    static const char *const keys[] = {"url", "timeout", "tries", NULL};
    if (!lua_isnoneornil(L, 1))
        luaL_checktype(L, 1, LUA_TTABLE);
    opts_check(L, 1, "schema.open", keys);
    registry_opts opts = {.url = opts_str(L, 1, "url", getenv("SCHEMA_REGISTRY_URL")),
                          .timeout = opts_duration(L, 1, "timeout", 5),
                          .tries = (int)opts_int_in(L, 1, "tries", 3, 1, 100)};
    if (!opts.url)
        return luaL_error(L, "schema.open: url is missing, and SCHEMA_REGISTRY_URL is not set");
    rl_handle *h = handle_new(L, &registry_type, 0);
    registry_schemas *schemas;
    rl_err *err = registry_schemas_new(&opts, &schemas);
    if (err)
        return errs_raise_usage(L, "schema.open", err);
    handle_set(h, schemas);
    return 1;
}

/* ---- a call ---- */

typedef struct ask_job {
    rl_await await;
    registry_schemas *schemas;
    char *subject, *text; /* owned, as the caller's may go while it waits */
    size_t len;
    int32_t id;
    int version;
    registry_schema schema;
    bool yes;
    char *why, level[REGISTRY_LEVEL_SIZE], **names;
    rl_buf out;
} ask_job;

static void ask_drop(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    free(job->subject);
    free(job->text);
    free(job->why);
    registry_schema_free(&job->schema);
    registry_names_free(job->names);
    buf_free(&job->out);
}

static ask_job *new_ask(lua_State *L, void (*run)(rl_await *), int (*push)(lua_State *, rl_await *))
{
    registry_schemas *schemas = handle_check(L, 1, &registry_type)->impl;
    ask_job *job = await_new(sizeof *job, run, push, ask_drop);
    job->schemas = schemas;
    return job;
}

static registry_client *client_of(rl_await *a)
{
    return registry_schemas_client(((ask_job *)a)->schemas);
}

static char *copy_text(lua_State *L, int idx)
{
    const char *text = luaL_optstring(L, idx, NULL);
    return text ? mem_strdup(text) : NULL;
}

/* registry:CALL(subject, schema) */
static int ask_with_schema(lua_State *L, void (*run)(rl_await *),
                           int (*push)(lua_State *, rl_await *))
{
    luaL_checkstring(L, 2);
    luaL_checkstring(L, 3);
    ask_job *job = new_ask(L, run, push);
    job->subject = copy_text(L, 2);
    job->text = copy_text(L, 3);
    return await_job(L, 1, &job->await);
}

/* ---- register, check ---- */

static void register_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    a->err = registry_register(client_of(a), job->subject, job->text, &job->id);
}

static int register_push(lua_State *L, rl_await *a)
{
    lua_pushinteger(L, ((ask_job *)a)->id);
    return 1;
}

static int registry_l_register(lua_State *L)
{
    return ask_with_schema(L, register_run, register_push);
}

static void check_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    a->err = registry_check(client_of(a), job->subject, job->text, &job->yes, &job->why);
}

static int check_push(lua_State *L, rl_await *a)
{
    ask_job *job = (ask_job *)a;
    lua_pushboolean(L, job->yes);
    lua_pushstring(L, job->why);
    return 2;
}

static int registry_l_check(lua_State *L)
{
    return ask_with_schema(L, check_run, check_push);
}

/* ---- get ---- */

static void by_id_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    a->err = registry_by_id(client_of(a), job->id, &job->schema);
}

static void by_version_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    a->err = registry_by_version(client_of(a), job->subject, job->version, &job->schema);
}

static int schema_push(lua_State *L, rl_await *a)
{
    const registry_schema *schema = &((ask_job *)a)->schema;
    lua_createtable(L, 0, 5);
    field_set_int(L, "id", schema->id);
    if (schema->version)
        field_set_int(L, "version", schema->version);
    field_set_text(L, "subject", schema->subject);
    field_set_text(L, "type", schema->type);
    field_set_text(L, "schema", schema->text);
    return 1;
}

static int32_t check_id(lua_State *L, int idx)
{
    lua_Integer id = luaL_checkinteger(L, idx);
    luaL_argcheck(L, id >= 0 && id <= INT32_MAX, idx, "no schema's id");
    return (int32_t)id;
}

/* registry:get(id) or registry:get(subject[, version]) -> {id, version, subject, type, schema} */
static int registry_l_get(lua_State *L)
{
    bool by_id = lua_type(L, 2) == LUA_TNUMBER;
    int32_t id = by_id ? check_id(L, 2) : 0;
    lua_Integer version = by_id ? 0 : luaL_optinteger(L, 3, 0);
    luaL_checkstring(L, 2);
    luaL_argcheck(L, version >= 0 && version <= INT32_MAX, 3, "no version");
    ask_job *job = new_ask(L, by_id ? by_id_run : by_version_run, schema_push);
    job->id = id;
    job->version = (int)version;
    job->subject = by_id ? NULL : copy_text(L, 2);
    return await_job(L, 1, &job->await);
}

/* ---- mode ---- */

static void mode_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    if (job->text)
        a->err = registry_set_level(client_of(a), job->subject, job->text);
    if (!a->err)
        a->err = registry_level(client_of(a), job->subject, job->level);
}

static int mode_push(lua_State *L, rl_await *a)
{
    lua_pushstring(L, ((ask_job *)a)->level);
    return 1;
}

/* registry:mode(subject | nil[, mode]) -> mode, as it is read back */
static int registry_l_mode(lua_State *L)
{
    luaL_optstring(L, 2, NULL);
    luaL_optstring(L, 3, NULL);
    ask_job *job = new_ask(L, mode_run, mode_push);
    job->subject = copy_text(L, 2);
    job->text = copy_text(L, 3);
    return await_job(L, 1, &job->await);
}

/* ---- lists ---- */

static void subjects_run(rl_await *a)
{
    a->err = registry_subjects(client_of(a), &((ask_job *)a)->names);
}

static int names_push(lua_State *L, rl_await *a)
{
    char **names = ((ask_job *)a)->names;
    lua_newtable(L);
    for (lua_Integer i = 0; names[i]; i++) {
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int registry_l_subjects(lua_State *L)
{
    return await_job(L, 1, &new_ask(L, subjects_run, names_push)->await);
}

static void versions_run(rl_await *a)
{
    a->err = registry_versions(client_of(a), ((ask_job *)a)->subject, &((ask_job *)a)->names);
}

static int versions_push(lua_State *L, rl_await *a)
{
    char **names = ((ask_job *)a)->names;
    lua_newtable(L);
    for (lua_Integer i = 0; names[i]; i++) {
        lua_pushinteger(L, strtoll(names[i], NULL, 10));
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int registry_l_versions(lua_State *L)
{
    luaL_checkstring(L, 2);
    ask_job *job = new_ask(L, versions_run, versions_push);
    job->subject = copy_text(L, 2);
    return await_job(L, 1, &job->await);
}

/* ---- records ---- */

static void encode_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    a->err = registry_schemas_encode(job->schemas, job->id, job->text, job->len, &job->out);
}

static int bytes_push(lua_State *L, rl_await *a)
{
    const rl_buf *out = &((ask_job *)a)->out;
    lua_pushlstring(L, out->data ? out->data : "", out->len);
    return 1;
}

/* registry:encode(id, value) -> bytes: the magic byte, the id, the record */
static int registry_l_encode(lua_State *L)
{
    int32_t id = check_id(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    rl_buf json = {0};
    rl_err *err = lua_json_put(L, 3, &json, 0);
    if (err) {
        buf_free(&json);
        return errs_raise(L, err);
    }
    ask_job *job = new_ask(L, encode_run, bytes_push);
    job->id = id;
    job->text = json.data;
    job->len = json.len;
    return await_job(L, 1, &job->await);
}

static rl_err *decode(ask_job *job, const avro_form *reader)
{
    rl_err *err = registry_wire_id(job->text, job->len, &job->id);
    return err ? err
               : registry_schemas_decode(job->schemas, reader, job->text, job->len, &job->out);
}

static void decode_run(rl_await *a)
{
    ask_job *job = (ask_job *)a;
    avro_form *reader = NULL;
    if (job->subject)
        a->err = avro_form_new(job->subject, strlen(job->subject), &reader);
    if (!a->err)
        a->err = decode(job, reader);
    avro_form_free(reader);
}

static int decode_push(lua_State *L, rl_await *a)
{
    ask_job *job = (ask_job *)a;
    rl_err *err = lua_json_push(L, job->out.data, job->out.len);
    if (err)
        return errs_fail(L, err);
    lua_pushinteger(L, job->id);
    return 2;
}

/* registry:decode(bytes[, reader]) -> value, id of the schema by which it was written */
static int registry_l_decode(lua_State *L)
{
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len);
    luaL_optstring(L, 3, NULL);
    ask_job *job = new_ask(L, decode_run, decode_push);
    job->text = mem_dup(bytes, len);
    job->len = len;
    job->subject = copy_text(L, 3); /* the reader's schema */
    return await_job(L, 1, &job->await);
}

/* schema.id(bytes) -> id | nil, err */
static int schema_l_id(lua_State *L)
{
    size_t len;
    const char *bytes = luaL_checklstring(L, 1, &len);
    int32_t id = 0;
    rl_err *err = registry_wire_id(bytes, len, &id);
    if (err)
        return errs_fail(L, err);
    lua_pushinteger(L, id);
    return 1;
}

int luaopen_rlab_schema(lua_State *L)
{
    static const luaL_Reg methods[] = {{"register", registry_l_register},
                                       {"check", registry_l_check},
                                       {"get", registry_l_get},
                                       {"mode", registry_l_mode},
                                       {"subjects", registry_l_subjects},
                                       {"versions", registry_l_versions},
                                       {"encode", registry_l_encode},
                                       {"decode", registry_l_decode},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"open", schema_l_open}, {"id", schema_l_id}, {NULL, NULL}};
    handle_type_open(L, &registry_type, methods);
    luaL_newlib(L, functions);
    return 1;
}
