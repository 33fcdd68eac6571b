/* The proxy's parsers: bytes go through unchanged however they are cut, requests meet their
 * responses, and no bytes at all make them crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "fault/proto/session.h"
#include "proxy_samples.h"
#include "turned.h"

/* A host that wants everything, keeps what is emitted, and decides by dice or always the same. */
typedef struct host {
    rl_buf out[2];
    rl_rng *dice;
    proto_verdict verdict;
    bool unwanted; /* responses are of no interest */
    int requests, responses;
    rl_buf told;
    char client[64], ids[256], last[4096];
} host;

static void emit(void *arg, proto_dir dir, const char *data, size_t len)
{
    host *h = arg;
    buf_add(&h->out[dir], data, len);
}

static bool wants(void *arg, int api)
{
    (void)arg;
    (void)api;
    return true;
}

static void tell(host *h, const proto_msg *msg)
{
    buf_reset(&h->told);
    proto_describe(msg, &h->told);
    snprintf(h->last, sizeof h->last, "%s", h->told.data ? h->told.data : "");
    proto_names_topic(msg, "orders");
    proto_has_param(msg, "17");
}

static proto_verdict on_request(void *arg, const proto_msg *msg, proto_pending *pending)
{
    host *h = arg;
    h->requests++;
    tell(h, msg);
    snprintf(h->client, sizeof h->client, "%.*s", (int)msg->client.len,
             msg->client.data ? msg->client.data : "");
    pending->wanted = !h->unwanted;
    if (!h->dice)
        return h->verdict;
    proto_verdict v = (proto_verdict)rng_below(h->dice, 5);
    pending->wanted = rng_below(h->dice, 2);
    return v == PROTO_ERROR && !proto_can_fail(msg->kind, msg->api) ? PROTO_PASS : v;
}

static proto_verdict on_response(void *arg, const proto_msg *msg, const proto_pending *pending)
{
    host *h = arg;
    (void)pending;
    h->responses++;
    tell(h, msg);
    return PROTO_PASS;
}

static proto_failure failure(void *arg)
{
    (void)arg;
    return (proto_failure){7, "made by the test"};
}

static proto_session *open_session(proto_kind kind, host *h)
{
    proto_host as = {h, emit, wants, on_request, on_response, failure};
    return proto_open(kind, &as);
}

static void host_free(host *h)
{
    buf_free(&h->out[0]);
    buf_free(&h->out[1]);
    buf_free(&h->told);
}

/* ---- what comes out ---- */

static void feed_cut(proto_session *s, proto_dir dir, const rl_buf *bytes, size_t piece)
{
    for (size_t at = 0; at < bytes->len; at += piece) {
        size_t n = bytes->len - at < piece ? bytes->len - at : piece;
        char *copy = mem_dup(bytes->data + at, n); /* so that a look behind the chunk is noticed */
        assert_int_equal(proto_feed(s, dir, copy, n), n);
        free(copy);
    }
}

static void passes_unchanged(proto_kind kind, size_t piece, int requests)
{
    host h = {.verdict = PROTO_PASS};
    rl_buf up = {0}, down = {0};
    sample(kind, &up, &down);
    proto_session *s = open_session(kind, &h);
    if (kind == PROTO_MYSQL) { /* its greeting comes first, and in lockstep only */
        feed_cut(s, PROTO_DOWN, &down, down.len);
    }
    feed_cut(s, PROTO_UP, &up, piece);
    if (kind != PROTO_MYSQL)
        feed_cut(s, PROTO_DOWN, &down, piece);
    assert_false(proto_opaque(s));
    assert_int_equal(h.requests, requests);
    assert_int_equal(h.out[PROTO_UP].len, up.len);
    assert_memory_equal(h.out[PROTO_UP].data, up.data, up.len);
    assert_int_equal(h.out[PROTO_DOWN].len, down.len);
    assert_memory_equal(h.out[PROTO_DOWN].data, down.data, down.len);
    if (kind != PROTO_MYSQL)
        assert_int_equal(h.responses, requests);
    proto_close(s);
    host_free(&h);
    buf_free(&up);
    buf_free(&down);
}

static void test_any_cut_passes_unchanged(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 80; piece++) {
        passes_unchanged(PROTO_KAFKA, piece, 6);
        passes_unchanged(PROTO_MYSQL, piece, 4);
        passes_unchanged(PROTO_REDIS, piece, 5);
    }
}

