/* Loads: the lease, the read of the database, the fill. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "base/log.h"
#include "base/units.h"
#include "fault/point/registry.h"
#include "flow/cache/internal.h"

enum { LEASE_POLL_FIRST_MS = 2, LEASE_POLL_MAX_MS = 20 };

typedef struct cache_fetch {
    cache_worker *worker;
    cache_flight *flight;
    bool redis;  /* it may still be asked */
    bool writes; /* and it takes writes, as far as is known */
    bool leased; /* token is in Redis */
    char token[96];
    flow_cache_source source;
    cache_entry entry;
    bool refused; /* the failure is our own cap's */
    bool skipped; /* a refresh that somebody else does */
} cache_fetch;

/* ---- Redis on the worker's own connection ---- */

static bool redis_usable(cache_fetch *fetch)
{
    cache_worker *worker = fetch->worker;
    if (!fetch->redis || keyspace_connected(worker->redis))
        return fetch->redis;
    rl_err *err = keyspace_connect(worker->redis);
    if (err)
        cache_redis_bad(worker->cache, err);
    err_free(err);
    fetch->redis = !err;
    return fetch->redis;
}

static void redis_failed(cache_fetch *fetch, rl_err *err)
{
    cache_redis_bad(fetch->worker->cache, err);
    err_free(err);
    fetch->redis = false;
}

static void add_words(redisc_pipe *pipe, int argc, const char *const *argv)
{
    redisc_pipe_begin(pipe, argc);
    for (int i = 0; i < argc; i++)
        redisc_pipe_arg(pipe, argv[i], strlen(argv[i]));
}

static void free_replies(redisReply **replies, size_t n)
{
    for (size_t i = 0; i < n; i++)
        freeReplyObject(replies[i]);
}

/* Runs the pipe; false: not all replies came, and those that did are freed. A connection that broke
 * while idle is made anew once. */
static bool run_pipe(cache_fetch *fetch, redisc_pipe *pipe, redisReply **replies, size_t n)
{
    rl_err *err = NULL;
    rl_assert(pipe->count == n);
    memset(replies, 0, n * sizeof *replies);
    for (int attempt = 0; attempt < 2 && redis_usable(fetch); attempt++) {
        size_t got = 0;
        err_free(err);
        err = keyspace_run(fetch->worker->redis, pipe, replies, &got);
        if (!err || got || !err_is(err, RL_REDIS, "CONNECTION_LOST"))
            break;
    }
    redisc_pipe_free(pipe);
    if (err) {
        free_replies(replies, n);
        redis_failed(fetch, err);
    }
    return fetch->redis;
}

/* Redis said no to a write of ours, which would go on to be said to the next ones. */
static void write_refused(cache_fetch *fetch, const rl_err *why)
{
    cache_writes_bad(fetch->worker->cache, why);
    fetch->writes = false;
}

static void account_key(const cache_fetch *fetch, cache_key_kind kind, char out[CACHE_KEY_MAX])
{
    cache_key(out, fetch->worker->cache->opts.prefix, kind, fetch->flight->account);
}

/* ---- somebody else may have filled it meanwhile ---- */

/* What is there is good enough: not what this load was begun to replace. */
static bool is_fresh(const cache_fetch *fetch, const cache_entry *entry)
{
    const flow_cache_opts *opts = &fetch->worker->cache->opts;
    if (entry->state == CACHE_NEGATIVE)
        return opts->negative_ttl_ms > 0;
    if (entry->state != CACHE_VALUE)
        return false;
    if (fetch->flight->seen.state == CACHE_VALUE && entry->stored <= fetch->flight->seen.stored)
        return false;
    return !(opts->soft_ttl_ms > 0 && entry->soft && clock_unix_ms() >= entry->soft);
}

static bool take_if_fresh(cache_fetch *fetch, const redisReply *reply)
{
    cache_entry e;
    if (!cache_entry_parse(reply, &e) || !is_fresh(fetch, &e))
        return false;
    fetch->entry = e;
    fetch->source = e.state == CACHE_NEGATIVE ? CACHE_FROM_NEGATIVE : CACHE_FROM_CACHE;
    return true;
}

