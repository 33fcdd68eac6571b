/* Loads: the lease, the read of the database, the fill. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "base/log.h"
#include "fault/point/registry.h"
#include "flow/cache/internal.h"

enum { LEASE_POLL_FIRST_MS = 2, LEASE_POLL_MAX_MS = 20 };

typedef struct load {
    cache_worker *worker;
    cache_flight *flight;
    bool redis;  /* it may still be asked */
    bool leased; /* token is in Redis */
    char token[96];
    flow_cache_source source;
    cache_entry entry;
    bool refused; /* the failure is our own cap's */
    bool skipped; /* a refresh that somebody else does */
} load;

/* ---- Redis on the worker's own connection ---- */

static bool redis_usable(load *l)
{
    cache_worker *w = l->worker;
    if (!l->redis || !redisc_broken(w->redis))
        return l->redis;
    rl_err *err = redisc_connect(w->redis);
    if (err)
        cache_redis_bad(w->cache, err);
    err_free(err);
    l->redis = !err;
    return l->redis;
}

static void redis_failed(load *l, rl_err *err)
{
    cache_redis_bad(l->worker->cache, err);
    err_free(err);
    l->redis = false;
}

static void add_words(redisc_pipe *pipe, int argc, const char *const *argv)
{
    redisc_pipe_begin(pipe, argc);
    for (int i = 0; i < argc; i++)
        redisc_pipe_arg(pipe, argv[i], strlen(argv[i]));
}

/* Runs the pipe; replies come back NULL where they did not come. A connection that broke while
 * idle is made anew once. */
static bool run_pipe(load *l, redisc_pipe *pipe, redisReply **replies, size_t n)
{
    rl_err *err = NULL;
    for (int attempt = 0; attempt < 2 && redis_usable(l); attempt++) {
        size_t got = 0;
        memset(replies, 0, n * sizeof *replies);
        err_free(err);
        err = redisc_pipe_run(l->worker->redis, pipe, replies, &got);
        if (!err || got || !err_is(err, RL_REDIS, "CONNECTION_LOST"))
            break;
    }
    redisc_pipe_free(pipe);
    if (err)
        redis_failed(l, err);
    return l->redis;
}

static void free_replies(redisReply **replies, size_t n)
{
    for (size_t i = 0; i < n; i++)
        freeReplyObject(replies[i]);
}

static void account_key(const load *l, cache_key_kind kind, char out[CACHE_KEY_MAX])
{
    cache_key(out, l->worker->cache->opts.prefix, kind, l->flight->account);
}

/* ---- somebody else may have filled it meanwhile ---- */

/* What is there is good enough: not what this load was begun to replace. */
static bool is_fresh(const load *l, const cache_entry *e)
{
    const flow_cache_opts *o = &l->worker->cache->opts;
    if (e->state == CACHE_NEGATIVE)
        return o->negative_ttl_ms > 0;
    if (e->state != CACHE_VALUE)
        return false;
    if (l->flight->seen.state == CACHE_VALUE && e->stored <= l->flight->seen.stored)
        return false;
    return !(o->soft_ttl_ms > 0 && e->soft && clock_unix_ms() >= e->soft);
}

static bool take_if_fresh(load *l, const redisReply *reply)
{
    cache_entry e;
    if (!cache_entry_parse(reply, &e) || !is_fresh(l, &e))
        return false;
    l->entry = e;
    l->source = e.state == CACHE_NEGATIVE ? CACHE_FROM_NEGATIVE : CACHE_FROM_CACHE;
    return true;
}

/* Looks once more, since a flight may have ended between this reader's miss and its load. */
static bool found_again(load *l)
{
    redisc_pipe pipe = {0};
    redisReply *reply;
    char key[CACHE_KEY_MAX];
    account_key(l, CACHE_KEY_ACCOUNT, key);
    add_words(&pipe, 2, (const char *[]){"HGETALL", key});
    if (!run_pipe(l, &pipe, &reply, 1))
        return false;
    bool found = take_if_fresh(l, reply);
    freeReplyObject(reply);
    return found;
}

/* ---- the lease ---- */

typedef enum lease_answer { LEASE_MINE, LEASE_FOUND, LEASE_TAKEN, LEASE_NO_REDIS } lease_answer;

