/* The grammar of failpoints, with inputs that nobody should send, and the points themselves from
 * several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "fault/point/registry.h"

static void parse(const char *text, fail_expr *e)
{
    rl_err *err = fail_parse(text, e);
    if (err)
        fail_msg("%s", err->msg);
}

static void every_part(void **state)
{
    (void)state;
    fail_expr e;
    parse(" 2.5% 10* #3 error( \"no space\" ) if key = a-b and x='it\\'s' [pid 7] -> barrier(b.1, "
          "3)->off ",
          &e);
    assert_int_equal(e.count, 3);
    const fail_term *t = &e.terms[0];
    assert_true(t->percent == 2.5);
    assert_int_equal(t->count, 10);
    assert_int_equal(t->kth, 3);
    assert_int_equal(t->action, FAIL_ERROR);
    assert_string_equal(t->value.text, "no space");
    assert_int_equal(t->value.kind, FAIL_V_TEXT);
    fail_expr_free(&e);
}

static void conditions(void **state)
{
    (void)state;
    fail_expr e;
    parse("kill if key=acct-7 and topic=\"a -> b\"[pid 7]->return(-9223372036854775808)", &e);
    const fail_term *t = &e.terms[0];
    assert_int_equal(t->conds_count, 2);
    assert_string_equal(t->conds[0].value, "acct-7");
    assert_string_equal(t->conds[1].value, "a -> b");
    assert_int_equal(t->pid, 7);
    assert_int_equal(e.terms[1].value.kind, FAIL_V_INT);
    assert_true(e.terms[1].value.i == INT64_MIN);
    fail_expr_free(&e);
}

/* FreeBSD's own examples mean here what they mean there. */
static void freebsd(void **state)
{
    (void)state;
    static const char *const texts[] = {"2.1%return(5)",   "off",
                                        "return",          "5*return(5)->0.1%return(22)",
                                        "0.1%5*return(5)", "return(1)[pid 123]",
                                        "pause",           "2.1%return(5)->5%return(22)"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fail_expr e;
        parse(texts[i], &e);
        fail_expr_free(&e);
    }
}

static void wrong(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        " ",
                                        "->",
                                        "kill->",
                                        "->kill",
                                        "kill kill",
                                        "kil",
                                        "KILL",
                                        "0%kill",
                                        "101%kill",
                                        "-1%kill",
                                        "nan%kill",
                                        "1e400%kill",
                                        "0*kill",
                                        "1.5*kill",
                                        "99999999999999999999*kill",
                                        "#0 kill",
                                        "#-1 kill",
                                        "#99999999999999999999 kill",
                                        "# kill",
                                        "1 kill",
                                        "1%1%kill",
                                        "1*1*kill",
                                        "#1#1 kill",
                                        "#1 1*kill",
                                        "kill(1)",
                                        "sleep",
                                        "sleep()",
                                        "sleep(1)",
                                        "sleep(1x)",
                                        "sleep(-1s)",
                                        "sleep(1s",
                                        "exit",
                                        "exit(256)",
                                        "exit(-1)",
                                        "exit(x)",
                                        "barrier",
                                        "barrier(a)",
                                        "barrier(a,1)",
                                        "barrier(a,b)",
                                        "barrier(,2)",
                                        "call",
                                        "call()",
                                        "call(a b)",
                                        "error",
                                        "error()",
                                        "return(",
                                        "return(1",
                                        "return(\"x)",
                                        "return('x",
                                        "kill if",
                                        "kill if a",
                                        "kill if a=",
                                        "kill if =a",
                                        "kill if a=b and",
                                        "kill if a=b and c",
                                        "kill [pid]",
                                        "kill [pid x]",
                                        "kill [pid 1",
                                        "kill [",
                                        "kill if a=b and c=d and e=f and g=h and i=j",
                                        "kill;kill",
                                        "kill,kill",
                                        "\x80",
                                        "kill\x01",
                                        "return(\"a\\"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fail_expr e;
        rl_err *err = fail_parse(texts[i], &e);
        if (!err)
            fail_msg("accepted: %s", texts[i]);
        assert_null(e.terms);
        assert_non_null(strstr(err->msg, "column"));
        err_free(err);
    }
}

static void limits(void **state)
{
    (void)state;
    rl_buf text = {0};
    fail_expr e;
    for (int i = 0; i < FAIL_TERMS_MAX; i++)
        buf_str(&text, i ? "->off" : "off");
    parse(text.data, &e);
    assert_int_equal(e.count, FAIL_TERMS_MAX);
    fail_expr_free(&e);
    buf_str(&text, "->off");
    err_free(fail_parse(text.data, &e));
    assert_null(e.terms);
    for (int i = 0; i < FAIL_TEXT_MAX; i++)
        buf_u8(&text, 'x');
    rl_err *err = fail_parse(text.data, &e);
    assert_non_null(err);
    err_free(err);
    buf_free(&text);
}

/* Bytes at random, out of the grammar's own alphabet: parsed or refused, never more. What is
 * parsed can be explained. */
