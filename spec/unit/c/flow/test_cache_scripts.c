/* The cache's keys, entries and scripts, as far as they need no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "flow/cache/scripts.h"

static void keys(void **state)
{
    (void)state;
    char key[CACHE_KEY_MAX];
    assert_int_equal(cache_key(key, "p:", CACHE_KEY_ACCOUNT, 17), strlen("p:account:{17}"));
    assert_string_equal(key, "p:account:{17}");
    cache_key(key, "", CACHE_KEY_LEASE, -1);
    assert_string_equal(key, "lease:{-1}");
    char prefix[CACHE_KEY_MAX];
    memset(prefix, 'x', sizeof prefix);
    prefix[CACHE_KEY_MAX - 1] = '\0';
    assert_false(cache_prefix_fits(prefix));
    assert_int_equal(cache_key(key, prefix, CACHE_KEY_LATEST, 1), CACHE_KEY_MAX - 1);
    prefix[CACHE_KEY_MAX - 31] = '\0';
    assert_true(cache_prefix_fits(prefix));
    cache_key(key, prefix, CACHE_KEY_ACCOUNT, INT64_MIN);
    assert_string_equal(key + strlen(prefix), "account:{-9223372036854775808}");
}

/* A reply as the server would send it, from field, value, ... */
static redisReply *reply_of(int type, int n, const char *const *texts)
{
    redisReply *r = calloc(1, sizeof *r);
    r->type = type;
    r->elements = (size_t)n;
    r->element = calloc((size_t)n + 1, sizeof *r->element);
    for (int i = 0; i < n; i++) {
        r->element[i] = calloc(1, sizeof *r);
        r->element[i]->type = REDIS_REPLY_STRING;
        r->element[i]->len = strlen(texts[i]);
        r->element[i]->str = strdup(texts[i]);
    }
    return r;
}

static void assert_same(const cache_entry *a, const cache_entry *b)
{
    assert_int_equal(a->state, b->state);
    assert_true(a->balance == b->balance && a->version == b->version);
    assert_true(a->stored == b->stored && a->soft == b->soft && a->expires == b->expires);
    assert_true(a->cost == b->cost);
}

static void entries_come_back(void **state)
{
    (void)state;
    const cache_entry entries[] = {
        {CACHE_VALUE, -250, INT64_C(1) << 53, 1000, 2000, 3000, 850},
        {CACHE_VALUE, INT64_MIN, INT64_MAX, 1, 0, 0, 0},
        {CACHE_NEGATIVE, 0, 0, 1000, 0, 2000, 0},
        {CACHE_TOMBSTONE, 0, 6, 1000, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        cache_args args;
        cache_entry back;
        cache_entry_args(&entries[i], &args);
        redisReply *r = reply_of(i % 2 ? REDIS_REPLY_ARRAY : REDIS_REPLY_MAP, args.argc, args.argv);
        assert_true(cache_entry_parse(r, &back));
        assert_same(&back, &entries[i]);
        freeReplyObject(r);
    }
}

static void odd_hashes(void **state)
{
    (void)state;
    cache_entry e;
    redisReply *r = reply_of(REDIS_REPLY_MAP, 0, NULL);
    assert_true(cache_entry_parse(r, &e));
    assert_int_equal(e.state, CACHE_ABSENT);
    freeReplyObject(r);
    r = reply_of(REDIS_REPLY_MAP, 4, (const char *[]){"balance", "12x", "version", "1"});
    assert_false(cache_entry_parse(r, &e));
    assert_int_equal(e.state, CACHE_ABSENT);
    freeReplyObject(r);
    r = reply_of(REDIS_REPLY_MAP, 2, (const char *[]){"balance", "99999999999999999999"});
    assert_false(cache_entry_parse(r, &e));
    freeReplyObject(r);
    r = reply_of(REDIS_REPLY_MAP, 2, (const char *[]){"unknown", "thing"});
    assert_true(cache_entry_parse(r, &e));
    assert_int_equal(e.state, CACHE_ABSENT);
    freeReplyObject(r);
    redisReply text = {.type = REDIS_REPLY_STRING, .str = (char *)"x", .len = 1};
    assert_false(cache_entry_parse(&text, &e));
}

static void versions_compare_as_text(void **state)
{
    (void)state;
    const int64_t order[] = {
        0, 1, 9, 10, (INT64_C(1) << 53) - 1, INT64_C(1) << 53, (INT64_C(1) << 53) + 1, INT64_MAX};
    char last[CACHE_VERSION_DIGITS + 1] = "", text[CACHE_VERSION_DIGITS + 1];
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        cache_version_text(text, order[i]);
        assert_int_equal(strlen(text), CACHE_VERSION_DIGITS);
        assert_true(strcmp(last, text) < 0);
        memcpy(last, text, sizeof last);
    }
}

static void scripts_and_modes(void **state)
{
    (void)state;
    for (int i = 0; i < CACHE_SCRIPT_COUNT; i++) {
        const redisc_script *s = cache_script((cache_script_id)i);
        assert_true(s->len > 0);
        assert_int_equal(strlen(s->sha), 40);
    }
    cache_mode mode;
    for (int i = 0; cache_mode_names[i]; i++) {
        assert_true(cache_mode_parse(cache_mode_names[i], &mode));
        assert_int_equal(mode, i);
    }
    assert_int_equal(mode, CACHE_MODE_DELTA);
    assert_false(cache_mode_parse("lua", &mode));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys), cmocka_unit_test(entries_come_back), cmocka_unit_test(odd_hashes),
        cmocka_unit_test(versions_compare_as_text), cmocka_unit_test(scripts_and_modes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
