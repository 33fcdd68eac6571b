/* The pure parts of flow.cache: breaker, XFetch, lifetimes, singleflight table, the copy in the
 * process, the path of a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "flow/cache/flight.h"
#include "flow/cache/http.h"
#include "flow/cache/local.h"
#include "flow/cache/policy.h"

enum { MS = 1000000 };

static void breaker_opens_after_failures_in_a_row(void **state)
{
    (void)state;
    cache_breaker b;
    cache_breaker_init(&b, 3, 300 * MS);
    assert_false(cache_breaker_bad(&b, 0));
    assert_false(cache_breaker_bad(&b, 0));
    assert_false(cache_breaker_good(&b)); /* the row is broken */
    assert_false(cache_breaker_bad(&b, 0));
    assert_false(cache_breaker_bad(&b, 0));
    assert_true(cache_breaker_allow(&b, 0));
    assert_true(cache_breaker_bad(&b, 10 * MS));
    assert_int_equal(cache_breaker_state_of(&b), BREAKER_OPEN);
    assert_false(cache_breaker_bad(&b, 200 * MS)); /* who had asked before it opened */
    assert_false(cache_breaker_allow(&b, 309 * MS));
    assert_true(cache_breaker_allow(&b, 310 * MS));
    assert_int_equal(b.opens, 1);
    cache_breaker_close(&b);
}

static void breaker_lets_one_try(void **state)
{
    (void)state;
    cache_breaker b;
    cache_breaker_init(&b, 1, 300 * MS);
    assert_true(cache_breaker_bad(&b, 0));
    assert_true(cache_breaker_allow(&b, 300 * MS));
    assert_int_equal(cache_breaker_state_of(&b), BREAKER_HALF_OPEN);
    assert_false(cache_breaker_allow(&b, 301 * MS));
    assert_true(cache_breaker_bad(&b, 310 * MS)); /* the probe failed: the pause begins anew */
    assert_false(cache_breaker_allow(&b, 609 * MS));
    assert_true(cache_breaker_allow(&b, 610 * MS));
    assert_true(cache_breaker_allow(&b, 910 * MS)); /* the probe was never heard of again */
    assert_true(cache_breaker_good(&b));
    assert_int_equal(cache_breaker_state_of(&b), BREAKER_CLOSED);
    assert_true(cache_breaker_allow(&b, 910 * MS));
    assert_int_equal(b.opens, 2);
    cache_breaker_close(&b);
}

static void breaker_can_be_off(void **state)
{
    (void)state;
    cache_breaker b;
    cache_breaker_init(&b, 0, 300 * MS);
    for (int i = 0; i < 1000; i++)
        assert_false(cache_breaker_bad(&b, i));
    assert_true(cache_breaker_allow(&b, 0));
    cache_breaker_close(&b);
}

static void xfetch_follows_its_formula(void **state)
{
    (void)state;
    assert_false(cache_early(999, 1000, 500000, 0, 1e-9)); /* off */
    assert_false(cache_early(999, 0, 500000, 1, 1e-9));    /* no end */
    assert_false(cache_early(999, 1000, 500000, 1, 1));    /* ln 1 = 0 */
    assert_true(cache_early(1000, 1000, 500000, 1, 1));    /* over */
    assert_true(cache_early(1, 1000, 500000, 1, 0));       /* the rarest draw is no NaN */
    /* P(early) = exp(-gap / (beta * cost)): 100 ms before the end of a load of 50 ms: exp(-2) */
    assert_true(cache_early(900, 1000, 50000, 1, exp(-2) * 0.999));
    assert_false(cache_early(900, 1000, 50000, 1, exp(-2) * 1.001));
    assert_true(cache_early(900, 1000, 50000, 2, exp(-1) * 0.999));
    assert_false(cache_early(900, 1000, 50000, 2, exp(-1) * 1.001));
}

static void lifetimes_spread_and_repeat(void **state)
{
    (void)state;
    int64_t lo = INT64_MAX, hi = 0;
    double sum = 0;
    for (int64_t id = 0; id < 5000; id++) {
        int64_t ttl = cache_ttl(10000, 0.3, 7, id, 1);
        assert_in_range(ttl, 7000, 13000);
        assert_int_equal(ttl, cache_ttl(10000, 0.3, 7, id, 1));
        lo = ttl < lo ? ttl : lo;
        hi = ttl > hi ? ttl : hi;
        sum += (double)ttl;
    }
    assert_true(lo < 7050 && hi > 12950);
    assert_in_range((int64_t)(sum / 5000), 9900, 10100);
    assert_int_equal(cache_ttl(10000, 0, 7, 1, 1), 10000);
    assert_int_not_equal(cache_ttl(10000, 0.3, 7, 1, 1), cache_ttl(10000, 0.3, 7, 1, 2));
    assert_int_not_equal(cache_ttl(10000, 0.3, 7, 1, 1), cache_ttl(10000, 0.3, 8, 1, 1));
    for (int64_t id = 0; id < 100; id++)
        assert_true(cache_ttl(1, 1, 7, id, 1) >= 1);
}

static void pools_grow_after_a_recovery(void **state)
{
    (void)state;
    assert_int_equal(cache_ramp(40, 0, 300), 4);
    assert_int_equal(cache_ramp(40, 99, 300), 4);
    assert_int_equal(cache_ramp(40, 100, 300), 20);
    assert_int_equal(cache_ramp(40, 200, 300), 40);
    assert_int_equal(cache_ramp(5, 0, 300), 1);
    assert_int_equal(cache_ramp(40, 0, 0), 40);
}