static lease_answer ask_lease(load *l)
{
    redisc_pipe pipe = {0};
    redisReply *replies[2];
    char lease[CACHE_KEY_MAX], key[CACHE_KEY_MAX], ms[24];
    account_key(l, CACHE_KEY_LEASE, lease);
    account_key(l, CACHE_KEY_ACCOUNT, key);
    snprintf(ms, sizeof ms, "%lld", (long long)l->worker->cache->opts.lease_ms);
    add_words(&pipe, 6, (const char *[]){"SET", lease, l->token, "NX", "PX", ms});
    add_words(&pipe, 2, (const char *[]){"HGETALL", key});
    if (!run_pipe(l, &pipe, replies, 2))
        return LEASE_NO_REDIS;
    l->leased = replies[0]->type == REDIS_REPLY_STATUS;
    bool found = take_if_fresh(l, replies[1]);
    free_replies(replies, 2);
    return found ? LEASE_FOUND : l->leased ? LEASE_MINE : LEASE_TAKEN;
}

static void run_script(load *l, cache_script_id id, int nkeys, int argc, const char *const *argv,
                       const size_t *lens, int64_t *answer, bool *failed)
{
    redisReply *reply = NULL;
    *failed = true;
    if (!redis_usable(l))
        return;
    rl_err *err =
        redisc_script_call(l->worker->redis, cache_script(id), nkeys, argc, argv, lens, &reply);
    *failed = err != NULL;
    *answer = reply && reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    freeReplyObject(reply);
    if (err && err->fatal) {
        redis_failed(l, err);
        return;
    }
    if (err)
        log_msg(LOG_LEVEL_WARN, "the cache was not filled: %s: %s", err->name, err->msg);
    err_free(err);
}

static void release_lease(load *l)
{
    char lease[CACHE_KEY_MAX];
    int64_t answer;
    bool failed;
    if (!l->leased)
        return;
    l->leased = false;
    account_key(l, CACHE_KEY_LEASE, lease);
    run_script(l, CACHE_LEASE_RELEASE, 1, 2, (const char *[]){lease, l->token},
               (const size_t[]){strlen(lease), strlen(l->token)}, &answer, &failed);
}

static void new_token(load *l)
{
    snprintf(l->token, sizeof l->token, "%s-%llu", l->worker->name,
             (unsigned long long)++l->worker->tokens);
}

/* Whether the load goes on to the database; the lease is then ours, or nobody could say whose it
 * is, or its owner takes too long. */
static bool wait_for_lease(load *l)
{
    flow_cache *cache = l->worker->cache;
    rl_deadline until = deadline_in_ms(cache->opts.lease_ms);
    double pause = LEASE_POLL_FIRST_MS;
    for (bool waited = false;; waited = true) {
        switch (ask_lease(l)) {
        case LEASE_FOUND:
            release_lease(l);
            cache_count_up(cache, CACHE_N_LEASE_HITS, waited);
            return false;
        case LEASE_MINE:
        case LEASE_NO_REDIS:
            return true;
        case LEASE_TAKEN:
            break;
        }
        l->skipped = l->flight->background && !cache_flight_waiters(&cache->flights, l->flight);
        if (l->skipped)
            return false;
        if (cache->opts.single != CACHE_SINGLE_LEASE || deadline_passed(until))
            return true;
        cache_count_up(cache, CACHE_N_LEASE_WAITS, !waited);
        flow_pause(&cache->flow, pause / 1e3);
        pause = pause * 1.5 < LEASE_POLL_MAX_MS ? pause * 1.5 : LEASE_POLL_MAX_MS;
    }
}

/* ---- the database ---- */

/* As text, so that whoever looks at the wire sees the account. */
static rl_err *ask_database(load *l, my_result **rows)
{
    char sql[128];
    int len = snprintf(sql, sizeof sql,
                       "SELECT balance, version FROM account_view WHERE account_id = %lld",
                       (long long)l->flight->account);
    rl_err *err = my_conn_broken(l->worker->db) ? my_conn_connect(l->worker->db) : NULL;
    if (!err)
        err = my_query(l->worker->db, &(my_cmd){.sql = sql, .len = (size_t)len}, rows);
    return err;
}

