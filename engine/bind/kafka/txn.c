/* The producer's blocking calls as jobs: flush, and the transaction calls. */
#include <string.h>

#include "bind/kafka/consumer.h"
#include "bind/task/await.h"
#include "bind/kafka/producer.h"
#include "bind/value/errs.h"
#include "bind/kafka/places.h"
#include "bind/kafka/values.h"
#include "bind/value/opts.h"
#include "kafka/txn.h"

static const double FLUSH_S = 30, TXN_S = 60, OFFSETS_S = 10;

typedef struct producer_job {
    rl_await await; /* first */
    kafka_producer *producer;
    int timeout_ms;
    kafka_stop stop;
    rl_err *(*call)(kafka_producer *producer, int timeout_ms, const kafka_stop *stop);
    rd_kafka_topic_partition_list_t *offsets;
    rd_kafka_consumer_group_metadata_t *group;
} producer_job;

static void job_run(rl_await *a)
{
    producer_job *job = (producer_job *)a;
    if (job->group)
        a->err = kafka_txn_offsets(job->producer, job->offsets, job->group, job->timeout_ms);
    else
        a->err = job->call(job->producer, job->timeout_ms, &job->stop);
}

static void job_stop(rl_await *a)
{
    atomic_store(&((producer_job *)a)->stop, true);
}

static void job_drop(rl_await *a)
{
    producer_job *job = (producer_job *)a;
    if (job->offsets)
        rd_kafka_topic_partition_list_destroy(job->offsets);
    if (job->group)
        rd_kafka_consumer_group_metadata_destroy(job->group);
}

static producer_job *job_new(kafka_producer *producer, int timeout_ms)
{
    producer_job *job = await_new(sizeof *job, job_run, NULL, job_drop);
    job->await.cancel = job_stop;
    job->producer = producer;
    job->timeout_ms = timeout_ms;
    return job;
}

static int simple_job(lua_State *L, double default_s,
                      rl_err *(*call)(kafka_producer *, int, const kafka_stop *))
{
    kafka_producer *producer = kafka_producer_check(L, 1);
    int timeout_ms = arg_duration_ms(L, 2, default_s);
    producer_job *job = job_new(producer, timeout_ms);
    job->call = call;
    return await_job(L, 1, &job->await);
}

/* p:flush([at_most]) -> true | nil, err */
int kafka_l_flush(lua_State *L)
{
    return simple_job(L, FLUSH_S, kafka_producer_flush);
}

/* p:init_transactions([at_most]) -> true | nil, err */
static int txn_l_init(lua_State *L)
{
    return simple_job(L, TXN_S, kafka_txn_init);
}

/* librdkafka asks its own thread, which may be busy. */
static rl_err *begin(kafka_producer *producer, int timeout_ms, const kafka_stop *stop)
{
    (void)timeout_ms;
    (void)stop;
    return kafka_txn_begin(producer);
}

/* p:begin() -> true | nil, err */
static int txn_l_begin(lua_State *L)
{
    return simple_job(L, 0, begin);
}

/* p:commit([at_most]) -> true | nil, err; flushes first */
static int txn_l_commit(lua_State *L)
{
    return simple_job(L, TXN_S, kafka_txn_commit);
}

/* p:abort([at_most]) -> true | nil, err; what is queued is purged */
static int txn_l_abort(lua_State *L)
{
    return simple_job(L, TXN_S, kafka_txn_abort);
}

static int txn_l_in_transaction(lua_State *L)
{
    lua_pushboolean(L, kafka_producer_in_transaction(kafka_producer_check(L, 1)));
    return 1;
}

/* p:end_uncertain(): a commit or abort of it may still be under way on a connection that is gone */
static int txn_l_end_uncertain(lua_State *L)
{
    lua_pushboolean(L, kafka_producer_end_uncertain(kafka_producer_check(L, 1)));
    return 1;
}

/* p:send_offsets(consumer, offsets [, at_most]) -> true | nil, err */
static int txn_l_send_offsets(lua_State *L)
{
    kafka_producer *producer = kafka_producer_check(L, 1);
    task_require(L);
    kafka_consumer *consumer = kafka_consumer_check(L, 2);
    int timeout_ms = arg_duration_ms(L, 4, OFFSETS_S);
    rd_kafka_topic_partition_list_t *offsets = kafka_list_read(L, 3, KAFKA_OFFSETS);
    producer_job *job = job_new(producer, timeout_ms);
    job->offsets = offsets;
    job->group = rd_kafka_consumer_group_metadata(kafka_consumer_rk(consumer));
    return await_job(L, 1, &job->await);
}

const luaL_Reg kafka_txn_methods[] = {{"init_transactions", txn_l_init},
                                      {"begin", txn_l_begin},
                                      {"commit", txn_l_commit},
                                      {"abort", txn_l_abort},
                                      {"in_transaction", txn_l_in_transaction},
                                      {"end_uncertain", txn_l_end_uncertain},
                                      {"send_offsets", txn_l_send_offsets},
                                      {NULL, NULL}};
