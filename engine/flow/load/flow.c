#include "flow/load/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "flow/load/internal.h"

static const int64_t tick_ns = 20000000; /* the longest wait without a look at the time */
enum { CLOSE_SECONDS = 5, ROWS_MAX = 10000000 };
static const double rate_max = 1e6, seconds_max = 86400;

/* ---- options ---- */

bool flow_load_is_local(const char *host, size_t len)
{
    static const char *const names[] = {"localhost", "::1", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (len == strlen(names[i]) && memcmp(host, names[i], len) == 0)
            return true;
    int dots = 0, digits = 0;
    for (size_t i = 0; i < len; i++) {
        dots += host[i] == '.';
        digits += host[i] >= '0' && host[i] <= '9';
    }
    return len > 4 && memcmp(host, "127.", 4) == 0 && dots == 3 && dots + digits == (int)len;
}

static rl_err *not_local(const char *host, size_t len)
{
    return err_lab("USAGE",
                   "load is sent to this machine only (127.x.x.x, localhost, ::1), not to '%.*s'",
                   (int)len, host);
}

static rl_err *wrong_url(const char *url)
{
    return err_lab("USAGE", "url must be http://HOST:PORT, got '%s'", url);
}

/* http://HOST[:PORT][/] */
static rl_err *read_url(flow_load *l, const char *url)
{
    if (strncmp(url, "http://", 7) != 0)
        return wrong_url(url);
    const char *host = url + 7, *bracket = *host == '[' ? strchr(host, ']') : NULL;
    size_t len = bracket ? (size_t)(bracket + 1 - host) : strcspn(host, ":/");
    const char *port = host + len;
    char *end = (char *)port;
    l->port = *port == ':' ? (int)strtol(port + 1, &end, 10) : 80;
    if (len == 0 || l->port < 1 || l->port > 65535 || (*end && strcmp(end, "/") != 0))
        return wrong_url(url);
    if (!flow_load_is_local(host, len))
        return not_local(host, len);
    l->host = bracket ? mem_dup(host + 1, len - 2) : mem_dup(host, len);
    return NULL;
}

/* Every bootstrap address; that the brokers' own addresses are local too is seen when connected. */
static rl_err *check_brokers(rd_kafka_conf_t *conf)
{
    char brokers[4096];
    kafka_conf_value(conf, "bootstrap.servers", brokers, sizeof brokers);
    for (const char *at = brokers; *at; at += strspn(at, ",")) {
        size_t len = strcspn(at, ",");
        size_t host = len;
        while (host > 0 && at[host] != ':')
            host--;
        if (!flow_load_is_local(at, host ? host : len))
            return not_local(at, host ? host : len);
        at += len;
    }
    return NULL;
}

static rl_err *check_numbers(const flow_load_opts *o)
{
    if (!o->readers && !(o->rate > 0 && o->rate <= rate_max))
        return err_lab("USAGE", "rate must lie between 0 and 1000000 a second");
    if (o->readers < 0 || o->readers > LOAD_IN_FLIGHT_MAX)
        return err_lab("USAGE", "readers must lie between 1 and %d", LOAD_IN_FLIGHT_MAX);
    if (o->count < 0 || o->duration < 0 || o->duration > seconds_max)
        return err_lab("USAGE", "count and duration cannot be negative, duration is a day at most");
    if (o->count == 0 && o->duration == 0)
        return err_lab("USAGE", "a load needs an end: count or duration");
    if (!(o->timeout > 0 && o->timeout <= seconds_max) || o->late < 0)
        return err_lab("USAGE", "timeout must be positive, late not negative");
    if (o->in_flight < 1 || o->in_flight > LOAD_IN_FLIGHT_MAX)
        return err_lab("USAGE", "in_flight must lie between 1 and %d", LOAD_IN_FLIGHT_MAX);
    if (o->rows < 0 || o->rows > ROWS_MAX)
        return err_lab("USAGE", "rows must lie between 0 and %d", ROWS_MAX);
    if (o->nshapes == 0)
        return err_lab("USAGE", "a load needs a request");
    return NULL;
}

/* ---- forms ---- */

static rl_err *read_text(const char *text, load_text **out)
{
    return text ? load_text_read(text, strlen(text), out) : NULL;
}

static rl_err *form_open(const flow_load_shape *s, bool http, load_form *f)
{
    struct {
        const char *from;
        load_text **to;
    } texts[] = {{s->id, &f->id},
                 {s->path, &f->path},
                 {s->body, &f->body},
                 {s->key, &f->key},
                 {s->value, &f->value}};
    rl_err *err = NULL;
    for (size_t i = 0; !err && i < sizeof texts / sizeof *texts; i++)
        err = read_text(texts[i].from, texts[i].to);
    f->method = mem_strdup(s->method ? s->method : s->body ? "POST" : "GET");
    f->effect = strcmp(f->method, "GET") != 0 && strcmp(f->method, "HEAD") != 0;
    f->topic = s->topic ? mem_strdup(s->topic) : NULL;
    f->partition = s->partition;
    f->names = mem_zero((s->nheaders + 1) * sizeof *f->names);
    f->values = mem_zero((s->nheaders + 1) * sizeof *f->values);
    for (; !err && f->nheaders < s->nheaders; f->nheaders++) {
        f->names[f->nheaders] = mem_strdup(s->headers[f->nheaders].name);
        err = read_text(s->headers[f->nheaders].value, &f->values[f->nheaders]);
    }
    if (!err && http && !f->path)
        err = err_lab("USAGE", "a request needs a path");
    if (!err && !http && !f->topic)
        err = err_lab("USAGE", "a record needs a topic");
    return err;
}

static void form_close(load_form *f)
{
    load_text *const texts[] = {f->id, f->path, f->body, f->key, f->value};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        load_text_free(texts[i]);
    for (size_t i = 0; f->names && f->names[i]; i++) {
        free(f->names[i]);
        load_text_free(f->values[i]);
    }
    free(f->names);
    free(f->values);
    free(f->method);
    free(f->topic);
}

void load_render(flow_load *l, const load_request *r, const load_text *t, rl_buf *out)
{
    load_values v = {.n = r->n,
                     .unix_ms = clock_unix_ms() - (clock_ns() - r->intended) / 1000000,
                     .id = r->id.data ? r->id.data : "",
                     .id_len = r->id.len,
                     .rng = &l->content};
    if (t)
        load_text_put(t, &v, out);
}

/* ---- the thread ---- */

static void fail(flow_load *l, rl_err *err)
{
    pthread_mutex_lock(&l->tally.lock);
    l->failure = err;
    pthread_mutex_unlock(&l->tally.lock);
    flow_emit(&l->flow, "failed", err_copy(err), NULL, 0);
}

static bool start_one(flow_load *l, int64_t n, int64_t intended, int reader)
{
    load_request *r = l->driver->free_slot(l, reader);
    if (!r)
        return false;
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

static void run(void *arg)
{
    flow_load *l = arg;
    rl_err *err = get_ready(l);
    if (err)
        fail(l, err);
    l->began = mark(l, &l->tally.stats.began);
    if (!err && l->o.readers)
        run_closed(l);
    else if (!err)
        run_open(l);
    l->driver->abandon(l);
    l->driver->close(l);
    mark(l, &l->tally.stats.ended);
}

/* ---- life ---- */

/* What is left in l->o belongs to the load. */
static rl_err *prepare(flow_load *l)
{
    rl_err *err = l->o.url ? read_url(l, l->o.url) : check_brokers(l->o.kafka);
    for (size_t i = 0; !err && i < l->o.nshapes; i++)
        err = form_open(&l->o.shapes[i], l->o.url != NULL, &l->forms[i]);
    l->o.shapes = NULL;
    l->o.url = l->o.name = l->o.f = NULL;
    return err;
}

static void interrupt(rl_flow *flow)
{
    static const uint64_t one = 1;
    flow_load *l = (flow_load *)flow;
    if (write(l->wake, &one, sizeof one) < 0)
        return; /* full, hence readable */
}

static void load_free(flow_load *l)
{
    for (size_t i = 0; i < l->o.nshapes; i++)
        form_close(&l->forms[i]);
    free(l->forms);
    load_tally_close(&l->tally);
    for (int i = 0; i < LOAD_HDRS; i++)
        flow_hdr_close(&l->hists[i]);
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
    l->flow.interrupt = interrupt;
    l->o = *o;
    l->driver = o->url ? &load_http : &load_kafka;
    l->name = mem_strdup(o->name ? o->name : "load");
    l->f = mem_strdup(o->f ? o->f : o->url ? "request" : "send");
    l->forms = mem_zero((o->nshapes + 1) * sizeof *l->forms);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    load_tally_open(&l->tally, o);
    for (int i = 0; i < LOAD_HDRS; i++)
        flow_hdr_open(&l->hists[i]);
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
        err = flow_start(&l->flow, "load", run, l);
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
