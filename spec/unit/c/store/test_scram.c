/* SCRAM against the example of RFC 7677, and against servers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kafka/wire/scram.h"

#define NONCE "rOprNGfwEbeRWgbNEkqO"
#define BOTH NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="

static frame_slice text(const char *s)
{
    return (frame_slice){.data = s, .len = strlen(s)};
}

static void started(scram *s, rl_buf *out)
{
    assert_null(scram_begin(s, "SHA256", "user", "pencil", NONCE, out));
}

static void test_the_example(void **state)
{
    (void)state;
    scram s;
    rl_buf out = {0};
    started(&s, &out);
    assert_string_equal(out.data, "n,,n=user,r=" NONCE);
    buf_reset(&out);
    assert_null(scram_answer(&s, text("r=" BOTH ",s=" SALT ",i=4096"), &out));
    assert_string_equal(out.data,
                        "c=biws,r=" BOTH ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_null(scram_finish(&s, text("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
    scram_free(&s);
    buf_free(&out);
}

static void refused(rl_err *err)
{
    assert_true(err_is(err, RL_KAFKA, "_AUTHENTICATION"));
    err_free(err);
}

static void test_wrong_first_messages(void **state)
{
    (void)state;
    static const char *const lies[] = {
        "",
        "r=",
        "r=" NONCE ",s=" SALT ",i=4096",
        "r=other" BOTH ",s=" SALT ",i=4096",
        "r=" BOTH ",s=" SALT ",i=1",
        "r=" BOTH ",s=" SALT ",i=2000000000",
        "r=" BOTH ",s=" SALT ",i=99999999999999999999",
        "r=" BOTH ",s=W22,i=4096",
        "r=" BOTH ",s=????,i=4096",
        "r=" BOTH ",i=4096",
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        scram s;
        rl_buf out = {0};
        started(&s, &out);
        refused(scram_answer(&s, text(lies[i]), &out));
        scram_free(&s);
        buf_free(&out);
    }
}

static void test_a_server_that_does_not_know_the_password(void **state)
{
    (void)state;
    scram s;
    rl_buf out = {0};
    started(&s, &out);
    assert_null(scram_answer(&s, text("r=" BOTH ",s=" SALT ",i=4096"), &out));
    refused(scram_finish(&s, text("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
    refused(scram_finish(&s, text("v=")));
    refused(scram_finish(&s, text("e=invalid-proof")));
    refused(scram_finish(&s, (frame_slice){0}));
    scram_free(&s);
    buf_free(&out);
}

static void test_names_with_signs(void **state)
{
    (void)state;
    scram s;
    rl_buf out = {0};
    assert_null(scram_begin(&s, "SHA512", "a,b=c", "x", "n", &out));
    assert_string_equal(out.data, "n,,n=a=2Cb=3Dc,r=n");
    scram_free(&s);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example),
        cmocka_unit_test(test_wrong_first_messages),
        cmocka_unit_test(test_a_server_that_does_not_know_the_password),
        cmocka_unit_test(test_names_with_signs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
