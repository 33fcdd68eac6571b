/* The pure parts of the consumer: decoding, sums per account, offsets of a pool, headers of
 * failed records. The messages are real: delivery reports of librdkafka's mock cluster, whose
 * headers cannot be made up otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "flow/consume/internal.h"
#include "flow/dlq.h"

static const char id_text[] = "0190b5e6-0000-7000-8000-0123456789ab";

/* ---- messages ---- */

static kafka_producer *producer;

typedef void (*look_fn)(const rd_kafka_message_t *msg, const void *arg);

typedef struct look {
    look_fn fn;
    const void *arg;
    bool done;
} look;

static void on_report(void *arg, const rd_kafka_message_t *msg)
{
    (void)arg;
    look *l = msg->_private;
    assert_int_equal(msg->err, 0);
    l->fn(msg, l->arg);
    l->done = true;
}

/* Pairs of name and value, ended by NULL. */
static void with_message(const char *value, const char *const *headers, look_fn fn, const void *arg)
{
    look l = {fn, arg, false};
    kafka_record r = {.topic = "events",
                      .partition = 2,
                      .value = value,
                      .value_len = value ? strlen(value) : 0,
                      .headers = rd_kafka_headers_new(4)};
    for (; *headers; headers += 2)
        rd_kafka_header_add(r.headers, headers[0], -1, headers[1], -1);
    assert_int_equal(kafka_producer_send(producer, &r, &l), 0);
    while (!l.done)
        kafka_producer_drain(producer, 100, 1);
}

static const char *const none[] = {NULL};
static const char *const with_id[] = {"event-id", id_text, NULL};

static int open_producer(void **state)
{
    (void)state;
    rd_kafka_conf_t *conf = kafka_conf_new(KAFKA_PRODUCER);
    assert_null(kafka_conf_put(conf, "test.mock.num.brokers", "1"));
    assert_null(kafka_producer_open(conf, &producer));
    kafka_producer_on_report(producer, on_report, NULL);
    return 0;
}

static int close_producer(void **state)
{
    (void)state;
    kafka_producer_close(producer);
    return 0;
}

/* ---- decoding ---- */

typedef struct expected {
    const char *err; /* part of the message; NULL: decoded */
    int64_t account, amount, balance, version;
} expected;

static const consume_reading reading = {.group = "mine"};

static consume_value value_of(const rd_kafka_message_t *msg)
{
    return (consume_value){msg->payload, msg->len};
}

static void check_decoded(const rd_kafka_message_t *msg, const void *arg)
{
    const expected *x = arg;
    consume_event e;
    consume_story story;
    rl_err *err = consume_decode(msg, &reading, value_of(msg), &e, &story);
    if (x->err) {
        assert_non_null(err);
        assert_string_equal(err->name, "UNDECODABLE");
        assert_non_null(strstr(err->msg, x->err));
        err_free(err);
        return;
    }
    assert_null(err);
    assert_string_equal(e.id_text, id_text);
    assert_int_equal(e.nlegs, 1);
    assert_int_equal(e.legs[0].account, x->account);
    assert_int_equal(e.legs[0].amount, x->amount);
    assert_int_equal(e.balance, x->balance);
    assert_int_equal(e.version, x->version);
}

static void decode(const char *value, const char *const *headers, expected x)
{
    with_message(value, headers, check_decoded, &x);
}

/* Blanks, escapes, nested values and long numbers take the slow way, which must see the same. */
static void events_are_decoded(void **state)
{
    (void)state;
    decode("{\"account_id\":17,\"amount\":-250,\"balance\":1200,\"version\":3,\"type\":\"entry\"}",
           with_id, (expected){NULL, 17, -250, 1200, 3});
    decode("{ \"account_id\": 17, \"amount\": -250, \"balance\":1200,\"version\":3, "
           "\"event_id\":\"ffffffff-0000-7000-8000-0123456789ab\"}",
           with_id, (expected){NULL, 17, -250, 1200, 3}); /* the header's id goes first */
    decode("{\"account_id\":17,\"amount\":9223372036854775807,\"balance\":-9223372036854775808,"
           "\"version\":1}",
           with_id, (expected){NULL, 17, INT64_MAX, INT64_MIN, 1});
    decode("{\"account_id\":17,\"amount\":5,\"n\":\"\\u00e9\",\"m\":{\"amount\":1,\"x\":[2]}}",
           with_id, (expected){NULL, 17, 5, 0, 0});
    decode("{\"event_id\":\"0190B5E6-0000-7000-8000-0123456789AB\",\"account_id\":1,\"amount\":2}",
           none, (expected){NULL, 1, 2, 0, 0});
}

