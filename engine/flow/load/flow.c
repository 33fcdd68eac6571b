#include "flow/load/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "flow/load/internal.h"

static const int64_t tick_ns = 20000000; /* the longest wait without a look at the time */
enum { CLOSE_SECONDS = 5, ROWS_MAX = 10000000 };
static const double rate_max = 1e6, seconds_max = 86400;

/* ---- options ---- */

static rl_err *check_numbers(const flow_load_opts *opts)
{
    if (!opts->readers && !(opts->rate > 0 && opts->rate <= rate_max))
        return err_lab("USAGE", "rate must lie between 0 and 1000000 a second");
    if (opts->readers < 0 || opts->readers > LOAD_IN_FLIGHT_MAX)
        return err_lab("USAGE", "readers must lie between 1 and %d", LOAD_IN_FLIGHT_MAX);
    if (opts->count < 0 || !(opts->duration >= 0 && opts->duration <= seconds_max))
        return err_lab("USAGE", "count and duration cannot be negative, duration is a day at most");
    if (opts->count == 0 && opts->duration == 0)
        return err_lab("USAGE", "a load needs an end: count or duration");
    if (!(opts->timeout > 0 && opts->timeout <= seconds_max) || !(opts->late >= 0))
        return err_lab("USAGE", "timeout must be positive, late not negative");
    if (opts->in_flight < 1 || opts->in_flight > LOAD_IN_FLIGHT_MAX)
        return err_lab("USAGE", "in_flight must lie between 1 and %d", LOAD_IN_FLIGHT_MAX);
    if (opts->rows < 0 || opts->rows > ROWS_MAX)
        return err_lab("USAGE", "rows must lie between 0 and %d", ROWS_MAX);
    if (opts->nshapes == 0)
        return err_lab("USAGE", "a load needs a request");
    return NULL;
}

/* ---- the thread ---- */

static void load_fail(flow_load *load, rl_err *err)
{
    pthread_mutex_lock(&load->tally.lock);
    load->failure = err;
    pthread_mutex_unlock(&load->tally.lock);
    flow_emit(&load->flow, "failed", err_copy(err), NULL, 0);
}

static bool start_one(flow_load *load, int64_t n, int64_t intended, int reader)
{
    load_request *r = load_slot_take(load, reader);
    if (!r)
        return false;
    rl_assert(r->slot >= 0 && r->slot < load->opts.in_flight && !r->open);
    r->n = n;
    r->intended = intended;
    r->form = &load->forms[(n - 1) % (int64_t)load->opts.nshapes];
    buf_reset(&r->id);
    load_render(load, r, r->form->id, &r->id);
    load->driver->start(load, r);
    return true;
}

/* Starts what is due; the time at which the next one is, or from which on it is dropped when no
 * slot is free. */
static int64_t start_due(flow_load *load, bool *over)
{
    int64_t at, patience = (int64_t)(load->opts.timeout * 1e9);
    while (!(*over = !load_plan_next(&load->plan, &at))) {
        int64_t now = clock_ns(), intended = load->began + at;
        if (intended > now)
            return intended;
        if (!start_one(load, load->plan.n, intended, -1)) {
            if (now < intended + patience)
                return intended + patience;
            load_drop(load, load->plan.n, intended);
        }
        load_tally_planned(load);
        load_plan_advance(&load->plan);
    }
    return INT64_MAX;
}

static int64_t in_flight(flow_load *load)
{
    return flow_load_stats_of(load).in_flight;
}

static void wait_until(flow_load *load, rl_deadline at)
{
    int64_t soon = clock_ns() + tick_ns;
    load->driver->wait(load, at < soon ? at : soon);
}

static void run_open(flow_load *load)
{
    bool over = false;
    while (!flow_aborted(&load->flow)) {
        over = over || flow_stopping(&load->flow);
        int64_t next = over ? INT64_MAX : start_due(load, &over);
        if (over && in_flight(load) == 0)
            return;
        wait_until(load, next);
    }
}

/* How many requests this reader may still make, given how many it has made. */
static bool has_more(flow_load *load, int64_t made)
{
    if (flow_stopping(&load->flow) || (load->opts.count && made >= load->opts.count))
        return false;
    return !load->opts.duration || clock_ns() - load->began < (int64_t)(load->opts.duration * 1e9);
}

static void run_closed(flow_load *load)
{
    int64_t *made = mem_zero((size_t)load->opts.readers * sizeof *made), n = 0;
    bool more = true;
    while (!flow_aborted(&load->flow)) {
        more = false;
        for (int i = 0; i < load->opts.readers; i++) {
            if (!has_more(load, made[i]))
                continue;
            more = true;
            if (!start_one(load, n + 1, clock_ns(), i))
                continue;
            load_tally_planned(load);
            made[i]++;
            n++;
        }
        if (!more && in_flight(load) == 0)
            break;
        wait_until(load, DEADLINE_NEVER);
    }
    free(made);
}

static int64_t mark(flow_load *load, int64_t *when)
{
    int64_t now = clock_ns();
    pthread_mutex_lock(&load->tally.lock);
    *when = now;
    pthread_mutex_unlock(&load->tally.lock);
    return now;
}

