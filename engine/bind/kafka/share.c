/* A member of a share group. */
#include <lauxlib.h>

#include "bind/kafka/batch.h"
#include "bind/kafka/conf.h"
#include "bind/kafka/module.h"
#include "bind/kafka/places.h"
#include "bind/task/await.h"
#include "bind/task/handle.h"
#include "bind/task/scheduler.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/opts.h"
#include "kafka/share.h"

static const double POLL_S = 1, COMMIT_S = 5;

static void share_close(void *impl)
{
    kafka_share_close(impl);
}

/* A poll looks at its own flag, and a commit ends by its deadline. */
static const rl_handle_type share_type = {.name = "kafka.share_consumer", .close = share_close};

typedef struct share_job {
    rl_await await; /* first */
    kafka_share *share;
    rd_kafka_topic_partition_list_t *topics;
    int timeout_ms;
    kafka_stop stop;
    kafka_share_batch batch;
} share_job;

static void share_stop(rl_await *a)
{
    atomic_store(&((share_job *)a)->stop, true);
}

/* Records that a cancelled task did not see are delivered again. */
static void share_drop(rl_await *a)
{
    share_job *job = (share_job *)a;
    if (job->topics)
        rd_kafka_topic_partition_list_destroy(job->topics);
    if (job->batch.n && a->handle && a->handle->impl == job->share)
        kafka_share_release(job->share, &job->batch);
    kafka_share_batch_free(&job->batch);
}

static share_job *share_job_new(lua_State *L, void (*run)(rl_await *),
                                int (*push)(lua_State *, rl_await *))
{
    kafka_share *share = handle_check(L, 1, &share_type)->impl;
    task_require(L);
    share_job *job = await_new(sizeof *job, run, push, share_drop);
    job->await.cancel = share_stop;
    job->share = share;
    return job;
}

/* ---- subscribe ---- */

static void subscribe_run(rl_await *a)
{
    share_job *job = (share_job *)a;
    a->err = kafka_share_subscribe(job->share, job->topics);
}

/* s:subscribe{ "orders" } or s:subscribe("orders") -> true | nil, err */
static int share_l_subscribe(lua_State *L)
{
    handle_check(L, 1, &share_type);
    task_require(L);
    rd_kafka_topic_partition_list_t *topics = kafka_topics_read(L, 2);
    share_job *job = share_job_new(L, subscribe_run, NULL);
    job->topics = topics;
    return await_job(L, 1, &job->await);
}

/* ---- poll ---- */

static void poll_run(rl_await *a)
{
    share_job *job = (share_job *)a;
    a->err = kafka_share_poll(job->share, job->timeout_ms, &job->stop, &job->batch);
}

static int poll_push(lua_State *L, rl_await *a)
{
    kafka_share_batch *batch = &((share_job *)a)->batch;
    lua_createtable(L, batch->n, 0);
    for (int i = 0; i < batch->n; i++) {
        rd_kafka_message_t *msg = kafka_share_record(batch, i);
        kafka_record_table_push(L, msg);
        field_set_int(L, "delivery_count", kafka_share_delivery(msg));
        lua_rawseti(L, -2, i + 1);
    }
    kafka_share_batch_free(batch);
    return 1;
}

/* s:poll([at_most]) -> list of records, each with delivery_count | nil, err */
static int share_l_poll(lua_State *L)
{
    int timeout_ms = arg_duration_ms(L, 2, POLL_S);
    share_job *job = share_job_new(L, poll_run, poll_push);
    job->timeout_ms = timeout_ms;
    return await_job(L, 1, &job->await);
}

/* ---- acknowledge ---- */

static lua_Integer place_field(lua_State *L, const char *key)
{
    int isint;
    lua_getfield(L, 2, key);
    lua_Integer n = lua_tointegerx(L, -1, &isint);
    luaL_argcheck(L, isint && n >= 0, 2,
                  "a record of a poll expected, with topic, partition and offset");
    lua_pop(L, 1);
    return n;
}

/* s:acknowledge(record [, "accept" | "release" | "reject"]) -> true | nil, err; sent by the commit */
static int share_l_acknowledge(lua_State *L)
{
    static const char *const words[] = {"accept", "release", "reject", NULL};
    const rl_handle *h = handle_check(L, 1, &share_type);
    luaL_checktype(L, 2, LUA_TTABLE);
    kafka_ack ack = (kafka_ack)luaL_checkoption(L, 3, "accept", words);
    if (!lane_idle(&h->lane))
        return luaL_error(L, "acknowledge: another call of this share consumer is under way");
    lua_Integer partition = place_field(L, "partition"), offset = place_field(L, "offset");
    luaL_argcheck(L, lua_getfield(L, 2, "topic") == LUA_TSTRING && partition <= INT32_MAX, 2,
                  "a record of a poll expected, with topic, partition and offset");
    return errs_ok(
        L, kafka_share_acknowledge(h->impl, lua_tostring(L, -1), (int32_t)partition, offset, ack));
}

/* ---- commit ---- */

static void commit_run(rl_await *a)
{
    share_job *job = (share_job *)a;
    a->err = kafka_share_commit(job->share, job->timeout_ms);
}

/* s:commit([at_most]) -> true | nil, err */
static int share_l_commit(lua_State *L)
{
    int timeout_ms = arg_duration_ms(L, 2, COMMIT_S);
    share_job *job = share_job_new(L, commit_run, NULL);
    job->timeout_ms = timeout_ms;
    return await_job(L, 1, &job->await);
}

/* ---- the handle ---- */

/* kafka.share_consumer{ brokers = ..., group = ..., any property } -> share_consumer | nil, err */
int kafka_l_share_consumer(lua_State *L)
{
    lua_settop(L, 1);
    rl_handle *h = handle_new(L, &share_type, 0);
    rd_kafka_conf_t *conf = kafka_conf_read(L, 1, "kafka.share_consumer", KAFKA_CONSUMER, NULL);
    kafka_share *share;
    rl_err *err = kafka_share_open(conf, &share);
    if (err)
        return errs_fail(L, err);
    handle_set(h, share);
    return 1;
}

void kafka_share_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {{"subscribe", share_l_subscribe},
                                       {"poll", share_l_poll},
                                       {"acknowledge", share_l_acknowledge},
                                       {"commit", share_l_commit},
                                       {NULL, NULL}};
    handle_type_open(L, &share_type, methods);
}
