/* Bags against a plain and slow model, over random histories: what the checks of experiments
 * stand on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "evidence/arena.h"
#include "evidence/bag.h"

enum { MODEL_MAX = 400, CAP = 64 << 20, LONG = 900 };

typedef struct model {
    struct {
        int id, key, version;
    } e[MODEL_MAX];
    int n;
} model;

static const char *const columns[] = {"key", "version"};

static bool has(const model *m, int id, int before)
{
    for (int i = 0; i < before; i++)
        if (m->e[i].id == id)
            return true;
    return false;
}

/* Ids of all kinds: the empty one, zero bytes, one that begins like another, long ones, and such as
 * have one hash: what is XORed with the hash's own constant is 0, and 0 takes no part of what follows. */
static size_t make_id(char id[LONG + 1], int i)
{
    static const uint64_t hash_constant = 0x9e3779b97f4a7c15u;
    switch (i == 0 ? -1 : i % 4) {
    case -1:
        return 0;
    case 0:
        memset(id, 0, (size_t)i);
        return (size_t)i;
    case 1:
        memcpy(id, &hash_constant, 8);
        memset(id + 8, 0, 8);
        memcpy(id + 8, &i, sizeof i);
        return 16;
    case 2:
        memset(id, 'x', LONG);
        return (size_t)snprintf(id + LONG - 100, 100, "%d", i) + LONG - 100;
    default:
        return (size_t)snprintf(id, LONG, "id-%d", i);
    }
}

static void equal_hashes(void **state)
{
    (void)state;
    char a[LONG + 1], b[LONG + 1];
    size_t len = make_id(a, 1);
    for (int i = 5; i < MODEL_MAX; i += 4) {
        assert_int_equal(make_id(b, i), len);
        assert_true(memcmp(a, b, len) != 0 && arena_hash(a, len) == arena_hash(b, len));
    }
}

static rl_bag *bag_of(const model *m)
{
    rl_bag *b = bag_new(columns, 2, CAP);
    size_t distinct = 0;
    for (int i = 0; i < m->n; i++) {
        char id[LONG + 1], key[16];
        size_t len = make_id(id, m->e[i].id);
        snprintf(key, sizeof key, "k%d", m->e[i].key);
        bag_value v[2] = {{.kind = BAG_STR, .s = key, .len = strlen(key)},
                          {.kind = BAG_INT, .i = m->e[i].version}};
        assert_null(bag_add(b, id, len, v, 2));
        distinct += !has(m, m->e[i].id, i);
        if (i % 50 == 17) /* a reader in between */
            assert_int_equal(bag_distinct(b), distinct);
    }
    return b;
}

static void fill(model *m, rl_rng *r, int ids)
{
    m->n = (int)rng_below(r, MODEL_MAX + 1);
    for (int i = 0; i < m->n; i++) {
        m->e[i].id = (int)rng_below(r, (uint64_t)ids);
        m->e[i].key = m->e[i].id % 7;
        m->e[i].version = (int)rng_below(r, 50);
    }
}

static void add_where(model *out, const model *from, const model *other, bool want)
{
    for (int i = 0; i < from->n; i++)
        if (has(other, from->e[i].id, other->n) == want && out->n < MODEL_MAX)
            out->e[out->n++] = from->e[i];
}

static void same(const model *m, const rl_bag *b)
{
    assert_int_equal(bag_entries(b), m->n);
    size_t distinct = 0;
    for (int i = 0; i < m->n; i++) {
        size_t len, found, copies = 0;
        char want[LONG + 1];
        const char *id = bag_id(b, bag_entry_id(b, (size_t)i), &len);
        assert_int_equal(len, make_id(want, m->e[i].id));
        assert_memory_equal(id, want, len);
        assert_true(bag_get(b, (size_t)i, 1).i == m->e[i].version);
        for (int k = 0; k < m->n; k++)
            copies += m->e[k].id == m->e[i].id;
        assert_true(bag_find(b, want, len, &found) && bag_id_count(b, found) == copies);
        if (!has(m, m->e[i].id, i)) {
            assert_int_equal(bag_id_first(b, distinct), i);
            distinct++;
        }
    }
    assert_int_equal(bag_distinct(b), distinct);
}

static bool count_one(size_t entry, size_t before, void *arg)
{
    assert_true(before < entry);
    ++*(int *)arg;
    return true;
}

static int model_inversions(const model *m)
{
    int n = 0;
    for (int i = 0; i < m->n; i++) {
        bool lower = false;
        for (int k = 0; k < i && !has(m, m->e[i].id, i); k++)
            lower |= !has(m, m->e[k].id, k) && m->e[k].key == m->e[i].key &&
                     m->e[k].version > m->e[i].version;
        n += lower;
    }
    return n;
}

