/* The relay's decisions: who takes which shard, how far a cursor goes at a hole, what headers a
 * row has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <string.h>

#include "base/buf.h"
#include "base/rng.h"
#include "flow/relay/plan.h"

/* ---- leases ---- */

typedef struct table {
    relay_lease leases[RELAY_SHARDS];
    relay_shard shards[RELAY_SHARDS];
    relay_step steps[RELAY_SHARDS];
} table;

/* Shards from..to-1 in one way. */
static void set(table *t, int from, int to, relay_lease lease)
{
    for (int s = from; s < to; s++) {
        t->leases[s] = lease;
        t->shards[s].hold = lease.mine ? HOLD_MINE : HOLD_NONE;
    }
}

static const relay_lease nobodys = {.free = true}, mine = {.mine = true, .live = true},
                         others = {.live = true}, expired = {0};

static int count(const table *t, relay_step step)
{
    int n = 0;
    for (int s = 0; s < RELAY_SHARDS; s++)
        n += t->steps[s] == step;
    return n;
}

static void plan(table *t, int members, bool exclusive, bool ending)
{
    relay_plan(t->leases, t->shards, members, exclusive, ending, t->steps);
}

static void the_only_one_takes_all(void **state)
{
    table t = {0};
    (void)state;
    set(&t, 0, 64, nobodys);
    plan(&t, 1, false, false);
    assert_int_equal(count(&t, STEP_TAKE), 64);
}

static void each_has_its_share(void **state)
{
    table t = {0};
    (void)state;
    set(&t, 0, 64, mine);
    t.shards[63].flying = 1;
    plan(&t, 3, false, false);
    assert_int_equal(count(&t, STEP_KEEP), 22);
    assert_int_equal(count(&t, STEP_DROP), 41);
    assert_int_equal(t.steps[63], STEP_LEAVE); /* rows of it are in flight */
    plan(&t, 5, false, false);
    assert_int_equal(count(&t, STEP_KEEP), 13);
    set(&t, 0, 42, others);
    set(&t, 42, 64, nobodys);
    plan(&t, 3, false, false);
    assert_int_equal(count(&t, STEP_TAKE), 22);
}

static void what_lives_is_not_taken(void **state)
{
    table t = {0};
    (void)state;
    set(&t, 0, 30, others);
    set(&t, 30, 64, expired);
    plan(&t, 1, false, false);
    assert_int_equal(count(&t, STEP_TAKE), 34);
    for (int s = 0; s < 30; s++)
        assert_int_equal(t.steps[s], STEP_NONE);
}

static void exclusive_is_all_or_none(void **state)
{
    table t = {0};
    (void)state;
    set(&t, 0, 64, nobodys);
    set(&t, 0, 1, others);
    plan(&t, 2, true, false);
    assert_int_equal(count(&t, STEP_NONE), 64);
    set(&t, 0, 1, expired);
    plan(&t, 2, true, false);
    assert_int_equal(count(&t, STEP_TAKE), 64);
}

static void the_end_lets_all_go(void **state)
{
    table t = {0};
    (void)state;
    set(&t, 0, 10, mine);
    set(&t, 10, 64, nobodys);
    plan(&t, 1, false, true);
    assert_int_equal(count(&t, STEP_DROP), 10);
    assert_int_equal(count(&t, STEP_TAKE), 0);
}

/* However often they plan in turn, any number of instances comes to rest with every shard held
 * once. */
static void shares_come_to_rest(void **state)
{
    rl_rng r;
    (void)state;
    rng_init(&r, 7);
    for (int members = 1; members <= 9; members++) {
        int owner[RELAY_SHARDS];
        for (int s = 0; s < RELAY_SHARDS; s++)
            owner[s] = (int)rng_below(&r, (uint64_t)members + 1) - 1; /* -1: nobody */
        for (int turn = 0; turn < 3 * members; turn++) {
            table t = {0};
            int me = turn % members;
            for (int s = 0; s < RELAY_SHARDS; s++)
                set(&t, s, s + 1, owner[s] == me ? mine : owner[s] < 0 ? nobodys : others);
            plan(&t, members, false, false);
            for (int s = 0; s < RELAY_SHARDS; s++)
                if (t.steps[s] == STEP_TAKE || t.steps[s] == STEP_DROP)
                    owner[s] = t.steps[s] == STEP_TAKE ? me : -1;
        }
        for (int s = 0; s < RELAY_SHARDS; s++)
            assert_true(owner[s] >= 0);
    }
}

/* ---- holes ---- */

static void a_cursor_stops_at_a_hole_that_is_not_settled(void **state)
{
    const int64_t ids[] = {1, 2, 4, 5, 9};
    (void)state;
    assert_int_equal(relay_gap_cut(ids, 5, 0, 0), 2);
    assert_int_equal(relay_gap_cut(ids, 5, 0, 3), 4);
    assert_int_equal(relay_gap_cut(ids, 5, 0, 7), 4); /* 8 may yet come */
    assert_int_equal(relay_gap_cut(ids, 5, 0, 8), 5);
    assert_int_equal(relay_gap_cut(ids, 5, 0, INT64_MAX), 5);
    assert_int_equal(relay_gap_cut(ids + 2, 3, 2, 0), 0);
    assert_int_equal(relay_gap_cut(ids, 0, 0, 0), 0);
}

/* ---- headers ---- */

static void note(void *out, const char *name, size_t name_len, const char *value, size_t value_len)
{
    buf_printf(out, "%.*s=%.*s;", (int)name_len, name, value ? (int)value_len : 4,
               value ? value : "NULL");
}

static bool reads(const char *json, const char *want)
{
    rl_buf out = {0};
    bool ok = relay_headers(json, strlen(json), note, &out);
    ok = ok && strcmp(out.data ? out.data : "", want) == 0;
    buf_free(&out);
    return ok;
}

static void headers_are_a_list_of_pairs(void **state)
{
    (void)state;
    assert_true(reads("", ""));
    assert_true(reads("[]", ""));
    assert_true(
        reads("[[\"a\",\"1\"],[\"a\",\"2\"],[\"b\",null],[\"c\",\"\"]]", "a=1;a=2;b=NULL;c=;"));
    static const char *const wrong[] = {"{\"a\":\"1\"}",     "[\"a\"]",     "[[\"a\"]]",
                                        "[[\"a\",1]]",       "[[1,\"a\"]]", "[[\"a\",\"1\",\"2\"]]",
                                        "[[\"a\",\"1\"]] x", "null",        "[[\"a\",\"1\"]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rl_buf out = {0};
        assert_false(relay_headers(wrong[i], strlen(wrong[i]), note, &out));
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_only_one_takes_all),
        cmocka_unit_test(each_has_its_share),
        cmocka_unit_test(what_lives_is_not_taken),
        cmocka_unit_test(exclusive_is_all_or_none),
        cmocka_unit_test(the_end_lets_all_go),
        cmocka_unit_test(shares_come_to_rest),
        cmocka_unit_test(a_cursor_stops_at_a_hole_that_is_not_settled),
        cmocka_unit_test(headers_are_a_list_of_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