/* A connection that lay idle while the server was restarted is lost at its next use: that alone
 * is no failure of the server. */
static rl_err *select_account(load *l)
{
    my_result *rows = NULL;
    bool fresh = my_conn_broken(l->worker->db) != NULL;
    rl_err *err = ask_database(l, &rows);
    if (err && !fresh && err->fatal && !err_is(err, RL_MYSQL, "TIMEOUT")) {
        err_free(err);
        err = ask_database(l, &rows);
    }
    if (err)
        return err;
    l->entry = (cache_entry){.state = rows->nrows ? CACHE_VALUE : CACHE_NEGATIVE};
    if (rows->nrows) {
        l->entry.balance = my_cell(rows, 0, 0).i;
        l->entry.version = my_cell(rows, 0, 1).i;
    }
    my_result_free(rows);
    return NULL;
}

static void database_good(flow_cache *cache)
{
    atomic_store(&cache->db_up, true);
    flow_up(&cache->flow, "mysql");
    if (cache_breaker_good(&cache->db_breaker))
        cache_recovered(cache, "mysql");
}

static void database_bad(flow_cache *cache, const rl_err *err)
{
    cache_count_up(cache, CACHE_N_DB_ERRORS, 1);
    if (err->domain == RL_MYSQL) { /* what a failpoint says is not the server's fault */
        atomic_store(&cache->db_up, false);
        flow_down(&cache->flow, "mysql", err);
    }
    if (cache_breaker_bad(&cache->db_breaker, clock_ns()))
        flow_emit(&cache->flow, "breaker-open", NULL, &(flow_field){.key = "need", .text = "mysql"},
                  1);
}

static rl_err *in_turn(load *l)
{
    flow_cache *cache = l->worker->cache;
    int64_t began = clock_ns(); /* a pause there is a slow load */
    rl_err *err = cache_point(FAIL_POINT_QUERY_DB_LOAD, l->flight->account);
    if (!err) {
        cache_count_up(cache, CACHE_N_DB_READS, 1);
        err = select_account(l);
    }
    l->entry.stored = clock_unix_ms();
    l->entry.cost = (clock_ns() - began) / 1000;
    if (err)
        database_bad(cache, err);
    else
        database_good(cache);
    return err;
}

static rl_err *read_database(load *l)
{
    flow_cache *cache = l->worker->cache;
    l->refused = true;
    if (!cache_pool_enter(cache, l->flight->submitted_ns))
        return cache_refusal("BUSY", "as many reads of the database are under way as may be");
    rl_err *err;
    if (cache_breaker_allow(&cache->db_breaker, clock_ns())) {
        err = in_turn(l);
        l->refused = false;
    } else {
        err = cache_refusal("BREAKER_OPEN", "the database failed and is left alone for a moment");
    }
    cache_pool_leave(cache);
    l->source = CACHE_FROM_DB;
    return err;
}

/* ---- the fill ---- */

static int64_t lifetime(load *l)
{
    const flow_cache_opts *o = &l->worker->cache->opts;
    cache_entry *e = &l->entry;
    if (e->state == CACHE_NEGATIVE)
        return o->negative_ttl_ms;
    int64_t ttl = cache_ttl(o->ttl_ms, o->jitter, o->seed, l->flight->account, e->version);
    if (o->soft_ttl_ms > 0)
        e->soft = e->stored +
                  cache_ttl(o->soft_ttl_ms, o->jitter, o->seed, l->flight->account, e->version);
    return ttl;
}

typedef struct fill_call {
    cache_script_id script;
    int nkeys, argc;
    const char *argv[6 + CACHE_FIELD_ARGS];
    size_t lens[6 + CACHE_FIELD_ARGS];
} fill_call;

static void put(fill_call *c, const char *text)
{
    c->argv[c->argc] = text;
    c->lens[c->argc++] = strlen(text);
}

