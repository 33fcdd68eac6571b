/* What came of asking a server: counted, shown in the flow's health, and judged by a breaker. */
#include <string.h>

#include "base/clock.h"
#include "flow/cache/internal.h"

static void good(flow_cache *cache, cache_breaker *breaker, const char *need)
{
    if (!cache_breaker_good(breaker))
        return;
    atomic_store(&cache->recovered_ns, clock_ns());
    flow_emit(&cache->flow, "breaker-closed", NULL, &(flow_field){.key = "need", .text = need}, 1);
}

static void bad(flow_cache *cache, cache_breaker *breaker, const char *need, rl_err *why)
{
    if (cache_breaker_bad(breaker, clock_ns()))
        flow_emit(&cache->flow, "breaker-open", why, &(flow_field){.key = "need", .text = need}, 1);
    else
        err_free(why);
}

/* One answer says nothing of a cluster's other nodes. */
void cache_redis_good(flow_cache *cache)
{
    if (!cache->cluster || cluster_whole(cache->cluster))
        flow_up(&cache->flow, "redis");
    good(cache, &cache->redis_breaker, "redis");
}

/* Only an error of dialling has a number of the system's. */
static bool breaks(const flow_cache *cache, const rl_err *why)
{
    return cache->opts.breaks == CACHE_BREAKS_FAILURES || why->code != 0;
}

/* Each node of a cluster has a breaker of its own, the client's, and one that is left alone was not asked. */
void cache_redis_bad(flow_cache *cache, const rl_err *why)
{
    if (!err_is(why, RL_REDIS, "NODE_RESTS")) {
        cache_count_up(cache, CACHE_N_REDIS_ERRORS, 1);
        flow_down(&cache->flow, "redis", why);
    }
    if (cache->cluster && cluster_known(cache->cluster))
        good(cache, &cache->redis_breaker, "redis");
    else if (breaks(cache, why))
        bad(cache, &cache->redis_breaker, "redis", NULL);
}

/* By its name, as a server that cannot be reached is to blame, too. */
bool cache_is_refusal_name(const char *name)
{
    err_meaning meaning = err_meaning_of(RL_REDIS, name);
    return meaning.blame == ERR_OF_SERVER && meaning.happened == ERR_NOT_DONE;
}

bool cache_is_refusal(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return false;
    rl_err *err = redisc_reply_err(reply);
    bool refusal = cache_is_refusal_name(err->name);
    err_free(err);
    return refusal;
}

void cache_writes_good(flow_cache *cache)
{
    good(cache, &cache->write_breaker, "redis-writes");
}

/* Health stays as it is: the cache still answers, and without it nothing would get better. */
void cache_writes_bad(flow_cache *cache, const rl_err *why)
{
    cache_count_up(cache, CACHE_N_REDIS_ERRORS, 1);
    bad(cache, &cache->write_breaker, "redis-writes", err_copy(why));
}

void cache_db_good(flow_cache *cache)
{
    atomic_store(&cache->db_up, true);
    flow_up(&cache->flow, "mysql");
    good(cache, &cache->db_breaker, "mysql");
}

void cache_db_bad(flow_cache *cache, const rl_err *why)
{
    cache_count_up(cache, CACHE_N_DB_ERRORS, 1);
    if (why->domain == RL_MYSQL) { /* what a failpoint says is not the server's fault */
        atomic_store(&cache->db_up, false);
        flow_down(&cache->flow, "mysql", why);
    }
    bad(cache, &cache->db_breaker, "mysql", NULL);
}