static void what_cannot_be_decoded_says_why(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"no json", "no JSON object"},
        {"{\"account_id\":17,", "no JSON"},
        {"[1]", "no JSON object"},
        {NULL, "no JSON object"},
        {"{\"account_id\":17}", "amount"},
        {"{\"account_id\":17,\"amount\":\"1\"}", "amount"},
        {"{\"account_id\":017,\"amount\":1}", "no JSON"},
        {"{\"account_id\":17,\"amount\":9223372036854775808}", "amount"},
        {"{\"account_id\":17,\"amount\":1}x", "no JSON"},
        {"{\"type\":\"transfer\",\"from\":1,\"amount\":1}", "transfer"},
        {"{\"account_id\":17,\"amount\":1,\"version\":-1}", "version"},
        {"{\"account_id\":17,\"amount\":1,\"amount\":500}", "the amount is there twice"},
        {"{\"account_id\":17,\"amount\":1,\"account\\u005fid\":18}", "account_id is there twice"},
        {"{\"account_id\":17,\"amount\":1,\"version\":\"3\"}", "no whole number"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        decode(wrong[i][0], with_id, (expected){.err = wrong[i][1]});
    decode("{\"account_id\":17,\"amount\":1}", none, (expected){.err = "event id"});
}

static void check_version_2(const rd_kafka_message_t *msg, const void *arg)
{
    const consume_reading both = {"mine", "amount,amount_minor", false},
                          newer = {"mine", "amount_minor", false}, zero = {"mine", NULL, true};
    consume_event e;
    consume_story story;
    (void)arg;
    assert_null(consume_decode(msg, &both, value_of(msg), &e, &story));
    assert_int_equal(e.legs[0].amount, 250);
    assert_null(consume_decode(msg, &newer, value_of(msg), &e, &story));
    assert_int_equal(e.legs[0].amount, 250);
    assert_null(consume_decode(msg, &zero, value_of(msg), &e, &story));
    assert_int_equal(e.legs[0].account, 17);
    assert_int_equal(e.legs[0].amount, 0);
    rl_err *err = consume_decode(msg, &reading, value_of(msg), &e, &story);
    assert_non_null(strstr(err->msg, "amount is missing"));
    err_free(err);
}

static void a_reader_knows_the_fields_of_its_version(void **state)
{
    (void)state;
    with_message("{\"account_id\":17,\"amount_minor\":250,\"currency\":\"EUR\"}", with_id,
                 check_version_2, NULL);
    with_message("{ \"account_id\":17, \"amount_minor\":250, \"x\": null}", with_id,
                 check_version_2, NULL);
}

static void check_transfer(const rd_kafka_message_t *msg, const void *arg)
{
    (void)arg;
    consume_event e;
    consume_story story;
    assert_null(consume_decode(msg, &reading, value_of(msg), &e, &story));
    assert_int_equal(e.nlegs, 2);
    assert_int_equal(e.legs[0].account, 1);
    assert_int_equal(e.legs[0].amount, -30);
    assert_int_equal(e.legs[1].account, 2);
    assert_int_equal(e.legs[1].amount, 30);
    unsigned char here[UUID_BYTES], beside[UUID_BYTES];
    rd_kafka_message_t other = *msg;
    other.partition++;
    consume_id_of_place(msg, here);
    consume_id_of_place(&other, beside);
    assert_memory_not_equal(here, beside, UUID_BYTES);
}

static void a_transfer_has_two_legs(void **state)
{
    (void)state;
    with_message("{\"type\":\"transfer\",\"from\":1,\"to\":2,\"amount\":30}", with_id,
                 check_transfer, NULL);
}