/* The script of the mode with its arguments, which point into the texts given. */
static void prepare_fill(load *l, fill_call *c, const char *key, const char *lease,
                         const char *version, const char *ttl)
{
    flow_cache_fill mode = l->worker->cache->opts.fill;
    c->script = mode == CACHE_FILL_PLAIN   ? CACHE_PUT
                : mode == CACHE_FILL_LEASE ? CACHE_LEASE_FILL
                                           : CACHE_VERSIONED;
    put(c, key);
    c->nkeys = 1;
    if (mode == CACHE_FILL_LEASE) {
        put(c, lease);
        c->nkeys = 2;
        put(c, l->token);
    }
    if (mode == CACHE_FILL_VERSIONED) {
        put(c, "fill");
        put(c, version);
    }
    put(c, ttl);
}

static void fill(load *l, int64_t ttl)
{
    flow_cache *cache = l->worker->cache;
    fill_call c = {.argc = 0};
    cache_args fields;
    char key[CACHE_KEY_MAX], lease[CACHE_KEY_MAX], version[CACHE_VERSION_DIGITS + 1], ms[24];
    account_key(l, CACHE_KEY_ACCOUNT, key);
    account_key(l, CACHE_KEY_LEASE, lease);
    cache_version_text(version, l->entry.version);
    snprintf(ms, sizeof ms, "%lld", (long long)ttl);
    l->entry.expires = l->entry.stored + ttl;
    cache_entry_args(&l->entry, &fields);
    prepare_fill(l, &c, key, lease, version, ms);
    /* versioned.lua puts the version itself; twice the same field is the same field */
    for (int i = 0; i < fields.argc; i++)
        put(&c, fields.argv[i]);
    int64_t written = 0;
    bool failed;
    run_script(l, c.script, c.nkeys, c.argc, c.argv, c.lens, &written, &failed);
    cache_count_up(cache,
                   failed    ? CACHE_N_FILL_ERRORS
                   : written ? CACHE_N_FILLS
                             : CACHE_N_FILLS_REFUSED,
                   1);
    if (!failed && written && c.script == CACHE_LEASE_FILL)
        l->leased = false; /* the script has taken it */
}

static void after_read(load *l)
{
    flow_cache *cache = l->worker->cache;
    err_free(cache_point(FAIL_POINT_QUERY_BEFORE_FILL, l->flight->account));
    int64_t ttl = lifetime(l);
    if (cache->local)
        cache_local_put(cache->local, l->flight->account, &l->entry, clock_unix_ms());
    bool may = cache->opts.fill != CACHE_FILL_LEASE || l->leased;
    if (ttl > 0 && may && l->redis)
        fill(l, ttl);
}

/* ---- a load ---- */

static rl_err *load_once(load *l)
{
    const flow_cache_opts *o = &l->worker->cache->opts;
    bool leases = o->single == CACHE_SINGLE_LEASE || o->fill == CACHE_FILL_LEASE;
    new_token(l);
    l->leased = false;
    if (l->redis && leases && !wait_for_lease(l))
        return NULL;
    if (l->redis && !leases && o->single == CACHE_SINGLE_PROCESS && found_again(l))
        return NULL;
    rl_err *err = read_database(l);
    if (!err)
        after_read(l);
    release_lease(l);
    return err;
}

static bool worth_a_retry(load *l, const rl_err *err)
{
    return !l->refused && !err_is(err, RL_MYSQL, "TIMEOUT") &&
           !flow_aborted(&l->worker->cache->flow);
}

void cache_load(cache_worker *worker, cache_flight *flight)
{
    flow_cache *cache = worker->cache;
    load l = {.worker = worker, .flight = flight};
    l.redis = !flight->cacheless && cache_breaker_state_of(&cache->redis_breaker) == BREAKER_CLOSED;
    rl_err *err = load_once(&l);
    for (int i = 0; err && i < cache->opts.retries && worth_a_retry(&l, err) &&
                    cache_flight_waiters(&cache->flights, flight) > 1;
         i++) {
        cache_count_up(cache, CACHE_N_RETRIES, 1);
        err_free(err);
        err = load_once(&l);
    }
    if (flight->forced && !err && l.source == CACHE_FROM_DB) {
        cache_count_up(cache, CACHE_N_EARLY, 1);
        flow_hdr_record(&cache->ahead, flight->ahead_ms * 1000000, 1);
    }
    if (l.skipped) /* who came just now reads what the other process writes, or loads himself */
        l.entry = flight->seen, l.source = CACHE_FROM_STALE;
    cache_land(cache, flight, l.source, &l.entry, err, l.refused);
}
