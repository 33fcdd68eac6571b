/* Schemas by id, and the records that carry one.
 *
 * Offers: registry_schemas, a client and what it has read: each id is asked for once, also when
 * several threads want it at the same time, and is kept. Failures are not kept. Confluent's wire
 * format: a byte 0, the schema's id in four bytes, the record. Errors: as of registry/client and
 * registry/avro; WIRE for bytes that carry no id; FULL beyond REGISTRY_SCHEMAS_MAX schemas.
 * Uses: registry/client, registry/avro. Thread: any, several at once; what is asked through
 * registry_schemas_client: one at a time. */
#ifndef RL_REGISTRY_SCHEMAS_H
#define RL_REGISTRY_SCHEMAS_H

#include "registry/avro.h"
#include "registry/client.h"

enum { REGISTRY_WIRE_HEAD = 5, REGISTRY_SCHEMAS_MAX = 1024 };

typedef struct registry_schemas registry_schemas;

rl_err *registry_schemas_new(const registry_opts *opts, registry_schemas **out);
registry_client *registry_schemas_client(registry_schemas *schemas);
void registry_schemas_cancel(registry_schemas *schemas); /* the call that runs */
void registry_schemas_stop(registry_schemas *schemas);   /* that, and all that come later */
void registry_schemas_free(registry_schemas *schemas);

/* Good for as long as schemas is. */
rl_err *registry_schemas_form(registry_schemas *schemas, int32_t id, const avro_form **out);

/* Whether the error is about the record itself: the same bytes fail the same way whoever is asked,
 * and however often. Any other is about the registry or the way there. */
bool registry_blames_record(const rl_err *err);

/* Appends the record as JSON; reader NULL: as it was written. */
rl_err *registry_schemas_decode(registry_schemas *schemas, const avro_form *reader,
                                const void *bytes, size_t len, rl_buf *json);
rl_err *registry_schemas_encode(registry_schemas *schemas, int32_t id, const char *json, size_t len,
                                rl_buf *bytes);

/* The id that the bytes carry; the record begins REGISTRY_WIRE_HEAD behind. */
rl_err *registry_wire_id(const void *bytes, size_t len, int32_t *id);

#endif