static void noise(void **state)
{
    (void)state;
    static const char *const bits[] = {
        "kill", "return", "(",  ")",       "->", "%",   "*", "#",  "1",    "99",
        ".",    "if",     " ",  "a",       "=",  "\"",  "'", "\\", "[pid", "]",
        "and",  "sleep",  "1s", "barrier", ",",  "off", "-", ">",  "\xff"};
    rl_rng r;
    rng_init(&r, 1);
    int parsed = 0;
    for (int i = 0; i < 200000; i++) {
        rl_buf text = {0};
        for (uint64_t n = 1 + rng_below(&r, 12); n; n--)
            buf_str(&text, bits[rng_below(&r, sizeof bits / sizeof *bits)]);
        fail_expr e;
        rl_err *err = fail_parse(text.data, &e);
        if (!err) {
            rl_buf words = {0};
            fail_explain(&e, &words);
            assert_true(words.len > 0);
            buf_free(&words);
            fail_expr_free(&e);
            parsed++;
        }
        err_free(err);
        buf_free(&text);
    }
    assert_in_range(parsed, 1000, 100000);
}

/* ---- threads ---- */

static void *hit_often(void *arg)
{
    fail_value v;
    int *returned = arg;
    for (int i = 0; i < 10000; i++) {
        fail_outcome o = fail_point(FAIL_POINT_SELFTEST, NULL, 0, &v);
        *returned += o == FAIL_RETURNED;
        free(v.text);
    }
    return NULL;
}

static void threads_share_a_count(void **state)
{
    (void)state;
    pthread_t threads[4];
    int returned[4] = {0}, sum = 0;
    assert_null(fail_arm("rlab.selftest", "100*#20000 return(1)"));
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, hit_often, &returned[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        sum += returned[i];
    }
    int64_t hits, fired;
    assert_true(fail_counts("rlab.selftest", &hits, &fired));
    assert_int_equal(sum, 100);
    assert_int_equal(hits, 40000);
    assert_int_equal(fired, 100);
    assert_true(fail_disarm("rlab.selftest"));
    assert_int_equal(atomic_load(&fail_armed), 0);
}

static atomic_int through;

static void *pass(void *unused)
{
    (void)unused;
    fail_value v;
    fail_point(FAIL_POINT_SELFTEST, NULL, 0, &v);
    atomic_fetch_add(&through, 1);
    return NULL;
}

static void wait_for_hits(int64_t n)
{
    int64_t hits = 0, fired;
    while (hits < n)
        fail_counts("rlab.selftest", &hits, &fired);
}

/* How many lines of the log have that in them. */
static int lines_with(const char *path, const char *text)
{
    char line[512];
    int n = 0;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        n += strstr(line, text) != NULL;
    fclose(f);
    return n;
}

static void threads_pause_and_meet(void **state)
{
    (void)state;
    static const char *const texts[] = {"pause", "barrier(c, 3)"};
    char path[] = "/tmp/rlab-hits.XXXXXX";
    int fd = mkstemp(path), waited = 0;
    assert_null(fail_log_to(path));
    for (int k = 0; k < 2; k++) {
        pthread_t threads[3];
        atomic_store(&through, 0);
        assert_null(fail_arm("rlab.selftest", texts[k]));
        for (int i = 0; i < 2; i++)
            pthread_create(&threads[i], NULL, pass, NULL);
        wait_for_hits(2);
        while (lines_with(path, "\"waits\"") < waited + 2)
            ;
        assert_int_equal(atomic_load(&through), 0);
        assert_int_equal(lines_with(path, "\"left\""), waited);
        if (k == 0)
            assert_true(fail_resume("rlab.selftest"));
        else
            pass(NULL);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        waited += k == 0 ? 2 : 3;
        assert_int_equal(lines_with(path, "\"let_go\":true"), waited);
        fail_disarm_all();
    }
    assert_int_equal(lines_with(path, "\"let_go\":false"), 0);
    close(fd);
    unlink(path);
}

static void lists(void **state)
{
    (void)state;
    assert_null(fail_arm_list(" a.b = #2 kill ;; c=return(\"x;y\");\n"));
    assert_int_equal(atomic_load(&fail_armed), 2);
    fail_disarm_all();
    static const char *const bad[] = {"a", "a=", "=kill", "a b=kill", "a=kill;b=kil", "a='"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rl_err *err = fail_arm_list(bad[i]);
        if (!err)
            fail_msg("accepted: %s", bad[i]);
        err_free(err);
        assert_int_equal(atomic_load(&fail_armed), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_part),
                                       cmocka_unit_test(conditions),
                                       cmocka_unit_test(freebsd),
                                       cmocka_unit_test(wrong),
                                       cmocka_unit_test(limits),
                                       cmocka_unit_test(noise),
                                       cmocka_unit_test(lists),
                                       cmocka_unit_test(threads_share_a_count),
                                       cmocka_unit_test(threads_pause_and_meet)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