/* Looks once more, since a flight may have ended between this reader's miss and its load. */
static bool found_again(cache_fetch *fetch)
{
    redisc_pipe pipe = {0};
    redisReply *reply;
    char key[CACHE_KEY_MAX];
    account_key(fetch, CACHE_KEY_ACCOUNT, key);
    add_words(&pipe, 2, (const char *[]){"HGETALL", key});
    if (!run_pipe(fetch, &pipe, &reply, 1))
        return false;
    bool found = take_if_fresh(fetch, reply);
    freeReplyObject(reply);
    return found;
}

/* ---- the lease ---- */

typedef enum lease_answer { LEASE_MINE, LEASE_FOUND, LEASE_TAKEN, LEASE_UNKNOWN } lease_answer;

/* The reply to SET NX: OK when the lease is ours, nil when it is somebody else's. */
static bool note_lease(cache_fetch *fetch, const redisReply *reply)
{
    fetch->leased = reply->type == REDIS_REPLY_STATUS;
    if (reply->type != REDIS_REPLY_ERROR) {
        cache_writes_good(fetch->worker->cache);
        return true;
    }
    rl_err *why = redisc_reply_err(reply);
    write_refused(fetch, why);
    err_free(why);
    return false;
}

static lease_answer ask_lease(cache_fetch *fetch)
{
    redisc_pipe pipe = {0};
    redisReply *replies[2];
    char lease[CACHE_KEY_MAX], key[CACHE_KEY_MAX], ms[24];
    account_key(fetch, CACHE_KEY_LEASE, lease);
    account_key(fetch, CACHE_KEY_ACCOUNT, key);
    snprintf(ms, sizeof ms, "%lld", (long long)fetch->worker->cache->opts.lease_ms);
    add_words(&pipe, 6, (const char *[]){"SET", lease, fetch->token, "NX", "PX", ms});
    add_words(&pipe, 2, (const char *[]){"HGETALL", key});
    if (!run_pipe(fetch, &pipe, replies, 2))
        return LEASE_UNKNOWN;
    bool known = note_lease(fetch, replies[0]);
    bool found = take_if_fresh(fetch, replies[1]);
    free_replies(replies, 2);
    return found ? LEASE_FOUND : !known ? LEASE_UNKNOWN : fetch->leased ? LEASE_MINE : LEASE_TAKEN;
}

static void run_script(cache_fetch *fetch, cache_script_id id, int nkeys, int argc,
                       const char *const *argv, const size_t *lens, int64_t *answer, bool *failed)
{
    redisReply *reply = NULL;
    *failed = true;
    if (!redis_usable(fetch))
        return;
    rl_err *err =
        keyspace_script(fetch->worker->redis, cache_script(id), nkeys, argc, argv, lens, &reply);
    *failed = err != NULL;
    *answer = reply && reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    freeReplyObject(reply);
    bool refusal = err && cache_is_refusal_name(err->name);
    if (err && !refusal && (err->fatal || err->retriable)) {
        redis_failed(fetch, err);
        return;
    }
    if (refusal)
        write_refused(fetch, err);
    else if (err)
        log_msg(LOG_LEVEL_WARN, "the cache was not filled: %s: %s", err->name, err->msg);
    else
        cache_writes_good(fetch->worker->cache);
    err_free(err);
}

static void release_lease(cache_fetch *fetch)
{
    char lease[CACHE_KEY_MAX];
    int64_t answer;
    bool failed;
    if (!fetch->leased)
        return;
    fetch->leased = false;
    account_key(fetch, CACHE_KEY_LEASE, lease);
    run_script(fetch, CACHE_LEASE_RELEASE, 1, 2, (const char *[]){lease, fetch->token},
               (const size_t[]){strlen(lease), strlen(fetch->token)}, &answer, &failed);
}

static void new_token(cache_fetch *fetch)
{
    snprintf(fetch->token, sizeof fetch->token, "%s-%llu", fetch->worker->name,
             (unsigned long long)++fetch->worker->tokens);
}

/* Whether the load goes on to the database; the lease is then ours, or nobody could say whose it
 * is, or its owner takes too long. */
