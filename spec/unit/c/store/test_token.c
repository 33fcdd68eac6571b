/* Tokens that a command prints: when they end, how long they are kept, and that none is ever told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/deadline.h"
#include "kafka/client.h"
#include "kafka/token/run.h"
#include "kafka/token/token.h"

enum { NOW_MS = 1000000000, LIMIT_MS = 20000 };

/* {"alg":"none"} . {"sub":"ann","nested":{"exp":1},"exp":1000600} */
#define JWT                \
    "eyJhbGciOiJub25lIn0." \
    "eyJzdWIiOiJhbm4iLCJuZXN0ZWQiOnsiZXhwIjoxfSwiZXhwIjoxMDAwNjAwfQ.c2ln"

static kafka_token read_good(const char *text)
{
    kafka_token token;
    rl_err *err = kafka_token_read(text, strlen(text), NOW_MS, &token);
    assert_null(err);
    return token;
}

static void the_end_is_in_the_token(void **state)
{
    (void)state;
    kafka_token token = read_good(JWT "\n");
    assert_string_equal(token.text, JWT);
    assert_int_equal(token.end_ms, 1000600000);
    assert_string_equal(token.subject, "ann");
    kafka_token_free(&token);
    token = read_good("{\"access_token\":\"abc\",\"more\":{\"expires_in\":1},\"expires_in\":60}");
    assert_string_equal(token.text, "abc");
    assert_int_equal(token.end_ms, NOW_MS + 60000);
    assert_string_equal(token.subject, "rlab");
    kafka_token_free(&token);
    token =
        read_good("{\"access_token\":\"" JWT "\",\"expires_in\":9000000}"); /* the earlier one */
    assert_int_equal(token.end_ms, 1000600000);
    kafka_token_free(&token);
}

static void refused(const char *text, int64_t now_ms, const char *why)
{
    kafka_token token;
    rl_err *err = kafka_token_read(text, strlen(text), now_ms, &token);
    assert_non_null(err);
    assert_non_null(strstr(err->msg, why));
    assert_null(strstr(err->msg, "eyJ"));
    assert_null(token.text);
    err_free(err);
}

static void what_is_no_token(void **state)
{
    (void)state;
    refused("", NOW_MS, "printed no token");
    refused("{}", NOW_MS, "printed no token");
    refused("{\"access_token\":", NOW_MS, "broken JSON");
    refused("Please log in first.", NOW_MS, "neither a token nor JSON");
    refused("opaque", NOW_MS, "does not say when its token ends");
    refused("{\"access_token\":\"opaque\"}", NOW_MS, "does not say when its token ends");
    refused(JWT, 1000607000, "ended 7 s ago");
}

static char *run_failed(const char *command, int limit_ms)
{
    kafka_token token;
    rl_err *err = kafka_token_run(command, limit_ms, &token);
    assert_true(err_is(err, RL_KAFKA, "TOKEN_COMMAND"));
    char *msg = strdup(err->msg);
    err_free(err);
    return msg;
}

static void says(const char *command, int limit_ms, const char *want)
{
    char *msg = run_failed(command, limit_ms);
    assert_string_equal(msg, want);
    free(msg);
}

#define SH(script) "[\"sh\",\"-c\",\"" script "\"]"
#define FAILED(name) "the token command " name " failed: "

static void a_failure_names_the_command_and_its_last_line(void **state)
{
    (void)state;
    says(SH("echo one >&2; echo two >&2; exit 3"), LIMIT_MS, FAILED("sh") "exit 3: two");
    says(SH("exit 1"), LIMIT_MS, FAILED("sh") "exit 1: it wrote nothing to stderr");
    says("[\"/no/such\"]", LIMIT_MS, FAILED("/no/such") "No such file or directory");
    says("[]", LIMIT_MS, FAILED("") "there is no command");
    says(SH("kill -9 $$"), LIMIT_MS, FAILED("sh") "signal 9: it wrote nothing to stderr");
}

static void no_message_has_a_token(void **state)
{
    (void)state;
    says(SH("echo sesame-sesame; echo got sesame-sesame and " JWT ", sorry >&2; exit 1"), LIMIT_MS,
         FAILED("sh") "exit 1: got *** and ***, sorry");
}