static rl_err *get_ready(flow_load *load)
{
    rl_err *err = load->driver->open(load);
    if (!err && load->opts.readers && load->driver->ready) {
        err = load->driver->ready(load);
        pthread_mutex_lock(&load->tally.lock);
        load->tally.stats.released = !err;
        pthread_mutex_unlock(&load->tally.lock);
    }
    return err;
}

static void load_main(void *arg)
{
    flow_load *load = arg;
    load_slots_open(load);
    rl_err *err = get_ready(load);
    if (err)
        load_fail(load, err);
    load->began = mark(load, &load->tally.stats.began);
    if (!err && load->opts.readers)
        run_closed(load);
    else if (!err)
        run_open(load);
    load->driver->abandon(load);
    rl_assert(in_flight(load) == 0);
    load->driver->close(load);
    load_slots_close(load);
    mark(load, &load->tally.stats.ended);
}

/* ---- life ---- */

/* What is left in l->opts belongs to the load. */
static rl_err *prepare(flow_load *load)
{
    rl_err *err = load->opts.url ? load_target_url(load, load->opts.url)
                                 : load_target_brokers(load->opts.kafka);
    for (size_t i = 0; !err && i < load->opts.nshapes; i++)
        err = load_form_open(&load->opts.shapes[i], load->opts.url != NULL, &load->forms[i]);
    load->opts.shapes = NULL;
    load->opts.url = load->opts.name = load->opts.f = NULL;
    return err;
}

static void load_interrupt(rl_flow *flow)
{
    static const uint64_t one = 1;
    flow_load *load = (flow_load *)flow;
    if (write(load->wake, &one, sizeof one) < 0)
        return; /* full, hence readable */
}

static void load_free(flow_load *load)
{
    for (size_t i = 0; i < load->opts.nshapes; i++)
        load_form_close(&load->forms[i]);
    free(load->forms);
    load_tally_close(&load->tally);
    for (int i = 0; i < LOAD_HDRS; i++)
        flow_hdr_close(&load->hdrs[i]);
    if (load->wake >= 0)
        close(load->wake);
    if (load->opts.kafka)
        rd_kafka_conf_destroy(load->opts.kafka);
    if (load->opts.history)
        history_drop(load->opts.history);
    err_free(load->failure);
    free(load->host);
    free(load->name);
    free(load->f);
    free(load);
}

void flow_load_close(flow_load *load)
{
    if (flow_close(&load->flow, CLOSE_SECONDS))
        load_free(load);
}

static flow_load_opts with_defaults(const flow_load_opts *given)
{
    flow_load_opts opts = *given;
    if (opts.readers > 0)
        opts.in_flight = opts.readers;
    else if (opts.in_flight == 0)
        opts.in_flight = opts.url ? LOAD_IN_FLIGHT_HTTP : LOAD_IN_FLIGHT_KAFKA;
    return opts;
}

static flow_load *load_new(const flow_load_opts *opts)
{
    flow_load *load = mem_zero(sizeof *load);
    flow_init(&load->flow);
    load->flow.interrupt = load_interrupt;
    load->opts = *opts;
    load->driver = opts->url ? &load_http : &load_kafka;
    load->name = mem_strdup(opts->name ? opts->name : "load");
    load->f = mem_strdup(opts->f ? opts->f : opts->url ? "request" : "send");
    load->forms = mem_zero((opts->nshapes + 1) * sizeof *load->forms);
    load->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    load_tally_open(&load->tally, opts);
    for (int i = 0; i < LOAD_HDRS; i++)
        flow_hdr_open(&load->hdrs[i]);
    if (opts->history)
        history_keep(opts->history);
    return load;
}

static void set_plan(flow_load *load)
{
    rl_rng seed;
    rng_init(&seed, load->opts.seed);
    rng_split(&seed, "content", 7, &load->content);
    load_plan_open(&load->plan, load->opts.rate, load->opts.poisson, &seed);
    load->plan.count = load->opts.count;
    load->plan.until = (int64_t)(load->opts.duration * 1e9);
}

rl_err *flow_load_open(const flow_load_opts *given, flow_load **out)
{
    flow_load_opts opts = with_defaults(given);
    rl_err *err = check_numbers(&opts);
    if (err) {
        if (opts.kafka)
            rd_kafka_conf_destroy(opts.kafka);
        return err;
    }
    flow_load *load = load_new(&opts);
    err = load->wake < 0 ? err_sys(errno, "eventfd") : prepare(load);
    set_plan(load);
    if (!err)
        err = flow_start(&load->flow, "load", load_main, load);
    if (err)
        flow_load_close(load);
    else
        *out = load;
    return err;
}

rl_flow *flow_load_flow(flow_load *load)
{
    return &load->flow;
}

rl_err *flow_load_failure(flow_load *load)
{
    pthread_mutex_lock(&load->tally.lock);
    rl_err *copy = err_copy(load->failure);
    pthread_mutex_unlock(&load->tally.lock);
    return copy;
}