static void check_story(const rd_kafka_message_t *msg, const void *arg)
{
    const consume_story *x = arg;
    consume_story story;
    consume_story_read(msg, "mine", &story);
    assert_int_equal(story.attempt, x->attempt);
    assert_int_equal(story.due_ms, x->due_ms);
    assert_int_equal(story.other_group, x->other_group);
}

static void headers_say_what_was_before(void **state)
{
    (void)state;
    with_message("", none, check_story, &(consume_story){.attempt = 0});
    const char *const tried[] = {DLQ_ATTEMPT, "2", DLQ_TARGET_GROUP, "", NULL};
    with_message("", tried, check_story, &(consume_story){.attempt = 2});
    const char *const mine[] = {DLQ_TARGET_GROUP, "mine", NULL};
    with_message("", mine, check_story, &(consume_story){.other_group = false});
    const char *const foreign[] = {"attempt",      "7",    "due-at", "1700000000000", "cut", "12",
                                   "target-group", "them", NULL};
    with_message("", foreign, check_story, &(consume_story){.attempt = 0});
    const char *const theirs[] = {DLQ_TARGET_GROUP, "mine2", NULL};
    with_message("", theirs, check_story, &(consume_story){.other_group = true});
}

static void a_story_is_within_its_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int attempt;
        int64_t due_ms;
    } all[] = {
        {"-1", 0, 0},
        {"-1000", 0, 0},
        {"-9223372036854775808", 0, 0},
        {"", 0, 0},
        {"3 or so", 0, 0},
        {"0x10", 0, 0},
        {"1e3", 0, 0},
        {"1000000", CONSUME_ATTEMPTS_MAX, 1000000},
        {"4294967297", CONSUME_ATTEMPTS_MAX, 4294967297},            /* 1 in 32 bits */
        {"4102444800000", CONSUME_ATTEMPTS_MAX, CONSUME_DUE_MAX_MS}, /* the year 2100 */
        {"4102444800001", CONSUME_ATTEMPTS_MAX, 0},
        {"1700000000000000000", CONSUME_ATTEMPTS_MAX, 0}, /* in ns */
        {"9223372036854775808", CONSUME_ATTEMPTS_MAX, 0},
        {"99999999999999999999999999999999999999", CONSUME_ATTEMPTS_MAX, 0},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const char *const attempt[] = {DLQ_ATTEMPT, all[i].text, NULL};
        const char *const due[] = {DLQ_DUE_AT, all[i].text, NULL};
        with_message("", attempt, check_story, &(consume_story){.attempt = all[i].attempt});
        with_message("", due, check_story, &(consume_story){.due_ms = all[i].due_ms});
    }
}

/* ---- headers of a failure ---- */

static const char *text_of(const rd_kafka_headers_t *h, const char *name, int *count)
{
    static char text[512];
    const void *value;
    size_t len;
    for (*count = 0; !rd_kafka_header_get(h, (size_t)*count, name, &value, &len); ++*count)
        snprintf(text, sizeof text, "%.*s", (int)len, (const char *)value);
    return *count ? text : NULL;
}

static void assert_header(const rd_kafka_headers_t *h, const char *name, const char *value)
{
    int count;
    const char *text = text_of(h, name, &count);
    assert_int_equal(count, value ? 1 : 0);
    if (value)
        assert_string_equal(text, value);
}

static void check_first_failure(const rd_kafka_message_t *msg, const void *arg)
{
    (void)arg;
    consume_failure f = {.group = "mine",
                         .error_class = "handler",
                         .message = "line\none",
                         .attempt = 1,
                         .now_ms = 1700000001000,
                         .due_ms = 1700000006000};
    rd_kafka_headers_t *h = consume_headers(msg, &f);
    assert_header(h, "event-id", id_text);
    assert_header(h, DLQ_ORIGINAL_TOPIC, "events");
    assert_header(h, DLQ_ORIGINAL_PARTITION, "2");
    assert_header(h, DLQ_ORIGINAL_TIMESTAMP, "1234"); /* as the mock cluster says */
    assert_header(h, DLQ_ORIGINAL_GROUP, "mine");
    assert_header(h, DLQ_ERROR_CLASS, "handler");
    assert_header(h, DLQ_ERROR_MESSAGE, "line one");
    assert_header(h, DLQ_ATTEMPT, "1");
    assert_header(h, DLQ_FIRST_FAILURE, "1700000001000");
    assert_header(h, DLQ_DUE_AT, "1700000006000");
    rd_kafka_headers_destroy(h);
}

