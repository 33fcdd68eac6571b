#include "flow/cache/policy.h"

#include <math.h>

#include "base/rng.h"

const char *const cache_breaker_names[] = {"closed", "open", "half-open"};

void cache_breaker_init(cache_breaker *breaker, int threshold, int64_t pause_ns)
{
    *breaker = (cache_breaker){.threshold = threshold, .pause_ns = pause_ns};
    pthread_mutex_init(&breaker->lock, NULL);
}

void cache_breaker_close(cache_breaker *breaker)
{
    pthread_mutex_destroy(&breaker->lock);
}

bool cache_breaker_allow(cache_breaker *breaker, int64_t now_ns)
{
    pthread_mutex_lock(&breaker->lock);
    bool allow = breaker->state == BREAKER_CLOSED;
    if (!allow && now_ns - breaker->opened_at >= breaker->pause_ns) {
        breaker->state = BREAKER_HALF_OPEN;
        breaker->opened_at = now_ns;
        allow = true;
    }
    pthread_mutex_unlock(&breaker->lock);
    return allow;
}

bool cache_breaker_good(cache_breaker *breaker)
{
    pthread_mutex_lock(&breaker->lock);
    bool changed = breaker->state != BREAKER_CLOSED;
    breaker->state = BREAKER_CLOSED;
    breaker->failures = 0;
    pthread_mutex_unlock(&breaker->lock);
    return changed;
}

bool cache_breaker_bad(cache_breaker *breaker, int64_t now_ns)
{
    pthread_mutex_lock(&breaker->lock);
    breaker->failures++;
    bool opens = breaker->threshold > 0 && breaker->state != BREAKER_OPEN &&
                 (breaker->state == BREAKER_HALF_OPEN || breaker->failures >= breaker->threshold);
    if (opens) {
        breaker->state = BREAKER_OPEN;
        breaker->opened_at = now_ns;
        breaker->opens++;
    }
    pthread_mutex_unlock(&breaker->lock);
    return opens;
}

cache_breaker_state cache_breaker_state_of(cache_breaker *breaker)
{
    pthread_mutex_lock(&breaker->lock);
    cache_breaker_state state = breaker->state;
    pthread_mutex_unlock(&breaker->lock);
    return state;
}

int64_t cache_breaker_opens(cache_breaker *breaker)
{
    pthread_mutex_lock(&breaker->lock);
    int64_t opens = breaker->opens;
    pthread_mutex_unlock(&breaker->lock);
    return opens;
}

bool cache_early(int64_t now_ms, int64_t expires_ms, int64_t cost_us, double beta, double chance)
{
    if (beta <= 0 || expires_ms == 0)
        return false;
    double ahead_ms = (double)cost_us / 1000 * beta * -log(chance > 0 ? chance : 1e-300);
    return (double)now_ms + ahead_ms >= (double)expires_ms;
}

int64_t cache_ttl(int64_t ttl_ms, double jitter, uint64_t seed, int64_t account, int64_t version)
{
    rl_rng rng, of_account;
    if (jitter <= 0)
        return ttl_ms;
    const int64_t label[] = {account, version};
    rng_init(&rng, seed);
    rng_split(&rng, (const char *)label, sizeof label, &of_account);
    double spread = 1 + jitter * (2 * rng_double(&of_account) - 1);
    int64_t ttl = (int64_t)((double)ttl_ms * spread);
    return ttl > 0 ? ttl : 1;
}

int cache_ramp(int most, int64_t since_ns, int64_t ramp_ns)
{
    if (since_ns >= ramp_ns / 3 * 2)
        return most;
    int part = since_ns < ramp_ns / 3 ? most / 10 : most / 2;
    return part > 0 ? part : 1;
}
