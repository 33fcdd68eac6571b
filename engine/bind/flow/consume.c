/* rlab.flow_consume: open{brokers =, topic =, group =, mysql = {...}, ...} -> consume | nil,
 * err. */
#include <lauxlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "bind/flow/consume.h"
#include "bind/value/hdr.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/flow/handle.h"
#include "bind/kafka/conf.h"
#include "bind/value/opts.h"
#include "bind/value/store_opts.h"
#include "flow/consume/flow.h"
#include "kafka/client.h"

enum { OPTS = 1, HANDLE = 2 };
static const double close_at_most = 10;

int luaopen_rlab_flow_consume(lua_State *L);

static void consume_close_impl(void *impl)
{
    flow_consume_close(impl, close_at_most);
}

static const rl_handle_type consume_handle = {.name = "flow.consume",
                                              .close = consume_close_impl,
                                              .cancel = flow_handle_cancel,
                                              .detach = flow_handle_detach};

flow_consume *flow_consume_check(lua_State *L)
{
    return handle_check(L, 1, &consume_handle)->impl;
}

flow_consume *flow_consume_test(lua_State *L, int idx)
{
    const rl_handle *h = handle_test(L, idx, &consume_handle);
    return h ? h->impl : NULL;
}

/* ---- words ---- */

static const char *const commits[] = {"after-work", "sync-after-work", "before-work", "auto",
                                      "pool-max",   "pool-min",        "mysql",       NULL};
static const char *const dedups[] = {"processed-event", "none", "redis", "position", NULL};
static const char *const conflicts[] = {"retry", "dlq", "repeat-statement", "restart", NULL};
static const char *const payloads[] = {"json", "avro", NULL};
static const char *const undecodables[] = {"park", "pass-over", NULL};
static const char *const missings[] = {"refuse", "zero", NULL};
static const char *const retry_waits[] = {"topic", "sleep", NULL};
static const char *const lock_orders[] = {"event", "id", NULL};

static int consume_read_word(lua_State *L, const char *key, const char *def,
                             const char *const *words)
{
    return opts_word(L, OPTS, key, def, "flow_consume.open", words);
}

/* "del-before", "del-after" and "del-twice" are our words for DEL; the others are the cache's own. */
static void read_cache(lua_State *L, flow_consume_opts *opts)
{
    const char *word = opts_str(L, OPTS, "cache", "none");
    opts->cache_again = strcmp(word, "del-twice") == 0;
    opts->cache_before = opts->cache_again || strcmp(word, "del-before") == 0;
    bool del = opts->cache_before || strcmp(word, "del-after") == 0;
    if (!cache_mode_parse(del ? "del" : word, &opts->cache))
        luaL_error(L,
                   "flow_consume.open: cache: '%s' is none of none, del-before, del-after, "
                   "del-twice, lease, versioned, update, delta, tonumber, two-step",
                   word);
    opts->cache_prefix = opts_str(L, OPTS, "prefix", "");
    luaL_argcheck(L, cache_prefix_fits(opts->cache_prefix), OPTS, "prefix is too long");
}

/* Names go into statements as they are. */
static const char *read_name(lua_State *L, const char *key, const char *def, size_t most)
{
    const char *name = opts_str(L, OPTS, key, def);
    if (!name || !*name || strlen(name) > most ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
            strlen(name))
        luaL_error(
            L, "flow_consume.open: %s: letters, digits and . _ - are expected, at most %d of them",
            key, (int)most);
    return name;
}

static const char *read_topic(lua_State *L, const char *key, const char *topic)
{
    if (topic && !kafka_topic_can_be(topic))
        luaL_error(L, "flow_consume.open: %s: there can be no topic '%s'", key, topic);
    return topic;
}

/* ---- retry topics ---- */

