/* Durations, sizes and rates as people write them, and the nearest known word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/units.h"

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } good[] = {{"200ms", 0.2},
                {"5s", 5},
                {"1.5m", 90},
                {"2 h", 7200},
                {"7", 7},
                {"3us", 3e-6},
                {"1d", 86400},
                {"0s", 0},
                {"1m30s", 90},
                {"1h02m", 3720},
                {"1d2h3m4s5ms", 93784.005},
                {"1e3ms", 1}};
    static const char *const bad[] = {"",     "s",      "5x",     "-1s",   "nan",     "inf",
                                      "5ss",  "1s 2s",  "1e999s", "1e30s", "0x10s",   "+1s",
                                      " 1s",  "1.s",    ".5s",    "1es",   "30s1m",   "1m1m",
                                      "1m30", "1m-30s", "1s1",    "0x1p4", "infinity"};
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
    assert_true(units_size("9223372036854775807", &n) && n == INT64_MAX);
    assert_true(units_size("9007199254740993B", &n) && n == 9007199254740993);
    assert_true(units_size("1.5KiB", &n) && n == 1536);
    assert_false(units_size("9223372036854775808", &n));
    assert_false(units_size("8589934592GiB", &n));
    assert_false(units_size("9223372036854775808.0", &n));
    assert_false(units_size("0x10", &n));
    assert_false(units_size("-1", &n));
    assert_false(units_size("64kib", &n));
    assert_false(units_size("9e18GiB", &n));
    assert_false(units_size("0.1B", &n)); /* 0 is often no limit at all */
    assert_false(units_size("1e-9MB", &n));
    assert_true(units_size("0.0", &n) && n == 0);
    assert_true(units_size("0.5KiB", &n) && n == 512);
    assert_true(units_rate("2000/s", &r) && r == 2000);
    assert_true(units_rate("30/m", &r) && fabs(r - 0.5) < 1e-12);
    assert_false(units_rate("5/x", &r));
    assert_false(units_rate("0x5/s", &r));
    assert_false(units_rate("nan/s", &r));
}

static void whole_and_other_numbers(void **state)
{
    (void)state;
    static const char *const no_whole[] = {
        "", "-", "+1", " 1", "1 ", "1.0", "0x10", "1e3", "9223372036854775808", "--1"};
    static const char *const no_number[] = {"",    "-",     "+1", "0x10", "nan",
                                            "inf", "1e999", "1 ", "1,5"};
    int64_t n;
    double d;
    assert_true(units_whole("-9223372036854775808", &n) && n == INT64_MIN);
    assert_true(units_whole("9223372036854775807", &n) && n == INT64_MAX);
    assert_true(units_whole("007", &n) && n == 7);
    for (size_t i = 0; i < sizeof no_whole / sizeof *no_whole; i++)
        assert_false(units_whole(no_whole[i], &n));
    assert_true(units_number("-1.5e3", &d) && d == -1500);
    for (size_t i = 0; i < sizeof no_number / sizeof *no_number; i++)
        assert_false(units_number(no_number[i], &d));
}

/* n parts follow each other without a gap, and the last ends at the range's end. */
static void share_out(int64_t low, int64_t high, int64_t n)
{
    int64_t from = low - 1;
    for (int64_t k = 1; k <= n; k++) {
        int64_t upper = units_share(low, high, k, n);
        assert_true(upper >= from && upper <= high);
        from = upper;
    }
    assert_true(from == high);
}

static void shares(void **state)
{
    (void)state;
    static const int64_t ends[] = {INT64_MIN + 1, -5, 0, 1, 3, 7300000000000000000, INT64_MAX};
    enum { ENDS = sizeof ends / sizeof *ends };
    for (int a = 0; a < ENDS; a++)
        for (int b = a; b < ENDS; b++)
            for (int64_t n = 1; n <= 64; n++)
                share_out(ends[a], ends[b], n);
    assert_true(units_share(1, 100, 1, 4) == 25 && units_share(1, 100, 3, 4) == 75);
}

static void printed(void **state)
{
    (void)state;
    char text[32];
    static const struct {
        double seconds;
        const char *want;
    } rows[] = {
        {0.85, "850 ms"},           {1.2, "1.2 s"},      {252, "4m12s"},    {3720, "1h02m"},
        {36e12, "10000000000h00m"}, {59.96, "1m00s"},    {59.94, "59.9 s"}, {0.9996, "1.0 s"},
        {0.9994, "999 ms"},         {3599.97, "1h00m"},  {-5, "-5.0 s"},    {-3720, "-1h02m"},
        {-INFINITY, "-inf s"},      {INFINITY, "inf s"}, {NAN, "nan s"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        units_print_duration(rows[i].seconds, text, sizeof text);
        assert_string_equal(text, rows[i].want);
    }
    assert_int_equal(units_ms(1.5), 1500);
    assert_int_equal(units_ms(1e12), INT_MAX);
    assert_int_equal(units_ms(-1e19), 0);
    assert_int_equal(units_ms(NAN), 0);
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

static void nothing_wraps(void **state)
{
    (void)state;
    assert_true(units_minus(INT64_MIN, 1) == INT64_MIN && units_minus(0, INT64_MIN) == INT64_MAX);
    assert_true(units_minus(5, 7) == -2);
    assert_true(units_times(1783008000000000000, 1000000) == INT64_MAX);
    assert_true(units_times(-1783008000000000000, 1000000) == INT64_MIN);
    assert_true(units_times(INT64_MIN, -1) == INT64_MAX && units_times(-3, 7) == -21);
}

static void ports(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "65536", "-1", "+80",   " 80",
                                      "80 ", "0x50",  "8o", "000080"};
    assert_int_equal(units_port("0", 1), 0);
    assert_int_equal(units_port("65535", 5), 65535);
    assert_int_equal(units_port("9092,host", 4), 9092);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(units_port(bad[i], strlen(bad[i])), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(durations),
                                       cmocka_unit_test(sizes_and_rates),
                                       cmocka_unit_test(whole_and_other_numbers),
                                       cmocka_unit_test(shares),
                                       cmocka_unit_test(nothing_wraps),
                                       cmocka_unit_test(ports),
                                       cmocka_unit_test(printed),
                                       cmocka_unit_test(nearest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
