#include "bind/kafka/consumer.h"

#include <stdlib.h>
#include <string.h>

#include "bind/kafka/module.h"
#include "bind/kafka/batch.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/kafka/conf.h"
#include "bind/kafka/places.h"
#include "bind/kafka/values.h"
#include "bind/value/opts.h"
#include "bind/task/await.h"
#include "bind/task/scheduler.h"

enum { POLL_MAX = 1000000, POLL_RECORDS = 500 };
static const double POLL_S = 1;

kafka_consumer *kafka_consumer_check(lua_State *L, int idx)
{
    return handle_check(L, idx, &kafka_consumer_type)->impl;
}

/* ---- poll ---- */

typedef struct poll_job {
    rl_await await; /* first */
    kafka_consumer *consumer;
    int max, timeout_ms;
    kafka_stop stop;
    kafka_batch batch;
} poll_job;

static void poll_run(rl_await *a)
{
    poll_job *job = (poll_job *)a;
    a->err = kafka_consumer_poll(job->consumer, job->max, job->timeout_ms, &job->stop, &job->batch);
}

static void poll_stop(rl_await *a)
{
    poll_job *job = (poll_job *)a;
    atomic_store(&job->stop, true);
    kafka_consumer_wake(job->consumer);
}

static int poll_push(lua_State *L, rl_await *a)
{
    kafka_batch_push(L, &((poll_job *)a)->batch);
    return 1;
}

/* Records that a cancelled task did not see are for the next poll. */
static void poll_drop(rl_await *a)
{
    poll_job *job = (poll_job *)a;
    if (!job->batch.n)
        return;
    if (a->handle && a->handle->impl == job->consumer)
        kafka_consumer_unread(job->consumer, &job->batch);
    else
        kafka_batch_free(&job->batch);
}

/* What lies there already is taken without the way to another thread and back, unless another
 * call is under way. */
static bool poll_now(const rl_handle *h, poll_job *job)
{
    if (!lane_idle(&h->lane))
        return false;
    rl_err *err = kafka_consumer_poll(job->consumer, job->max, 0, &job->stop, &job->batch);
    err_free(err); /* the job will meet it again */
    return job->batch.n > 0;
}

/* c:poll([n [, at_most]]) -> batch | nil, err; an empty batch when nothing came */
static int consumer_l_poll(lua_State *L)
{
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    lua_Integer max = luaL_optinteger(L, 2, POLL_RECORDS);
    luaL_argcheck(L, max >= 1 && max <= POLL_MAX, 2, "from 1 to 1000000 records");
    int timeout_ms = arg_duration_ms(L, 3, POLL_S);
    task_require(L);
    poll_job *job = await_new(sizeof *job, poll_run, poll_push, poll_drop);
    job->await.cancel = poll_stop;
    job->consumer = consumer;
    job->max = (int)max;
    job->timeout_ms = timeout_ms;
    if (poll_now(lua_touserdata(L, 1), job))
        return await_made(L, 1, &job->await);
    return await_job(L, 1, &job->await);
}

/* ---- subscribe and assign ---- */

/* librdkafka asks its own thread, which may be busy. */
typedef struct subscribe_job {
    rl_await await; /* first */
    kafka_consumer *consumer;
    rd_kafka_topic_partition_list_t *topics; /* NULL: of nothing any more */
} subscribe_job;

static void subscribe_run(rl_await *a)
{
    subscribe_job *job = (subscribe_job *)a;
    a->err = job->topics ? kafka_consumer_subscribe(job->consumer, job->topics)
                         : kafka_consumer_unsubscribe(job->consumer);
}

static void subscribe_cancel(rl_await *a)
{
    (void)a; /* it ends soon by itself */
}

static void subscribe_drop(rl_await *a)
{
    subscribe_job *job = (subscribe_job *)a;
    if (job->topics)
        rd_kafka_topic_partition_list_destroy(job->topics);
}

static int subscribe(lua_State *L, kafka_consumer *consumer,
                     rd_kafka_topic_partition_list_t *topics)
{
    subscribe_job *job = await_new(sizeof *job, subscribe_run, NULL, subscribe_drop);
    job->await.cancel = subscribe_cancel;
    job->consumer = consumer;
    job->topics = topics;
    return await_job(L, 1, &job->await);
}

/* c:subscribe{ "orders", "^audit-.*" } or c:subscribe("orders") -> true | nil, err */
static int consumer_l_subscribe(lua_State *L)
{
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    return subscribe(L, consumer, kafka_topics_read(L, 2));
}

static int consumer_l_unsubscribe(lua_State *L)
{
    return subscribe(L, kafka_consumer_check(L, 1), NULL);
}

