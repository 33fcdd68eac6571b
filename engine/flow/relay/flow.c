#include "flow/relay/flow.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "flow/relay/internal.h"

enum { NAME_MAX_LEN = 40, CLOSE_SECONDS = 5 };

const char *const relay_counter_names[RELAY_N] = {
#define COUNTER(name) #name,
    RELAY_COUNTERS
#undef COUNTER
};

/* ---- waiting for each other ---- */

void relay_wait(relay *r, double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + (int64_t)(seconds * 1e9);
    t = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    pthread_cond_timedwait(&r->change, &r->lock, &t);
}

void relay_signal(relay *r)
{
    pthread_cond_broadcast(&r->change);
}

/* ---- open ---- */

static rl_err *check(const relay_opts *o)
{
    size_t len = strlen(o->name);
    if (len == 0 || len > NAME_MAX_LEN)
        return err_lab("USAGE", "name: 1 to %d characters", NAME_MAX_LEN);
    for (const char *c = o->name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_.-", *c))
            return err_lab("USAGE", "name: letters, digits, _ . and -, not '%s'", o->name);
    if (o->batch < 1 || o->batch > RELAY_BATCH_MAX)
        return err_lab("USAGE", "batch: 1 to %d rows", RELAY_BATCH_MAX);
    if (o->in_flight < 1 || o->in_flight > RELAY_IN_FLIGHT_MAX)
        return err_lab("USAGE", "in_flight: 1 to %d batches", RELAY_IN_FLIGHT_MAX);
    if (o->lease < 0.1)
        return err_lab("USAGE", "lease: 100ms at least");
    if (o->cleanup_chunk < 1)
        return err_lab("USAGE", "cleanup_chunk: 1 row at least");
    return NULL;
}

static void set_owner(relay *r)
{
    uint64_t mark = (uint64_t)clock_unix_ns() * 2654435761u ^ (uint64_t)getpid();
    snprintf(r->owner, sizeof r->owner, "%s/%d-%08x", r->o.name, (int)getpid(),
             (unsigned)(mark & 0xffffffff));
}

static void interrupt(rl_flow *flow)
{
    relay *r = (relay *)flow;
    my_conn_cancel(r->reader_conn);
    my_conn_cancel(r->marker_conn);
    my_conn_cancel(r->keeper_conn);
    pthread_mutex_lock(&r->lock);
    kafka_producer_cancel(r->producer);
    relay_signal(r);
    pthread_mutex_unlock(&r->lock);
}

static void init_sync(relay *r)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->change, &attr);
    pthread_condattr_destroy(&attr);
}

static void open_parts(relay *r)
{
    my_opts mysql = r->o.mysql;
    mysql.found_rows = true;
    r->reader_conn = my_conn_new(&mysql);
    r->marker_conn = my_conn_new(&mysql);
    r->keeper_conn = my_conn_new(&mysql);
    r->reader_n = flow_counters_new(&r->flow, RELAY_N);
    r->marker_n = flow_counters_new(&r->flow, RELAY_N);
    r->keeper_n = flow_counters_new(&r->flow, RELAY_N);
    for (int i = 0; i < RELAY_HDRS; i++)
        flow_hdr_open(&r->hdrs[i]);
}

static rl_err *start(relay *r)
{
    static void (*const mains[])(void *) = {relay_keeper, relay_marker, relay_reader};
    static const char *const names[] = {"relay-keeper", "relay-marker", "relay-reader"};
    for (int i = 0; i < 3; i++) {
        rl_err *err = flow_start(&r->flow, names[i], mains[i], r);
        if (err)
            return err;
    }
    return NULL;
}

rl_err *relay_open(const relay_opts *opts, rd_kafka_conf_t *conf, relay **out)
{
    char id[256];
    relay *r = NULL;
    rl_err *err = check(opts);
    if (!err) {
        r = mem_zero(sizeof *r);
        flow_init(&r->flow);
        init_sync(r);
        r->conf = conf;
        r->o = *opts;
        r->o.name = mem_strdup(opts->name);
        r->o.topic = mem_strdup(opts->topic);
        kafka_conf_value(conf, "transactional.id", id, sizeof id);
        r->transactional = *id != '\0';
        set_owner(r);
        open_parts(r);
        err = relay_producer_open(r);
        if (!err) {
            rl_err *down = err_lab("CONNECTING", "not connected yet");
            r->flow.interrupt = interrupt;
            flow_down(&r->flow, "mysql", down);
            err_free(down);
            err = start(r);
        }
        if (err)
            relay_close(r);
    } else {
        rd_kafka_conf_destroy(conf);
    }
    *out = err ? NULL : r;
    return err;
}

rl_flow *relay_flow(relay *r)
{
    return &r->flow;
}

flow_hdr *relay_hdr_of(relay *r, relay_hdr which)
{
    return &r->hdrs[which];
}

/* ---- close ---- */

static void free_rest(relay *r)
{
    for (relay_batch *b = r->first, *next; b; b = next) {
        next = b->next;
        relay_batch_free(b);
    }
    my_conn_free(r->reader_conn);
    my_conn_free(r->marker_conn);
    my_conn_free(r->keeper_conn);
    for (int i = 0; i < RELAY_HDRS; i++)
        flow_hdr_close(&r->hdrs[i]);
    rd_kafka_conf_destroy(r->conf);
    free((char *)r->o.name);
    free((char *)r->o.topic);
    free(r->failed);
    pthread_cond_destroy(&r->change);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static void ignore_report(void *arg, const rd_kafka_message_t *msg)
{
    (void)arg;
    (void)msg;
}

void relay_close(void *impl)
{
    relay *r = impl;
    if (!flow_close(&r->flow, CLOSE_SECONDS)) {
        log_msg(LOG_LEVEL_WARN, "a thread of relay %s hangs and is left behind", r->o.name);
        return;
    }
    if (r->producer) {
        kafka_producer_on_report(r->producer, ignore_report, NULL);
        kafka_producer_close(r->producer);
    }
    free_rest(r);
}
