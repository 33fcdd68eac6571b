/* A Schema Registry's client, by Confluent's REST API.
 *
 * Offers: registry_client, one call at a time: register a schema under a subject, read one by id or
 * by version, ask whether one is compatible, read and set a compatibility level, list subjects and
 * versions. What a server answers is taken as hostile: bounded, parsed by cJSON, every field
 * checked. A call is tried again, with a pause that doubles, where nothing was sent or the server
 * answered 5xx, and for nothing else. Errors: domain RL_REGISTRY with the registry's own code
 * (40401 SUBJECT_NOT_FOUND, 40402 VERSION_NOT_FOUND, 40403 SCHEMA_NOT_FOUND, 409 INCOMPATIBLE, 42201
 * INVALID_SCHEMA, 42203 INVALID_COMPATIBILITY, ...), ANSWER for one that makes no sense, RL_HTTP for the way
 * there; retriable as those say. Codes: Confluent's API reference, "Errors".
 * Uses: http/client, base/document. Thread: one at a time; registry_client_cancel from any. */
#ifndef RL_REGISTRY_CLIENT_H
#define RL_REGISTRY_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct registry_client registry_client;

typedef struct registry_opts {
    const char *url; /* with its prefix, such as http://127.0.0.1:18091/apis/ccompat/v7 */
    double timeout;  /* of a whole call with its tries, seconds */
    int tries;       /* at least 1 */
} registry_opts;

/* A schema as the registry has it; version 0 where it was asked for by id. */
typedef struct registry_schema {
    int32_t id, version;
    char *subject, *type, *text; /* type: AVRO, JSON, PROTOBUF */
} registry_schema;

void registry_schema_free(registry_schema *schema);

rl_err *registry_client_new(const registry_opts *opts, registry_client **out);
void registry_client_cancel(registry_client *client); /* this call, if it runs */
void registry_client_free(registry_client *client);

/* The id of the schema, an old one where the subject has the same schema already. */
rl_err *registry_register(registry_client *client, const char *subject, const char *schema,
                          int32_t *id);
rl_err *registry_by_id(registry_client *client, int32_t id, registry_schema *out);
/* version 0: the latest */
rl_err *registry_by_version(registry_client *client, const char *subject, int version,
                            registry_schema *out);
/* Whether the schema could follow the latest one; *why is the registry's reason, NULL without one, and
 * the caller's to free. */
rl_err *registry_check(registry_client *client, const char *subject, const char *schema,
                       bool *compatible, char **why);

/* The compatibility level of a subject, or of all (subject NULL): NONE, BACKWARD, FORWARD, FULL and
 * these with _TRANSITIVE. A subject without one of its own has that of all. */
enum { REGISTRY_LEVEL_SIZE = 32 };
rl_err *registry_level(registry_client *client, const char *subject, char out[REGISTRY_LEVEL_SIZE]);
rl_err *registry_set_level(registry_client *client, const char *subject, const char *level);

/* A list of names (subjects) or of numbers as text (versions of one), NULL-terminated, the caller's to free
 * with registry_names_free. */
rl_err *registry_subjects(registry_client *client, char ***out);
rl_err *registry_versions(registry_client *client, const char *subject, char ***out);
void registry_names_free(char **names);

#endif
