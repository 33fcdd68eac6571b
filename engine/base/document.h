/* Small JSON documents as trees: answers with a handful of members, built by cJSON.
 *
 * Offers: beside cJSON's own functions what it lacks for us. Memory is the engine's, so that no
 * call fails; integers keep their 64 bits, where cJSON has doubles; text that is no ASCII is
 * written by base/json, so that bytes which are no UTF-8 survive. Large, frequent or streamed JSON
 * (payloads, evidence, the log) is written and read by base/json.
 * Uses: cJSON, base/json. Thread: plain memory, one owner. */
#ifndef RL_BASE_DOCUMENT_H
#define RL_BASE_DOCUMENT_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/buf.h"

cJSON *document_object(void);
cJSON *document_array(void);
void document_add_int(cJSON *object, const char *key, int64_t value);
void document_add_text(cJSON *object, const char *key, const char *value);

/* Writes the document without spaces, and frees it. */
void document_put(cJSON *document, rl_buf *out);

#endif