static void check_last_failure(const rd_kafka_message_t *msg, const void *arg)
{
    char message[400];
    (void)arg;
    memset(message, 'a', sizeof message);
    memcpy(message + DLQ_MESSAGE_MAX - 1, "\xc3\xa9", 2); /* the cut falls into a letter */
    message[sizeof message - 1] = 0;
    consume_failure f = {.group = "mine",
                         .error_class = "database",
                         .message = message,
                         .attempt = 3,
                         .now_ms = 1700000099000};
    rd_kafka_headers_t *h = consume_headers(msg, &f);
    assert_header(h, DLQ_ORIGINAL_TOPIC, "orders");
    assert_header(h, DLQ_ORIGINAL_OFFSET, "40");
    assert_header(h, DLQ_ORIGINAL_GROUP, "first");
    assert_header(h, DLQ_ERROR_CLASS, "database");
    assert_header(h, DLQ_ATTEMPT, "3");
    assert_header(h, DLQ_FIRST_FAILURE, "1600000000000");
    assert_header(h, DLQ_DUE_AT, NULL);
    assert_header(h, DLQ_REPLAY_COUNT, "2");
    int count;
    assert_int_equal(strlen(text_of(h, DLQ_ERROR_MESSAGE, &count)), DLQ_MESSAGE_MAX - 1);
    rd_kafka_headers_destroy(h);
}

static consume_failure failure_of(consume_whole whole)
{
    return (consume_failure){.group = "mine",
                             .error_class = "undecodable",
                             .message = "why",
                             .attempt = 1,
                             .now_ms = 1700000001000,
                             .whole = whole};
}

static void check_cut(const rd_kafka_message_t *msg, const void *arg)
{
    (void)arg;
    for (int whole = COPY_WHOLE; whole <= COPY_STORY; whole++) {
        consume_failure f = failure_of((consume_whole)whole);
        rd_kafka_headers_t *h = consume_headers(msg, &f);
        assert_header(h, "event-id", id_text);
        assert_header(h, DLQ_ORIGINAL_TOPIC, "events");
        assert_header(h, DLQ_ORIGINAL_PARTITION, "2");
        assert_header(h, DLQ_REPLAY_COUNT, "2");
        assert_header(h, DLQ_CUT, whole == COPY_WHOLE ? NULL : "10");
        assert_header(h, "attempt", whole == COPY_STORY ? NULL : "7");
        assert_header(h, DLQ_ATTEMPT, "1");
        rd_kafka_headers_destroy(h);
    }
}

static void a_copy_that_is_cut_says_so(void **state)
{
    (void)state;
    const char *const all[] = {"event-id",       id_text, "attempt",   "7", DLQ_CUT, "99",
                               DLQ_REPLAY_COUNT, "2",     DLQ_ATTEMPT, "4", NULL};
    with_message("0123456789", all, check_cut, NULL);
}

static void a_failure_tells_its_story_once(void **state)
{
    (void)state;
    with_message("x", with_id, check_first_failure, NULL);
    const char *const before[] = {"event-id",
                                  id_text,
                                  DLQ_ORIGINAL_TOPIC,
                                  "orders",
                                  DLQ_ORIGINAL_OFFSET,
                                  "40",
                                  DLQ_ORIGINAL_GROUP,
                                  "first",
                                  DLQ_ERROR_CLASS,
                                  "handler",
                                  DLQ_ATTEMPT,
                                  "2",
                                  DLQ_FIRST_FAILURE,
                                  "1600000000000",
                                  DLQ_DUE_AT,
                                  "1600000060000",
                                  DLQ_REPLAY_COUNT,
                                  "2",
                                  NULL};
    with_message("x", before, check_last_failure, NULL);
}

/* ---- sums ---- */