static void who_takes_too_long_is_killed(void **state)
{
    (void)state;
    says(SH("echo here >&2; sleep 60 & wait"), 100,
         FAILED("sh") "it took longer than 100 ms and was killed: here");
}

static void a_child_left_behind_is_not_waited_for(void **state)
{
    (void)state;
    kafka_token token;
    rl_deadline until = deadline_in_ms(LIMIT_MS);
    rl_err *err = kafka_token_run(SH("sleep 30 & echo " JWT), LIMIT_MS, &token);
    assert_false(deadline_passed(until));
    assert_non_null(err); /* of 1970 */
    assert_non_null(strstr(err->msg, " s ago"));
    err_free(err);
}

#define EACH_ANOTHER(life) \
    SH("printf '{\\\"access_token\\\":\\\"t%s\\\",\\\"expires_in\\\":" life "}' $$")

static char *token_of(const char *command)
{
    kafka_token token;
    rl_err *err = kafka_token_get(command, &token);
    assert_null(err);
    return token.text;
}

static void a_token_is_kept_for_half_of_its_life(void **state)
{
    (void)state;
    char *first = token_of(EACH_ANOTHER("600")), *next = token_of(EACH_ANOTHER("600"));
    assert_string_equal(first, next);
    free(first);
    free(next);
    rl_deadline until = deadline_in_ms(LIMIT_MS);
    first = token_of(EACH_ANOTHER("0.2"));
    bool other = false;
    while (!other && !deadline_passed(until)) {
        usleep(10000);
        next = token_of(EACH_ANOTHER("0.2"));
        other = strcmp(first, next) != 0;
        free(next);
    }
    assert_true(other);
    free(first);
}

static void trouble_is_known_until_a_token_comes(void **state)
{
    (void)state;
    char said[300];
    kafka_token token;
    rl_err *err = kafka_token_get(SH("echo no luck >&2; exit 1"), &token);
    assert_non_null(err);
    assert_true(kafka_token_trouble(said, sizeof said));
    assert_string_equal(said, err->msg);
    err_free(err);
    free(token_of(EACH_ANOTHER("60")));
    assert_false(kafka_token_trouble(said, sizeof said));
}

static void a_client_asks_the_command(void **state)
{
    (void)state;
    char value[300];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_false(kafka_token_command(conf, value, sizeof value));
    assert_null(kafka_token_use(conf, "[\"x\"]"));
    assert_true(kafka_token_command(conf, value, sizeof value));
    assert_string_equal(value, "[\"x\"]");
    kafka_conf_value(conf, "sasl.mechanisms", value, sizeof value);
    assert_string_equal(value, "OAUTHBEARER");
    rd_kafka_conf_destroy(conf);
}

/* Nobody polls it: the command leaves a file when it is run. */
static void a_client_is_served_unasked(void **state)
{
    (void)state;
    char path[] = "/tmp/rlab-token-XXXXXX", command[200];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    snprintf(command, sizeof command, SH("touch %s; exit 1"), path);
    rd_kafka_conf_t *conf = kafka_conf_new(KAFKA_PRODUCER);
    rd_kafka_t *rk;
    assert_null(kafka_conf_put(conf, "security.protocol", "sasl_plaintext"));
    assert_null(kafka_conf_put(conf, "bootstrap.servers", "127.0.0.1:1"));
    assert_null(kafka_token_use(conf, command));
    assert_null(kafka_client_new(KAFKA_PRODUCER, conf, &rk));
    rl_deadline until = deadline_in_ms(LIMIT_MS);
    while (access(path, F_OK) != 0 && !deadline_passed(until))
        usleep(5000);
    assert_int_equal(access(path, F_OK), 0);
    kafka_client_destroy(rk, 0, LIMIT_MS);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_in_the_token),
        cmocka_unit_test(what_is_no_token),
        cmocka_unit_test(a_failure_names_the_command_and_its_last_line),
        cmocka_unit_test(no_message_has_a_token),
        cmocka_unit_test(who_takes_too_long_is_killed),
        cmocka_unit_test(a_child_left_behind_is_not_waited_for),
        cmocka_unit_test(a_token_is_kept_for_half_of_its_life),
        cmocka_unit_test(trouble_is_known_until_a_token_comes),
        cmocka_unit_test(a_client_asks_the_command),
        cmocka_unit_test(a_client_is_served_unasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
