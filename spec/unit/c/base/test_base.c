/* The leaves that everything stands on: copies of errors, deadlines, waits and UUIDs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/deadline.h"
#include "base/document.h"
#include "base/err.h"
#include "base/uuid.h"

#define NS_PER_MS INT64_C(1000000)

static void an_error_is_copied_whole(void **state)
{
    (void)state;
    rl_err *err = err_new(RL_MYSQL, 1213, "DEADLOCK", "try %d again", 7);
    err->retriable = err->abortable = err->fatal = true;
    err->happened = ERR_DONE;
    err->blame = ERR_OF_PLACE;
    rl_err *copy = err_copy(err);
    err_free(err);
    assert_true(err_is(copy, RL_MYSQL, "DEADLOCK"));
    assert_int_equal(copy->code, 1213);
    assert_string_equal(copy->msg, "try 7 again");
    assert_true(copy->retriable && copy->abortable && copy->fatal);
    assert_true(copy->happened == ERR_DONE && copy->blame == ERR_OF_PLACE);
    err_free(copy);
    assert_null(err_copy(NULL));
}

static void what_an_error_means_is_in_one_table(void **state)
{
    (void)state;
    static const struct {
        rl_domain domain;
        const char *name;
        err_meaning is;
    } cases[] = {
        {RL_KAFKA, "_MSG_TIMED_OUT", {ERR_UNKNOWN, ERR_OF_SERVER, false}},
        {RL_KAFKA, "NOT_ENOUGH_REPLICAS", {ERR_NOT_DONE, ERR_OF_SERVER, true}},
        {RL_KAFKA, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", {ERR_UNKNOWN, ERR_OF_SERVER, true}},
        {RL_KAFKA, "MSG_SIZE_TOO_LARGE", {ERR_NOT_DONE, ERR_OF_RECORD, false}},
        {RL_KAFKA, "_UNKNOWN_TOPIC", {ERR_NOT_DONE, ERR_OF_PLACE, false}},
        {RL_KAFKA, "DUPLICATE_SEQUENCE_NUMBER", {ERR_DONE, ERR_OF_CALL, false}},
        {RL_KAFKA, "NEVER_HEARD_OF", {ERR_UNKNOWN, ERR_OF_CALL, false}},
        {RL_MYSQL, "TIMEOUT", {ERR_UNKNOWN, ERR_OF_SERVER, true}},
        {RL_MYSQL, "CR_SERVER_LOST", {ERR_UNKNOWN, ERR_OF_SERVER, true}},
        {RL_MYSQL, "CR_NEVER_HEARD_OF", {ERR_UNKNOWN, ERR_OF_CALL, false}},
        {RL_MYSQL, "ER_LOCK_DEADLOCK", {ERR_NOT_DONE, ERR_OF_CALL, true}},
        {RL_MYSQL, "ER_DUP_ENTRY", {ERR_NOT_DONE, ERR_OF_CALL, false}},
        {RL_MYSQL, "ER_READ_ONLY_MODE", {ERR_NOT_DONE, ERR_OF_SERVER, false}},
        {RL_REDIS, "TIMEOUT", {ERR_UNKNOWN, ERR_OF_SERVER, true}},
        {RL_REDIS, "OOM", {ERR_NOT_DONE, ERR_OF_SERVER, false}},
        {RL_REDIS, "READONLY", {ERR_NOT_DONE, ERR_OF_SERVER, false}},
        {RL_REDIS, "MISCONF", {ERR_NOT_DONE, ERR_OF_SERVER, false}},
        {RL_REDIS, "WRONGTYPE", {ERR_NOT_DONE, ERR_OF_CALL, false}},
        {RL_REDIS, "O", {ERR_NOT_DONE, ERR_OF_CALL, false}},
        {RL_REDIS, "", {ERR_NOT_DONE, ERR_OF_CALL, false}},
        {RL_HTTP, "TIMEOUT", {ERR_UNKNOWN, ERR_OF_SERVER, false}},
        {RL_HTTP, "CONNECTION_LOST", {ERR_UNKNOWN, ERR_OF_SERVER, false}},
        {RL_HTTP, "CONNECT", {ERR_NOT_DONE, ERR_OF_SERVER, true}},
        {RL_LAB, "CANCELLED", {ERR_UNKNOWN, ERR_OF_CALL, false}},
        {RL_LAB, "USAGE", {ERR_NOT_DONE, ERR_OF_CALL, false}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rl_err *err = err_new(cases[i].domain, 0, cases[i].name, "why");
        assert_int_equal(err->happened, cases[i].is.happened);
        assert_int_equal(err->blame, cases[i].is.blame);
        assert_int_equal(err->retriable, cases[i].is.retriable);
        err_free(err);
    }
}

static void deadlines(void **state)
{
    (void)state;
    assert_true(deadline_passed(deadline_in(0)) && deadline_passed(deadline_in(-1)));
    assert_true(deadline_passed(deadline_in_ms(0)) && deadline_left(deadline_in_ms(-5)) == 0);
    assert_false(deadline_passed(deadline_in(10)));
    assert_in_range(deadline_left(deadline_in(10)), 9000 * NS_PER_MS, 10000 * NS_PER_MS);
    assert_in_range(deadline_left(deadline_in_ms(10)), 0, 10 * NS_PER_MS);
    assert_true(deadline_in(1e300) == DEADLINE_NEVER &&
                deadline_in_ms(INT64_MAX) == DEADLINE_NEVER);
    assert_true(deadline_or_never(0) == DEADLINE_NEVER && deadline_or_never(1) < DEADLINE_NEVER);
}

static void deadlines_for_poll(void **state)
{
    (void)state;
    assert_int_equal(deadline_poll_ms(DEADLINE_NEVER), -1);
    assert_int_equal(deadline_poll_ms(clock_ns() - 1), 0);
    assert_int_equal(deadline_poll_ms(clock_ns() + 3600 * 1000 * NS_PER_MS), 3600 * 1000);
    assert_int_equal(deadline_poll_ms(clock_ns() + NS_PER_MS * 90 * 86400 * 1000), INT32_MAX);
    struct timespec left = deadline_timespec_left(deadline_in(90.5));
    assert_int_equal(left.tv_sec, 90);
    left = deadline_timespec_left(clock_ns() - 1);
    assert_true(left.tv_sec == 0 && left.tv_nsec == 0);
}

static void a_wait_ends_at_its_deadline(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t change;
    cond_init(&change);
    rl_deadline at = deadline_in_ms(30);
    pthread_mutex_lock(&lock);
    while (cond_wait_until(&change, &lock, at))
        ;
    pthread_mutex_unlock(&lock);
    assert_true(deadline_passed(at));
    pthread_cond_destroy(&change);
}

static void uuids(void **state)
{
    (void)state;
    static const char text[] = "0190b5e6-0000-7000-8000-0123456789ab";
    static const char upper[] = "0190B5E6-0000-7000-8000-0123456789AB";
    uint8_t id[UUID_BYTES];
    char out[UUID_LEN + 1];
    assert_true(uuid_parse(upper, strlen(upper), id));
    uuid_text(id, out);
    assert_string_equal(out, text);
    assert_false(uuid_parse(text, 35, id));
    assert_false(uuid_parse("0190b5e6-0000-7000-8000-0123456789ax", 36, id));
    assert_false(uuid_parse("0190b5e6x0000-7000-8000-0123456789ab", 36, id));
    uuid_v7(0x0190b5e60000, 0xfedcba9876543abc, 0xffff0123456789ab, id);
    uuid_text(id, out);
    assert_string_equal(out, "0190b5e6-0000-7abc-a543-0123456789ab");
}

static void a_document_keeps_what_cjson_would_lose(void **state)
{
    (void)state;
    rl_buf out = {0};
    cJSON *document = document_object(), *list = document_array();
    document_add_int(document, "most", INT64_MAX);
    document_add_int(document, "least", INT64_MIN);
    document_add_text(document, "plain", "a \"b\"\n");
    document_add_text(document, "word", "\xc3\xa9t\xc3\xa9");
    document_add_text(document, "bytes", "\xff");
    cJSON_AddItemToArray(list, cJSON_CreateNumber(0.5));
    cJSON_AddItemToObject(document, "list", list);
    document_put(document, &out);
    assert_string_equal(out.data, "{\"most\":9223372036854775807,\"least\":-9223372036854775808,"
                                  "\"plain\":\"a \\\"b\\\"\\n\",\"word\":\"\xc3\xa9t\xc3\xa9\","
                                  "\"bytes\":\"\\udcff\",\"list\":[0.5]}");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_error_is_copied_whole),
                                       cmocka_unit_test(what_an_error_means_is_in_one_table),
                                       cmocka_unit_test(deadlines),
                                       cmocka_unit_test(deadlines_for_poll),
                                       cmocka_unit_test(a_wait_ends_at_its_deadline),
                                       cmocka_unit_test(uuids),
                                       cmocka_unit_test(a_document_keeps_what_cjson_would_lose)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