static void combine_and_compare(bag_op op, const model *a, const model *b, const model *want)
{
    rl_bag *x = bag_of(a), *y = bag_of(b), *z = NULL;
    assert_null(bag_combine(op, x, y, &z));
    same(want, z);
    bag_free(x);
    bag_free(y);
    bag_free(z);
}

static void like_the_model(void **state)
{
    (void)state;
    rl_rng r;
    rng_init(&r, 11);
    for (int round = 0; round < 200; round++) {
        static model a, b;
        fill(&a, &r, 1 + round);
        fill(&b, &r, 1 + round);
        model minus = {.n = 0}, both = {.n = 0}, either = a;
        add_where(&minus, &a, &b, false);
        add_where(&both, &a, &b, true);
        combine_and_compare(BAG_MINUS, &a, &b, &minus);
        combine_and_compare(BAG_AND, &a, &b, &both);
        if (a.n + b.n <= MODEL_MAX) {
            add_where(&either, &b, &a, false);
            combine_and_compare(BAG_OR, &a, &b, &either);
        }
        rl_bag *bag = bag_of(&a);
        int inversions = 0;
        assert_null(bag_inversions(bag, 0, 1, count_one, &inversions));
        assert_int_equal(inversions, model_inversions(&a));
        bag_free(bag);
    }
}

/* A good history of 500 ids; each known break must be seen by its own measure and by no other. */
typedef struct measures {
    size_t lost, phantom, duplicate;
    int inverted;
} measures;

static measures measure(const model *sent, const model *got)
{
    measures m = {0};
    rl_bag *s = bag_of(sent), *g = bag_of(got), *lost, *phantom;
    assert_null(bag_combine(BAG_MINUS, s, g, &lost));
    assert_null(bag_combine(BAG_MINUS, g, s, &phantom));
    m.lost = bag_entries(lost);
    m.phantom = bag_entries(phantom);
    for (size_t i = 0; i < bag_distinct(g); i++)
        m.duplicate += bag_id_count(g, i) > 1;
    assert_null(bag_inversions(g, 0, 1, count_one, &m.inverted));
    bag_free(s);
    bag_free(g);
    bag_free(lost);
    bag_free(phantom);
    return m;
}

static void teeth(void **state)
{
    (void)state;
    static model sent, got;
    sent.n = 300;
    for (int i = 0; i < sent.n; i++) {
        sent.e[i].id = i;
        sent.e[i].key = i % 7;
        sent.e[i].version = i;
    }
    got = sent;
    measures m = measure(&sent, &got);
    assert_true(m.lost == 0 && m.phantom == 0 && m.duplicate == 0 && m.inverted == 0);

    got.n = 299; /* the last is lost */
    m = measure(&sent, &got);
    assert_true(m.lost == 1 && m.phantom == 0 && m.duplicate == 0 && m.inverted == 0);

    got = sent; /* one came twice, late */
    got.e[got.n++] = got.e[17];
    m = measure(&sent, &got);
    assert_true(m.lost == 0 && m.phantom == 0 && m.duplicate == 1 && m.inverted == 0);

    got = sent; /* one that nobody sent */
    got.e[got.n] = got.e[299];
    got.e[got.n++].id = 9999;
    m = measure(&sent, &got);
    assert_true(m.lost == 0 && m.phantom == 1 && m.duplicate == 0 && m.inverted == 0);

    got = sent; /* two of one key changed places */
    got.e[10] = sent.e[17];
    got.e[17] = sent.e[10];
    m = measure(&sent, &got);
    assert_true(m.lost == 0 && m.phantom == 0 && m.duplicate == 0 && m.inverted == 1);
}

/* Whatever is added, a bag stays below its cap and as it was after a refusal. */
static void capped(void **state)
{
    (void)state;
    for (size_t cap = 1024; cap < 1 << 20; cap *= 3) {
        rl_bag *b = bag_new(columns, 2, cap);
        rl_err *err = NULL;
        size_t n = 0;
        while (!err) {
            char id[64];
            snprintf(id, sizeof id, "id-%zu", n);
            bag_value v[2] = {{.kind = BAG_STR, .s = id, .len = strlen(id)},
                              {.kind = n < 100 ? BAG_NULL : BAG_INT, .i = 1}};
            err = bag_add(b, id, strlen(id), v, 2);
            n += !err;
        }
        assert_true(err_is(err, RL_LAB, "LIMIT"));
        assert_true(bag_memory(b) <= cap);
        assert_int_equal(bag_entries(b), n);
        err_free(err);
        bag_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal_hashes),
                                       cmocka_unit_test(like_the_model), cmocka_unit_test(teeth),
                                       cmocka_unit_test(capped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