static void test_kafka_says_what_it_saw(void **state)
{
    (void)state;
    for (int version = 7; version <= 9; version++) {
        host h = {.verdict = PROTO_PASS};
        rl_buf up = {0}, down = {0};
        put_produce(&up, version, 1);
        put_produced(&down, version, 1);
        proto_session *s = open_session(PROTO_KAFKA, &h);
        proto_feed(s, PROTO_UP, up.data, up.len);
        assert_string_equal(h.client, "client-a");
        assert_non_null(strstr(h.last, "\"ids\":[\"id-1\",\"id-2\"],\"records\":2"));
        assert_non_null(strstr(h.last, "\"topic\":\"orders\",\"partition\":2"));
        assert_non_null(strstr(h.last, "\"producer_id\":4711,\"producer_epoch\":3"));
        assert_non_null(strstr(h.last, "\"transactional_id\":\"tx-1\""));
        assert_null(strstr(h.last, "unread"));
        proto_feed(s, PROTO_DOWN, down.data, down.len);
        assert_non_null(strstr(h.last, "\"error\":0,\"base_offset\":40"));
        assert_null(strstr(h.last, "unread"));
        proto_close(s);
        host_free(&h);
        buf_free(&up);
        buf_free(&down);
    }
}

static void test_mysql_knows_statement_and_parameters(void **state)
{
    (void)state;
    host h = {.verdict = PROTO_PASS};
    rl_buf up = {0}, down = {0};
    proto_session *s = open_session(PROTO_MYSQL, &h);
    mysql_sample(&up, &down);
    const char *want[] = {"", "SELECT * FROM account WHERE id = ?\"", "\"params\":[\"17\"]",
                          "\"text\":\"SELECT 1\""};
    const char *u = up.data, *d = down.data;
    for (int i = 0; i < 4; i++) {
        size_t n = 4 + (size_t)(unsigned char)d[0];
        proto_feed(s, PROTO_DOWN, d, n);
        d += n;
        if (i == 1) { /* the answer to the login is followed by a command */
            n = 4 + (size_t)(unsigned char)d[0];
        }
        n = 4 + (size_t)(unsigned char)u[0];
        proto_feed(s, PROTO_UP, u, n);
        u += n;
        assert_non_null(strstr(h.last, want[i]));
    }
    proto_feed(s, PROTO_DOWN, d, 4 + (size_t)(unsigned char)d[0]);
    d += 4 + (size_t)(unsigned char)d[0];
    assert_true(h.responses >= 2);
    proto_close(s);
    host_free(&h);
    buf_free(&up);
    buf_free(&down);
}

/* 16 MiB and more come in several packets, the last of which is not full and may be empty. */
static void mysql_sees_what_comes_in_packets(size_t rest, size_t piece)
{
    enum { FULL = 0xffffff };
    char *text = mem_alloc(FULL);
    host h = {.verdict = PROTO_PASS};
    rl_buf up = {0}, down = {0}, large = {0};
    proto_session *s = open_session(PROTO_MYSQL, &h);
    mysql_sample(&up, &down);
    proto_feed(s, PROTO_DOWN, down.data, 4 + (size_t)(unsigned char)down.data[0]);
    proto_feed(s, PROTO_UP, up.data, 4 + (size_t)(unsigned char)up.data[0]);
    size_t before = h.out[PROTO_UP].len;
    memset(text, 'x', FULL);
    memcpy(text, "\3\0\1SELECT", 9);
    put_packet(&large, 0, text, FULL);
    put_packet(&large, 1, text + 9, rest);
    free(text);
    feed_cut(s, PROTO_UP, &large, piece);
    assert_int_equal(h.requests, 1);
    assert_non_null(strstr(h.last, "\"api\":\"COM_QUERY\",\"text\":\"SELECTxx"));
    assert_int_equal(h.out[PROTO_UP].len, before + large.len);
    assert_memory_equal(h.out[PROTO_UP].data + before, large.data, large.len);
    h.verdict = PROTO_ERROR;
    buf_reset(&h.out[PROTO_DOWN]);
    feed_cut(s, PROTO_UP, &large, piece);
    assert_int_equal(h.requests, 2);
    assert_int_equal(h.out[PROTO_DOWN].data[3], 2); /* behind the command's 0 and 1 */
    proto_close(s);
    host_free(&h);
    buf_free(&up);
    buf_free(&down);
    buf_free(&large);
}

static void test_mysql_sees_commands_of_several_packets(void **state)
{
    (void)state;
    mysql_sees_what_comes_in_packets(1000, 1 << 20);
    mysql_sees_what_comes_in_packets(0, 0xffffff + 2);
    mysql_sees_what_comes_in_packets(3, SIZE_MAX / 2);
}

