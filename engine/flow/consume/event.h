/* A record as the event it carries.
 *
 * Offers: decoding of the ledger's JSON and of the headers that matter to a consumer (event id,
 * attempt, due time, target group), and the two kinds of dedup keys. Which fields a reader knows is a matter
 * of its version: consume_reading.
 * Uses: base/json, librdkafka's headers, flow/dlq. Thread: pure functions. */
#ifndef RL_FLOW_CONSUME_EVENT_H
#define RL_FLOW_CONSUME_EVENT_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/uuid.h"

enum { CONSUME_LEGS = 2, CONSUME_ATTEMPTS_MAX = 1000000 };

#define CONSUME_DUE_MAX_MS INT64_C(4102444800000) /* 2100-01-01 */

typedef struct consume_leg {
    int64_t account, amount;
} consume_leg;

typedef struct consume_event {
    unsigned char id[UUID_BYTES];
    char id_text[UUID_LEN + 1]; /* "" when there is none */
    consume_leg legs[CONSUME_LEGS];
    int nlegs;                /* 2 of a transfer */
    int64_t balance, version; /* version: 0 or more */
} consume_event;

/* What the headers hold, always within these bounds: an attempt that is negative or no number is 0,
 * one beyond the bound is the bound; a due time that is no time in ms before the year 2100 is 0. */
typedef struct consume_story {
    bool read;
    int attempt;      /* how often it was tried already: 0 to CONSUME_ATTEMPTS_MAX */
    int64_t due_ms;   /* 0 (at once) to CONSUME_DUE_MAX_MS */
    bool other_group; /* target-group names another one */
} consume_story;

typedef struct consume_reading {
    const char *group;
    const char *amount; /* names of the field that holds it, by comma; NULL: "amount" */
    bool zero;          /* wrong: what is missing is 0 */
} consume_reading;

typedef struct consume_value {
    const char *json; /* NULL: there is none */
    size_t len;
} consume_value;

/* Both are filled in as far as they can be read. The error's name is UNDECODABLE. The event id
 * is the header's, else the one in the value. */
rl_err *consume_decode(const rd_kafka_message_t *msg, const consume_reading *reading,
                       consume_value value, consume_event *out, consume_story *story);

/* The same for headers apart from their record; NULL: it has none. */
rl_err *consume_decode_apart(const rd_kafka_headers_t *headers, const consume_reading *reading,
                             consume_value value, consume_event *out, consume_story *story);

void consume_story_read(const rd_kafka_message_t *msg, const char *group, consume_story *out);

/* The id of a record by its place: CRC of the topic, partition, offset. */
void consume_id_of_place(const rd_kafka_message_t *msg, unsigned char id[UUID_BYTES]);

#endif
