#include "kafka/admin/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "kafka/admin/run.h"
#include "kafka/token/token.h"

#define TRY_FACTOR 2 /* a try may need a connection first */
#define AGAIN_MS 50
#define FREE_MS 2000

/* ---- opening and closing ---- */

static int patience_of(const rd_kafka_conf_t *conf)
{
    char ms[32];
    kafka_conf_value(conf, "socket.timeout.ms", ms, sizeof ms);
    int n = atoi(ms);
    return n > 0 ? n : 600;
}

static rl_err *open_both(kafka_admin *admin, rd_kafka_conf_t *conf)
{
    char brokers[4096];
    kafka_conf_value(conf, "bootstrap.servers", brokers, sizeof brokers);
    admin->patience_ms = patience_of(conf);
    wire_security *security = NULL;
    rl_err *err = wire_security_new(conf, &security);
    if (!err)
        err = wire_cluster_new(brokers, admin->patience_ms, security, &admin->cluster);
    if (err) {
        rd_kafka_conf_destroy(conf);
        return err;
    }
    return kafka_client_new(KAFKA_ADMIN, conf, &admin->rk);
}

rl_err *kafka_admin_new(rd_kafka_conf_t *conf, kafka_admin **out)
{
    kafka_admin *admin = mem_zero(sizeof *admin);
    admin->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rl_err *err = open_both(admin, conf);
    if (err) {
        kafka_admin_free(admin);
        return err;
    }
    admin->queue = rd_kafka_queue_new(admin->rk);
    *out = admin;
    return NULL;
}

void kafka_admin_free(kafka_admin *admin)
{
    if (!admin)
        return;
    if (admin->queue)
        rd_kafka_queue_destroy(admin->queue);
    kafka_client_destroy(admin->rk, 0, FREE_MS);
    wire_cluster_free(admin->cluster);
    if (admin->wake_fd >= 0)
        close(admin->wake_fd);
    free(admin);
}

static void admin_wake(kafka_admin *admin)
{
    uint64_t one = 1;
    rd_kafka_queue_yield(admin->queue);
    if (write(admin->wake_fd, &one, sizeof one) < 0)
        return; /* full, thus readable: awake already */
}

void kafka_admin_cancel(kafka_admin *admin, kafka_call *call)
{
    atomic_store(&call->cancelled, true);
    admin_wake(admin);
}

void kafka_admin_stop(kafka_admin *admin)
{
    atomic_store(&admin->stopped, true);
    admin_wake(admin);
}

/* ---- items ---- */

void kafka_items_free(kafka_items *items)
{
    for (int i = 0; i < items->count; i++) {
        free(items->items[i].name);
        err_free(items->items[i].err);
    }
    free(items->items);
    *items = (kafka_items){0};
}

kafka_item *admin_item_add(kafka_items *items, const char *name, int partition, int64_t offset,
                           rl_err *err)
{
    items->items = mem_grow(items->items, (size_t)(items->count + 1) * sizeof *items->items);
    kafka_item *item = &items->items[items->count++];
    *item = (kafka_item){
        .name = mem_strdup(name), .partition = partition, .offset = offset, .err = err};
    return item;
}

rl_err *admin_item_err(rd_kafka_resp_err_t code, const char *what, const char *name,
                       const char *text)
{
    if (code == RD_KAFKA_RESP_ERR__TIMED_OUT)
        return err_lab("TIMEOUT", "%s %s: no answer in time", what, name);
    if (!code || !text || !*text)
        return wire_code(code, "%s %s", what, name);
    rl_err *plain = wire_code(code, "%s", ""),
           *err = err_new(RL_KAFKA, code, plain->name, "%s %s: %s", what, name, text);
    err_free(plain);
    return err;
}

void admin_items_of_list(kafka_items *items, const rd_kafka_topic_partition_list_t *list,
                         const char *what)
{
    for (int i = 0; list && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *place = &list->elems[i];
        char where[300];
        snprintf(where, sizeof where, "%s [%d]", place->topic, place->partition);
        admin_item_add(items, place->topic, place->partition, place->offset,
                       admin_item_err(place->err, what, where, NULL));
    }
}

/* ---- running ---- */

admin_run admin_begin(kafka_admin *admin, kafka_call *call)
{
    rl_assert(call->timeout_ms >= 0);
    return (admin_run){.admin = admin, .call = call, .until = deadline_in_ms(call->timeout_ms)};
}

wire_call admin_wire(admin_run *run)
{
    return (wire_call){.deadline = run->until,
                       .stop = {&run->call->cancelled, &run->admin->stopped},
                       .wake_fd = run->admin->wake_fd};
}

wire_call admin_wire_try(admin_run *run)
{
    wire_call call = admin_wire(run);
    return wire_call_within(&call, run->admin->patience_ms * TRY_FACTOR);
}

static rl_err *run_stopped(const admin_run *run)
{
    if (kafka_stopped(&run->call->cancelled) || kafka_stopped(&run->admin->stopped))
        return err_lab("CANCELLED", "the call was cancelled");
    return NULL;
}

