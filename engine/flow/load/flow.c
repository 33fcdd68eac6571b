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

static rl_err *check_numbers(const flow_load_opts *o)
{
    if (!o->readers && !(o->rate > 0 && o->rate <= rate_max))
        return err_lab("USAGE", "rate must lie between 0 and 1000000 a second");
    if (o->readers < 0 || o->readers > LOAD_IN_FLIGHT_MAX)
        return err_lab("USAGE", "readers must lie between 1 and %d", LOAD_IN_FLIGHT_MAX);
    if (o->count < 0 || !(o->duration >= 0 && o->duration <= seconds_max))
        return err_lab("USAGE", "count and duration cannot be negative, duration is a day at most");
    if (o->count == 0 && o->duration == 0)
        return err_lab("USAGE", "a load needs an end: count or duration");
    if (!(o->timeout > 0 && o->timeout <= seconds_max) || !(o->late >= 0))
        return err_lab("USAGE", "timeout must be positive, late not negative");
    if (o->in_flight < 1 || o->in_flight > LOAD_IN_FLIGHT_MAX)
        return err_lab("USAGE", "in_flight must lie between 1 and %d", LOAD_IN_FLIGHT_MAX);
    if (o->rows < 0 || o->rows > ROWS_MAX)
        return err_lab("USAGE", "rows must lie between 0 and %d", ROWS_MAX);
    if (o->nshapes == 0)
        return err_lab("USAGE", "a load needs a request");
    return NULL;
}

/* ---- the thread ---- */

static void load_fail(flow_load *l, rl_err *err)
{
    pthread_mutex_lock(&l->tally.lock);
    l->failure = err;
    pthread_mutex_unlock(&l->tally.lock);
    flow_emit(&l->flow, "failed", err_copy(err), NULL, 0);
}

static bool start_one(flow_load *l, int64_t n, int64_t intended, int reader)
{
    load_request *r = load_slot_take(l, reader);
    if (!r)
        return false;
    rl_assert(r->slot >= 0 && r->slot < l->o.in_flight && !r->open);
    r->n = n;
    r->intended = intended;
    r->form = &l->forms[(n - 1) % (int64_t)l->o.nshapes];
    buf_reset(&r->id);
    load_render(l, r, r->form->id, &r->id);
    l->driver->start(l, r);
    return true;
}

/* Starts what is due; the time at which the next one is, or from which on it is dropped when no
 * slot is free. */
static int64_t start_due(flow_load *l, bool *over)
{
    int64_t at, patience = (int64_t)(l->o.timeout * 1e9);
    while (!(*over = !load_plan_next(&l->plan, &at))) {
        int64_t now = clock_ns(), intended = l->began + at;
        if (intended > now)
            return intended;
        if (!start_one(l, l->plan.n, intended, -1)) {
            if (now < intended + patience)
                return intended + patience;
            load_drop(l, l->plan.n, intended);
        }
        load_tally_planned(l);
        load_plan_advance(&l->plan);
    }
    return INT64_MAX;
}

static int64_t in_flight(flow_load *l)
{
    return flow_load_stats_of(l).in_flight;
}

static void wait_until(flow_load *l, rl_deadline at)
{
    int64_t soon = clock_ns() + tick_ns;
    l->driver->wait(l, at < soon ? at : soon);
}

static void run_open(flow_load *l)
{
    bool over = false;
    while (!flow_aborted(&l->flow)) {
        over = over || flow_stopping(&l->flow);
        int64_t next = over ? INT64_MAX : start_due(l, &over);
        if (over && in_flight(l) == 0)
            return;
        wait_until(l, next);
    }
}

/* How many requests this reader may still make, given how many it has made. */
static bool has_more(flow_load *l, int64_t made)
{
    if (flow_stopping(&l->flow) || (l->o.count && made >= l->o.count))
        return false;
    return !l->o.duration || clock_ns() - l->began < (int64_t)(l->o.duration * 1e9);
}

static void run_closed(flow_load *l)
{
    int64_t *made = mem_zero((size_t)l->o.readers * sizeof *made), n = 0;
    bool more = true;
    while (!flow_aborted(&l->flow)) {
        more = false;
        for (int i = 0; i < l->o.readers; i++) {
            if (!has_more(l, made[i]))
                continue;
            more = true;
            if (!start_one(l, n + 1, clock_ns(), i))
                continue;
            load_tally_planned(l);
            made[i]++;
            n++;
        }
        if (!more && in_flight(l) == 0)
            break;
        wait_until(l, DEADLINE_NEVER);
    }
    free(made);
}

static int64_t mark(flow_load *l, int64_t *when)
{
    int64_t now = clock_ns();
    pthread_mutex_lock(&l->tally.lock);
    *when = now;
    pthread_mutex_unlock(&l->tally.lock);
    return now;
}

