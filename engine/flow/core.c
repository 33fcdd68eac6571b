#include "flow/core.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/cond.h"

static const int64_t hdr_highest = 3600000000000;

enum { ABORT_MS = 100 };

typedef struct flow_thread {
    struct flow_thread *next;
    rl_flow *flow;
    pthread_t thread;
    void (*run)(void *arg);
    void *arg;
    char name[16];
} flow_thread;

/* Under the lock. */
static void news(rl_flow *flow)
{
    rl_assert(flow_lock_held(&flow->lock));
    if (flow->wake)
        flow->wake(flow->wake_arg);
}

/* ---- events ---- */

void flow_event_free(flow_event *event)
{
    if (!event)
        return;
    for (int i = 0; i < event->nfields; i++)
        free((char *)event->fields[i].text);
    err_free(event->err);
    free(event);
}

static flow_event *event_new(const char *what, rl_err *err, const flow_field *fields, int n)
{
    rl_assert(what && n >= 0 && n <= FLOW_FIELDS_MAX);
    flow_event *event = mem_zero(sizeof *event);
    event->what = what;
    event->at_ms = clock_unix_ms();
    event->err = err;
    event->nfields = n < FLOW_FIELDS_MAX ? n : FLOW_FIELDS_MAX;
    for (int i = 0; i < event->nfields; i++) {
        event->fields[i] = fields[i];
        if (fields[i].text)
            event->fields[i].text = mem_strdup(fields[i].text);
    }
    return event;
}

/* Under the lock. */
static bool enqueue(rl_flow *flow, flow_event *event)
{
    rl_assert(flow_lock_held(&flow->lock));
    rl_assert(flow->nevents >= 0 && flow->nevents <= FLOW_EVENTS_MAX);
    if (flow->nevents == FLOW_EVENTS_MAX) {
        flow->dropped++;
        return false;
    }
    *(flow->last ? &flow->last->next : &flow->first) = event;
    flow->last = event;
    flow->nevents++;
    news(flow);
    return true;
}

void flow_emit(rl_flow *flow, const char *what, rl_err *err, const flow_field *fields, int n)
{
    flow_event *event = event_new(what, err, fields, n);
    pthread_mutex_lock(&flow->lock);
    bool kept = enqueue(flow, event);
    pthread_mutex_unlock(&flow->lock);
    if (!kept)
        flow_event_free(event);
}

flow_event *flow_take_event(rl_flow *flow)
{
    pthread_mutex_lock(&flow->lock);
    flow_event *event = flow->first;
    if (event) {
        flow->first = event->next;
        if (!flow->first)
            flow->last = NULL;
        flow->nevents--;
        event->next = NULL;
    }
    pthread_mutex_unlock(&flow->lock);
    return event;
}

bool flow_has_news(rl_flow *flow)
{
    pthread_mutex_lock(&flow->lock);
    bool news_there = flow->first || flow->running == 0;
    pthread_mutex_unlock(&flow->lock);
    return news_there;
}

int64_t flow_dropped(rl_flow *flow)
{
    pthread_mutex_lock(&flow->lock);
    int64_t n = flow->dropped;
    pthread_mutex_unlock(&flow->lock);
    return n;
}

void flow_on_news(rl_flow *flow, void (*wake)(void *arg), void *arg)
{
    pthread_mutex_lock(&flow->lock);
    flow->wake = wake;
    flow->wake_arg = arg;
    if (flow->first)
        news(flow);
    pthread_mutex_unlock(&flow->lock);
}

/* ---- counters ---- */

static flow_counters *counters_new(rl_flow *flow, int n, bool shared)
{
    rl_assert(n > 0);
    size_t bytes = sizeof(flow_counters) + (size_t)n * sizeof(int64_t);
    flow_counters *count = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!count)
        mem_out();
    memset((void *)count, 0, bytes);
    count->n = n;
    count->shared = shared;
    pthread_mutex_lock(&flow->lock);
    count->next = flow->counters;
    flow->counters = count;
    pthread_mutex_unlock(&flow->lock);
    return count;
}

flow_counters *flow_counters_new(rl_flow *flow, int n)
{
    return counters_new(flow, n, false);
}

flow_counters *flow_counters_shared(rl_flow *flow, int n)
{
    return counters_new(flow, n, true);
}

bool flow_counters_mine(flow_counters *count)
{
    uintptr_t self = (uintptr_t)pthread_self(), writer = 0;
    return atomic_compare_exchange_strong(&count->writer, &writer, self) || writer == self;
}

