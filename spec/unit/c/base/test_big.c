/* Big bags against bags: the same random histories, one side or both on disk with a bound of a few
 * hundred bytes, must give the same answers to every question. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "evidence/big.h"

enum { ENTRIES = 1500, CAP = 64 << 20, BOUND = 256 << 10 };

static const char *const columns[] = {"key", "version"};

static void put(rl_bag *bag, rl_big *big, rl_rng *r, int ids)
{
    char id[80], key[16];
    int i = (int)rng_below(r, (uint64_t)ids);
    size_t len = i == 0 ? 0 : (size_t)snprintf(id, sizeof id, "%0*d", 1 + i % 60, i);
    snprintf(key, sizeof key, "k%d", i % 7);
    bag_value v[2] = {{.kind = i % 11 ? BAG_STR : BAG_NULL, .s = key, .len = strlen(key)},
                      {.kind = i % 13 ? BAG_INT : BAG_NULL, .i = (int64_t)rng_below(r, 100) - 50}};
    assert_null(bag_add(bag, id, len, v, 2));
    if (big)
        assert_null(big_add(big, id, len, v, 2));
}

/* The same entries in memory and on disk: some from a bag that grew too large, the rest one by one. */
static void make(rl_rng *r, int ids, rl_bag **bag, rl_big **big)
{
    int n = (int)rng_below(r, ENTRIES), moved = n / 3;
    rl_bag *first = bag_new(columns, 2, CAP);
    rl_rng again = *r;
    *bag = bag_new(columns, 2, CAP);
    for (int i = 0; i < moved; i++)
        put(*bag, NULL, r, ids);
    for (int i = 0; i < moved; i++)
        put(first, NULL, &again, ids);
    assert_null(big_from(first, BOUND, big));
    for (int i = moved; i < n; i++)
        put(*bag, *big, r, ids);
    assert_int_equal(big_entries(*big), bag_entries(*bag));
}

static void same_value(bag_value a, bag_value b)
{
    assert_int_equal(a.kind, b.kind);
    if (a.kind == BAG_INT)
        assert_true(a.i == b.i);
    if (a.kind == BAG_STR) {
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.s, b.s, a.len);
    }
}

static void same_entry(const rl_bag *a, size_t i, const rl_bag *b, size_t k)
{
    size_t alen, blen;
    const char *x = bag_id(a, bag_entry_id(a, i), &alen), *y = bag_id(b, bag_entry_id(b, k), &blen);
    assert_int_equal(alen, blen);
    if (alen)
        assert_memory_equal(x, y, alen);
    for (int c = 0; c < bag_columns(a); c++)
        same_value(bag_get(a, i, c), bag_get(b, k, c));
}

static void same(const rl_bag *want, const rl_bag *got)
{
    assert_int_equal(bag_entries(got), bag_entries(want));
    assert_int_equal(bag_distinct(got), bag_distinct(want));
    for (size_t e = 0; e < bag_entries(want); e++)
        same_entry(want, e, got, e);
}

static void same_big(const rl_bag *want, rl_big *big)
{
    rl_bag *got = NULL;
    size_t distinct;
    assert_null(big_head(big, false, SIZE_MAX, &got));
    same(want, got);
    bag_free(got);
    assert_null(big_distinct(big, &distinct));
    assert_int_equal(distinct, bag_distinct(want));
}

static void combined(bag_op op, const rl_bag *a, const rl_bag *b, any_bag x, any_bag y)
{
    rl_bag *want = NULL;
    any_bag got = {0};
    assert_null(bag_combine(op, a, b, &want));
    assert_null(big_combine(op, x, y, BOUND, &got));
    if (got.big)
        same_big(want, got.big);
    else
        same(want, got.bag);
    bag_free(want);
    bag_free(got.bag);
    big_free(got.big);
}

static void firsts(const rl_bag *bag, rl_big *big)
{
    rl_bag *want = NULL, *got = NULL;
    assert_null(bag_combine(BAG_FIRST, bag, NULL, &want));
    assert_null(big_head(big, true, SIZE_MAX, &got));
    same(want, got);
    bag_free(got);
    assert_null(big_head(big, true, 3, &got));
    assert_int_equal(bag_entries(got), bag_entries(want) < 3 ? bag_entries(want) : 3);
    bag_free(want);
    bag_free(got);
}

static void duplicates(const rl_bag *bag, rl_big *big)
{
    rl_bag *got = NULL;
    size_t k = 0;
    assert_null(big_duplicates(big, SIZE_MAX, &got));
    for (size_t i = 0; i < bag_distinct(bag); i++) {
        size_t len, count = bag_id_count(bag, i), found;
        const char *id = bag_id(bag, i, &len);
        if (count < 2)
            continue;
        assert_true(bag_find(got, id, len, &found) && found == k);
        assert_int_equal(bag_get(got, k++, 0).i, count);
    }
    assert_int_equal(bag_entries(got), k);
    bag_free(got);
}

