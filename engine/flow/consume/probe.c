/* Health does not wait for work: a thread of its own asks every server now and then, by
 * connections of its own. */
#include "flow/consume/internal.h"

enum { PROBE_MS = 1500 };
static const double probe_every = 1, probe_s = PROBE_MS / 1e3;

bool consume_uses_redis(const flow_consume *consume)
{
    return consume->opts.cache != CACHE_MODE_NONE || consume->opts.dedup == CONSUME_DEDUP_REDIS;
}

/* Takes err. */
static void report_health(flow_consume *consume, const char *need, rl_err *err)
{
    if (err)
        flow_down(&consume->flow, need, err);
    else
        flow_up(&consume->flow, need);
    err_free(err);
}

static rl_err *probe_kafka(flow_consume *consume)
{
    int64_t low, high;
    return kafka_consumer_watermarks(consume->consumer, consume->opts.topic, 0, PROBE_MS, NULL,
                                     &low, &high);
}

static rl_err *probe_mysql(my_conn *db)
{
    return my_conn_broken(db) ? my_conn_connect(db) : my_conn_ping(db);
}

static void ask_all(flow_consume *consume, my_conn *db, redisc_keyspace *redis)
{
    report_health(consume, "mysql", probe_mysql(db));
    if (redis)
        report_health(consume, "redis", keyspace_check(redis));
    if (!flow_stopping(&consume->flow))
        report_health(consume, "kafka", probe_kafka(consume));
}

/* The options' texts are good only while the consumer is being opened. */
void consume_probe_open(flow_consume *consume)
{
    my_opts mysql = consume->opts.mysql;
    keyspace_opts redis = consume->opts.redis;
    mysql.connect_timeout = mysql.read_timeout = probe_s;
    redis.conn.connect_timeout = redis.conn.timeout = probe_s;
    consume->probe_db = my_conn_new(&mysql);
    consume->probe_redis = consume_uses_redis(consume) ? keyspace_new(&redis, NULL) : NULL;
}

void consume_probe_close(flow_consume *consume)
{
    my_conn_free(consume->probe_db);
    keyspace_free(consume->probe_redis);
}

void consume_probe(void *arg)
{
    flow_consume *consume = arg;
    while (!flow_stopping(&consume->flow)) {
        ask_all(consume, consume->probe_db, consume->probe_redis);
        flow_sleep(&consume->flow, probe_every);
    }
    atomic_fetch_sub(&consume->working, 1);
}
