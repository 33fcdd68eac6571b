/* What flows share: the end of threads, events, counters, health. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "flow/core.h"
#include "flow/load/internal.h"

enum { ADDS = 100000, WORKERS = 3 };

typedef struct probe {
    rl_flow flow;
    atomic_int wakes, interrupts, finished;
    atomic_bool hang;
    flow_counters *shared;
    flow_hdr hdr;
} probe;

static probe *probe_new(void)
{
    probe *p = calloc(1, sizeof *p);
    flow_init(&p->flow);
    return p;
}

static void probe_end(probe *p)
{
    assert_true(flow_close(&p->flow, 5));
    free(p);
}

static void on_wake(void *arg)
{
    atomic_fetch_add(&((probe *)arg)->wakes, 1);
}

static void on_interrupt(rl_flow *flow)
{
    probe *p = (probe *)flow;
    atomic_fetch_add(&p->interrupts, 1);
    atomic_store(&p->hang, false);
}

static void sleeper(void *arg)
{
    probe *p = arg;
    while (!flow_stopping(&p->flow))
        flow_sleep(&p->flow, 60);
    atomic_fetch_add(&p->finished, 1);
}

static void finisher(void *arg)
{
    probe *p = arg;
    flow_sleep(&p->flow, 60);
    while (!flow_pause(&p->flow, 60))
        ;
    atomic_fetch_add(&p->finished, 1);
}

static void hanger(void *arg)
{
    probe *p = arg;
    while (atomic_load(&p->hang))
        sched_yield();
}

static void adder(void *arg)
{
    probe *p = arg;
    flow_counters *c = flow_counters_new(&p->flow, 2);
    for (int i = 0; i < ADDS; i++)
        flow_add(c, 1, 1);
    flow_set(c, 0, 7);
}

static void shared_adder(void *arg)
{
    probe *p = arg;
    for (int i = 0; i < ADDS; i++) {
        flow_add_shared(p->shared, 1, 1);
        flow_hdr_record(&p->hdr, 1000, 1);
    }
}

struct question {
    flow_counters *c;
    bool *mine;
};

static void *ask_whose(void *arg)
{
    struct question *q = arg;
    *q->mine = flow_counters_mine(q->c);
    return NULL;
}

static void stop_wakes_sleepers(void **state)
{
    probe *p = probe_new();
    (void)state;
    for (int i = 0; i < WORKERS; i++)
        assert_null(flow_start(&p->flow, "sleeper", sleeper, p));
    assert_false(flow_ended(&p->flow));
    flow_stop(&p->flow);
    assert_true(flow_join(&p->flow, 5));
    assert_int_equal(atomic_load(&p->finished), WORKERS);
    probe_end(p);
}

static void a_pause_ends_by_abort_only(void **state)
{
    probe *p = probe_new();
    (void)state;
    assert_null(flow_start(&p->flow, "finisher", finisher, p));
    flow_stop(&p->flow);
    assert_false(flow_join(&p->flow, 0.05));
    flow_abort(&p->flow);
    assert_true(flow_join(&p->flow, 5));
    probe_end(p);
}

static void a_stop_ends_sleeps_and_no_pauses(void **state)
{
    probe *p = probe_new();
    (void)state;
    assert_false(flow_sleep(&p->flow, 0));
    flow_stop(&p->flow);
    assert_true(flow_sleep(&p->flow, 10));
    assert_false(flow_pause(&p->flow, 0));
    flow_abort(&p->flow);
    assert_true(flow_pause(&p->flow, 10));
    probe_end(p);
}

static void close_interrupts_what_hangs(void **state)
{
    probe *p = probe_new();
    (void)state;
    p->flow.interrupt = on_interrupt;
    atomic_store(&p->hang, true);
    assert_null(flow_start(&p->flow, "hanger", hanger, p));
    flow_stop(&p->flow);
    assert_false(flow_join(&p->flow, 0.02));
    assert_true(flow_close(&p->flow, 5));
    assert_true(atomic_load(&p->interrupts) > 0);
    free(p);
}

/* It begins another call that hangs just after the first interrupt. */
static void hangs_twice(rl_flow *flow)
{
    probe *p = (probe *)flow;
    if (atomic_fetch_add(&p->interrupts, 1) > 0)
        atomic_store(&p->hang, false);
}

