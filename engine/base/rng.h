/* Random numbers that are the same for ever.
 *
 * Offers: xoshiro256** seeded by splitmix64, and splitting by label: a split depends on the seed
 * and the labels only, never on how many numbers were drawn, so that one more draw in one place
 * moves nothing elsewhere. The sequences are part of the evidence of a run: fixed vectors in the
 * tests hold them.
 * Uses: nothing. Thread: plain memory, one owner. */
#ifndef RL_BASE_RNG_H
#define RL_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct rl_rng {
    uint64_t seed, s[4];
} rl_rng;

void rng_init(rl_rng *rng, uint64_t seed);
void rng_split(const rl_rng *rng, const char *label, size_t len, rl_rng *out);
uint64_t rng_seed_of(const char *text, size_t len); /* a seed from words */

uint64_t rng_u64(rl_rng *rng);
uint64_t rng_below(rl_rng *rng, uint64_t n); /* 0..n-1, without bias; n 0 means 2^64 */
double rng_double(rl_rng *rng);              /* [0, 1) */
void rng_bytes(rl_rng *rng, void *out, size_t n);

#endif