int64_t flow_total(rl_flow *flow, int i)
{
    int64_t sum = 0;
    rl_assert(i >= 0);
    pthread_mutex_lock(&flow->lock);
    for (flow_counters *count = flow->counters; count; count = count->next)
        if (i < count->n)
            sum += atomic_load_explicit(&count->at[i], memory_order_relaxed);
    pthread_mutex_unlock(&flow->lock);
    return sum;
}

void flow_hdr_open(flow_hdr *hdr)
{
    pthread_mutex_init(&hdr->lock, NULL);
    if (hdr_init(1, hdr_highest, 3, &hdr->h) != 0)
        mem_out();
}

void flow_hdr_close(flow_hdr *hdr)
{
    if (!hdr->h)
        return;
    hdr_close(hdr->h);
    hdr->h = NULL;
    pthread_mutex_destroy(&hdr->lock);
}

void flow_hdr_record(flow_hdr *hdr, int64_t ns, int64_t count)
{
    if (ns < 0)
        ns = 0;
    pthread_mutex_lock(&hdr->lock);
    hdr_record_values(hdr->h, ns < hdr_highest ? ns : hdr_highest, count);
    pthread_mutex_unlock(&hdr->lock);
}

/* Of the same range and digits the counters can be added one by one; hdr_add would look up the
 * value of each. */
static bool same_shape(const struct hdr_histogram *a, const struct hdr_histogram *b)
{
    return a->counts_len == b->counts_len && a->unit_magnitude == b->unit_magnitude &&
           a->significant_figures == b->significant_figures && a->normalizing_index_offset == 0 &&
           b->normalizing_index_offset == 0;
}

static void add_counts(struct hdr_histogram *sum, const struct hdr_histogram *h)
{
    for (int32_t i = 0; i < h->counts_len; i++)
        sum->counts[i] += h->counts[i];
    sum->total_count += h->total_count;
    if (h->min_value < sum->min_value)
        sum->min_value = h->min_value;
    if (h->max_value > sum->max_value)
        sum->max_value = h->max_value;
}

void flow_hdr_add_to(flow_hdr *hdr, struct hdr_histogram *sum)
{
    pthread_mutex_lock(&hdr->lock);
    if (hdr->h->total_count > 0 && same_shape(hdr->h, sum))
        add_counts(sum, hdr->h);
    else if (hdr->h->total_count > 0)
        hdr_add(sum, hdr->h);
    pthread_mutex_unlock(&hdr->lock);
}

/* ---- health ---- */

/* Under the lock. */
static int need_at(rl_flow *flow, const char *name)
{
    rl_assert(flow_lock_held(&flow->lock));
    for (int i = 0; i < flow->nneeds; i++)
        if (strcmp(flow->needs[i].name, name) == 0)
            return i;
    rl_assert(flow->nneeds < FLOW_NEEDS_MAX);
    if (flow->nneeds == FLOW_NEEDS_MAX)
        return -1;
    flow->needs[flow->nneeds].name = name;
    return flow->nneeds++;
}

static bool set_need(rl_flow *flow, const char *name, const char *why)
{
    pthread_mutex_lock(&flow->lock);
    int i = need_at(flow, name);
    bool changed = i >= 0 && !why != !flow->needs[i].why;
    if (i >= 0 && (why || changed)) {
        free(flow->needs[i].why);
        flow->needs[i].why = why ? mem_strdup(why) : NULL;
    }
    pthread_mutex_unlock(&flow->lock);
    return changed;
}

void flow_down(rl_flow *flow, const char *need, const rl_err *why)
{
    if (!set_need(flow, need, why->msg))
        return;
    flow_emit(flow, "down", err_copy(why), &(flow_field){.key = "need", .text = need}, 1);
}

void flow_up(rl_flow *flow, const char *need)
{
    if (set_need(flow, need, NULL))
        flow_emit(flow, "up", NULL, &(flow_field){.key = "need", .text = need}, 1);
}

bool flow_is_down(rl_flow *flow, const char *need)
{
    bool down = false;
    pthread_mutex_lock(&flow->lock);
    for (int i = 0; i < flow->nneeds; i++)
        down = down || (flow->needs[i].why && strcmp(flow->needs[i].name, need) == 0);
    pthread_mutex_unlock(&flow->lock);
    return down;
}

char *flow_ill(rl_flow *flow)
{
    rl_buf text = {0};
    pthread_mutex_lock(&flow->lock);
    for (int i = 0; i < flow->nneeds; i++)
        if (flow->needs[i].why)
            buf_printf(&text, "%s%s: %s", text.len ? "; " : "", flow->needs[i].name,
                       flow->needs[i].why);
    pthread_mutex_unlock(&flow->lock);
    return text.data;
}

