/* What the files of Avro share. Not for use outside of registry/avro*.
 *
 * Offers: the insides of a form: libavro's schema, by which bytes are read and written, and the
 * schema's JSON, which has what libavro drops (defaults).
 * Uses: libavro, cJSON. Thread: constant once it was made. */
#ifndef RL_REGISTRY_AVRO_INTERNAL_H
#define RL_REGISTRY_AVRO_INTERNAL_H

#include <avro.h>
#include <cjson/cJSON.h>

#include "registry/avro.h"

enum { AVRO_NAMES_MAX = 256 };

struct avro_form {
    avro_schema_t schema;
    avro_value_iface_t *class;
    cJSON *json;
    const cJSON *named[AVRO_NAMES_MAX]; /* records, enums and fixed, in the order of the text */
    int named_count;
};

/* "string" of "string", {"type": "string"}, ...; NULL for a union. *node: what describes the type, for a name
 * the place where it was defined. */
const char *avro_type_of(const avro_form *form, const cJSON **node);

rl_err *avro_wrong(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
