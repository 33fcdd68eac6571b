#include "bind/kafka/producer.h"

#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "bind/kafka/module.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/kafka/conf.h"
#include "bind/kafka/values.h"

enum { DRAIN_EVENTS = 256 };

/* A task in p:send(). Two owners: the task's wait and the report. */
typedef struct send_wait {
    rl_wait wait; /* first */
    report_target target;
    atomic_int refs;
    bool woken;
    struct send_wait *prev, *next;
    producer_side *side; /* NULL once out of its list */
    kafka_report report;
} send_wait;

typedef struct room_wait {
    rl_timed timed; /* first */
    producer_side *side;
    struct room_wait *next;
} room_wait;

/* ---- the loop side ---- */

kafka_producer *kafka_producer_check(lua_State *L, int idx)
{
    return handle_check(L, idx, &kafka_producer_type)->impl;
}

producer_side *kafka_producer_side(lua_State *L, int idx)
{
    return handle_check(L, idx, &kafka_producer_type)->extra;
}

kafka_producer *kafka_producer_if_open(lua_State *L, int idx)
{
    const rl_handle *h = lua_touserdata(L, idx);
    return h->impl;
}

static void on_report(void *arg, const rd_kafka_message_t *msg)
{
    report_target *target = msg->_private;
    (void)arg;
    if (target)
        target->reported(target, msg);
}

/* After the producer was closed; runs on the thread that destroys it. */
static void on_late_report(void *arg, const rd_kafka_message_t *msg)
{
    report_target *target = msg->_private;
    (void)arg;
    if (target)
        target->drop(target);
}

static void wake_rooms(producer_side *side)
{
    while (side->rooms)
        timed_wake(&side->rooms->timed);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    producer_side *side = (producer_side *)poll;
    uint64_t count;
    (void)status;
    (void)events;
    if (read(side->fd, &count, sizeof count) < 0)
        return;
    if (kafka_producer_drain(side->producer, 0, DRAIN_EVENTS)) {
        count = 1;
        if (write(side->fd, &count, sizeof count) < 0)
            return;
    }
    wake_rooms(side);
}

static rl_err *side_open(lua_State *L, kafka_producer *producer, producer_side **out)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "eventfd");
    producer_side *side = mem_zero(sizeof *side);
    side->fd = fd;
    side->producer = producer;
    uv_poll_init(task_loop(L), &side->poll, fd);
    uv_poll_start(&side->poll, UV_READABLE, on_readable);
    kafka_producer_on_report(producer, on_report, side);
    kafka_producer_watch(producer, fd);
    *out = side;
    return NULL;
}

static void side_closed(uv_handle_t *poll)
{
    producer_side *side = (producer_side *)poll;
    close(side->fd);
    free(side);
}

static void send_end(send_wait *w, const kafka_report *report);

/* Reports that have come already are still given out; whoever waits for others is told that the
 * producer was closed. */
static void producer_detach(rl_handle *h)
{
    const kafka_report closed =
        kafka_report_none(RD_KAFKA_RESP_ERR__DESTROY, RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED);
    producer_side *side = h->extra;
    kafka_producer_watch(side->producer, -1);
    while (kafka_producer_drain(side->producer, 0, DRAIN_EVENTS))
        ;
    kafka_producer_on_report(side->producer, on_late_report, NULL);
    while (side->sends)
        send_end(side->sends, &closed);
    kafka_sets_close(&side->sets);
    wake_rooms(side);
    h->extra = NULL;
    uv_poll_stop(&side->poll);
    uv_close((uv_handle_t *)&side->poll, side_closed);
}

/* ---- room in the queue ---- */

static void room_forget(rl_timed *t)
{
    room_wait *w = (room_wait *)t;
    room_wait **p = &w->side->rooms;
    while (*p && *p != w)
        p = &(*p)->next;
    if (*p)
        *p = w->next;
}

static int push_none(lua_State *L, rl_wait *wait)
{
    (void)L;
    (void)wait;
    return 0;
}

static int producer_l_wait_room(lua_State *L)
{
    producer_side *side = kafka_producer_side(L, 1);
    room_wait *w = timed_new(L, sizeof *w, push_none);
    w->timed.forget = room_forget;
    w->side = side;
    room_wait **tail = &side->rooms;
    while (*tail)
        tail = &(*tail)->next;
    *tail = w;
    return timed_wait(L, &w->timed, -1);
}

