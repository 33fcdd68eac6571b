/* When to trust, when to refresh, when to leave a server alone.
 *
 * Offers: cache_breaker, a circuit breaker (closed; open after so many failures in a row;
 * half-open: one caller tries, after the pause); cache_early, the draw of XFetch; cache_ttl, a
 * lifetime spread by a seed; cache_ramp, how much of a limit may be used after a recovery. All
 * take the time as an argument.
 * Uses: base/rng. Thread: the breaker any (a lock of its own), the rest pure. */
#ifndef RL_FLOW_CACHE_POLICY_H
#define RL_FLOW_CACHE_POLICY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum cache_breaker_state {
    BREAKER_CLOSED,
    BREAKER_OPEN,
    BREAKER_HALF_OPEN
} cache_breaker_state;

extern const char *const cache_breaker_names[]; /* by state */

typedef struct cache_breaker {
    pthread_mutex_t lock;
    int threshold; /* failures in a row that open it; 0: never */
    int64_t pause_ns;
    cache_breaker_state state;
    int failures;
    int64_t opened_at; /* also when the last probe began */
    int64_t opens;     /* how often it has opened */
} cache_breaker;

void cache_breaker_init(cache_breaker *breaker, int threshold, int64_t pause_ns);
void cache_breaker_close(cache_breaker *breaker);

/* Whether the server may be asked. Who gets true while it is half-open is the probe; a probe
 * that says nothing for a pause long is given up. */
bool cache_breaker_allow(cache_breaker *breaker, int64_t now_ns);
/* What came of it; both return whether the state has changed. */
bool cache_breaker_good(cache_breaker *breaker);
bool cache_breaker_bad(cache_breaker *breaker, int64_t now_ns);
cache_breaker_state cache_breaker_state_of(cache_breaker *breaker);
int64_t cache_breaker_opens(cache_breaker *breaker); /* how often it has opened */

/* XFetch: whether this reader shall load anew although the entry still lives: now - cost * beta
 * * ln(chance) >= expires, chance in (0, 1]. */
bool cache_early(int64_t now_ms, int64_t expires_ms, int64_t cost_us, double beta, double chance);

/* ttl_ms * (1 +- jitter), the same for the same seed, account and version; at least 1. */
int64_t cache_ttl(int64_t ttl_ms, double jitter, uint64_t seed, int64_t account, int64_t version);

/* How many of `most` may work at once when a server came back since_ns ago: a tenth, then half,
 * then all, for a third of ramp_ns each. ramp_ns 0: all. */
int cache_ramp(int most, int64_t since_ns, int64_t ramp_ns);

#endif
