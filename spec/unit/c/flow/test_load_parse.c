/* The replies that the load generator reads: whole, byte by byte, broken, and without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <string.h>

#include "flow/load/parse.h"

static void feed_all(const char *text, bool by_byte, bool ended, load_parse_state want,
                     const char *body)
{
    rl_buf in = {0};
    load_parse p = {0};
    size_t len = strlen(text);
    load_parse_state got = PARSE_MORE;
    load_parse_begin(&p, false);
    buf_add(&in, "", 0);
    for (size_t i = 0; i < len && got == PARSE_MORE; i += by_byte ? 1 : len) {
        buf_add(&in, text + i, by_byte ? 1 : len);
        got = load_parse_feed(&p, &in, ended && in.len == len);
    }
    assert_int_equal(got, want);
    if (want == PARSE_DONE) {
        assert_int_equal(p.body.len, strlen(body));
        assert_memory_equal(p.body.data ? p.body.data : "", body, p.body.len);
    }
    buf_free(&in);
    buf_free(&p.body);
}

static void replies_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ended;
        load_parse_state want;
        const char *body;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, PARSE_DONE, "hello"},
        {"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", false, PARSE_DONE, ""},
        {"HTTP/1.1 204 No Content\r\n\r\n", false, PARSE_DONE, ""},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", false,
         PARSE_DONE, "ok"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
         "chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n",
         false, PARSE_DONE, "abc0123456789"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: 1\r\n\r\n", false,
         PARSE_DONE, "x"},
        {"HTTP/1.0 200 OK\r\n\r\nall of it", true, PARSE_DONE, "all of it"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", true, PARSE_BROKEN, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", false, PARSE_BROKEN, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", false, PARSE_BROKEN,
         NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, PARSE_BROKEN, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", false,
         PARSE_BROKEN, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", false,
         PARSE_BROKEN, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello, world\r\n0\r\n\r\n",
         false, PARSE_BROKEN, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000000000005\r\nhello\r\n"
         "0\r\n\r\n",
         false, PARSE_DONE, "hello"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n"
         "0\r\n\r\n",
         false, PARSE_BROKEN, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\x15\r\nhello\r\n0\r\n\r\n", false,
         PARSE_BROKEN, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", false,
         PARSE_BROKEN, NULL},
        {"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
         false, PARSE_DONE, "ok"},
        {"SSH-2.0-OpenSSH_9\r\n\r\n", false, PARSE_BROKEN, NULL},
        {"HTTP/1.1 200", false, PARSE_MORE, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        feed_all(cases[i].text, false, cases[i].ended, cases[i].want, cases[i].body);
        feed_all(cases[i].text, true, cases[i].ended, cases[i].want, cases[i].body);
    }
}

static bool reusable_after(const char *text)
{
    rl_buf in = {0};
    load_parse p = {0};
    load_parse_begin(&p, false);
    buf_add(&in, text, strlen(text));
    assert_int_equal(load_parse_feed(&p, &in, false), PARSE_DONE);
    buf_free(&in);
    buf_free(&p.body);
    return p.reusable;
}

/* The next request of that connection would be answered by what is left of this one. */
static void who_says_more_is_not_asked_again(void **state)
{
    (void)state;
    static const char whole[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static const char more[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200";
    static const char chunks[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    static const char closing[] =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    assert_true(reusable_after(whole));
    assert_true(reusable_after(chunks));
    assert_false(reusable_after(more));
    assert_false(reusable_after(closing));
}

static void add_times(rl_buf *in, const char *text, int times)
{
    for (int i = 0; i < times; i++)
        buf_str(in, text);
}

/* In one piece, and the same in pieces of 16 KiB, as they come from a socket. */
static void feed_large(const rl_buf *whole, load_parse_state want, size_t body)
{
    for (int pieces = 0; pieces < 2; pieces++) {
        load_parse p = {0};
        rl_buf in = {0};
        load_parse_state got = PARSE_MORE;
        size_t step = pieces ? 16384 : whole->len;
        load_parse_begin(&p, false);
        for (size_t at = 0; at < whole->len && got == PARSE_MORE; at += step) {
            buf_add(&in, whole->data + at, step < whole->len - at ? step : whole->len - at);
            got = load_parse_feed(&p, &in, false);
        }
        assert_int_equal(got, want);
        if (want == PARSE_DONE)
            assert_int_equal(p.body.len, body);
        buf_free(&in);
        buf_free(&p.body);
    }
}

static const char chunked_head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

static void many_small_chunks_need_no_stack(void **state)
{
    (void)state;
    rl_buf in = {0};
    buf_str(&in, chunked_head);
    add_times(&in, "1\r\nx\r\n", 400000);
    buf_str(&in, "0\r\n\r\n");
    feed_large(&in, PARSE_DONE, 400000);
    buf_free(&in);
}

static void replies_have_their_limits(void **state)
{
    (void)state;
    static const struct {
        const char *start, *repeated;
        int times;
    } cases[] = {
        {"", "HTTP/1.1 100 Continue\r\n\r\n", 400000}, /* interim replies */
        {"HTTP/1.1 200 OK\r\n", "A: 1\r\n", 400000},   /* headers */
        {chunked_head, "0", 400000},                   /* a size line */
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x", 400000}, /* extensions */
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "T: 1\r\n",
         400000}, /* trailers */
        {chunked_head, "1;an-extension-of-many-bytes-that-says-nothing\r\nx\r\n", 400000},
        {chunked_head, "10\r\n0123456789abcdef\r\n", PARSE_BODY_MAX / 16 + 1},
        {"HTTP/1.0 200 OK\r\n\r\n", "all of it ", (PARSE_BODY_MAX / 10) + 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rl_buf in = {0};
        buf_str(&in, cases[i].start);
        add_times(&in, cases[i].repeated, cases[i].times);
        feed_large(&in, PARSE_BROKEN, 0);
        buf_free(&in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_read),
        cmocka_unit_test(who_says_more_is_not_asked_again),
        cmocka_unit_test(many_small_chunks_need_no_stack),
        cmocka_unit_test(replies_have_their_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
