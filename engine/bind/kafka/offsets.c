/* The consumer's offsets: store, commit, committed, position, seek, pause and the assignment. */
#include "bind/kafka/consumer.h"
#include "base/units.h"
#include "bind/value/errs.h"
#include "bind/kafka/places.h"
#include "bind/kafka/values.h"
#include "bind/value/opts.h"
#include "bind/task/await.h"

static const double COMMIT_S = 10, COMMITTED_S = 5, SEEK_S = 5;

typedef struct offsets_job {
    rl_await await; /* first */
    kafka_consumer *consumer;
    int timeout_ms;
    kafka_stop stop;
    rd_kafka_topic_partition_list_t *list; /* NULL: what is stored */
    int64_t low, high;
} offsets_job;

static void job_stop(rl_await *a)
{
    atomic_store(&((offsets_job *)a)->stop, true);
}

static void job_drop(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    if (job->list)
        rd_kafka_topic_partition_list_destroy(job->list);
}

/* Takes list. */
static offsets_job *job_new(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list,
                            int timeout_ms, void (*run)(rl_await *),
                            int (*push)(lua_State *, rl_await *))
{
    offsets_job *job = await_new(sizeof *job, run, push, job_drop);
    job->await.cancel = job_stop;
    job->consumer = consumer;
    job->list = list;
    job->timeout_ms = timeout_ms;
    return job;
}

static int offsets_push_list(lua_State *L, rl_await *a)
{
    kafka_list_push(L, ((offsets_job *)a)->list);
    return 1;
}

/* The list at idx, or the whole assignment when there is none. */
static rl_err *places(lua_State *L, kafka_consumer *consumer, int idx,
                      rd_kafka_topic_partition_list_t **out)
{
    if (lua_isnoneornil(L, idx))
        return kafka_consumer_assignment(consumer, out);
    *out = kafka_list_read(L, idx, KAFKA_PLACES);
    return NULL;
}

