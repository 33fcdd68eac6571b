/* Health does not wait for work: a thread of its own asks every server now and then, by
 * connections of its own. */
#include "flow/consume/internal.h"

enum { PROBE_MS = 1500 };
static const double probe_every = 1, probe_s = PROBE_MS / 1e3;

bool consume_uses_redis(const consume *c)
{
    return c->o.cache != CACHE_MODE_NONE || c->o.dedup == CONSUME_DEDUP_REDIS;
}

/* Takes err. */
static void say(consume *c, const char *need, rl_err *err)
{
    if (err)
        flow_down(&c->flow, need, err);
    else
        flow_up(&c->flow, need);
    err_free(err);
}

static rl_err *probe_kafka(consume *c)
{
    int64_t low, high;
    return kafka_consumer_watermarks(c->consumer, c->o.topic, 0, PROBE_MS, NULL, &low, &high);
}

static rl_err *probe_mysql(my_conn *db)
{
    return my_conn_broken(db) ? my_conn_connect(db) : my_conn_ping(db);
}

static rl_err *probe_redis(redisc_conn *redis)
{
    redisReply *reply = NULL;
    if (redisc_broken(redis))
        return redisc_connect(redis);
    rl_err *err = redisc_callf(redis, &reply, "PING");
    if (!err)
        freeReplyObject(reply);
    return err;
}

static void ask_all(consume *c, my_conn *db, redisc_conn *redis)
{
    say(c, "mysql", probe_mysql(db));
    if (redis)
        say(c, "redis", probe_redis(redis));
    if (!flow_stopping(&c->flow))
        say(c, "kafka", probe_kafka(c));
}

/* The options' texts are good only while the consumer is being opened. */
void consume_probe_open(consume *c)
{
    my_opts mysql = c->o.mysql;
    redisc_opts redis = c->o.redis;
    mysql.connect_timeout = mysql.read_timeout = probe_s;
    redis.connect_timeout = redis.timeout = probe_s;
    c->probe_db = my_conn_new(&mysql);
    c->probe_redis = consume_uses_redis(c) ? redisc_new(&redis) : NULL;
}

void consume_probe_close(consume *c)
{
    my_conn_free(c->probe_db);
    redisc_free(c->probe_redis);
}

void consume_probe(void *arg)
{
    consume *c = arg;
    while (!flow_stopping(&c->flow)) {
        ask_all(c, c->probe_db, c->probe_redis);
        flow_sleep(&c->flow, probe_every);
    }
    atomic_fetch_sub(&c->working, 1);
}
