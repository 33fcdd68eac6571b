/* The answers that a survey is made of: what brokers write, every prefix of it, the same with bytes turned,
 * and answers about what was not asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kafka/survey/errand.h"
#include "wire_bodies.h"

/* Two partitions of `orders`, led by brokers 1 and 2. */
static survey new_survey(void)
{
    rl_buf buf = {0};
    survey s = {0};
    frame_writer w = {.buf = &buf, .flexible = true};
    write_metadata(&w);
    frame_reader r = frame_read(buf.data, buf.len, true);
    assert_null(wire_metadata_parse(&r, &s.metadata));
    survey_lay_out(&s);
    buf_free(&buf);
    return s;
}

static const survey_place *place_of(const survey *s, int partition)
{
    return survey_find(s, (frame_slice){"orders", 6}, partition);
}

/* Two classic groups and one of the consumer protocol, as ListGroups tells of them. */
static void put_group(frame_writer *w, const char *id, const char *type, const char *protocol)
{
    frame_put_str(w, id);
    frame_put_str(w, type);
    frame_put_str(w, "Stable");
    frame_put_str(w, protocol);
    frame_put_tags(w);
}

static void write_groups(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_i16(w, 0);
    frame_put_array(w, 6);
    put_group(w, "schema-registry", "sr", "v0");
    put_group(w, "plain", "", "classic");
    put_group(w, "billing", "consumer", "classic");
    put_group(w, "connect", "connect", "classic");
    put_group(w, "group", "consumer", "consumer");
    put_group(w, "billing", "consumer", "classic");
    frame_put_tags(w);
}

static void put_fetched(frame_writer *w, const char *group, int code)
{
    frame_put_str(w, group);
    frame_put_array(w, 1);
    frame_put_str(w, "orders");
    frame_put_array(w, 3);
    for (int i = 0; i < 3; i++) {
        frame_put_i32(w, i);
        frame_put_i64(w, i == 1 ? -1 : 40 + i);
        frame_put_i32(w, 5);
        frame_put_str(w, "");
        frame_put_i16(w, 0);
        frame_put_tags(w);
    }
    frame_put_tags(w);
    frame_put_i16(w, (int16_t)code);
    frame_put_tags(w);
}

static void write_fetched(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 3);
    put_fetched(w, "plain", 0);
    put_fetched(w, "stranger", 0);
    put_fetched(w, "billing", RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
    frame_put_tags(w);
}

static void put_described(frame_writer *w, const char *group, int code)
{
    frame_put_i16(w, (int16_t)code);
    for (const char *const *text = (const char *const[]){group, "Empty", "consumer", "", NULL};
         *text; text++)
        frame_put_str(w, *text);
    frame_put_array(w, 0);
    frame_put_i32(w, 0);
    frame_put_tags(w);
}

static void write_described(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 2);
    put_described(w, "billing", RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
    put_described(w, "plain", 0);
    frame_put_tags(w);
}

static void write_listed(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 1);
    frame_put_str(w, "orders");
    frame_put_array(w, 3);
    for (int i = 0; i < 3; i++) {
        frame_put_i32(w, i);
        frame_put_i16(w, i == 1 ? RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION : 0);
        frame_put_i64(w, -1);
        frame_put_i64(w, 70 + i);
        frame_put_i32(w, 5);
    }
}

/* Two producers with an open transaction, of which the first named has the earlier one. */
static void write_holders(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 1);
    frame_put_str(w, "orders");
    frame_put_array(w, 1);
    frame_put_i32(w, 1);
    frame_put_i16(w, 0);
    frame_put_str(w, NULL);
    frame_put_array(w, 3);
    for (int i = 0; i < 3; i++) {
        frame_put_i64(w, 1000 + i);
        frame_put_i32(w, 0);
        frame_put_i32(w, 3);
        frame_put_i64(w, 1700000000000);
        frame_put_i32(w, 2);
        frame_put_i64(w, i ? 66 + i : -1);
        frame_put_tags(w);
    }
    frame_put_tags(w);
    frame_put_tags(w);
    frame_put_tags(w);
}

static void write_starts(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 1);
    frame_put_i16(w, 0);
    frame_put_str(w, "tx");
    frame_put_str(w, "Ongoing");
    frame_put_i32(w, 60000);
    frame_put_i64(w, 1700000000123);
    frame_put_i64(w, 1001);
    frame_put_i16(w, 1);
    frame_put_array(w, 1);
    frame_put_str(w, "orders");
    put_ids(w, 1);
    frame_put_tags(w);
    frame_put_tags(w);
    frame_put_tags(w);
}

typedef void (*step)(survey *s, errands *all);
typedef void (*write_answer)(frame_writer *w);

static rl_err *take_on_another(const errand *e, const char *data, size_t len, bool flexible)
{
    survey other = new_survey();
    errand on_other = *e;
    on_other.survey = &other;
    on_other.from = on_other.count = 0;
    char *exact = malloc(len ? len : 1); /* so that a read beyond is seen by the sanitizer */
    memcpy(exact, data, len);
    frame_reader r = frame_read(exact, len, flexible);
    rl_err *err = e->take(&r, &on_other);
    free(exact);
    survey_free(&other);
    return err;
}

/* No prefix passes; with bytes turned whatever comes comes, and what it costs is for the sanitizers. */
static void spoil(const errand *e, const rl_buf *buf, bool flexible)
{
    uint32_t seed = 20240607;
    for (size_t n = 0; n < buf->len; n++) {
        rl_err *err = take_on_another(e, buf->data, n, flexible);
        assert_true(err_is(err, RL_LAB, "MALFORMED"));
        err_free(err);
    }
    for (int round = 0; round < 2000; round++) {
        char *turned = mem_dup(buf->data, buf->len);
        for (int turns = 1 + round % 4; turns > 0; turns--) {
            seed = seed * 1664525 + 1013904223;
            turned[(seed >> 8) % buf->len] = (char)(seed >> 24);
        }
        err_free(take_on_another(e, turned, buf->len, flexible));
        free(turned);
    }
}