int kafka_wait_room(lua_State *L, lua_KContext ctx, lua_KFunction k)
{
    lua_pushcfunction(L, producer_l_wait_room);
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 0, ctx, k);
    return k(L, LUA_OK, ctx);
}

/* ---- send ---- */

static void send_unref(send_wait *w)
{
    if (atomic_fetch_sub(&w->refs, 1) == 1)
        free(w);
}

static void send_unlink(send_wait *w)
{
    if (!w->side)
        return;
    if (w->prev)
        w->prev->next = w->next;
    else
        w->side->sends = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->side = NULL;
}

static void send_wake(send_wait *w)
{
    send_unlink(w);
    if (w->woken)
        return;
    w->woken = true;
    task_wake(&w->wait);
}

static void send_end(send_wait *w, const kafka_report *report)
{
    w->report = *report;
    send_wake(w);
}

static void send_reported(report_target *target, const rd_kafka_message_t *msg)
{
    send_wait *w = (send_wait *)((char *)target - offsetof(send_wait, target));
    kafka_report report = kafka_report_of(msg);
    send_end(w, &report);
    send_unref(w);
}

static void send_target_drop(report_target *target)
{
    send_unref((send_wait *)((char *)target - offsetof(send_wait, target)));
}

static void send_cancel(rl_wait *wait)
{
    send_wake((send_wait *)wait);
}

static void send_drop(rl_wait *wait)
{
    send_wait *w = (send_wait *)wait;
    send_unlink(w);
    send_unref(w);
}

/* The record is still at index 2. */
static int send_push(lua_State *L, rl_wait *wait)
{
    send_wait *w = (send_wait *)wait;
    const kafka_report *report = &w->report;
    const char *topic = lua_getfield(L, 2, "topic") == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    if (!report->code) {
        kafka_report_push(L, topic, report);
        return 1;
    }
    lua_pushnil(L);
    kafka_send_error_push(L, kafka_producer_if_open(L, 1), topic, report);
    return 2;
}

static send_wait *send_new(producer_side *side)
{
    send_wait *w = mem_zero(sizeof *w);
    w->wait = (rl_wait){.cancel = send_cancel, .push = send_push, .drop = send_drop};
    w->target = (report_target){.reported = send_reported, .drop = send_target_drop};
    atomic_init(&w->refs, 2);
    w->side = side;
    w->next = side->sends;
    if (w->next)
        w->next->prev = w;
    side->sends = w;
    return w;
}

int kafka_send_failed(lua_State *L, kafka_producer *producer, rd_kafka_resp_err_t code,
                      const char *topic)
{
    const kafka_report refused = kafka_report_none(code, RD_KAFKA_MSG_STATUS_NOT_PERSISTED);
    lua_pushnil(L);
    kafka_send_error_push(L, producer, topic, &refused);
    return 2;
}

static int send_try(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    producer_side *side = kafka_producer_side(L, 1);
    kafka_record record;
    kafka_record_read(L, 2, &record, false);
    send_wait *w = send_new(side);
    rd_kafka_resp_err_t code = kafka_producer_send(side->producer, &record, &w->target);
    if (!code)
        return task_wait(L, &w->wait);
    send_unlink(w);
    free(w);
    kafka_record_drop(&record);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return kafka_wait_room(L, 0, send_try);
    return kafka_send_failed(L, side->producer, code, record.topic);
}

/* p:send(record) -> report | nil, err */
static int producer_l_send(lua_State *L)
{
    task_require(L);
    lua_settop(L, 2);
    return send_try(L, LUA_OK, 0);
}