static void test_words_that_end_the_order_have_no_rule(void **state)
{
    (void)state;
    static const char *const words[] = {"SUBSCRIBE", "psubscribe", "SSUBSCRIBE", "Monitor",
                                        "SYNC",      "PSYNC",      "RESET"};
    int api;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        rl_err *err = proto_find(PROTO_REDIS, words[i], &api);
        assert_non_null(strstr(err->msg, "is never seen"));
        err_free(err);
    }
    assert_null(proto_find(PROTO_REDIS, "PUBLISH", &api));
    assert_int_equal(api, 0);
    assert_null(proto_find(PROTO_REDIS, "", &api));
    assert_int_equal(api, -1);
}

/* ---- verdicts ---- */

static void test_an_error_reply_waits_for_its_turn(void **state)
{
    (void)state;
    host h = {.verdict = PROTO_PASS};
    rl_buf up = {0}, down = {0};
    proto_session *s = open_session(PROTO_KAFKA, &h);
    put_produce(&up, 7, 1);
    proto_feed(s, PROTO_UP, up.data, up.len);
    h.verdict = PROTO_ERROR;
    buf_reset(&up);
    put_produce(&up, 9, 2);
    proto_feed(s, PROTO_UP, up.data, up.len);
    assert_int_equal(h.out[PROTO_DOWN].len, 0);
    put_produced(&down, 7, 1);
    proto_feed(s, PROTO_DOWN, down.data, down.len);
    assert_true(h.out[PROTO_DOWN].len > down.len);
    frame_reader r = frame_read(h.out[PROTO_DOWN].data + down.len + 4,
                                h.out[PROTO_DOWN].len - down.len - 4, false);
    int32_t correlation;
    assert_null(frame_response_header(&r, FRAME_PRODUCE, 9, &correlation));
    assert_int_equal(correlation, 2);
    assert_int_equal(frame_array(&r), 1);
    assert_int_equal(frame_str(&r).len, 6);
    assert_int_equal(frame_array(&r), 1);
    assert_int_equal(frame_i32(&r), 2);
    assert_int_equal(frame_i16(&r), 7);
    proto_close(s);
    host_free(&h);
    buf_free(&up);
    buf_free(&down);
}

static void test_an_error_reply_waits_for_the_end_of_a_response(void **state)
{
    (void)state;
    host h = {.verdict = PROTO_PASS, .unwanted = true};
    rl_buf up = {0}, down = {0};
    proto_session *s = open_session(PROTO_KAFKA, &h);
    put_produce(&up, 7, 1);
    proto_feed(s, PROTO_UP, up.data, up.len);
    put_produced(&down, 7, 1);
    size_t half = down.len / 2;
    proto_feed(s, PROTO_DOWN, down.data, half);
    assert_int_equal(proto_unseen(s, PROTO_DOWN), down.len - half);
    h.verdict = PROTO_ERROR;
    buf_reset(&up);
    put_produce(&up, 7, 2);
    proto_feed(s, PROTO_UP, up.data, up.len);
    assert_int_equal(h.out[PROTO_DOWN].len, half);
    proto_passed(s, PROTO_DOWN, down.len - half);
    assert_true(h.out[PROTO_DOWN].len > half);
    assert_int_equal(proto_waiting(s), 0);
    proto_close(s);
    host_free(&h);
    buf_free(&up);
    buf_free(&down);
}

static void twice(proto_kind kind, const char *reply)
{
    host h = {.verdict = PROTO_TWICE};
    rl_buf up = {0}, down = {0};
    proto_session *s = open_session(kind, &h);
    if (kind == PROTO_KAFKA) {
        put_produce(&up, 7, 1);
        put_produced(&down, 7, 1);
    } else {
        buf_str(&up, "*1\r\n$4\r\nINCR\r\n");
        buf_str(&down, reply);
    }
    proto_feed(s, PROTO_UP, up.data, up.len);
    assert_int_equal(h.out[PROTO_UP].len, 2 * up.len);
    for (int i = 0; i < 2; i++)
        proto_feed(s, PROTO_DOWN, down.data, down.len);
    assert_int_equal(h.out[PROTO_DOWN].len, down.len);
    assert_int_equal(proto_waiting(s), 0);
    proto_close(s);
    host_free(&h);
    buf_free(&up);
    buf_free(&down);
}

static void test_twice_is_answered_once(void **state)
{
    (void)state;
    twice(PROTO_KAFKA, NULL);
    twice(PROTO_REDIS, ":1\r\n");
}

static void test_an_unfinished_message_goes_on_at_the_end(void **state)
{
    (void)state;
    for (int kind = PROTO_KAFKA; kind <= PROTO_REDIS; kind++) {
        host h = {.verdict = PROTO_PASS};
        proto_session *s = open_session((proto_kind)kind, &h);
        rl_buf up = {0}, down = {0};
        sample((proto_kind)kind, &up, &down);
        proto_feed(s, PROTO_UP, up.data, 3);
        proto_feed(s, PROTO_DOWN, down.data, 3);
        proto_end(s, PROTO_UP);
        proto_end(s, PROTO_DOWN);
        assert_int_equal(h.out[PROTO_UP].len, 3);
        assert_int_equal(h.out[PROTO_DOWN].len, 3);
        proto_close(s);
        host_free(&h);
        buf_free(&up);
        buf_free(&down);
    }
}