/* "5s:orders.retry.5s,1m:orders.retry.1m"; the pieces are kept in the stack's table KEEP. */
static void read_retry(lua_State *L, flow_consume_opts *opts)
{
    enum { TOPIC_MAX = 249 };
    const char *text = opts_str(L, OPTS, "retry", "");
    double scale = 1;
    if (lua_getfield(L, OPTS, "retry_scale") != LUA_TNIL)
        scale = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    luaL_argcheck(L, scale > 0, OPTS, "retry_scale must be above 0");
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, ",");
        const char *colon = memchr(p, ':', len);
        char delay[32] = "";
        double seconds = 0;
        if (colon && (size_t)(colon - p) < sizeof delay)
            memcpy(delay, p, (size_t)(colon - p));
        size_t topic = colon ? len - (size_t)(colon + 1 - p) : 0;
        if (!topic || topic > TOPIC_MAX || !units_duration(delay, &seconds) || seconds < 0)
            luaL_error(L, "flow_consume.open: retry: \"5s:topic,1m:topic\" expected, got '%s'",
                       text);
        luaL_argcheck(L, opts->ndelays < CONSUME_DELAYS_MAX, OPTS, "retry: at most 8 delays");
        lua_pushlstring(L, colon + 1, topic); /* stays on the stack until the consumer is open */
        read_topic(L, "retry", lua_tostring(L, -1));
        opts->delays[opts->ndelays++] = (flow_consume_delay){seconds * scale, lua_tostring(L, -1)};
        p += len + (p[len] == ',');
    }
}

static bool is_one_of(const char *topic, const char *one, const char *other)
{
    return strcmp(topic, one) == 0 || (other && strcmp(topic, other) == 0);
}

/* What failed would come back at once, and for ever, where it is written to what it was read from. */
static void need_ways_apart(lua_State *L, const flow_consume_opts *opts)
{
    if (opts->dlq && strcmp(opts->dlq, opts->topic) == 0)
        luaL_error(L, "flow_consume.open: dlq: '%s' is the topic itself", opts->dlq);
    for (int i = 0; i < opts->ndelays; i++)
        if (is_one_of(opts->delays[i].topic, opts->topic, opts->dlq))
            luaL_error(L, "flow_consume.open: retry: '%s' is the topic itself or its DLQ",
                       opts->delays[i].topic);
}

/* ---- the clients ---- */

static void default_to(lua_State *L, const char *key, const char *value)
{
    if (lua_getfield(L, -1, key) == LUA_TNIL) {
        lua_pushstring(L, value);
        lua_setfield(L, -3, key);
    }
    lua_pop(L, 1);
}

/* Pushes a copy of the table `key` of the options, with our brokers. */
static void push_properties(lua_State *L, const char *key)
{
    lua_newtable(L);
    int copy = lua_gettop(L);
    int type = lua_getfield(L, OPTS, key);
    luaL_argcheck(L, type == LUA_TNIL || type == LUA_TTABLE, OPTS,
                  "consumer and producer are tables of librdkafka's properties");
    if (type == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, copy + 1); lua_pop(L, 1)) {
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_settable(L, copy);
        }
    lua_settop(L, copy);
    lua_getfield(L, OPTS, "brokers");
    lua_setfield(L, copy, "brokers");
}

static bool commits_in_background(flow_consume_commit commit)
{
    return commit == CONSUME_AFTER_WORK || commit == CONSUME_AUTO || commit == CONSUME_POOL_MAX ||
           commit == CONSUME_POOL_MIN;
}

/* The client's own words win over these. fetch.queue.backoff.ms: at its default of a second a
 * full local queue makes the fetcher pause that long. */
static rd_kafka_conf_t *consumer_conf(lua_State *L, const flow_consume_opts *opts)
{
    push_properties(L, "consumer");
    lua_getfield(L, OPTS, "group");
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, OPTS, "group is missing");
    lua_setfield(L, -2, "group");
    default_to(L, "client.id", opts->member);
    default_to(L, "auto.offset.reset", "earliest");
    default_to(L, "enable.auto.offset.store", opts->commit == CONSUME_AUTO ? "true" : "false");
    default_to(L, "enable.auto.commit", commits_in_background(opts->commit) ? "true" : "false");
    if (commits_in_background(opts->commit))
        default_to(L, "auto.commit.interval.ms", "100");
    default_to(L, "enable.partition.eof", "true");
    default_to(L, "fetch.queue.backoff.ms", "5");
    rd_kafka_conf_t *conf =
        kafka_conf_read(L, lua_gettop(L), "flow_consume.open: consumer", KAFKA_CONSUMER, NULL);
    lua_pop(L, 1);
    return conf;
}

