/* Columns as a terminal counts them, and what never reaches one as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <string.h>

#include "term/text.h"

static void columns(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int width;
    } rows[] = {{"", 0},
                {"abc", 3},
                {"한글abc", 7},
                {"e\u0301", 1},
                {"ก\u0e38", 1},
                {"กำ", 2},
                {"ب\u064b", 1},
                {"ב\u05b0", 1},
                {"\u2764\ufe0f", 2},
                {"\u2764", 1},
                {"\U0001f44d\U0001f3fd", 2},
                {"\U0001fae8", 2},
                {"\U0001f468\u200d\U0001f469\u200d\U0001f467", 2},
                {"\U0001f1f0\U0001f1f7", 2},
                {"1\ufe0f\u20e3", 2},
                {"\u1112\u1161\u11ab", 2},
                {"が", 2},
                {"\u200b", 0},
                {"\033[38;5;43mabc\033[0m", 3},
                {"\033[", 1},
                {"\xff\xed\xa0\x80", 4},
                {"…", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int width = text_width(rows[i].text, strlen(rows[i].text));
        if (width != rows[i].width)
            fail_msg("'%s': %d columns, not %d", rows[i].text, width, rows[i].width);
    }
}

static void a_step_never_stands_still(void **state)
{
    (void)state;
    char text[3];
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            int width;
            memcpy(text, (char[]){(char)a, (char)b, (char)0x80}, 3);
            size_t n = text_step(text, sizeof text, &width);
            assert_true(n >= 1 && n <= 3 && width >= 0 && width <= 2);
        }
    }
}

static void check_visible(const char *text, size_t len, bool lines, const char *want)
{
    rl_buf out = {0};
    text_visible(&out, text, len, lines);
    buf_str(&out, "");
    assert_string_equal(out.data, want);
    buf_free(&out);
}

static void visible(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {{"plain 한글 👍🏽 กำ", "plain 한글 👍🏽 กำ"},
                {"\033]0;title\a\033[2J", "\\x1b]0;title\\x07\\x1b[2J"},
                {"a\nb\tc\r\x7f", "a\\nb\\tc\\r\\x7f"},
                {"\xc2\x9b"
                 "31m",
                 "\\u{9b}31m"},
                {"\u202egpj.exe\u202c", "\\u{202e}gpj.exe\\u{202c}"},
                {"\xef\xbf\xbe \xef\xb7\x90 \xf0\x9f\xbf\xbf", "\\u{fffe} \\u{fdd0} \\u{1ffff}"},
                {"\u2066x\u2069\u200f\u061c", "\\u{2066}x\\u{2069}\\u{200f}\\u{61c}"},
                {"\u2028\u2029\ufeff\u200b", "\\u{2028}\\u{2029}\\u{feff}\\u{200b}"},
                {"\xff\xc0\xaf\xed\xa0\xbd", "\\xff\\xc0\\xaf\\xed\\xa0\\xbd"},
                {"\xe2\x82", "\\xe2\\x82"},
                {"a\U000e0068\U000e0069\ufff9\u3164\uffa0\u034f",
                 "a\\u{e0068}\\u{e0069}\\u{fff9}\\u{3164}\\u{ffa0}\\u{34f}"},
                {"🏴\U000e0067\U000e0062\U000e007f", "🏴\U000e0067\U000e0062\U000e007f"},
                {"❤\ufe0f 葛\U000e0100 \u115f\u1161", "❤\ufe0f 葛\U000e0100 \u115f\u1161"},
                {"👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_visible(rows[i].text, strlen(rows[i].text), false, rows[i].want);
    check_visible("a\0b", 3, false, "a\\x00b");
    check_visible("a\n\tb\033", 5, true, "a\n\tb\\x1b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(columns),
                                       cmocka_unit_test(a_step_never_stands_still),
                                       cmocka_unit_test(visible)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