static bool wait_for_lease(cache_fetch *fetch)
{
    flow_cache *cache = fetch->worker->cache;
    rl_deadline until = deadline_in_ms(cache->opts.lease_ms);
    double pause = LEASE_POLL_FIRST_MS;
    for (bool waited = false;; waited = true) {
        switch (ask_lease(fetch)) {
        case LEASE_FOUND:
            release_lease(fetch);
            cache_count_up(cache, CACHE_N_LEASE_HITS, waited);
            return false;
        case LEASE_MINE:
        case LEASE_UNKNOWN:
            return true;
        case LEASE_TAKEN:
            break;
        }
        fetch->skipped =
            fetch->flight->background && !cache_flight_waiters(&cache->flights, fetch->flight);
        if (fetch->skipped)
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
static rl_err *ask_database(cache_fetch *fetch, my_result **rows)
{
    char sql[128];
    int len = snprintf(sql, sizeof sql,
                       "SELECT balance, version FROM account_view WHERE account_id = %lld",
                       (long long)fetch->flight->account);
    rl_err *err = my_conn_broken(fetch->worker->db) ? my_conn_connect(fetch->worker->db) : NULL;
    if (!err)
        err = my_query(fetch->worker->db, &(my_cmd){.sql = sql, .len = (size_t)len}, rows);
    return err;
}

/* A connection that lay idle while the server was restarted is lost at its next use: that alone
 * is no failure of the server. */
static rl_err *select_account(cache_fetch *fetch)
{
    my_result *rows = NULL;
    bool fresh = my_conn_broken(fetch->worker->db) != NULL;
    rl_err *err = ask_database(fetch, &rows);
    if (err && !fresh && err->fatal && !err_is(err, RL_MYSQL, "TIMEOUT")) {
        err_free(err);
        err = ask_database(fetch, &rows);
    }
    if (err)
        return err;
    fetch->entry = (cache_entry){.state = rows->nrows ? CACHE_VALUE : CACHE_NEGATIVE};
    if (rows->nrows) {
        fetch->entry.balance = my_cell(rows, 0, 0).i;
        fetch->entry.version = my_cell(rows, 0, 1).i;
    }
    my_result_free(rows);
    return NULL;
}

static rl_err *in_turn(cache_fetch *fetch)
{
    flow_cache *cache = fetch->worker->cache;
    int64_t began = clock_ns(); /* a pause there is a slow load */
    rl_err *err = cache_point(FAIL_POINT_QUERY_DB_LOAD, fetch->flight->account);
    if (!err) {
        cache_count_up(cache, CACHE_N_DB_READS, 1);
        err = select_account(fetch);
    }
    fetch->entry.stored = clock_unix_ms();
    fetch->entry.cost = (clock_ns() - began) / 1000;
    if (err)
        cache_db_bad(cache, err);
    else
        cache_db_good(cache);
    return err;
}

static rl_err *read_database(cache_fetch *fetch)
{
    flow_cache *cache = fetch->worker->cache;
    fetch->refused = true;
    if (!cache_turn_take(cache, fetch->flight->submitted_ns))
        return cache_turn_refusal();
    rl_err *err;
    if (cache_breaker_allow(&cache->db_breaker, clock_ns())) {
        err = in_turn(fetch);
        fetch->refused = false;
    } else {
        err = cache_refusal("BREAKER_OPEN", "the database failed and is left alone for a moment");
    }
    cache_turn_leave(cache);
    fetch->source = CACHE_FROM_DB;
    return err;
}

/* ---- the fill ---- */

static int64_t lifetime(cache_fetch *fetch)
{
    const flow_cache_opts *opts = &fetch->worker->cache->opts;
    cache_entry *entry = &fetch->entry;
    if (entry->state == CACHE_NEGATIVE)
        return opts->negative_ttl_ms;
    int64_t ttl =
        cache_ttl(opts->ttl_ms, opts->jitter, opts->seed, fetch->flight->account, entry->version);
    if (opts->soft_ttl_ms > 0)
        entry->soft = entry->stored + cache_ttl(opts->soft_ttl_ms, opts->jitter, opts->seed,
                                                fetch->flight->account, entry->version);
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
static void prepare_fill(cache_fetch *fetch, fill_call *c, const char *key, const char *lease,
                         const char *version, const char *ttl)
{
    flow_cache_fill mode = fetch->worker->cache->opts.fill;
    c->script = mode == CACHE_FILL_PLAIN   ? CACHE_PUT
                : mode == CACHE_FILL_LEASE ? CACHE_LEASE_FILL
                                           : CACHE_VERSIONED;
    put(c, key);
    c->nkeys = 1;
    if (mode == CACHE_FILL_LEASE) {
        put(c, lease);
        c->nkeys = 2;
        put(c, fetch->token);
    }
    if (mode == CACHE_FILL_VERSIONED) {
        put(c, "fill");
        put(c, version);
    }
    put(c, ttl);
}

static void fill(cache_fetch *fetch, int64_t ttl)
{
    flow_cache *cache = fetch->worker->cache;
    fill_call c = {.argc = 0};
    cache_args fields;
    char key[CACHE_KEY_MAX], lease[CACHE_KEY_MAX], version[CACHE_VERSION_DIGITS + 1], ms[24];
    account_key(fetch, CACHE_KEY_ACCOUNT, key);
    account_key(fetch, CACHE_KEY_LEASE, lease);
    cache_version_text(version, fetch->entry.version);
    snprintf(ms, sizeof ms, "%lld", (long long)ttl);
    fetch->entry.expires = fetch->entry.stored + ttl;
    cache_entry_args(&fetch->entry, &fields);
    prepare_fill(fetch, &c, key, lease, version, ms);
    /* versioned.lua puts the version itself; twice the same field is the same field */
    for (int i = 0; i < fields.argc; i++)
        put(&c, fields.argv[i]);
    int64_t written = 0;
    bool failed;
    run_script(fetch, c.script, c.nkeys, c.argc, c.argv, c.lens, &written, &failed);
    cache_count_up(cache,
                   failed    ? CACHE_N_FILL_ERRORS
                   : written ? CACHE_N_FILLS
                             : CACHE_N_FILLS_REFUSED,
                   1);
    if (!failed && written && c.script == CACHE_LEASE_FILL)
        fetch->leased = false; /* the script has taken it */
}

static void after_read(cache_fetch *fetch)
{
    flow_cache *cache = fetch->worker->cache;
    err_free(cache_point(FAIL_POINT_QUERY_BEFORE_FILL, fetch->flight->account));
    int64_t ttl = lifetime(fetch);
    if (cache->local)
        cache_local_put(cache->local, fetch->flight->account, &fetch->entry, clock_unix_ms());
    bool may = cache->opts.fill != CACHE_FILL_LEASE || fetch->leased;
    if (ttl > 0 && may && fetch->redis && fetch->writes)
        fill(fetch, ttl);
}

/* ---- a load ---- */

static rl_err *load_once(cache_fetch *fetch)
{
    const flow_cache_opts *opts = &fetch->worker->cache->opts;
    bool leases = opts->single == CACHE_SINGLE_LEASE || opts->fill == CACHE_FILL_LEASE;
    new_token(fetch);
    fetch->leased = false;
    bool asks_lease = leases && fetch->writes;
    if (fetch->redis && asks_lease && !wait_for_lease(fetch))
        return NULL;
    if (fetch->redis && !asks_lease && opts->single != CACHE_SINGLE_NONE && found_again(fetch))
        return NULL;
    rl_err *err = read_database(fetch);
    if (!err)
        after_read(fetch);
    release_lease(fetch);
    return err;
}

static bool worth_a_retry(cache_fetch *fetch, const rl_err *err)
{
    return !fetch->refused && !err_is(err, RL_MYSQL, "TIMEOUT") &&
           !flow_aborted(&fetch->worker->cache->flow);
}

void cache_load(cache_worker *worker, cache_flight *flight)
{
    flow_cache *cache = worker->cache;
    cache_fetch fetch = {.worker = worker, .flight = flight};
    rl_assert(flight->state == CACHE_FLIGHT_TAKEN);
    fetch.redis =
        !flight->cacheless && cache_breaker_state_of(&cache->redis_breaker) == BREAKER_CLOSED;
    fetch.writes = fetch.redis && cache_breaker_allow(&cache->write_breaker, clock_ns());
    rl_err *err = load_once(&fetch);
    for (int i = 0; err && i < cache->opts.retries && worth_a_retry(&fetch, err) &&
                    cache_flight_waiters(&cache->flights, flight) > 1;
         i++) {
        cache_count_up(cache, CACHE_N_RETRIES, 1);
        err_free(err);
        err = load_once(&fetch);
    }
    if (flight->forced && !err && fetch.source == CACHE_FROM_DB) {
        cache_count_up(cache, CACHE_N_EARLY, 1);
        flow_hdr_record(&cache->ahead, units_times(flight->ahead_ms, 1000000), 1);
    }
    if (fetch.skipped) /* who came just now reads what the other process writes, or loads it */
        fetch.entry = flight->seen, fetch.source = CACHE_FROM_STALE;
    cache_answer_flight(cache, flight, fetch.source, &fetch.entry, err, fetch.refused);
}
