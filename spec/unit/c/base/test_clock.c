/* Times as people write them: what exists, to the ms, in any zone; what does not exist is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

/* Rules in full, so that no zone file is needed. */
#define SEOUL "KST-9"
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

static void in_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    tzset();
}

static int64_t read_time(const char *text)
{
    int64_t ms = -1;
    const char *why = clock_parse(text, &ms);
    if (why)
        fail_msg("%s: %s", text, why);
    return ms;
}

static void same_instant(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {{"2026-07-02T16:00:00Z", 1783008000000},
                {"2026-07-02T16:00:00+00:00", 1783008000000},
                {"2026-07-02T18:00:00+02:00", 1783008000000},
                {"2026-07-03T01:00:00+0900", 1783008000000},
                {"2026-07-02T04:30:00-11:30", 1783008000000},
                {"2026-07-02 16:00Z", 1783008000000},
                {"2026-07-02t16:00:00.1239z", 1783008000123},
                {"2026-07-02T16:00:00,5+00", 1783008000500},
                {"1970-01-01T00:00:00Z", 0},
                {"1969-12-31T23:59:59.999Z", -1},
                {"2024-02-29T00:00:00Z", 1709164800000},
                {"2000-02-29T12:00Z", 951825600000},
                {"9999-12-31T23:59:59.999Z", 253402300799999},
                {"0000-01-01T00:00Z", -62167219200000}};
    static const char *const zones[] = {"UTC0", SEOUL, BERLIN};
    for (size_t z = 0; z < sizeof zones / sizeof *zones; z++) {
        in_zone(zones[z]);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            assert_true(read_time(rows[i].text) == rows[i].ms);
    }
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    char text[CLOCK_ISO_SIZE];
    static const int64_t times[] = {0, -1, 1783008000123, 253402300799999, -62167219200000};
    in_zone(BERLIN);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        clock_iso(times[i], text);
        assert_true(read_time(text) == times[i]);
    }
}

static void years_of_more_or_less_than_four_digits(void **state)
{
    (void)state;
    char text[CLOCK_ISO_SIZE];
    clock_iso(253402300800000, text);
    assert_string_equal(text, "+10000-01-01T00:00:00.000Z");
    clock_iso(-62167219200001, text);
    assert_string_equal(text, "-0001-12-31T23:59:59.999Z");
    clock_iso(INT64_MIN, text);
    assert_string_equal(text, "-292275055-05-16T16:47:04.192Z");
}

static void local_time_without_an_offset(void **state)
{
    (void)state;
    in_zone(SEOUL);
    assert_true(read_time("2026-07-03T01:00:00") == 1783008000000);
    in_zone(BERLIN);
    assert_true(read_time("2026-07-02T18:00") == 1783008000000);
    assert_true(read_time("2026-01-02T01:00") == 1767312000000);
    /* twice there: at 02:30 of summer, an hour before that of winter */
    assert_true(read_time("2026-10-25T02:30:00") == 1792888200000);
}

static void what_does_not_exist(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "2026-07-02",
                                      "2026-7-2T16:00Z",
                                      "2026-02-29T00:00Z",
                                      "1900-02-29T00:00Z",
                                      "2026-04-31T00:00Z",
                                      "2026-00-01T00:00Z",
                                      "2026-13-01T00:00Z",
                                      "2026-01-00T00:00Z",
                                      "2026-07-02T24:00Z",
                                      "2026-07-02T16:60Z",
                                      "2026-06-30T23:59:60Z",
                                      "2026-07-02T16:00:00+24:00",
                                      "2026-07-02T16:00:00+02:60",
                                      "2026-07-02T16:00:00+2",
                                      "2026-07-02T16:00:00+02:",
                                      "2026-07-02T16:00:00ZZ",
                                      "2026-07-02T16:00:00 KST",
                                      "2026-07-02T16:00:00.Z",
                                      "2026-07-02T16:00:",
                                      "2026-07-02T16",
                                      "2026-07-02X16:00Z",
                                      " 2026-07-02T16:00Z",
                                      "9999-12-31T23:59:59-00:01", /* in UTC the year 10000 */
                                      "0000-01-01T00:00:00+00:01",
                                      "2026-03-29T02:30:00"};
    int64_t ms;
    in_zone(BERLIN);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!clock_parse(bad[i], &ms))
            fail_msg("'%s' was read", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_instant), cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(years_of_more_or_less_than_four_digits),
        cmocka_unit_test(local_time_without_an_offset), cmocka_unit_test(what_does_not_exist)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