/* p:post(record) -> true | nil, err: the report is only counted */
static int producer_l_post(lua_State *L)
{
    kafka_producer *producer = kafka_producer_check(L, 1);
    kafka_record record;
    kafka_record_read(L, 2, &record, false);
    rd_kafka_resp_err_t code = kafka_producer_send(producer, &record, NULL);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) { /* reports that wait to be read take up room */
        kafka_producer_drain(producer, 0, DRAIN_EVENTS);
        code = kafka_producer_send(producer, &record, NULL);
    }
    if (code) {
        kafka_record_drop(&record);
        return kafka_send_failed(L, producer, code, record.topic);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- the rest ---- */

static int producer_l_purge(lua_State *L)
{
    kafka_producer_purge(kafka_producer_check(L, 1));
    return 0;
}

static int producer_l_pending(lua_State *L)
{
    lua_pushinteger(L, kafka_producer_pending(kafka_producer_check(L, 1)));
    return 1;
}

static int producer_l_stats(lua_State *L)
{
    kafka_producer *producer = kafka_producer_check(L, 1);
    kafka_counts n = kafka_producer_counts(producer);
    lua_newtable(L);
    field_set_int(L, "sent", n.sent);
    field_set_int(L, "acked", n.acked);
    field_set_int(L, "failed", n.failed);
    field_set_int(L, "bytes", n.bytes);
    field_set_int(L, "pending", kafka_producer_pending(producer));
    kafka_client_stats_set(L, kafka_producer_notes(producer));
    return 1;
}

/* p:mock_brokers() -> "host:port,..." of the cluster inside the client (test.mock.num.brokers) |
 * nil. For our own unit tests: it has no transactions to speak of and no replication, and proves
 * nothing about Kafka. */
static int producer_l_mock_brokers(lua_State *L)
{
    rd_kafka_t *rk = kafka_producer_rk(kafka_producer_check(L, 1));
    rd_kafka_mock_cluster_t *mock = rd_kafka_handle_mock_cluster(rk);
    lua_pushstring(L, mock ? rd_kafka_mock_cluster_bootstraps(mock) : NULL);
    return 1;
}

/* p:stop_calls(): flush, commit and the like, running or queued, end with CANCELLED; for close */
static int producer_l_stop_calls(lua_State *L)
{
    rl_handle *h = handle_check(L, 1, &kafka_producer_type);
    while (h->lane.tail)
        job_cancel(h->lane.tail);
    if (h->lane.running)
        job_cancel(h->lane.running);
    return 0;
}

static int producer_l_is_open(lua_State *L)
{
    const rl_handle *h = luaL_checkudata(L, 1, kafka_producer_type.name);
    lua_pushboolean(L, h->impl != NULL);
    return 1;
}

static int producer_l_errors(lua_State *L)
{
    return kafka_notes_push(L, kafka_producer_notes(kafka_producer_check(L, 1)));
}

static void producer_close(void *impl)
{
    kafka_producer_close(impl);
}

static void producer_cancel(void *impl)
{
    kafka_producer_cancel(impl);
}

const rl_handle_type kafka_producer_type = {.name = "kafka.producer",
                                            .close = producer_close,
                                            .cancel = producer_cancel,
                                            .detach = producer_detach};

/* kafka.producer{ brokers = ..., any property } -> producer | nil, err */
int kafka_l_producer(lua_State *L)
{
    lua_settop(L, 1);
    rl_handle *h = handle_new(L, &kafka_producer_type, 0);
    rd_kafka_conf_t *conf = kafka_conf_read(L, 1, "kafka.producer", KAFKA_PRODUCER, NULL);
    kafka_producer *producer;
    rl_err *err = kafka_producer_open(conf, &producer);
    if (err)
        return errs_fail(L, err);
    producer_side *side = NULL;
    err = side_open(L, producer, &side);
    if (err) {
        kafka_producer_close(producer);
        return errs_fail(L, err);
    }
    h->extra = side;
    handle_set(h, producer);
    return 1;
}

void kafka_producer_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {{"send", producer_l_send},
                                       {"post", producer_l_post},
                                       {"submit", kafka_l_submit},
                                       {"post_batch", kafka_l_post_batch},
                                       {"flush", kafka_l_flush},
                                       {"purge", producer_l_purge},
                                       {"pending", producer_l_pending},
                                       {"stats", producer_l_stats},
                                       {"errors", producer_l_errors},
                                       {"is_open", producer_l_is_open},
                                       {"stop_calls", producer_l_stop_calls},
                                       {"mock_brokers", producer_l_mock_brokers},
                                       {NULL, NULL}};
    handle_type_open(L, &kafka_producer_type, methods);
    luaL_getmetatable(L, kafka_producer_type.name);
    lua_getfield(L, -1, "__index");
    luaL_setfuncs(L, kafka_txn_methods, 0);
    lua_pop(L, 2);
}