static void close_interrupts_again(void **state)
{
    probe *p = probe_new();
    (void)state;
    p->flow.interrupt = hangs_twice;
    atomic_store(&p->hang, true);
    assert_null(flow_start(&p->flow, "hanger", hanger, p));
    assert_true(flow_close(&p->flow, 5));
    assert_true(atomic_load(&p->interrupts) >=
                2); /* or 3, before a late thread sees that it is free */
    free(p);
}

static void an_end_is_news(void **state)
{
    probe *p = probe_new();
    (void)state;
    flow_on_news(&p->flow, on_wake, p);
    assert_null(flow_start(&p->flow, "sleeper", sleeper, p));
    flow_stop(&p->flow);
    assert_true(flow_join(&p->flow, 5));
    assert_int_equal(atomic_load(&p->wakes), 1);
    assert_true(flow_has_news(&p->flow));
    probe_end(p);
}

static void close_says_when_a_thread_cannot_be_ended(void **state)
{
    probe *p = probe_new();
    (void)state;
    atomic_store(&p->hang, true);
    assert_null(flow_start(&p->flow, "hanger", hanger, p));
    assert_false(flow_close(&p->flow, 0.01));
    atomic_store(&p->hang, false);
    probe_end(p);
}

static void counters_are_merged(void **state)
{
    probe *p = probe_new();
    (void)state;
    for (int i = 0; i < WORKERS; i++)
        assert_null(flow_start(&p->flow, "adder", adder, p));
    assert_true(flow_join(&p->flow, 30));
    assert_int_equal(flow_total(&p->flow, 1), WORKERS * ADDS);
    assert_int_equal(flow_total(&p->flow, 0), WORKERS * 7);
    probe_end(p);
}

/* What one thread writes by plain stores would lose additions of a second one; in builds with
 * assertions flow_add aborts there. */
static void counters_of_one_thread_know_it(void **state)
{
    probe *p = probe_new();
    (void)state;
    flow_counters *c = flow_counters_new(&p->flow, 1);
    bool mine = true;
    pthread_t other;
    assert_true(flow_counters_mine(c));
    assert_int_equal(pthread_create(&other, NULL, ask_whose, &(struct question){c, &mine}), 0);
    pthread_join(other, NULL);
    assert_false(mine);
    assert_true(flow_counters_mine(c));
    probe_end(p);
}

static void shared_counters_take_all_threads(void **state)
{
    probe *p = probe_new();
    (void)state;
    p->shared = flow_counters_shared(&p->flow, 2);
    flow_hdr_open(&p->hdr);
    for (int i = 0; i < WORKERS; i++)
        assert_null(flow_start(&p->flow, "shared-adder", shared_adder, p));
    assert_true(flow_join(&p->flow, 30));
    assert_int_equal(flow_total(&p->flow, 1), WORKERS * ADDS);
    assert_int_equal(flow_total(&p->flow, 0), 0);
    assert_int_equal(p->hdr.h->total_count, WORKERS * ADDS);
    flow_hdr_close(&p->hdr);
    probe_end(p);
}

static void events_are_bounded(void **state)
{
    probe *p = probe_new();
    (void)state;
    flow_on_news(&p->flow, on_wake, p);
    for (int i = 0; i < FLOW_EVENTS_MAX + 5; i++)
        flow_emit(&p->flow, "seen", NULL, &(flow_field){.key = "n", .number = i}, 1);
    assert_int_equal(flow_dropped(&p->flow), 5);
    assert_int_equal(atomic_load(&p->wakes), FLOW_EVENTS_MAX);
    flow_event *e = flow_take_event(&p->flow);
    assert_string_equal(e->what, "seen");
    assert_int_equal(e->fields[0].number, 0);
    flow_event_free(e);
    flow_on_news(&p->flow, NULL, NULL);
    flow_emit(&p->flow, "unseen", err_lab("TIMEOUT", "late"), NULL, 0);
    assert_int_equal(atomic_load(&p->wakes), FLOW_EVENTS_MAX);
    probe_end(p);
}