static rl_err *run_timed_out(const admin_run *run, const char *what)
{
    char trouble[600];
    if (kafka_token_trouble(trouble, sizeof trouble))
        return err_lab("TIMEOUT", "%s: no answer within %d ms: %s", what, run->call->timeout_ms,
                       trouble);
    return err_lab("TIMEOUT", "%s: no answer within %d ms", what, run->call->timeout_ms);
}

/* Events that are not the awaited one belong to tries that were given up. */
static rl_err *await_event(admin_run *run, rl_deadline until, const char *what,
                           rd_kafka_event_t **event)
{
    for (;;) {
        rl_err *err = run_stopped(run);
        int slice = kafka_slice(until, KAFKA_SLICE_MS);
        if (err || !slice)
            return err ? err : run_timed_out(run, what);
        rd_kafka_event_t *got = rd_kafka_queue_poll(run->admin->queue, slice);
        if (got && (uintptr_t)rd_kafka_event_opaque(got) == run->admin->ticket) {
            *event = got;
            return NULL;
        }
        rd_kafka_event_destroy(got);
    }
}

/* Options that an operation does not know are refused by librdkafka with an error of no
 * interest. */
static void ignore_error(rd_kafka_error_t *error)
{
    if (error)
        rd_kafka_error_destroy(error);
}

static rd_kafka_AdminOptions_t *options_of(admin_run *run, const admin_op *op, int ms, int broker)
{
    char why[128];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(run->admin->rk, op->api);
    rd_kafka_AdminOptions_set_request_timeout(options, ms, why, sizeof why);
    rd_kafka_AdminOptions_set_operation_timeout(options, ms, why, sizeof why);
    rd_kafka_AdminOptions_set_opaque(options, (void *)++run->admin->ticket);
    if (broker >= 0)
        rd_kafka_AdminOptions_set_broker(options, broker, why, sizeof why);
    if (op->committed)
        ignore_error(rd_kafka_AdminOptions_set_isolation_level(
            options, RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED));
    if (op->stable)
        ignore_error(rd_kafka_AdminOptions_set_require_stable_offsets(options, 1));
    return options;
}

static rl_err *event_err(admin_run *run, const admin_op *op, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code == RD_KAFKA_RESP_ERR__TIMED_OUT)
        return run_timed_out(run, op->what);
    return admin_item_err(code, op->what, "failed", rd_kafka_event_error_string(event));
}

static rl_err *try_once(admin_run *run, const admin_op *op, const void *arg, int broker,
                        rd_kafka_event_t **event)
{
    int ms = kafka_slice(run->until, run->admin->patience_ms * TRY_FACTOR);
    if (!ms)
        return run_timed_out(run, op->what);
    rd_kafka_AdminOptions_t *options = options_of(run, op, ms, broker);
    op->submit(run->admin, options, arg);
    rd_kafka_AdminOptions_destroy(options);
    rl_err *err = await_event(run, deadline_in_ms(ms + KAFKA_SLICE_MS), op->what, event);
    if (err)
        return err;
    err = event_err(run, op, *event);
    if (err) {
        rd_kafka_event_destroy(*event);
        *event = NULL;
    }
    return err;
}

/* A coordinator, a controller or a leader that is just being found or loaded. */
static bool settling(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
        return true;
    default:
        return false;
    }
}

static bool again(admin_run *run, const admin_op *op, const rl_err *err, rd_kafka_event_t *event)
{
    if (kafka_slice(run->until, AGAIN_MS) < AGAIN_MS)
        return false;
    if (!err)
        return op->code && settling(op->code(event));
    return err_is(err, RL_LAB, "TIMEOUT") || (err->domain == RL_KAFKA && err->retriable);
}

/* A broker that is alive, asked over the wire; -1 when none is known. */
static int living_broker(admin_run *run)
{
    wire_call call = admin_wire(run);
    wire_metadata m = {0};
    rl_err *err =
        wire_metadata_get(run->admin->cluster, &call, WIRE_ANY, (const char *const[]){""}, 0, &m);
    int broker = err ? -1 : wire_cluster_last(run->admin->cluster);
    err_free(err);
    wire_metadata_free(&m);
    return broker;
}

rl_err *admin_do(admin_run *run, const admin_op *op, const void *arg, rd_kafka_event_t **event)
{
    *event = NULL;
    for (int broker = -1;;) {
        rl_err *err = try_once(run, op, arg, broker, event);
        if (!again(run, op, err, *event))
            return err;
        if (err_is(err, RL_LAB, "TIMEOUT")) {
            run->lost++;
            broker = op->anywhere ? living_broker(run) : -1;
        }
        err_free(err);
        rd_kafka_event_destroy(*event);
        *event = NULL;
        err = admin_pause(run, AGAIN_MS, "%s", op->what);
        if (err)
            return err;
    }
}

rl_err *admin_pause(admin_run *run, int ms, const char *fmt, ...)
{
    rd_kafka_event_destroy(rd_kafka_queue_poll(run->admin->queue, kafka_slice(run->until, ms)));
    rl_err *err = run_stopped(run);
    if (err || kafka_slice(run->until, ms))
        return err;
    va_list ap;
    va_start(ap, fmt);
    err = err_newv(RL_LAB, 0, "TIMEOUT", fmt, ap);
    va_end(ap);
    return err;
}
