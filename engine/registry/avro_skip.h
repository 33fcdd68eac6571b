/* Hostile Avro, walked before it is decoded.
 *
 * Offers: avro_walk, which follows bytes by their schema and allocates nothing: it says whether they
 * are one whole record within the limits (nesting, items), so that libavro, which believes a block's
 * count, is only given what was walked.
 * Uses: libavro's schemas. Thread: any. */
#ifndef RL_REGISTRY_AVRO_SKIP_H
#define RL_REGISTRY_AVRO_SKIP_H

#include <avro.h>
#include <stddef.h>

enum { AVRO_DEPTH_MAX = 64, AVRO_ITEMS_MAX = 1 << 20 };

/* NULL, or what is wrong with them, in words that live as long as the program. */
const char *avro_walk(avro_schema_t schema, const void *bytes, size_t len);

#endif