static rl_err *get_ready(flow_load *l)
{
    rl_err *err = l->driver->open(l);
    if (!err && l->o.readers && l->driver->ready) {
        err = l->driver->ready(l);
        pthread_mutex_lock(&l->tally.lock);
        l->tally.stats.released = !err;
        pthread_mutex_unlock(&l->tally.lock);
    }
    return err;
}

static void load_main(void *arg)
{
    flow_load *l = arg;
    load_slots_open(l);
    rl_err *err = get_ready(l);
    if (err)
        load_fail(l, err);
    l->began = mark(l, &l->tally.stats.began);
    if (!err && l->o.readers)
        run_closed(l);
    else if (!err)
        run_open(l);
    l->driver->abandon(l);
    rl_assert(in_flight(l) == 0);
    l->driver->close(l);
    load_slots_close(l);
    mark(l, &l->tally.stats.ended);
}

/* ---- life ---- */

/* What is left in l->o belongs to the load. */
static rl_err *prepare(flow_load *l)
{
    rl_err *err = l->o.url ? load_target_url(l, l->o.url) : load_target_brokers(l->o.kafka);
    for (size_t i = 0; !err && i < l->o.nshapes; i++)
        err = load_form_open(&l->o.shapes[i], l->o.url != NULL, &l->forms[i]);
    l->o.shapes = NULL;
    l->o.url = l->o.name = l->o.f = NULL;
    return err;
}

static void load_interrupt(rl_flow *flow)
{
    static const uint64_t one = 1;
    flow_load *l = (flow_load *)flow;
    if (write(l->wake, &one, sizeof one) < 0)
        return; /* full, hence readable */
}

static void load_free(flow_load *l)
{
    for (size_t i = 0; i < l->o.nshapes; i++)
        load_form_close(&l->forms[i]);
    free(l->forms);
    load_tally_close(&l->tally);
    for (int i = 0; i < LOAD_HDRS; i++)
        flow_hdr_close(&l->hdrs[i]);
    if (l->wake >= 0)
        close(l->wake);
    if (l->o.kafka)
        rd_kafka_conf_destroy(l->o.kafka);
    if (l->o.history)
        history_drop(l->o.history);
    err_free(l->failure);
    free(l->host);
    free(l->name);
    free(l->f);
    free(l);
}

void flow_load_close(flow_load *l)
{
    if (flow_close(&l->flow, CLOSE_SECONDS))
        load_free(l);
}

static flow_load_opts with_defaults(const flow_load_opts *given)
{
    flow_load_opts o = *given;
    if (o.readers > 0)
        o.in_flight = o.readers;
    else if (o.in_flight == 0)
        o.in_flight = o.url ? LOAD_IN_FLIGHT_HTTP : LOAD_IN_FLIGHT_KAFKA;
    return o;
}

static flow_load *load_new(const flow_load_opts *o)
{
    flow_load *l = mem_zero(sizeof *l);
    flow_init(&l->flow);
    l->flow.interrupt = load_interrupt;
    l->o = *o;
    l->driver = o->url ? &load_http : &load_kafka;
    l->name = mem_strdup(o->name ? o->name : "load");
    l->f = mem_strdup(o->f ? o->f : o->url ? "request" : "send");
    l->forms = mem_zero((o->nshapes + 1) * sizeof *l->forms);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    load_tally_open(&l->tally, o);
    for (int i = 0; i < LOAD_HDRS; i++)
        flow_hdr_open(&l->hdrs[i]);
    if (o->history)
        history_keep(o->history);
    return l;
}

static void set_plan(flow_load *l)
{
    rl_rng seed;
    rng_init(&seed, l->o.seed);
    rng_split(&seed, "content", 7, &l->content);
    load_plan_open(&l->plan, l->o.rate, l->o.poisson, &seed);
    l->plan.count = l->o.count;
    l->plan.until = (int64_t)(l->o.duration * 1e9);
}

rl_err *flow_load_open(const flow_load_opts *given, flow_load **out)
{
    flow_load_opts o = with_defaults(given);
    rl_err *err = check_numbers(&o);
    if (err) {
        if (o.kafka)
            rd_kafka_conf_destroy(o.kafka);
        return err;
    }
    flow_load *l = load_new(&o);
    err = l->wake < 0 ? err_sys(errno, "eventfd") : prepare(l);
    set_plan(l);
    if (!err)
        err = flow_start(&l->flow, "load", load_main, l);
    if (err)
        flow_load_close(l);
    else
        *out = l;
    return err;
}

rl_flow *flow_load_flow(flow_load *l)
{
    return &l->flow;
}

rl_err *flow_load_failure(flow_load *l)
{
    pthread_mutex_lock(&l->tally.lock);
    rl_err *copy = err_copy(l->failure);
    pthread_mutex_unlock(&l->tally.lock);
    return copy;
}