/* The answer to the first errand of the step, after it was spoilt. */
static rl_err *answer(survey *s, step ask, write_answer write, bool flexible)
{
    errands all = {0};
    rl_buf buf = {0};
    frame_writer w = {.buf = &buf, .flexible = flexible};
    ask(s, &all);
    assert_true(all.count > 0);
    const errand e = all.list[0];
    write(&w);
    spoil(&e, &buf, flexible);
    frame_reader r = frame_read(buf.data, buf.len, flexible);
    rl_err *err = e.take(&r, &e);
    free(all.list);
    buf_free(&buf);
    return err;
}

static void test_groups(void **state)
{
    (void)state;
    survey s = new_survey();
    assert_null(answer(&s, survey_ask_groups, write_groups, true));
    assert_int_equal(s.group_count, 4);
    errands all = {0};
    survey_ask_committed(&s, &all);
    free(all.list);
    assert_int_equal(s.group_count, 3); /* one that two brokers name is one */
    assert_int_equal(all.count, 2);
    assert_string_equal(s.groups[0].id, "group");
    assert_false(s.groups[0].classic);
    assert_string_equal(s.groups[1].id, "billing");
    assert_string_equal(s.groups[2].id, "plain");
    assert_null(answer(&s, survey_ask_members, write_consumer_group, true));
    assert_int_equal(s.groups[0].members, 1);
    assert_int_equal(s.groups[1].members, -1);
    survey_free(&s);
}

/* That a group without an answer has no members nobody has said. */
static void test_members_of_one_that_moves(void **state)
{
    (void)state;
    survey s = new_survey();
    assert_null(answer(&s, survey_ask_groups, write_groups, true));
    free(s.groups[2].id); /* of the consumer protocol */
    s.groups[2] = s.groups[--s.group_count];
    survey_sort_groups(&s);
    rl_err *err = answer(&s, survey_ask_members, write_described, true);
    assert_true(err_is(err, RL_KAFKA, "NOT_COORDINATOR"));
    err_free(err);
    assert_string_equal(s.groups[0].id, "billing");
    assert_int_equal(s.groups[0].members, -1);
    assert_int_equal(s.groups[1].members, 0);
    survey_free(&s);
}

/* What a group that moves, or one that nobody asked for, is said to have does not get in. */
static void test_committed(void **state)
{
    (void)state;
    survey s = new_survey();
    assert_null(answer(&s, survey_ask_groups, write_groups, true));
    free(s.groups[2].id); /* of the consumer protocol: the first errand is to be about the others */
    s.groups[2] = s.groups[--s.group_count];
    rl_err *err = answer(&s, survey_ask_committed, write_fetched, true);
    assert_true(err_is(err, RL_KAFKA, "NOT_COORDINATOR"));
    err_free(err);
    int plain = s.group_count - 1;
    assert_string_equal(s.groups[plain].id, "plain");
    assert_int_equal(s.groups[plain].topic_count, 1);
    assert_int_equal(s.groups[plain].topics[0].count, 2);
    assert_int_equal(s.groups[plain].topics[0].offsets[1].partition, 2);
    assert_int_equal(s.groups[plain].topics[0].offsets[1].offset, 42);
    assert_int_equal(s.groups[0].topic_count, 0);
    survey_free(&s);
}

static void test_offsets(void **state)
{
    (void)state;
    survey s = new_survey();
    rl_err *err = answer(&s, survey_ask_offsets, write_listed, false);
    assert_true(err && err->domain == RL_KAFKA);
    err_free(err);
    assert_int_equal(place_of(&s, 0)->low, 70);
    assert_true(place_of(&s, 0)->hw == WIRE_UNKNOWN && place_of(&s, 1)->low == WIRE_UNKNOWN);
    assert_null(place_of(&s, 2));
    errands all = {0};
    survey_ask_offsets(&s, &all);
    for (int i = 0; i < all.count; i++) /* the LSO alone is read_committed's end */
        assert_true(all.list[i].committed == (all.list[i].field == offsetof(survey_place, lso)));
    free(all.list);
    assert_null(survey_find(&s, (frame_slice){"order", 5}, 0));
    assert_null(survey_find(&s, (frame_slice){"orders2", 7}, 0));
    survey_free(&s);
}

static void test_who_holds(void **state)
{
    (void)state;
    survey s = new_survey();
    survey_place *held = (survey_place *)place_of(&s, 1);
    held->lso = 67;
    held->hw = 75;
    assert_null(answer(&s, survey_ask_producers, write_holders, true));
    assert_int_equal(s.led_count, 1);
    assert_int_equal(held->holder, 1001);
    assert_int_equal(place_of(&s, 0)->holder, -1);
    s.txns = mem_zero(2 * sizeof *s.txns);
    s.txns[0] = (survey_txn){.producer_id = 1001, .start_ms = -1, .id = mem_strdup("tx")};
    s.txns[1] = (survey_txn){.producer_id = 1002, .start_ms = 5, .id = mem_strdup("younger")};
    s.txn_count = 2;
    assert_null(answer(&s, survey_ask_starts, write_starts, true));
    survey_join_txns(&s);
    assert_true(held->open_since_ms == 1700000000123);
    survey_free(&s);
}

int main(void)
{
    (void)write_body; /* of use to others who include the bodies */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),    cmocka_unit_test(test_members_of_one_that_moves),
        cmocka_unit_test(test_committed), cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_who_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
