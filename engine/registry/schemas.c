#include "registry/schemas.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "registry/avro_internal.h"

typedef struct known {
    int32_t id;
    avro_form *form;
} known;

/* One thread asks at a time. Who waited for an id that could not be had gets the same error: a registry that
 * is away is asked once, not once by each who waits. */
struct registry_schemas {
    registry_client *client;
    pthread_mutex_t lock;
    pthread_cond_t change;
    known *list;
    int n;
    bool asking, stopped;
    int32_t asked;    /* the id under way, or the last one */
    uint64_t answers; /* how often an answer came */
    rl_err *failure;  /* of the last answer */
};

rl_err *registry_schemas_new(const registry_opts *opts, registry_schemas **out)
{
    registry_client *client;
    rl_err *err = registry_client_new(opts, &client);
    if (err)
        return err;
    registry_schemas *schemas = mem_zero(sizeof *schemas);
    schemas->client = client;
    pthread_mutex_init(&schemas->lock, NULL);
    pthread_cond_init(&schemas->change, NULL);
    *out = schemas;
    return NULL;
}

registry_client *registry_schemas_client(registry_schemas *schemas)
{
    return schemas->client;
}

void registry_schemas_cancel(registry_schemas *schemas)
{
    registry_client_cancel(schemas->client);
}

void registry_schemas_stop(registry_schemas *schemas)
{
    pthread_mutex_lock(&schemas->lock);
    schemas->stopped = true;
    pthread_cond_broadcast(&schemas->change);
    pthread_mutex_unlock(&schemas->lock);
    registry_client_cancel(schemas->client);
}

void registry_schemas_free(registry_schemas *schemas)
{
    if (!schemas)
        return;
    for (int i = 0; i < schemas->n; i++)
        avro_form_free(schemas->list[i].form);
    free(schemas->list);
    err_free(schemas->failure);
    pthread_cond_destroy(&schemas->change);
    pthread_mutex_destroy(&schemas->lock);
    registry_client_free(schemas->client);
    free(schemas);
}

/* ---- by id ---- */

static rl_err *ask_form(registry_client *client, int32_t id, avro_form **out)
{
    registry_schema schema;
    rl_err *err = registry_by_id(client, id, &schema);
    if (err)
        return err;
    if (strcmp(schema.type, "AVRO") != 0)
        err = avro_wrong("SCHEMA", "schema %d is %.40s, not AVRO", (int)id, schema.type);
    else
        err = avro_form_new(schema.text, strlen(schema.text), out);
    registry_schema_free(&schema);
    return err;
}

static const avro_form *find(const registry_schemas *schemas, int32_t id)
{
    for (int i = 0; i < schemas->n; i++)
        if (schemas->list[i].id == id)
            return schemas->list[i].form;
    return NULL;
}

static void keep(registry_schemas *schemas, int32_t id, avro_form *form)
{
    schemas->list = mem_grow(schemas->list, ((size_t)schemas->n + 1) * sizeof *schemas->list);
    schemas->list[schemas->n++] = (known){id, form};
}

static void take_answer(registry_schemas *schemas, int32_t id, avro_form *form, rl_err *err)
{
    if (!err)
        keep(schemas, id, form);
    err_free(schemas->failure);
    schemas->failure = err;
    schemas->answers++;
    schemas->asking = false;
    pthread_cond_broadcast(&schemas->change);
}

/* Holds the lock, but not while the registry is asked. */
static void ask(registry_schemas *schemas, int32_t id)
{
    avro_form *form = NULL;
    schemas->asking = true;
    schemas->asked = id;
    pthread_mutex_unlock(&schemas->lock);
    rl_err *err = ask_form(schemas->client, id, &form);
    pthread_mutex_lock(&schemas->lock);
    take_answer(schemas, id, form, err);
}

static rl_err *find_or_ask(registry_schemas *schemas, int32_t id, const avro_form **out)
{
    while (!(*out = find(schemas, id))) {
        if (schemas->stopped)
            return err_lab("CANCELLED", "the call was cancelled");
        if (schemas->n == REGISTRY_SCHEMAS_MAX)
            return err_new(RL_REGISTRY, 0, "FULL", "more than %d schemas are in use",
                           REGISTRY_SCHEMAS_MAX);
        bool same = schemas->asking && schemas->asked == id;
        uint64_t answer = schemas->answers + 1;
        if (!schemas->asking) {
            ask(schemas, id);
            same = true;
        } else {
            pthread_cond_wait(&schemas->change, &schemas->lock);
        }
        if (same && schemas->answers == answer && schemas->failure)
            return err_copy(schemas->failure);
    }
    return NULL;
}

rl_err *registry_schemas_form(registry_schemas *schemas, int32_t id, const avro_form **out)
{
    pthread_mutex_lock(&schemas->lock);
    rl_err *err = find_or_ask(schemas, id, out);
    pthread_mutex_unlock(&schemas->lock);
    return err;
}

bool registry_blames_record(const rl_err *err)
{
    static const char *const names[] = {"WIRE", "DECODE", "SCHEMA", "SCHEMA_NOT_FOUND"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (err_is(err, RL_REGISTRY, names[i]))
            return true;
    return false;
}

/* ---- the wire format ---- */

rl_err *registry_wire_id(const void *bytes, size_t len, int32_t *id)
{
    const uint8_t *b = bytes;
    if (len < REGISTRY_WIRE_HEAD)
        return avro_wrong("WIRE", "%zu bytes are too few for a schema's id", len);
    if (b[0] != 0)
        return avro_wrong("WIRE", "it begins with byte %d, not 0: no record with a schema's id",
                          (int)b[0]);
    uint32_t value = (uint32_t)b[1] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 8 | b[4];
    if (value > INT32_MAX)
        return avro_wrong("WIRE", "%u is no schema's id", (unsigned)value);
    *id = (int32_t)value;
    return NULL;
}

rl_err *registry_schemas_decode(registry_schemas *schemas, const avro_form *reader,
                                const void *bytes, size_t len, rl_buf *json)
{
    int32_t id = 0;
    const avro_form *writer;
    rl_err *err = registry_wire_id(bytes, len, &id);
    if (!err)
        err = registry_schemas_form(schemas, id, &writer);
    if (!err)
        err = avro_form_decode(writer, reader, (const char *)bytes + REGISTRY_WIRE_HEAD,
                               len - REGISTRY_WIRE_HEAD, json);
    return err;
}

rl_err *registry_schemas_encode(registry_schemas *schemas, int32_t id, const char *json, size_t len,
                                rl_buf *bytes)
{
    const avro_form *form;
    rl_err *err = registry_schemas_form(schemas, id, &form);
    if (err)
        return err;
    buf_u8(bytes, 0);
    buf_be32(bytes, (uint32_t)id);
    return avro_form_encode(form, json, len, bytes);
}
