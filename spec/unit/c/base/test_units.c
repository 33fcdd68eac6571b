/* Durations, sizes and rates as people write them, and the nearest known word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <limits.h>
#include <math.h>

#include "base/units.h"

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } good[] = {{"200ms", 0.2}, {"5s", 5},     {"1.5m", 90},  {"2 h", 7200},
                {"7", 7},       {"3us", 3e-6}, {"1d", 86400}, {"0s", 0}};
    static const char *const bad[] = {"",    "s",   "5x",    "-1s",    "nan",
                                      "inf", "5ss", "1s 2s", "1e999s", "1e30s"};
    double s;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(units_duration(good[i].text, &s));
        assert_true(fabs(s - good[i].seconds) < 1e-12);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(units_duration(bad[i], &s));
}

static void sizes_and_rates(void **state)
{
    (void)state;
    int64_t n;
    double r;
    assert_true(units_size("64KiB", &n) && n == 65536);
    assert_true(units_size("1MB", &n) && n == 1000000);
    assert_true(units_size("10", &n) && n == 10);
    assert_false(units_size("64kib", &n));
    assert_false(units_size("9e18GiB", &n));
    assert_true(units_rate("2000/s", &r) && r == 2000);
    assert_true(units_rate("30/m", &r) && fabs(r - 0.5) < 1e-12);
    assert_false(units_rate("5/x", &r));
}

static void printed(void **state)
{
    (void)state;
    char text[32];
    static const struct {
        double seconds;
        const char *want;
    } rows[] = {{0.85, "850 ms"},
                {1.2, "1.2 s"},
                {252, "4m12s"},
                {3720, "1h02m"},
                {36e12, "10000000000h00m"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        units_print_duration(rows[i].seconds, text, sizeof text);
        assert_string_equal(text, rows[i].want);
    }
    assert_int_equal(units_ms(1.5), 1500);
    assert_int_equal(units_ms(1e12), INT_MAX);
}

static void nearest(void **state)
{
    (void)state;
    static const char *const words[] = {"brokers", "group", "timeout", NULL};
    assert_string_equal(units_nearest("borkers", words), "brokers");
    assert_string_equal(units_nearest("gruop", words), "group");
    assert_null(units_nearest("password", words));
    assert_null(units_nearest("", words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(durations),
                                       cmocka_unit_test(sizes_and_rates), cmocka_unit_test(printed),
                                       cmocka_unit_test(nearest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