/* The copy in a retry topic must be there before the offset is stored. */
static rd_kafka_conf_t *producer_conf(lua_State *L, const flow_consume_opts *opts)
{
    push_properties(L, "producer");
    default_to(L, "client.id", opts->member);
    default_to(L, "acks", "all");
    default_to(L, "enable.idempotence", "true");
    default_to(L, "partitioner", "murmur2_random");
    default_to(L, "linger.ms", "0");
    /* one record at a time: how large it may be is for its topic to say, not for the client */
    default_to(L, "message.max.bytes", "100000000");
    rd_kafka_conf_t *conf =
        kafka_conf_read(L, lua_gettop(L), "flow_consume.open: producer", KAFKA_PRODUCER, NULL);
    lua_pop(L, 1);
    return conf;
}

/* ---- open ---- */

static const char *const keys[] = {"brokers",       "topic",
                                   "group",         "consumer_name",
                                   "member",        "mysql",
                                   "redis",         "consumer",
                                   "producer",      "retry",
                                   "retry_scale",   "retry_wait",
                                   "dlq",           "workers",
                                   "batch",         "fetch",
                                   "commit",        "dedup",
                                   "dedup_ttl",     "cache",
                                   "prefix",        "cache_again",
                                   "cache_wait",    "invalidate_seen",
                                   "transactional", "drop_lost",
                                   "lock_order",    "on_deadlock",
                                   "on_lock_wait",  "tries",
                                   "backoff_min",   "backoff_max",
                                   "lock_wait",     "revoke_wait",
                                   "handler",       "payload",
                                   "amount",        "missing",
                                   "undecodable",   "reader_schema",
                                   "registry",      "registry_timeout",
                                   "seed",          NULL};

static int read_count(lua_State *L, const char *key, lua_Integer def, lua_Integer most)
{
    lua_Integer n = opts_int(L, OPTS, key, def);
    if (n < 1 || n > most)
        luaL_error(L, "flow_consume.open: %s: from 1 to %d, not %I", key, (int)most,
                   (LUAI_UACINT)n);
    return (int)n;
}

static void read_words(lua_State *L, flow_consume_opts *opts)
{
    opts->commit = (flow_consume_commit)consume_read_word(L, "commit", "after-work", commits);
    opts->dedup = (flow_consume_dedup)consume_read_word(L, "dedup", "processed-event", dedups);
    opts->on_deadlock =
        (flow_consume_on_conflict)consume_read_word(L, "on_deadlock", "retry", conflicts);
    opts->on_lock_wait =
        (flow_consume_on_conflict)consume_read_word(L, "on_lock_wait", "retry", conflicts);
    opts->sleep_retry = consume_read_word(L, "retry_wait", "topic", retry_waits) == 1;
    opts->lock_in_order = consume_read_word(L, "lock_order", "id", lock_orders) == 1;
    opts->invalidate_seen = opts_bool(L, OPTS, "invalidate_seen", true);
    opts->transactional = opts_bool(L, OPTS, "transactional", true);
    opts->drop_lost = opts_bool(L, OPTS, "drop_lost", true);
    opts->asks = opts_bool(L, OPTS, "handler", false);
}

static void read_payload(lua_State *L, flow_consume_opts *opts)
{
    bool avro = consume_read_word(L, "payload", "json", payloads) == 1;
    opts->amount = opts_str(L, OPTS, "amount", "amount");
    opts->missing_zero = consume_read_word(L, "missing", "refuse", missings) == 1;
    opts->undecodable =
        (flow_consume_undecodable)consume_read_word(L, "undecodable", "park", undecodables);
    opts->reader_schema = opts_str(L, OPTS, "reader_schema", NULL);
    opts->registry = opts_str(L, OPTS, "registry", NULL);
    opts->registry_timeout = opts_duration(L, OPTS, "registry_timeout", 5);
    luaL_argcheck(L, !avro || (opts->reader_schema && opts->registry), OPTS,
                  "payload = avro needs reader_schema and registry");
    if (!avro)
        opts->reader_schema = NULL;
}

