/* The JSON reader under noise: whatever comes in, it ends, stays in bounds (ASan watches), and
 * what it accepts it accepts again after writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/rng.h"

/* Reads all tokens; true when the text was good. The copy has no byte behind its end. */
static bool reads(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    json_reader r;
    json_open(&r, copy, len);
    json_token t;
    size_t tokens = 0;
    while ((t = json_next(&r)) != JSON_END && t != JSON_ERROR)
        assert_true(++tokens <= len + 1);
    if (t == JSON_ERROR)
        assert_non_null(strstr(r.error, "column"));
    json_close(&r);
    free(copy);
    return t == JSON_END;
}

static void noise(void **state)
{
    (void)state;
    static const char *const bits[] = {"{",  "}",    "[",    "]",       ",",    ":",      "\"",
                                       "\\", "\\u",  "d83d", "\\ude00", "dc80", "1",      "-",
                                       ".",  "e",    "true", "null",    "fals", " ",      "\n",
                                       "a",  "\x80", "\xff", "0",       "E+",   "\"a\":", "\"\""};
    rl_rng r;
    rng_init(&r, 3);
    int good = 0;
    for (int i = 0; i < 300000; i++) {
        rl_buf text = {0};
        buf_str(&text, "");
        for (uint64_t n = rng_below(&r, 10); n; n--)
            buf_str(&text, bits[rng_below(&r, sizeof bits / sizeof *bits)]);
        good += reads(text.data, text.len);
        buf_free(&text);
    }
    assert_in_range(good, 1000, 100000);
}

static void strings_come_back(void **state)
{
    (void)state;
    rl_rng r;
    rng_init(&r, 4);
    for (int i = 0; i < 20000; i++) {
        char bytes[24];
        size_t n = (size_t)rng_below(&r, sizeof bytes + 1);
        rng_bytes(&r, bytes, n);
        rl_buf out = {0};
        json_put_string(&out, bytes, n);
        json_reader reader;
        json_open(&reader, out.data, out.len);
        assert_int_equal(json_next(&reader), JSON_STRING);
        assert_int_equal(reader.str.len, n);
        if (n)
            assert_memory_equal(reader.str.data, bytes, n);
        assert_int_equal(json_next(&reader), JSON_END);
        json_close(&reader);
        buf_free(&out);
    }
}

static void numbers_come_back(void **state)
{
    (void)state;
    rl_rng r;
    rng_init(&r, 5);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rng_u64(&r);
        double d;
        memcpy(&d, &bits, sizeof d);
        rl_buf out = {0};
        json_put_int(&out, (int64_t)bits);
        json_reader reader;
        json_open(&reader, out.data, out.len);
        assert_int_equal(json_next(&reader), JSON_INT);
        assert_true(reader.i == (int64_t)bits);
        json_close(&reader);
        buf_reset(&out);
        json_put_float(&out, d);
        json_open(&reader, out.data, out.len);
        json_token t = json_next(&reader);
        assert_true(t == JSON_NULL || (t == JSON_FLOAT && reader.d == d));
        json_close(&reader);
        buf_free(&out);
    }
}

static void utf8_is_told_from_bytes(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\xff",         "\xc0\x80",         "\xc3", "\xe0\x9f\xbf",
                                      "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "a\xe2\x82"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(json_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(json_is_utf8(bad[i], strlen(bad[i])));
    assert_true(json_is_utf8("a\0b", 3));
}

static void hex_digits(void **state)
{
    (void)state;
    assert_int_equal(json_hex_digit('0'), 0);
    assert_int_equal(json_hex_digit('a'), 10);
    assert_int_equal(json_hex_digit('F'), 15);
    assert_int_equal(json_hex_digit('g'), -1);
    assert_int_equal(json_hex_digit('-'), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(noise), cmocka_unit_test(strings_come_back),
                                       cmocka_unit_test(numbers_come_back),
                                       cmocka_unit_test(utf8_is_told_from_bytes),
                                       cmocka_unit_test(hex_digits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
