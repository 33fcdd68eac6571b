/* The sequences are evidence: seeds of old runs must give the same runs for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <string.h>

#include "base/rng.h"

static void fixed_vectors(void **state)
{
    (void)state;
    rl_rng r;
    rng_init(&r, 0); /* the published vector of xoshiro256** seeded by splitmix64(0) */
    assert_int_equal(rng_u64(&r), 0x99ec5f36cb75f2b4);
    assert_int_equal(rng_u64(&r), 0xbf6e1f784956452a);
    assert_int_equal(rng_u64(&r), 0x1a5f849d4933e6e0);
    rng_init(&r, 7);
    assert_int_equal(rng_u64(&r), 0xb358faf74ef9765a);
    assert_int_equal(rng_u64(&r), 0x475c3d964f482cd2);
    rl_rng keys;
    rng_split(&r, "keys", 4, &keys);
    assert_int_equal(keys.seed, 0x45467e5b28c24cff);
    unsigned char bytes[10];
    rng_init(&r, 0);
    rng_bytes(&r, bytes, sizeof bytes);
    assert_memory_equal(bytes, "\xb4\xf2\x75\xcb\x36\x5f\xec\x99\x2a\x45", 10);
}

static void splits_ignore_draws(void **state)
{
    (void)state;
    rl_rng a, b, x, y;
    rng_init(&a, 42);
    rng_init(&b, 42);
    rng_u64(&a);
    rng_split(&a, "x", 1, &x);
    rng_split(&b, "x", 1, &y);
    assert_memory_equal(&x, &y, sizeof x);
    rng_split(&b, "y", 1, &y);
    assert_int_not_equal(x.seed, y.seed);
    rng_split(&b, "x\0", 2, &y);
    assert_int_not_equal(x.seed, y.seed);
}

static void below_is_even(void **state)
{
    (void)state;
    rl_rng r;
    int seen[6] = {0};
    rng_init(&r, 1);
    for (int i = 0; i < 60000; i++)
        seen[rng_below(&r, 6)]++;
    for (int i = 0; i < 6; i++)
        assert_in_range(seen[i], 9600, 10400);
    /* of 2^64 a third is left over: taken as it comes, the lower half would be drawn twice as often */
    const uint64_t most = UINT64_C(3) << 62;
    int low = 0;
    for (int i = 0; i < 60000; i++)
        low += rng_below(&r, most) < most / 3;
    assert_in_range(low, 19200, 20800);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rng_below(&r, 1), 0);
        double d = rng_double(&r);
        assert_true(d >= 0 && d < 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fixed_vectors),
                                       cmocka_unit_test(splits_ignore_draws),
                                       cmocka_unit_test(below_is_even)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
