/* Kafka's framing: round trips of the primitives and headers, lies about lengths, every prefix
 * of a header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kafka/wire/frame.h"

static void primitives(bool flexible)
{
    rl_buf buf = {0};
    frame_writer w = {.buf = &buf, .flexible = flexible};
    frame_put_i8(&w, -7);
    frame_put_i16(&w, -1234);
    frame_put_i32(&w, 1 << 30);
    frame_put_i64(&w, INT64_MIN);
    frame_put_uvarint(&w, UINT32_MAX);
    frame_put_str(&w, "topic");
    frame_put_str(&w, "");
    frame_put_str(&w, NULL);
    frame_put_bytes(&w, "a\0b", 3);
    frame_put_array(&w, 0);
    frame_put_array(&w, -1);
    frame_put_tags(&w);

    frame_reader r = frame_read(buf.data, buf.len, flexible);
    assert_int_equal(frame_i8(&r), -7);
    assert_int_equal(frame_i16(&r), -1234);
    assert_int_equal(frame_i32(&r), 1 << 30);
    assert_true(frame_i64(&r) == INT64_MIN);
    assert_true(frame_uvarint(&r) == UINT32_MAX);
    frame_slice s = frame_str(&r);
    assert_int_equal(s.len, 5);
    assert_memory_equal(s.data, "topic", 5);
    s = frame_str(&r);
    assert_non_null(s.data);
    assert_int_equal(s.len, 0);
    assert_null(frame_str(&r).data);
    s = frame_bytes(&r);
    assert_int_equal(s.len, 3);
    assert_memory_equal(s.data, "a\0b", 3);
    assert_int_equal(frame_array(&r), 0);
    assert_int_equal(frame_array(&r), -1);
    frame_tags(&r);
    assert_null(frame_end(&r, "test"));
    buf_free(&buf);
}

static void test_primitives(void **state)
{
    (void)state;
    primitives(false);
    primitives(true);
}

static void refused(frame_reader *r)
{
    rl_err *err = frame_end(r, "test");
    assert_true(err_is(err, RL_LAB, "MALFORMED"));
    err_free(err);
}

static void test_lies_about_length(void **state)
{
    (void)state;
    static const unsigned char huge_array[] = {0x7f, 0xff, 0xff, 0xff, 0};
    static const unsigned char below_null[] = {0xff, 0xff, 0xff, 0xfe};
    static const unsigned char endless_varint[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const unsigned char wide_varint[] = {0xff, 0xff, 0xff, 0xff, 0x7f};
    static const unsigned char tag_too_long[] = {1, 0, 200, 1, 5};
    frame_reader r = frame_read(huge_array, sizeof huge_array, false);
    assert_int_equal(frame_array(&r), -1);
    refused(&r);
    r = frame_read(below_null, sizeof below_null, false);
    assert_int_equal(frame_array(&r), -1);
    refused(&r);
    r = frame_read(endless_varint, sizeof endless_varint, true);
    frame_uvarint(&r);
    refused(&r);
    r = frame_read(wide_varint, sizeof wide_varint, true);
    frame_uvarint(&r);
    refused(&r);
    r = frame_read(tag_too_long, sizeof tag_too_long, true);
    frame_tags(&r);
    refused(&r);
    r = frame_read("left over", 9, false);
    frame_i32(&r);
    refused(&r);
}

static void test_tags_are_skipped(void **state)
{
    (void)state;
    static const unsigned char two_tags[] = {2, 0, 3, 'a', 'b', 'c', 0x81, 0x01, 0, 42};
    frame_reader r = frame_read(two_tags, sizeof two_tags, true);
    frame_tags(&r);
    assert_int_equal(frame_i8(&r), 42);
    assert_null(frame_end(&r, "test"));
}

static void test_sizes(void **state)
{
    (void)state;
    size_t size = 0;
    assert_null(frame_size("\0\0\1\0", 1000, &size));
    assert_int_equal(size, 256);
    static const char *const bad[] = {"\xff\xff\xff\xff", "\0\0\4\0", "HTTP"};
    for (size_t i = 0; i < 3; i++) {
        rl_err *err = frame_size(bad[i], 1000, &size);
        assert_true(err_is(err, RL_LAB, "MALFORMED"));
        err_free(err);
    }
}

static void test_apis(void **state)
{
    (void)state;
    assert_string_equal(frame_api_name(FRAME_PRODUCE), "Produce");
    assert_string_equal(frame_api_name(FRAME_LIST_TRANSACTIONS), "ListTransactions");
    assert_null(frame_api_name(-1));
    assert_null(frame_api_name(30000));
    assert_int_equal(frame_api_key("EndTxn"), 26);
    assert_int_equal(frame_api_key("endtxn"), 26);
    assert_int_equal(frame_api_key("EndTx"), -1);
    assert_true(frame_api_flexible(FRAME_METADATA, 9));
    assert_false(frame_api_flexible(FRAME_METADATA, 8));
    assert_false(frame_api_flexible(FRAME_SASL_HANDSHAKE, 99));
    assert_false(frame_api_flexible(30000, 0));
}

/* Each prefix of a request is either refused or gives a header whose body lies inside of it. */
static void request_header(int api, int version, const char *client)
{
    rl_buf buf = {0};
    frame_writer w = frame_begin(&buf, api, version, 77, client);
    frame_put_i32(&w, 1);
    frame_finish(&w);
    size_t size, len = buf.len - 4;
    assert_null(frame_size(buf.data, 1000, &size));
    assert_int_equal(size, len);
    frame_request q;
    assert_null(frame_request_header(buf.data + 4, len, &q));
    assert_int_equal(q.api, api);
    assert_int_equal(q.version, version);
    assert_int_equal(q.correlation, 77);
    assert_int_equal(q.client.len, client ? strlen(client) : 0);
    assert_int_equal(q.body, len - 4);
    for (size_t n = 0; n < len - 4; n++) {
        rl_err *err = frame_request_header(buf.data + 4, n, &q);
        assert_true(err_is(err, RL_LAB, "MALFORMED"));
        err_free(err);
    }
    buf_free(&buf);
}

static void test_request_headers(void **state)
{
    (void)state;
    request_header(FRAME_METADATA, 1, "client");
    request_header(FRAME_METADATA, 12, "client");
    request_header(FRAME_METADATA, 12, NULL);
    request_header(7, 0, NULL);
    request_header(9000, 3, "a later API");
}

static void test_response_headers(void **state)
{
    (void)state;
    static const int cases[][2] = {{FRAME_API_VERSIONS, 0},
                                   {FRAME_API_VERSIONS, 3},
                                   {FRAME_METADATA, 8},
                                   {FRAME_METADATA, 12}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rl_buf buf = {0};
        int32_t correlation;
        frame_writer w = frame_begin_response(&buf, cases[i][0], cases[i][1], 4711);
        frame_put_str(&w, "body");
        frame_finish(&w);
        frame_reader r = frame_read(buf.data + 4, buf.len - 4, false);
        assert_null(frame_response_header(&r, cases[i][0], cases[i][1], &correlation));
        assert_int_equal(correlation, 4711);
        assert_int_equal(frame_str(&r).len, 4);
        assert_null(frame_end(&r, "test"));
        buf_free(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_primitives),
        cmocka_unit_test(test_lies_about_length),
        cmocka_unit_test(test_tags_are_skipped),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_apis),
        cmocka_unit_test(test_request_headers),
        cmocka_unit_test(test_response_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
