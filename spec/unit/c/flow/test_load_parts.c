/* The load generator's parts: its texts, its plan, and where it may go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "flow/load/flow.h"
#include "flow/load/plan.h"
#include "flow/load/text.h"

/* ---- texts ---- */

static void render(const char *text, int64_t n, rl_buf *out)
{
    static rl_rng rng;
    load_text *t;
    rng_init(&rng, 1);
    assert_null(load_text_read(text, strlen(text), &t));
    load_values v = {.n = n, .unix_ms = 0x0123456789ab, .id = "the-id", .id_len = 6, .rng = &rng};
    buf_reset(out);
    buf_add(out, "", 0);
    load_text_put(t, &v, out);
    load_text_free(t);
}

static void texts_are_rendered(void **state)
{
    (void)state;
    rl_buf out = {0};
    render("a ${n} ${n:4} ${id} $${n} $5 ${pad:3}", 7, &out);
    assert_string_equal(out.data, "a 7 0007 the-id ${n} $5 abc");
    render("${uuid}", 1, &out);
    assert_int_equal(out.len, 36);
    assert_memory_equal(out.data, "01234567-89ab-7", 15);
    for (int i = 0; i < 50; i++) {
        render("${range:-2:2}", i, &out);
        assert_in_range(atoi(out.data) + 2, 0, 4);
        render("${pick:red,green}", i, &out);
        assert_true(strcmp(out.data, "red") == 0 || strcmp(out.data, "green") == 0);
    }
    buf_free(&out);
}

static void wrong_texts_show_the_place(void **state)
{
    (void)state;
    static const char *const wrong[] = {"${m}",
                                        "${n",
                                        "${n:x}",
                                        "${range:5:1}",
                                        "${uuid:1}",
                                        "${}",
                                        "${range:1:9223372036854775808}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        load_text *t;
        rl_err *err = load_text_read(wrong[i], strlen(wrong[i]), &t);
        assert_non_null(err);
        assert_non_null(strstr(err->msg, wrong[i]));
        err_free(err);
    }
}

/* ---- the plan ---- */

static void a_constant_plan_is_exact(void **state)
{
    (void)state;
    rl_rng seed;
    load_plan p;
    int64_t at;
    rng_init(&seed, 1);
    load_plan_open(&p, 1000, false, &seed);
    p.count = 1000001;
    for (int64_t i = 0; i < 1000001; i++, load_plan_advance(&p)) {
        assert_true(load_plan_next(&p, &at));
        assert_true(llabs(at - i * 1000000) <= 200);
    }
    assert_false(load_plan_next(&p, &at));
}

static void poisson_arrivals_are_seeded_and_have_their_mean(void **state)
{
    (void)state;
    rl_rng seed;
    load_plan a, b;
    int64_t x, y, last = 0;
    double squares = 0;
    rng_init(&seed, 7);
    load_plan_open(&a, 1000, true, &seed);
    load_plan_open(&b, 1000, true, &seed);
    for (int i = 0; i < 20000; i++, load_plan_advance(&a), load_plan_advance(&b)) {
        assert_true(load_plan_next(&a, &x) && load_plan_next(&b, &y));
        assert_int_equal(x, y);
        assert_true(x >= last);
        squares += (double)(x - last) * (double)(x - last);
        last = x;
    }
    assert_true(fabs((double)last / 20000 - 1e6) < 3e4); /* the mean gap is 1 ms */
    assert_true(fabs(squares / 20000 / 2e12 - 1) < 0.1); /* E[gap^2] = 2 mean^2 */
}

static void a_plan_can_be_slower_than_its_load_is_long(void **state)
{
    (void)state;
    rl_rng seed;
    load_plan p;
    int64_t at;
    rng_init(&seed, 1);
    load_plan_open(&p, 1e-300, false, &seed);
    p.count = 3;
    assert_true(load_plan_next(&p, &at));
    assert_int_equal(at, 0);
    load_plan_advance(&p);
    assert_true(load_plan_next(&p, &at));
    assert_true(at >= INT64_C(86400000000000) && at < INT64_MAX / 2);
}

static void a_plan_ends_by_time(void **state)
{
    (void)state;
    rl_rng seed;
    load_plan p;
    int64_t at, n = 0;
    rng_init(&seed, 1);
    load_plan_open(&p, 100, false, &seed);
    p.until = 1000000000;
    for (; load_plan_next(&p, &at); n++)
        load_plan_advance(&p);
    assert_int_equal(n, 100);
}

/* ---- the target ---- */

static void only_this_machine(void **state)
{
    (void)state;
    static const char *const yes[] = {"127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]"};
    static const char *const no[] = {
        "10.0.0.1", "127.0.0.1.example", "127.example.org", "128.0.0.1", "localhost.", "", "::2",
        "127."};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(flow_load_is_local(yes[i], strlen(yes[i])));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(flow_load_is_local(no[i], strlen(no[i])));
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_rendered),
        cmocka_unit_test(wrong_texts_show_the_place),
        cmocka_unit_test(a_constant_plan_is_exact),
        cmocka_unit_test(poisson_arrivals_are_seeded_and_have_their_mean),
        cmocka_unit_test(a_plan_ends_by_time),
        cmocka_unit_test(a_plan_can_be_slower_than_its_load_is_long),
        cmocka_unit_test(only_this_machine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