static void events_come_after_the_last_was_taken(void **state)
{
    probe *p = probe_new();
    (void)state;
    for (int i = 0; i < 3; i++) {
        flow_emit(&p->flow, "seen", NULL, &(flow_field){.key = "n", .number = i}, 1);
        flow_event *e = flow_take_event(&p->flow);
        assert_non_null(e);
        assert_int_equal(e->fields[0].number, i);
        flow_event_free(e);
        assert_null(flow_take_event(&p->flow));
    }
    probe_end(p);
}

static void health_tells_the_last_reason(void **state)
{
    probe *p = probe_new();
    rl_err *first = err_lab("TIMEOUT", "no answer"), *second = err_lab("REFUSED", "access denied");
    (void)state;
    flow_down(&p->flow, "mysql", first);
    flow_down(&p->flow, "mysql", second);
    char *ill = flow_ill(&p->flow);
    assert_string_equal(ill, "mysql: access denied");
    free(ill);
    err_free(first);
    err_free(second);
    probe_end(p);
}

static void health_tells_changes_once(void **state)
{
    probe *p = probe_new();
    rl_err *why = err_lab("TIMEOUT", "no answer");
    (void)state;
    flow_up(&p->flow, "mysql");
    assert_null(flow_ill(&p->flow));
    flow_down(&p->flow, "mysql", why);
    flow_down(&p->flow, "mysql", why);
    flow_down(&p->flow, "kafka", why);
    char *ill = flow_ill(&p->flow);
    assert_string_equal(ill, "mysql: no answer; kafka: no answer");
    free(ill);
    flow_up(&p->flow, "mysql");
    int n = 0;
    for (flow_event *e; (e = flow_take_event(&p->flow)); n++) {
        assert_string_equal(e->what, n < 2 ? "down" : "up");
        assert_string_equal(e->fields[0].text, n == 1 ? "kafka" : "mysql");
        flow_event_free(e);
    }
    assert_int_equal(n, 3);
    err_free(why);
    probe_end(p);
}

static void histograms_add_up(void **state)
{
    flow_hdr hdr;
    struct hdr_histogram *sum;
    (void)state;
    flow_hdr_open(&hdr);
    hdr_init(1, 3600000000000, 3, &sum);
    flow_hdr_record(&hdr, 1000, 3);
    flow_hdr_record(&hdr, INT64_MAX, 1);
    flow_hdr_record(&hdr, -5, 1);
    flow_hdr_add_to(&hdr, sum);
    assert_int_equal(sum->total_count, 5);
    assert_true(hdr_max(sum) >= 3600000000000 && hdr_min(sum) == 0);
    hdr_close(sum);
    flow_hdr_close(&hdr);
}

/* Who asks for a failure decides by its kinds whether to begin again. */
static void a_failure_keeps_its_kinds(void **state)
{
    (void)state;
    flow_load *l = calloc(1, sizeof *l);
    rl_err *failure = err_new(RL_KAFKA, 47, "INVALID_PRODUCER_EPOCH", "fenced");
    failure->retriable = failure->abortable = failure->fatal = true;
    pthread_mutex_init(&l->tally.lock, NULL);
    l->failure = failure;
    rl_err *copy = flow_load_failure(l);
    assert_true(err_is(copy, RL_KAFKA, "INVALID_PRODUCER_EPOCH"));
    assert_true(copy->retriable && copy->abortable && copy->fatal);
    err_free(copy);
    err_free(failure);
    pthread_mutex_destroy(&l->tally.lock);
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_wakes_sleepers),
        cmocka_unit_test(a_pause_ends_by_abort_only),
        cmocka_unit_test(a_stop_ends_sleeps_and_no_pauses),
        cmocka_unit_test(close_interrupts_what_hangs),
        cmocka_unit_test(close_interrupts_again),
        cmocka_unit_test(an_end_is_news),
        cmocka_unit_test(close_says_when_a_thread_cannot_be_ended),
        cmocka_unit_test(counters_are_merged),
        cmocka_unit_test(counters_of_one_thread_know_it),
        cmocka_unit_test(shared_counters_take_all_threads),
        cmocka_unit_test(events_are_bounded),
        cmocka_unit_test(events_come_after_the_last_was_taken),
        cmocka_unit_test(health_tells_the_last_reason),
        cmocka_unit_test(health_tells_changes_once),
        cmocka_unit_test(histograms_add_up),
        cmocka_unit_test(a_failure_keeps_its_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