/* A short call on a list, which is destroyed. */
static int on_list(lua_State *L,
                   rl_err *(*call)(kafka_consumer *, rd_kafka_topic_partition_list_t *),
                   kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
    rl_err *err = call(consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    return errs_ok(L, err);
}

static rl_err *assign(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
    return kafka_consumer_assign(consumer, list);
}

/* c:assign{ {topic=, partition=, offset=number|"earliest"|"latest"|"stored"}, ... } -> true |
 * nil, err */
static int consumer_l_assign(lua_State *L)
{
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    return on_list(L, assign, consumer, kafka_list_read(L, 2, KAFKA_STARTS));
}

/* c:assignment() -> {{topic, partition}, ...} */
static int consumer_l_assignment(lua_State *L)
{
    rd_kafka_topic_partition_list_t *list;
    rl_err *err = kafka_consumer_assignment(kafka_consumer_check(L, 1), &list);
    if (err)
        return errs_fail(L, err);
    kafka_list_push(L, list);
    rd_kafka_topic_partition_list_destroy(list);
    return 1;
}

/* c:store(batch|record|offsets) -> true | nil, err */
static int consumer_l_store(lua_State *L)
{
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    return on_list(L, kafka_consumer_store, consumer, kafka_list_read(L, 2, KAFKA_OFFSETS));
}

static void commit_run(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    a->err = kafka_consumer_commit(job->consumer, job->list, job->timeout_ms, &job->stop);
}

static int commit_async(lua_State *L, kafka_consumer *consumer,
                        rd_kafka_topic_partition_list_t *list)
{
    rl_err *err = kafka_consumer_commit_async(consumer, list);
    if (list)
        rd_kafka_topic_partition_list_destroy(list);
    return errs_ok(L, err);
}

/* c:commit([batch|record|offsets] [, {sync=true, at_most="10s"}]) -> true | nil, err; without
 * offsets: what is stored */
static int consumer_l_commit(lua_State *L)
{
    static const char *const known[] = {"sync", "at_most", NULL};
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    opts_check(L, 3, "commit", known);
    bool sync = opts_bool(L, 3, "sync", true);
    double seconds = opts_duration(L, 3, "at_most", COMMIT_S);
    rd_kafka_topic_partition_list_t *list = NULL;
    if (!lua_isnoneornil(L, 2))
        list = kafka_list_read(L, 2, KAFKA_OFFSETS);
    if (list && list->cnt == 0) {
        rd_kafka_topic_partition_list_destroy(list);
        return errs_ok(L, NULL);
    }
    if (!sync)
        return commit_async(L, consumer, list);
    offsets_job *job = job_new(consumer, list, units_ms(seconds), commit_run, NULL);
    return await_job(L, 1, &job->await);
}

static void committed_run(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    a->err = kafka_consumer_committed(job->consumer, job->list, job->timeout_ms, &job->stop);
}

/* c:committed([places [, at_most]]) -> {{topic, partition, offset}} | nil, err; no offset where
 * nothing is committed */
static int consumer_l_committed(lua_State *L)
{
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    int timeout_ms = arg_duration_ms(L, 3, COMMITTED_S);
    rd_kafka_topic_partition_list_t *list;
    rl_err *err = places(L, consumer, 2, &list);
    if (err)
        return errs_fail(L, err);
    offsets_job *job = job_new(consumer, list, timeout_ms, committed_run, offsets_push_list);
    return await_job(L, 1, &job->await);
}

/* c:position([places]) -> {{topic, partition, offset}} | nil, err: last record given out + 1 */
static int consumer_l_position(lua_State *L)
{
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    rd_kafka_topic_partition_list_t *list;
    rl_err *err = places(L, consumer, 2, &list);
    if (!err) {
        err = kafka_consumer_position(consumer, list);
        kafka_list_push(L, list);
        rd_kafka_topic_partition_list_destroy(list);
    }
    return err ? errs_fail(L, err) : 1;
}

static void seek_run(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    a->err = kafka_consumer_seek(job->consumer, job->list, job->timeout_ms);
}

/* c:seek({topic=, partition=, offset=} or a list [, at_most]) -> true | nil, err */
static int consumer_l_seek(lua_State *L)
{
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    int timeout_ms = arg_duration_ms(L, 3, SEEK_S);
    offsets_job *job =
        job_new(consumer, kafka_list_read(L, 2, KAFKA_STARTS), timeout_ms, seek_run, NULL);
    return await_job(L, 1, &job->await);
}

static int on_places(lua_State *L,
                     rl_err *(*call)(kafka_consumer *, rd_kafka_topic_partition_list_t *))
{
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    rd_kafka_topic_partition_list_t *list;
    rl_err *err = places(L, consumer, 2, &list);
    return err ? errs_fail(L, err) : on_list(L, call, consumer, list);
}

/* c:pause([places]), c:resume([places]): all of the assignment when none are given */
static int consumer_l_pause(lua_State *L)
{
    return on_places(L, kafka_consumer_pause);
}

static int consumer_l_resume(lua_State *L)
{
    return on_places(L, kafka_consumer_resume);
}

static void watermarks_run(rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    const rd_kafka_topic_partition_t *place = &job->list->elems[0];
    a->err = kafka_consumer_watermarks(job->consumer, place->topic, place->partition,
                                       job->timeout_ms, &job->stop, &job->low, &job->high);
}

static int watermarks_push(lua_State *L, rl_await *a)
{
    offsets_job *job = (offsets_job *)a;
    lua_pushinteger(L, job->low);
    lua_pushinteger(L, job->high);
    return 2;
}

/* c:watermarks({topic=, partition=} [, at_most]) -> low, high | nil, err; high is the LSO under
 * read_committed */
static int consumer_l_watermarks(lua_State *L)
{
    kafka_consumer *consumer = kafka_consumer_check(L, 1);
    int timeout_ms = arg_duration_ms(L, 3, COMMITTED_S);
    rd_kafka_topic_partition_list_t *list = kafka_list_read(L, 2, KAFKA_PLACES);
    if (list->cnt != 1) {
        rd_kafka_topic_partition_list_destroy(list);
        return luaL_argerror(L, 2, "one {topic=, partition=} expected");
    }
    offsets_job *job = job_new(consumer, list, timeout_ms, watermarks_run, watermarks_push);
    return await_job(L, 1, &job->await);
}

const luaL_Reg kafka_offset_methods[] = {{"assign", consumer_l_assign},
                                         {"assignment", consumer_l_assignment},
                                         {"store", consumer_l_store},
                                         {"commit", consumer_l_commit},
                                         {"committed", consumer_l_committed},
                                         {"position", consumer_l_position},
                                         {"seek", consumer_l_seek},
                                         {"pause", consumer_l_pause},
                                         {"resume", consumer_l_resume},
                                         {"watermarks", consumer_l_watermarks},
                                         {NULL, NULL}};
