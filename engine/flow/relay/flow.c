#include "flow/relay/flow.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "flow/relay/internal.h"

enum { NAME_MAX_LEN = 40, CLOSE_SECONDS = 5 };

const char *const flow_relay_counter_names[RELAY_N] = {
#define COUNTER(name) #name,
    RELAY_COUNTERS
#undef COUNTER
};

/* ---- open ---- */

static rl_err *check_opts(const flow_relay_opts *opts)
{
    size_t len = strlen(opts->name);
    if (len == 0 || len > NAME_MAX_LEN)
        return err_lab("USAGE", "name: 1 to %d characters", NAME_MAX_LEN);
    for (const char *c = opts->name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_.-", *c))
            return err_lab("USAGE", "name: letters, digits, _ . and -, not '%s'", opts->name);
    if (opts->batch < 1 || opts->batch > RELAY_BATCH_MAX)
        return err_lab("USAGE", "batch: 1 to %d rows", RELAY_BATCH_MAX);
    if (opts->in_flight < 1 || opts->in_flight > RELAY_IN_FLIGHT_MAX)
        return err_lab("USAGE", "in_flight: 1 to %d batches", RELAY_IN_FLIGHT_MAX);
    if (opts->lease < 0.1)
        return err_lab("USAGE", "lease: 100ms at least");
    if (opts->leader == RELAY_BY_LOCK && opts->mark == RELAY_CURSOR)
        return err_lab("USAGE", "leader: a cursor's position is kept with the leases");
    if (opts->cleanup_chunk < 1)
        return err_lab("USAGE", "cleanup_chunk: 1 row at least");
    return NULL;
}

static void set_owner(flow_relay *relay)
{
    uint64_t mark = (uint64_t)clock_unix_ns() * 2654435761u ^ (uint64_t)getpid();
    snprintf(relay->owner, sizeof relay->owner, "%s/%d-%08x", relay->opts.name, (int)getpid(),
             (unsigned)(mark & 0xffffffff));
}

static void relay_interrupt(rl_flow *flow)
{
    flow_relay *relay = (flow_relay *)flow;
    my_conn_cancel(relay->reader_conn);
    my_conn_cancel(relay->marker_conn);
    my_conn_cancel(relay->keeper_conn);
    pthread_mutex_lock(&relay->lock);
    kafka_producer_cancel(relay->producer);
    relay_signal(relay);
    pthread_mutex_unlock(&relay->lock);
}

static void open_parts(flow_relay *relay)
{
    my_opts mysql = relay->opts.mysql;
    mysql.found_rows = true;
    relay->reader_conn = my_conn_new(&mysql);
    relay->marker_conn = my_conn_new(&mysql);
    relay->keeper_conn = my_conn_new(&mysql);
    relay->reader_count = flow_counters_new(&relay->flow, RELAY_N);
    relay->marker_count = flow_counters_new(&relay->flow, RELAY_N);
    relay->keeper_count = flow_counters_new(&relay->flow, RELAY_N);
    for (int i = 0; i < RELAY_HDRS; i++)
        flow_hdr_open(&relay->hdrs[i]);
}

static rl_err *relay_start(flow_relay *relay)
{
    static void (*const mains[])(void *) = {relay_keeper, relay_marker, relay_reader};
    static const char *const names[] = {"relay-keeper", "relay-marker", "relay-reader"};
    for (int i = 0; i < 3; i++) {
        rl_err *err = flow_start(&relay->flow, names[i], mains[i], relay);
        if (err)
            return err;
    }
    return NULL;
}

rl_err *flow_relay_open(const flow_relay_opts *opts, rd_kafka_conf_t *conf, flow_relay **out)
{
    char id[256];
    flow_relay *relay = NULL;
    rl_err *err = check_opts(opts);
    if (!err) {
        relay = mem_zero(sizeof *relay);
        flow_init(&relay->flow);
        relay_sync_open(relay);
        relay->conf = conf;
        relay->opts = *opts;
        relay->opts.name = mem_strdup(opts->name);
        relay->opts.topic = mem_strdup(opts->topic);
        kafka_conf_value(conf, "transactional.id", id, sizeof id);
        relay->transactional = *id != '\0';
        set_owner(relay);
        open_parts(relay);
        err = relay_producer_open(relay);
        if (!err) {
            rl_err *down = err_lab("CONNECTING", "not connected yet");
            relay->flow.interrupt = relay_interrupt;
            flow_down(&relay->flow, "mysql", down);
            err_free(down);
            err = relay_start(relay);
        }
        if (err)
            flow_relay_close(relay);
    } else {
        rd_kafka_conf_destroy(conf);
    }
    *out = err ? NULL : relay;
    return err;
}

rl_flow *flow_relay_flow(flow_relay *relay)
{
    return &relay->flow;
}

flow_hdr *flow_relay_hdr_of(flow_relay *relay, flow_relay_hdr which)
{
    return &relay->hdrs[which];
}

/* ---- close ---- */

static void relay_free(flow_relay *relay)
{
    for (relay_batch *batch = relay->first, *next; batch; batch = next) {
        next = batch->next;
        relay_batch_free(batch);
    }
    my_conn_free(relay->reader_conn);
    my_conn_free(relay->marker_conn);
    my_conn_free(relay->keeper_conn);
    for (int i = 0; i < RELAY_HDRS; i++)
        flow_hdr_close(&relay->hdrs[i]);
    rd_kafka_conf_destroy(relay->conf);
    free((char *)relay->opts.name);
    free((char *)relay->opts.topic);
    free(relay->failed);
    relay_sync_close(relay);
    free(relay);
}

static void ignore_report(void *arg, const rd_kafka_message_t *msg)
{
    (void)arg;
    (void)msg;
}

void flow_relay_close(void *impl)
{
    flow_relay *relay = impl;
    if (!flow_close(&relay->flow, CLOSE_SECONDS)) {
        log_msg(LOG_LEVEL_WARN, "a thread of relay %s hangs and is left behind", relay->opts.name);
        return;
    }
    if (relay->producer) {
        kafka_producer_on_report(relay->producer, ignore_report, NULL);
        kafka_producer_close(relay->producer);
    }
    relay_free(relay);
}