static void test_strangers_pass_unparsed(void **state)
{
    (void)state;
    static const char *const hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello";
    for (int kind = PROTO_KAFKA; kind <= PROTO_REDIS; kind++) {
        host h = {.verdict = PROTO_PASS};
        proto_session *s = open_session((proto_kind)kind, &h);
        size_t n = 11 + 12;
        for (int i = 0; i < 40; i++)
            proto_feed(s, PROTO_DOWN, hello, n);
        assert_true(kind == PROTO_MYSQL || proto_opaque(s));
        assert_int_equal(h.out[PROTO_DOWN].len, 40 * n);
        proto_close(s);
        host_free(&h);
    }
}

/* A number is on its own line: none is taken from behind the line's end, which may be the end of
 * what came. */
static void test_a_line_without_its_number_is_no_redis(void **state)
{
    (void)state;
    static const char *const broken[] = {"*\n", "*\r\n", "*\n1\r\n$4\r\nPING\r\n",
                                         "*1\r\n$\n4\r\nPING\r\n"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        host h = {.verdict = PROTO_PASS};
        proto_session *s = open_session(PROTO_REDIS, &h);
        size_t n = strlen(broken[i]);
        char *bytes = malloc(n); /* no NUL behind it: AddressSanitizer sees a look too far */
        memcpy(bytes, broken[i], n);
        assert_int_equal(proto_feed(s, PROTO_UP, bytes, n), n);
        assert_true(proto_opaque(s));
        assert_int_equal(h.requests, 0);
        free(bytes);
        proto_close(s);
        host_free(&h);
    }
}

/* ---- mutations: seeded, so that a crash can be had again ---- */

enum { ROUNDS = 20000 };

static void mutate(rl_rng *rng, rl_buf *bytes)
{
    for (uint64_t n = rng_below(rng, 6); n > 0 && bytes->len; n--)
        turn_bytes(rng, bytes);
}

static void feed_any(proto_session *s, rl_rng *rng, proto_dir dir, const rl_buf *bytes)
{
    for (size_t at = 0; at < bytes->len;) {
        size_t left = bytes->len - at, n = 1 + (size_t)rng_below(rng, left);
        char *copy = mem_dup(bytes->data + at, n);
        size_t used = proto_feed(s, dir, copy, n);
        assert_true(used <= n);
        free(copy);
        at += used ? used : n;
    }
}

static void test_no_bytes_crash_it(void **state)
{
    (void)state;
    rl_rng rng;
    rng_init(&rng, 7);
    for (int round = 0; round < ROUNDS; round++) {
        proto_kind kind = (proto_kind)(PROTO_KAFKA + round % 3);
        host h = {.dice = &rng};
        rl_buf up = {0}, down = {0};
        sample(kind, &up, &down);
        proto_session *s = open_session(kind, &h);
        mutate(&rng, &up);
        mutate(&rng, &down);
        proto_dir first = (proto_dir)rng_below(&rng, 2);
        feed_any(s, &rng, first, first == PROTO_UP ? &up : &down);
        feed_any(s, &rng, (proto_dir)!first, first == PROTO_UP ? &down : &up);
        feed_any(s, &rng, PROTO_UP, &up);
        feed_any(s, &rng, PROTO_DOWN, &down);
        proto_close(s);
        host_free(&h);
        buf_free(&up);
        buf_free(&down);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut_passes_unchanged),
        cmocka_unit_test(test_kafka_says_what_it_saw),
        cmocka_unit_test(test_mysql_knows_statement_and_parameters),
        cmocka_unit_test(test_mysql_sees_commands_of_several_packets),
        cmocka_unit_test(test_words_that_end_the_order_have_no_rule),
        cmocka_unit_test(test_an_error_reply_waits_for_its_turn),
        cmocka_unit_test(test_an_error_reply_waits_for_the_end_of_a_response),
        cmocka_unit_test(test_twice_is_answered_once),
        cmocka_unit_test(test_an_unfinished_message_goes_on_at_the_end),
        cmocka_unit_test(test_strangers_pass_unparsed),
        cmocka_unit_test(test_a_line_without_its_number_is_no_redis),
        cmocka_unit_test(test_no_bytes_crash_it),
    };
    return cmocka_run_group_tests_name("proxy parsers", tests, NULL, NULL);
}