static void flights_are_joined(void **state)
{
    (void)state;
    cache_flights all;
    cache_waiter w[3], other;
    cache_flights_init(&all);
    cache_flight *f = cache_flight_join(&all, 7, &w[0]);
    assert_non_null(f);
    assert_false(f->background);
    assert_null(cache_flight_join(&all, 7, &w[1]));
    assert_null(cache_flight_join(&all, 7, NULL)); /* a refresh: somebody loads already */
    assert_null(cache_flight_join(&all, 7, &w[2]));
    cache_flight *g = cache_flight_join(&all, -7, &other);
    assert_non_null(g);
    assert_int_equal(cache_flight_waiters(&all, f), 3);
    cache_waiter *list = cache_flight_end(&all, f);
    for (int i = 0; i < 3; i++, list = list->next)
        assert_ptr_equal(list, &w[i]);
    assert_null(list);
    f = cache_flight_join(&all, 7, NULL);
    assert_true(f->background);
    assert_null(cache_flight_end(&all, f));
    assert_ptr_equal(cache_flight_end(&all, g), &other);
    assert_ptr_equal(cache_flight_end(&all, cache_flight_alone(7, &other)), &other);
    assert_int_equal(all.count, 0);
    cache_flights_close(&all);
}

enum { READERS = 8, ROUNDS = 20000 };

typedef struct reader {
    cache_flights *all;
    atomic_int *inside;
    int64_t led, handed;
    unsigned seed;
} reader;

/* Whoever leads is alone with its account, and everybody who waits is handed out exactly once. */
static void *read_much(void *arg)
{
    reader *r = arg;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t account = rand_r(&r->seed) % 2000 * 1021; /* many share a bucket */
        cache_flight *f = cache_flight_join(r->all, account, mem_zero(sizeof(cache_waiter)));
        if (!f)
            continue;
        r->led++;
        if (atomic_fetch_add(&r->inside[account / 1021], 1) != 0)
            abort();
        atomic_fetch_sub(&r->inside[account / 1021], 1);
        for (cache_waiter *w = cache_flight_end(r->all, f), *next; w; w = next, r->handed++) {
            next = w->next;
            free(w);
        }
    }
    return NULL;
}

static void flights_of_many_threads(void **state)
{
    (void)state;
    cache_flights all;
    static atomic_int inside[2000];
    reader r[READERS];
    pthread_t threads[READERS];
    int64_t handed = 0;
    cache_flights_init(&all);
    for (int i = 0; i < READERS; i++) {
        r[i] = (reader){.all = &all, .inside = inside, .seed = (unsigned)i};
        assert_int_equal(pthread_create(&threads[i], NULL, read_much, &r[i]), 0);
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        handed += r[i].handed;
    }
    assert_int_equal(handed, READERS * ROUNDS);
    cache_flights_close(&all);
}

static void local_copies(void **state)
{
    (void)state;
    cache_local *local = cache_local_new(100);
    cache_entry e = {.state = CACHE_VALUE, .balance = 5, .version = 3}, out;
    assert_false(cache_local_get(local, 0, 0, 1000, &out)); /* an empty place is no account 0 */
    cache_local_put(local, 7, &e, 1000);
    assert_true(cache_local_get(local, 7, 1500, 500, &out));
    assert_int_equal(out.balance, 5);
    assert_false(cache_local_get(local, 7, 1501, 500, &out));
    for (int64_t id = 8; id < 2000; id++) /* some share its place */
        assert_false(cache_local_get(local, id, 1000, 500, &out));
    cache_local_put(local, 7, &(cache_entry){.state = CACHE_VALUE, .version = 2}, 2000); /* older */
    assert_false(cache_local_get(local, 7, 2000, 500, &out));
    cache_local_put(local, 7, &(cache_entry){.state = CACHE_VALUE, .version = 4}, 2000);
    assert_true(cache_local_get(local, 7, 2000, 500, &out));
    assert_int_equal(out.version, 4);
    cache_local_drop(local, 7);
    assert_false(cache_local_get(local, 7, 2000, 500, &out));
    for (int64_t id = 0; id < 100000; id++)
        cache_local_put(local, id, &e, 3000);
    assert_true(cache_local_get(local, 99999, 3000, 0, &out));
    cache_local_free(local);
    cache_local_free(NULL);
}

static void paths(void **state)
{
    (void)state;
    int64_t id;
    assert_true(cache_http_account("/accounts/17", &id) && id == 17);
    assert_true(cache_http_account("/accounts/-17", &id) && id == -17);
    assert_true(cache_http_account("/accounts/9223372036854775807", &id) && id == INT64_MAX);
    const char *const wrong[] = {"/accounts/",
                                 "/accounts/-",
                                 "/accounts/1x",
                                 "/accounts/+1",
                                 "/accounts/1/",
                                 "/accounts/ 1",
                                 "/account/1",
                                 "",
                                 "/accounts/0x10",
                                 "/accounts/1.0",
                                 "/accounts/9223372036854775808",
                                 "/accounts/entry",
                                 NULL};
    for (int i = 0; wrong[i]; i++)
        assert_false(cache_http_account(wrong[i], &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(breaker_opens_after_failures_in_a_row),
                                       cmocka_unit_test(breaker_lets_one_try),
                                       cmocka_unit_test(breaker_can_be_off),
                                       cmocka_unit_test(xfetch_follows_its_formula),
                                       cmocka_unit_test(lifetimes_spread_and_repeat),
                                       cmocka_unit_test(pools_grow_after_a_recovery),
                                       cmocka_unit_test(flights_are_joined),
                                       cmocka_unit_test(flights_of_many_threads),
                                       cmocka_unit_test(local_copies),
                                       cmocka_unit_test(paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