static void one_by_one(const rl_bag *bag, rl_big *big)
{
    for (size_t i = 0; i < bag_distinct(bag); i += 37) {
        size_t len, found;
        rl_bag *got = NULL;
        const char *id = bag_id(bag, i, &len);
        assert_null(big_of_id(big, id, len, &got));
        assert_true(bag_find(got, id, len, &found));
        assert_int_equal(bag_id_count(got, found), bag_id_count(bag, i));
        same_entry(bag, bag_id_first(bag, i), got, bag_id_first(got, found));
        bag_free(got);
    }
}

typedef struct wanted {
    const rl_bag *bag, *got;
    size_t n;
} wanted;

static bool compare_inversion(size_t entry, size_t before, void *arg)
{
    wanted *w = arg;
    size_t len;
    const char *id = bag_id(w->bag, bag_entry_id(w->bag, before), &len);
    same_entry(w->bag, entry, w->got, w->n);
    assert_true(bag_get(w->got, w->n, 2).i == bag_get(w->bag, before, 1).i);
    bag_value after = bag_get(w->got, w->n, 3);
    assert_true(after.len == len && memcmp(after.s, id, len) == 0);
    w->n++;
    return true;
}

static void inversions(const rl_bag *bag, rl_big *big)
{
    rl_bag *got = NULL;
    assert_null(big_inversions(big, 0, 1, SIZE_MAX, &got));
    wanted w = {bag, got, 0};
    assert_null(bag_inversions(bag, 0, 1, compare_inversion, &w));
    assert_int_equal(w.n, bag_entries(got));
    bag_free(got);
}

static void sums(const rl_bag *bag, rl_big *big)
{
    int64_t want, got;
    assert_null(bag_sum(bag, 1, &want));
    assert_null(big_sum(big, 1, &got));
    assert_true(want == got);
}

static void like_in_memory(void **state)
{
    (void)state;
    rl_rng r;
    rng_init(&r, 5);
    for (int round = 0; round < 6; round++) {
        static const bag_op ops[] = {BAG_MINUS, BAG_AND, BAG_PLUS, BAG_OR};
        rl_bag *a, *b;
        rl_big *x, *y;
        make(&r, 40 + 500 * round, &a, &x);
        make(&r, 40 + 500 * round, &b, &y);
        same_big(a, x);
        for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
            combined(ops[i], a, b, (any_bag){.big = x}, (any_bag){.big = y});
            combined(ops[i], a, b, (any_bag){.bag = a}, (any_bag){.big = y});
            combined(ops[i], a, b, (any_bag){.big = x}, (any_bag){.bag = b});
            combined(ops[i], a, b, (any_bag){.bag = a}, (any_bag){.bag = b});
        }
        combined(BAG_FIRST, a, NULL, (any_bag){.big = x}, (any_bag){0});
        firsts(a, x);
        duplicates(a, x);
        one_by_one(a, x);
        inversions(a, x);
        sums(a, x);
        bag_free(a);
        bag_free(b);
        big_free(x);
        big_free(y);
    }
}

static rl_big *empty(size_t bound)
{
    rl_big *big = NULL;
    assert_null(big_from(bag_new(columns, 2, CAP), bound, &big));
    return big;
}

static void refusals(void **state)
{
    (void)state;
    rl_big *big = empty(4 << 10);
    bag_value text[2] = {{.kind = BAG_NULL}, {.kind = BAG_STR, .s = "x", .len = 1}};
    bag_value number[2] = {{.kind = BAG_NULL}, {.kind = BAG_INT, .i = 1}};
    assert_null(big_add(big, "a", 1, number, 2));
    rl_err *err = big_add(big, "b", 1, text, 2);
    assert_true(err_is(err, RL_LAB, "TYPE"));
    err_free(err);
    for (int i = 0; i < 2000; i++) /* one id: its part grows beyond the bound */
        assert_null(big_add(big, "a", 1, number, 2));
    rl_bag *got = NULL;
    err = big_of_id(big, "a", 1, &got);
    assert_true(err_is(err, RL_LAB, "LIMIT") && strstr(err->msg, "RLAB_BAG_MEMORY"));
    err_free(err);
    big_free(big);
}

static void no_folder(void **state)
{
    (void)state;
    char *before = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
    rl_big *big = NULL;
    rl_bag *bag = bag_new(columns, 2, CAP);
    setenv("TMPDIR", "/nowhere", 1);
    rl_err *err = big_from(bag, BOUND, &big);
    assert_true(err_is(err, RL_LAB, "DISK") && strstr(err->msg, "/nowhere") && !big);
    err_free(err);
    bag_free(bag);
    if (before)
        setenv("TMPDIR", before, 1);
    else
        unsetenv("TMPDIR");
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(like_in_memory), cmocka_unit_test(refusals),
                                       cmocka_unit_test(no_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
