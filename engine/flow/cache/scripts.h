/* The cache of accounts: one home for its keys, its entries and its scripts.
 *
 * Offers: the names of the keys, the fields of an entry as arguments and back, the Redis scripts
 * (their texts are lua/redis/<name>.lua, lua/rlab/cache.lua speaks the same to Lua) and
 * cache_apply, what a writer does to the cache after a change.
 *
 *   <prefix>account:{<id>} an entry, a HASH with the fields
 *       balance   decimal; absent in a tombstone and in a negative entry
 *       version   20 digits, zero-padded, so that text compares as numbers do (a double would lose
 *                 the last bit at 2^53)
 *       stored    when it was loaded, ms since 1970
 *       expires   when it was meant to run out, ms since 1970
 *       soft      when a refresh is due, ms since 1970; absent without a soft TTL
 *       cost      what the load took, us
 *       state     "none": the account does not exist; "tombstone": invalidated at this version;
 *                 absent: a value
 *   <prefix>lease:{<id>}   the token of whoever may fill, SET NX PX
 *   <prefix>latest:{<id>}  a HASH version, event: what the wrong script of two steps writes beside
 *
 * The braces give an account's keys one slot of a Redis Cluster: a script may have them all.
 *
 * Uses: redis/cluster/keyspace, redis/script, base/embed. Thread: any; scripts are constant after the first
 * call. */
#ifndef RL_FLOW_CACHE_SCRIPTS_H
#define RL_FLOW_CACHE_SCRIPTS_H

#include <stdint.h>

#include "redis/cluster/keyspace.h"

enum { CACHE_KEY_MAX = 256, CACHE_VERSION_DIGITS = 20, CACHE_TOMBSTONE_MS = 5000 };
enum { CACHE_FIELD_ARGS = 14 }; /* the most that cache_entry_args fills */

typedef enum cache_script_id {
    CACHE_PUT,
    CACHE_LEASE_FILL,
    CACHE_LEASE_DROP,
    CACHE_LEASE_RELEASE,
    CACHE_VERSIONED,
    CACHE_TONUMBER,
    CACHE_TWO_STEP,
    CACHE_DELTA,
    CACHE_RESERVE,
    CACHE_SCRIPT_COUNT
} cache_script_id;

const redisc_script *cache_script(cache_script_id which);

typedef enum cache_key_kind { CACHE_KEY_ACCOUNT, CACHE_KEY_LEASE, CACHE_KEY_LATEST } cache_key_kind;

/* Writes the key and returns its length; a prefix that does not fit is cut (ask
 * cache_prefix_fits first). */
size_t cache_key(char out[CACHE_KEY_MAX], const char *prefix, cache_key_kind kind, int64_t account);
bool cache_prefix_fits(const char *prefix);

/* ---- entries ---- */

typedef enum cache_state { CACHE_ABSENT, CACHE_VALUE, CACHE_NEGATIVE, CACHE_TOMBSTONE } cache_state;

typedef struct cache_entry {
    cache_state state;
    int64_t balance, version;
    int64_t stored, soft, expires; /* ms since 1970; soft 0: none */
    int64_t cost;                  /* us */
} cache_entry;

/* An entry as field, value, ... in arguments; text keeps their bytes. */
typedef struct cache_args {
    const char *argv[CACHE_FIELD_ARGS];
    size_t lens[CACHE_FIELD_ARGS];
    int argc;
    char text[CACHE_FIELD_ARGS][24];
} cache_args;

void cache_entry_args(const cache_entry *entry, cache_args *out);
void cache_version_text(char out[CACHE_VERSION_DIGITS + 1], int64_t version);

/* From the reply to HGETALL, as a map or a list. false: no hash of ours (a wrong type, a field
 * that is no number); *out is CACHE_ABSENT then, too. */
bool cache_entry_parse(const redisReply *reply, cache_entry *out);

/* ---- after a change ---- */

typedef enum cache_mode {
    CACHE_MODE_NONE,
    CACHE_MODE_DEL,       /* a plain DEL */
    CACHE_MODE_LEASE,     /* value and lease go together */
    CACHE_MODE_VERSIONED, /* a tombstone of the version */
    CACHE_MODE_UPDATE,    /* the new value, if newer; a missing entry stays missing */
    CACHE_MODE_TONUMBER,  /* wrong: as update, versions compared as numbers */
    CACHE_MODE_TWO_STEP,  /* wrong: two writes without looking first */
    CACHE_MODE_DELTA      /* wrong: adds the amount */
} cache_mode;

extern const char *const cache_mode_names[]; /* in the order of cache_mode, NULL-terminated */
bool cache_mode_parse(const char *name, cache_mode *out);

typedef struct cache_change {
    int64_t account, version, balance, amount;
    const char *event; /* id as text, for two-step; may be NULL */
} cache_change;

typedef struct cache_tally {
    uint64_t written, refused, missing, failed;
} cache_tally;

/* Carries the changes to the cache in one pipeline, an account's in their order. An error reply counts as
 * failed and the first one is returned after all others were tried; a server that does not answer is
 * returned at once, what was carried out is unknown then. */
rl_err *cache_apply(redisc_keyspace *keys, const char *prefix, cache_mode mode,
                    const cache_change *changes, size_t n, cache_tally *tally);

#endif