static void read_numbers(lua_State *L, flow_consume_opts *opts)
{
    bool pool = opts->commit == CONSUME_POOL_MAX || opts->commit == CONSUME_POOL_MIN;
    opts->workers = read_count(L, "workers", 4, CONSUME_WORKERS_MAX);
    opts->batch = read_count(L, "batch", pool ? 1 : 500, CONSUME_BATCH_MAX);
    opts->fetch = read_count(L, "fetch", opts->batch, CONSUME_BATCH_MAX);
    opts->fetch = opts->fetch < opts->batch ? opts->batch : opts->fetch;
    luaL_argcheck(L, !pool || opts->batch == 1, OPTS, "a pool takes records one by one: batch = 1");
    luaL_argcheck(L, !pool || !opts->ndelays || opts->sleep_retry, OPTS,
                  "retry topics need partitions in order, which a pool does not keep");
    opts->tries = read_count(L, "tries", 5, 1000);
    opts->backoff_min = opts_duration(L, OPTS, "backoff_min", 0.01);
    opts->backoff_max = opts_duration(L, OPTS, "backoff_max", 0.16);
    opts->lock_wait = opts_duration(L, OPTS, "lock_wait", 5);
    opts->revoke_wait = opts_duration(L, OPTS, "revoke_wait", 2);
    opts->cache_again_after = opts_duration(L, OPTS, "cache_again", 0.5);
    opts->cache_wait = opts_duration(L, OPTS, "cache_wait", 30);
    opts->dedup_ttl = opts_duration(L, OPTS, "dedup_ttl", 3600);
    opts->seed = (uint64_t)opts_int(L, OPTS, "seed", (lua_Integer)clock_unix_ns());
}

/* A frozen server must show within seconds, so the timeouts are shorter than a client's. */
static void read_stores(lua_State *L, flow_consume_opts *opts)
{
    static const double connect_s = 2, read_s = 10;
    luaL_argcheck(L, lua_getfield(L, OPTS, "mysql") == LUA_TTABLE, OPTS, "mysql is missing");
    opts->mysql = mysql_opts_read(L, lua_gettop(L), "flow_consume.open: mysql");
    opts->mysql.connect_timeout = opts_duration(L, -1, "connect_timeout", connect_s);
    opts->mysql.read_timeout = opts_duration(L, -1, "read_timeout", read_s);
    int type = lua_getfield(L, OPTS, "redis"), at = lua_gettop(L);
    if (type != LUA_TNIL)
        opts->redis = keyspace_opts_read(L, at, "flow_consume.open: redis");
    else if (opts->cache != CACHE_MODE_NONE || opts->dedup == CONSUME_DEDUP_REDIS)
        luaL_error(L, "flow_consume.open: redis is missing");
    else
        opts->redis.conn = (redisc_opts){.port = 6379, .resp = 3};
    if (type != LUA_TNIL) {
        opts->redis.conn.connect_timeout = opts_duration(L, at, "connect_timeout", connect_s);
        opts->redis.conn.timeout = opts_duration(L, at, "timeout", connect_s);
    }
}

