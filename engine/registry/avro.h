/* Avro: records between bytes and JSON.
 *
 * Offers: avro_form, a schema, and its records turned into JSON and back. A record that was written
 * by one schema is read by another by Avro's rules of resolution: fields by name, a default where the
 * writer had no such field, int to long to double; a name that was changed, or a type, is an error.
 * Libavro 1.11 itself knows no defaults. Bytes are taken as hostile: lengths, block counts, union branches
 * and nesting are held against limits before anything is allocated. Errors: domain RL_REGISTRY, SCHEMA for a
 * schema that makes no sense, DECODE and ENCODE for a record that does not fit.
 * JSON is plain: a union's value stands for itself, bytes and fixed are text of U+0000 to U+00FF.
 * Uses: libavro, cJSON, base/json. Thread: a form is constant once it was made; any. */
#ifndef RL_REGISTRY_AVRO_H
#define RL_REGISTRY_AVRO_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct avro_form avro_form;

rl_err *avro_form_new(const char *schema, size_t len, avro_form **out);
void avro_form_free(avro_form *form);

/* Appends the record as JSON. reader NULL: as it was written. */
rl_err *avro_form_decode(const avro_form *writer, const avro_form *reader, const void *bytes,
                         size_t len, rl_buf *json);

/* Appends the bytes of a JSON object. Fields that are missing take their defaults. */
rl_err *avro_form_encode(const avro_form *form, const char *json, size_t len, rl_buf *bytes);

#endif
