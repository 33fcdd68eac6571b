#include "base/rng.h"

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t rng_seed_of(const char *text, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, then mixed */
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    h += len;
    return splitmix(&h);
}

void rng_init(rl_rng *rng, uint64_t seed)
{
    uint64_t state = seed;
    rng->seed = seed;
    for (int i = 0; i < 4; i++)
        rng->s[i] = splitmix(&state);
}

void rng_split(const rl_rng *rng, const char *label, size_t len, rl_rng *out)
{
    uint64_t state = rng->seed ^ rng_seed_of(label, len);
    rng_init(out, splitmix(&state));
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t rng_u64(rl_rng *rng)
{
    uint64_t *s = rng->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* What lies below 2^64 mod n is drawn again, so that every remainder is equally likely. */
uint64_t rng_below(rl_rng *rng, uint64_t n)
{
    if (n == 0)
        return rng_u64(rng);
    uint64_t reject = -n % n, x;
    do
        x = rng_u64(rng);
    while (x < reject);
    return x % n;
}

double rng_double(rl_rng *rng)
{
    return (double)(rng_u64(rng) >> 11) * 0x1.0p-53;
}

void rng_bytes(rl_rng *rng, void *out, size_t n)
{
    unsigned char *p = out;
    for (size_t i = 0; i < n;) {
        uint64_t x = rng_u64(rng);
        for (int k = 0; k < 8 && i < n; k++, i++, x >>= 8)
            p[i] = (unsigned char)x;
    }
}