static int flow_consume_l_open(lua_State *L)
{
    luaL_checktype(L, OPTS, LUA_TTABLE);
    lua_settop(L, OPTS);
    opts_check(L, OPTS, "flow_consume.open", keys);
    rl_handle *h = handle_new(L, &consume_handle, 0);
    flow_consume_opts opts = {.topic = read_topic(L, "topic", read_name(L, "topic", NULL, 249)),
                              .member = read_name(L, "member", "consumer-1", 64),
                              .dlq = read_topic(L, "dlq", opts_str(L, OPTS, "dlq", NULL))};
    opts.consumer_name = read_name(L, "consumer_name", opts_str(L, OPTS, "group", NULL), 64);
    read_words(L, &opts);
    read_cache(L, &opts);
    read_retry(L, &opts);
    need_ways_apart(L, &opts);
    read_payload(L, &opts);
    read_numbers(L, &opts);
    read_stores(L, &opts);
    rd_kafka_conf_t **kept = kafka_conf_keep(L, consumer_conf(L, &opts));
    opts.producer = producer_conf(L, &opts);
    opts.consumer = kafka_conf_take(kept);
    flow_consume *consume;
    rl_err *err = flow_consume_open(&opts, &consume);
    if (err)
        return errs_fail(L, err);
    flow_handle_set(L, h, flow_consume_flow(consume));
    lua_settop(L, HANDLE);
    return 1;
}

/* ---- figures ---- */

static void set_hist(lua_State *L, flow_consume *consume, const char *key, flow_consume_hist which)
{
    flow_consume_hist_add_to(consume, which, hdr_push(L));
    lua_setfield(L, -2, key);
}

static void consume_push_partition(lua_State *L, const flow_consume_partition *partition)
{
    lua_createtable(L, 0, 5);
    field_set_text(L, "topic", partition->topic);
    field_set_int(L, "partition", partition->partition);
    if (partition->position >= 0)
        field_set_int(L, "position", partition->position);
    if (partition->lag >= 0) {
        field_set_int(L, "lag", partition->lag);
    }
    field_set_number(L, "waits", partition->waits);
}

static void set_partitions(lua_State *L, flow_consume *consume)
{
    int room = flow_consume_partitions(consume, NULL, 0);
    flow_consume_partition *list = lua_newuserdatauv(L, (size_t)room * sizeof *list, 0);
    int n = flow_consume_partitions(consume, list, room);
    n = n < room ? n : room;
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        consume_push_partition(L, &list[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -3, "partitions");
    lua_pop(L, 1);
}

/* flow:stats() -> {applied =, seen =, ..., partitions = {...}} */
static int flow_consume_l_stats(lua_State *L)
{
    static const char *const names[] = {
#define COUNTER(name, help) #name,
        CONSUME_COUNTERS(COUNTER)
#undef COUNTER
    };
    flow_consume *consume = flow_consume_check(L);
    flow_push_stats(L, flow_consume_flow(consume), names, CONSUME_N);
    set_partitions(L, consume);
    return 1;
}

/* flow:times() -> {transaction = hdr, delay = hdr, lateness = hdr}; copying them costs too much
 * to do it with every look at the counters */
static int flow_consume_l_times(lua_State *L)
{
    flow_consume *consume = flow_consume_check(L);
    lua_createtable(L, 0, 3);
    set_hist(L, consume, "transaction", CONSUME_H_TRANSACTION);
    set_hist(L, consume, "delay", CONSUME_H_DELAY);
    set_hist(L, consume, "lateness", CONSUME_H_LATENESS);
    return 1;
}

/* counters() -> list of {name =, help =}: what stats() counts */
static int flow_consume_l_counters(lua_State *L)
{
    static const char *const all[][2] = {
#define COUNTER(name, help) {#name, help},
        CONSUME_COUNTERS(COUNTER)
#undef COUNTER
    };
    lua_createtable(L, CONSUME_N, 0);
    for (int i = 0; i < CONSUME_N; i++) {
        lua_createtable(L, 0, 2);
        field_set_text(L, "name", all[i][0]);
        field_set_text(L, "help", all[i][1]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

int luaopen_rlab_flow_consume(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"stats", flow_consume_l_stats}, {"times", flow_consume_l_times},
        {"batch", flow_consume_batch},   {"answer", flow_consume_answer},
        {"again", flow_consume_again},   {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"open", flow_consume_l_open}, {"counters", flow_consume_l_counters}, {NULL, NULL}};
    flow_type_open(L, &consume_handle, methods);
    luaL_newlib(L, functions);
    return 1;
}