static void sums_are_per_account_and_in_order(void **state)
{
    (void)state;
    consume_sums s = {0};
    for (int round = 0; round < 3; round++) {
        consume_sums_reset(&s);
        for (int i = 0; i < 3000; i++)
            assert_true(consume_sums_add(&s, (int64_t)(i * 7919) % 1000 - 500, i, 3000 - i, -i));
        consume_sums_sort(&s);
        assert_int_equal(s.n, 1000);
        int64_t amount = 0, entries = 0;
        for (int i = 0; i < s.n; i++) {
            assert_int_equal(s.list[i].account, i - 500);
            amount += s.list[i].amount;
            entries += s.list[i].entries;
            assert_int_equal(s.list[i].version, 3000 + s.list[i].balance);
            assert_true(s.list[i].version > 2000); /* the highest of three */
        }
        assert_int_equal(amount, 2999 * 1500);
        assert_int_equal(entries, 3000);
    }
    consume_sums_free(&s);
}

static void a_sum_beyond_64_bits_is_refused(void **state)
{
    (void)state;
    consume_sums s = {0};
    assert_true(consume_sums_add(&s, 1, INT64_MAX, 1, 0));
    assert_false(consume_sums_add(&s, 1, 1, 2, 0));
    assert_int_equal(s.list[0].amount, INT64_MAX);
    assert_int_equal(s.list[0].version, 1);
    assert_int_equal(s.list[0].entries, 1);
    assert_true(consume_sums_add(&s, 1, INT64_MIN, 2, 0));
    assert_int_equal(s.list[0].amount, -1);
    consume_sums_free(&s);
}

/* ---- offsets of a pool ---- */

static void the_lowest_unfinished_and_the_highest(void **state)
{
    (void)state;
    consume_track t;
    consume_track_open(&t);
    for (int64_t offset = 10; offset < 200; offset += 2) /* with gaps, as markers leave them */
        consume_track_begin(&t, offset);
    consume_track_done(&t, 14);
    assert_int_equal(t.low, -1);
    assert_int_equal(t.high, 15);
    consume_track_done(&t, 10);
    assert_int_equal(t.low, 11);
    consume_track_done(&t, 198);
    consume_track_done(&t, 12);
    assert_true(t.low == 15 && t.high == 199);
    for (int64_t offset = 196; offset >= 16; offset -= 2)
        consume_track_done(&t, offset);
    assert_int_equal(t.low, 199);
    for (int64_t offset = 200; offset < 1000; offset += 2) { /* round the ring */
        consume_track_begin(&t, offset);
        consume_track_begin(&t, offset + 1);
        consume_track_done(&t, offset + 1);
        consume_track_done(&t, offset);
        assert_true(t.low == offset + 2 && t.n == 0);
    }
    consume_track_free(&t);
}

static void what_is_left_is_no_difference_of_offsets(void **state)
{
    (void)state;
    enum { UNKNOWN = RD_KAFKA_OFFSET_INVALID };
    assert_int_equal(consume_offsets_left(4, 0, 10), 6);
    assert_int_equal(consume_offsets_left(4, UNKNOWN, 10), 6);
    assert_int_equal(consume_offsets_left(10, 0, 10), 0);
    assert_int_equal(consume_offsets_left(100, 0, 10), 0);
    assert_int_equal(consume_offsets_left(2, 10, 10), 0); /* removed meanwhile */
    assert_int_equal(consume_offsets_left(2, 7, 10), 3);
    assert_int_equal(consume_offsets_left(-1, 7, 10), 3);
    assert_int_equal(consume_offsets_left(-1, UNKNOWN, 10), -1);
    assert_int_equal(consume_offsets_left(4, 0, UNKNOWN), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_decoded),
        cmocka_unit_test(what_cannot_be_decoded_says_why),
        cmocka_unit_test(a_reader_knows_the_fields_of_its_version),
        cmocka_unit_test(a_transfer_has_two_legs),
        cmocka_unit_test(headers_say_what_was_before),
        cmocka_unit_test(a_story_is_within_its_bounds),
        cmocka_unit_test(a_failure_tells_its_story_once),
        cmocka_unit_test(a_copy_that_is_cut_says_so),
        cmocka_unit_test(sums_are_per_account_and_in_order),
        cmocka_unit_test(a_sum_beyond_64_bits_is_refused),
        cmocka_unit_test(the_lowest_unfinished_and_the_highest),
        cmocka_unit_test(what_is_left_is_no_difference_of_offsets),
    };
    return cmocka_run_group_tests_name("consume", tests, open_producer, close_producer);
}
