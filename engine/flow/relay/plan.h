/* The relay's decisions, as pure functions.
 *
 * Offers: who takes which shard, how far a cursor may go at a hole, and the reading of a row's
 * headers. Uses: base/json. Thread: pure functions. */
#ifndef RL_FLOW_RELAY_PLAN_H
#define RL_FLOW_RELAY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RELAY_SHARDS = 64 };

typedef enum relay_hold {
    HOLD_NONE,
    HOLD_MINE,
    HOLD_LEAVING /* no new rows; given up when none is in flight */
} relay_hold;

typedef struct relay_shard {
    relay_hold hold;
    int64_t token;
    int64_t read_to; /* cursor: rows up to here have been taken */
    int flying;
} relay_shard;

/* A row of relay_lease. */
typedef struct relay_lease {
    bool mine; /* this run's name stands there */
    bool live; /* not expired */
    bool free; /* nobody's name stands there */
    int64_t token, position;
} relay_lease;

typedef enum relay_step { STEP_NONE, STEP_TAKE, STEP_KEEP, STEP_LEAVE, STEP_DROP } relay_step;

/* What this instance does with each shard, of `members` live instances: each has its share, who
 * has more lets shards go (LEAVE: no new rows, DROP: nothing is in flight, give up). exclusive:
 * all or none. ending: all are let go. */
void relay_plan(const relay_lease leases[RELAY_SHARDS], const relay_shard shards[RELAY_SHARDS],
                int members, bool exclusive, bool ending, relay_step steps[RELAY_SHARDS]);

/* How many of n ascending ids behind `after` may be taken: those before the first hole that ends
 * above `settled`. */
int relay_gap_cut(const int64_t *ids, int n, int64_t after, int64_t settled);

/* Calls add for each of [["name","value"], ...]; a null value is NULL. false: the text is no
 * such list. An empty text is no headers. */
typedef void (*relay_header_fn)(void *arg, const char *name, size_t name_len, const char *value,
                                size_t value_len);
bool relay_headers(const char *json, size_t len, relay_header_fn add, void *arg);

#endif