/* ---- life ---- */

void flow_init(rl_flow *flow)
{
    memset((void *)flow, 0, sizeof *flow);
    pthread_mutex_init(&flow->lock, NULL);
    cond_init(&flow->change);
}

static void *thread_main(void *arg)
{
    flow_thread *thread = arg;
    rl_flow *flow = thread->flow;
    pthread_setname_np(pthread_self(), thread->name);
    thread->run(thread->arg);
    pthread_mutex_lock(&flow->lock);
    rl_assert(flow->running > 0);
    flow->running--;
    pthread_cond_broadcast(&flow->change);
    news(flow);
    pthread_mutex_unlock(&flow->lock);
    return NULL;
}

/* Signals belong to the loop's thread. */
static int create_deaf(flow_thread *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread->thread, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

rl_err *flow_start(rl_flow *flow, const char *name, void (*run)(void *arg), void *arg)
{
    flow_thread *thread = mem_zero(sizeof *thread);
    rl_assert(strlen(name) < sizeof thread->name);
    thread->flow = flow;
    thread->run = run;
    thread->arg = arg;
    strncpy(thread->name, name, sizeof thread->name - 1);
    pthread_mutex_lock(&flow->lock);
    int rc = create_deaf(thread);
    if (rc == 0) {
        thread->next = flow->threads;
        flow->threads = thread;
        flow->running++;
    }
    pthread_mutex_unlock(&flow->lock);
    if (rc == 0)
        return NULL;
    free(thread);
    return err_sys(rc, "thread %s", name);
}

static void wake_sleepers(rl_flow *flow)
{
    pthread_mutex_lock(&flow->lock);
    pthread_cond_broadcast(&flow->change);
    pthread_mutex_unlock(&flow->lock);
}

void flow_stop(rl_flow *flow)
{
    atomic_store(&flow->stopping, true);
    wake_sleepers(flow);
}

void flow_abort(rl_flow *flow)
{
    atomic_store(&flow->aborted, true);
    flow_stop(flow);
    if (flow->interrupt)
        flow->interrupt(flow);
}

static bool wait_flag(rl_flow *flow, const atomic_bool *flag, double seconds)
{
    rl_deadline until = deadline_in(seconds);
    bool in_time = true;
    pthread_mutex_lock(&flow->lock);
    while (in_time && !atomic_load(flag))
        in_time = cond_wait_until(&flow->change, &flow->lock, until);
    pthread_mutex_unlock(&flow->lock);
    return atomic_load(flag);
}

bool flow_sleep(rl_flow *flow, double seconds)
{
    return wait_flag(flow, &flow->stopping, seconds);
}

bool flow_pause(rl_flow *flow, double seconds)
{
    return wait_flag(flow, &flow->aborted, seconds);
}

bool flow_ended(rl_flow *flow)
{
    pthread_mutex_lock(&flow->lock);
    bool ended = flow->running == 0;
    pthread_mutex_unlock(&flow->lock);
    return ended;
}

static void reap(flow_thread *thread)
{
    while (thread) {
        flow_thread *next = thread->next;
        pthread_join(thread->thread, NULL);
        free(thread);
        thread = next;
    }
}

bool flow_join(rl_flow *flow, double seconds)
{
    rl_deadline until = deadline_in(seconds);
    flow_thread *ended = NULL;
    bool in_time = true;
    pthread_mutex_lock(&flow->lock);
    while (in_time && flow->running > 0)
        in_time = cond_wait_until(&flow->change, &flow->lock, until);
    bool all = flow->running == 0;
    if (all) {
        ended = flow->threads;
        flow->threads = NULL;
    }
    pthread_mutex_unlock(&flow->lock);
    reap(ended);
    return all;
}

/* A thread may have begun another blocking call just after the interrupt: it is interrupted again. */
static bool end_threads(rl_flow *flow, double seconds)
{
    rl_deadline until = deadline_in(seconds);
    do {
        flow_abort(flow);
        if (flow_join(flow, ABORT_MS / 1e3))
            return true;
    } while (!deadline_passed(until));
    return false;
}

bool flow_close(rl_flow *flow, double seconds)
{
    if (!end_threads(flow, seconds))
        return false;
    for (flow_event *event; (event = flow_take_event(flow));)
        flow_event_free(event);
    for (flow_counters *count = flow->counters, *next; count; count = next) {
        next = count->next;
        free(count);
    }
    for (int i = 0; i < flow->nneeds; i++)
        free(flow->needs[i].why);
    pthread_cond_destroy(&flow->change);
    pthread_mutex_destroy(&flow->lock);
    return true;
}
