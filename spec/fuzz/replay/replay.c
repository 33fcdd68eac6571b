/* A fuzz target where there is no libFuzzer: each of its seeds is a test (TAP) that tries the seed
 * as it is, cut short, and with bytes turned, dropped and doubled, the same ones in each run. That
 * nothing is read that is not there, and nothing leaks, is for the sanitizers to see. */
#include <dirent.h>
#include <unistd.h>

#include "fuzz.h"
#include "turned.h"

enum { CUTS = 64, TURNS = 200, BUDGET = 1 << 20, TURNS_LEAST = 4, SEEDS_MAX = 256 };

static rl_rng dice;

/* In memory of its own, so that a byte behind it is noticed. */
static void feed(const rl_buf *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    if (len)
        memcpy(copy, bytes->data, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void feed_cuts(const rl_buf *seed)
{
    size_t step = seed->len / CUTS + 1;
    for (size_t len = 0; len < seed->len; len += step)
        feed(seed, len);
}

static void feed_turned(const rl_buf *seed)
{
    size_t rounds = BUDGET / (seed->len + 1);
    rounds = rounds > TURNS ? TURNS : rounds < TURNS_LEAST ? TURNS_LEAST : rounds;
    for (size_t i = 0; i < rounds; i++) {
        rl_buf bytes = {0};
        buf_add(&bytes, seed->data, seed->len);
        for (uint64_t n = 1 + rng_below(&dice, 4); n > 0 && bytes.len; n--)
            turn_bytes(&dice, &bytes);
        feed(&bytes, bytes.len);
        buf_free(&bytes);
    }
}

static void read_seed(const char *folder, const char *name, rl_buf *out)
{
    char path[4352], block[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        abort();
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
        buf_add(out, block, n);
    fclose(f);
    unlink(path);
}

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void try_seed(int number, const char *folder, const char *name)
{
    rl_buf seed = {0};
    read_seed(folder, name, &seed);
    feed(&seed, seed.len);
    feed_cuts(&seed);
    if (seed.len)
        feed_turned(&seed);
    buf_free(&seed);
    printf("ok %d - the seed %s, cut and turned\n", number, name);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char folder[4096];
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/rlab-seeds.XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(folder) || setenv("FUZZ_SEEDS", folder, 1))
        abort();
    char **first = argv;
    rng_init(&dice, 20240607);
    LLVMFuzzerInitialize(&argc, &argv);
    if (argv != first)
        free(argv);
    struct dirent **names;
    int count = scandir(folder, &names, is_seed, alphasort);
    if (count < 1 || count > SEEDS_MAX)
        abort();
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        try_seed(i + 1, folder, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    return rmdir(folder);
}