/* c:subscription() -> list of topics */
static int consumer_l_subscription(lua_State *L)
{
    rd_kafka_topic_partition_list_t *list;
    rl_err *err = kafka_consumer_subscription(kafka_consumer_check(L, 1), &list);
    if (err)
        return errs_fail(L, err);
    lua_createtable(L, list->cnt, 0);
    for (int i = 0; i < list->cnt; i++) {
        lua_pushstring(L, list->elems[i].topic);
        lua_rawseti(L, -2, i + 1);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return 1;
}

/* ---- what happened ---- */

static void push_event(lua_State *L, kafka_rebalance *rebalance)
{
    static const char *const types[] = {"assign", "revoke", "lost", "commit_error"};
    lua_createtable(L, 0, 5);
    field_set_text(L, "type", types[rebalance->type]);
    field_set_int(L, "at", rebalance->at_ms);
    field_set_int(L, "generation", rebalance->generation);
    kafka_list_push(L, rebalance->partitions);
    lua_setfield(L, -2, "partitions");
    if (!rebalance->err)
        return;
    errs_push_table(L, rebalance->err);
    rebalance->err = NULL;
    lua_setfield(L, -2, "err");
}

/* c:events() -> list of {type, partitions, generation, at}, oldest first; each is given once */
static int consumer_l_events(lua_State *L)
{
    kafka_rebalance *list = kafka_consumer_events(kafka_consumer_check(L, 1));
    lua_newtable(L);
    lua_Integer n = 0;
    for (kafka_rebalance *rebalance = list; rebalance; rebalance = rebalance->next) {
        push_event(L, rebalance);
        lua_rawseti(L, -2, ++n);
    }
    kafka_rebalance_free(list);
    return 1;
}

static int consumer_l_errors(lua_State *L)
{
    return kafka_notes_push(L, kafka_consumer_notes(kafka_consumer_check(L, 1)));
}

static int consumer_l_stats(lua_State *L)
{
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    lua_newtable(L);
    kafka_client_stats_set(L, kafka_consumer_notes(consumer));
    return 1;
}

static int consumer_l_generation(lua_State *L)
{
    lua_pushinteger(L, kafka_consumer_generation(kafka_consumer_check(L, 1)));
    return 1;
}

/* c:member_id() -> text | nil */
static int consumer_l_member_id(lua_State *L)
{
    rd_kafka_t *rk = kafka_consumer_rk(kafka_consumer_check(L, 1));
    char *id = rd_kafka_memberid(rk);
    lua_pushstring(L, id && *id ? id : NULL);
    rd_kafka_mem_free(rk, id);
    return 1;
}

/* ---- the handle ---- */

static void consumer_close(void *impl)
{
    kafka_consumer_close(impl);
}

static void consumer_cancel(void *impl)
{
    kafka_consumer_cancel(impl);
}

const rl_handle_type kafka_consumer_type = {
    .name = "kafka.consumer", .close = consumer_close, .cancel = consumer_cancel};

static int closed(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L);
}

/* c:close([at_most]): how long leaving the group may take; the close of every handle follows */
static int consumer_l_close(lua_State *L)
{
    rl_handle *h = luaL_checkudata(L, 1, kafka_consumer_type.name);
    if (h->impl && !lua_isnoneornil(L, 2))
        kafka_consumer_close_within(h->impl, arg_duration_ms(L, 2, 0));
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_callk(L, 1, LUA_MULTRET, 0, closed);
    return closed(L, LUA_OK, 0);
}

/* kafka.consumer{ brokers = ..., group = ..., any property } -> consumer | nil, err */
int kafka_l_consumer(lua_State *L)
{
    lua_settop(L, 1);
    rl_handle *h = handle_new(L, &kafka_consumer_type, 0);
    rd_kafka_conf_t *conf = kafka_conf_read(L, 1, "kafka.consumer", KAFKA_CONSUMER, NULL);
    kafka_consumer *consumer;
    rl_err *err = kafka_consumer_open(conf, NULL, NULL, &consumer);
    if (err)
        return errs_fail(L, err);
    handle_set(h, consumer);
    return 1;
}

void kafka_consumer_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {{"poll", consumer_l_poll},
                                       {"subscribe", consumer_l_subscribe},
                                       {"unsubscribe", consumer_l_unsubscribe},
                                       {"subscription", consumer_l_subscription},
                                       {"events", consumer_l_events},
                                       {"errors", consumer_l_errors},
                                       {"stats", consumer_l_stats},
                                       {"generation", consumer_l_generation},
                                       {"member_id", consumer_l_member_id},
                                       {NULL, NULL}};
    handle_type_open(L, &kafka_consumer_type, methods);
    luaL_getmetatable(L, kafka_consumer_type.name);
    lua_getfield(L, -1, "__index");
    luaL_setfuncs(L, kafka_offset_methods, 0);
    lua_getfield(L, -1, "close");
    lua_pushcclosure(L, consumer_l_close, 1);
    lua_setfield(L, -2, "close");
    lua_pop(L, 2);
}
