/* What the targets share.
 *
 * Offers: fuzz_longest, how long inputs become (the target computes it from the limits of what it
 * feeds, so that an input can pass them; -max_len= by hand wins); fuzz_seed and fuzz_seed_text, a
 * first input, which the unit tests try as well (spec/fuzz/replay/replay.c); fuzz_text, an input
 * as text of its own that ends with a zero byte.
 * Uses: base/buf. Thread: LLVMFuzzerInitialize's. */
#ifndef RL_SPEC_FUZZ_H
#define RL_SPEC_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static inline void fuzz_longest(int *argc, char ***argv, size_t bytes)
{
    static char option[40];
    char **with = calloc((size_t)*argc + 2, sizeof *with);
    snprintf(option, sizeof option, "-max_len=%zu", bytes);
    with[0] = (*argv)[0];
    with[1] = option;
    memcpy(with + 2, *argv + 1, (size_t)(*argc - 1) * sizeof *with);
    *argv = with; /* libFuzzer reads it until the end */
    ++*argc;
}

/* Written to the folder that FUZZ_SEEDS in the environment names, if it does. */
static inline void fuzz_seed(const char *name, const rl_buf *bytes)
{
    char path[4096];
    const char *folder = getenv("FUZZ_SEEDS");
    if (!folder)
        return;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes->data, 1, bytes->len, f) != bytes->len || fclose(f) != 0)
        abort();
}

/* The first byte says what the text is. */
static inline void fuzz_seed_text(const char *name, int kind, const char *text, size_t len)
{
    rl_buf out = {0};
    buf_u8(&out, (uint8_t)kind);
    buf_add(&out, text, len);
    fuzz_seed(name, &out);
    buf_free(&out);
}

static inline char *fuzz_text(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);
    memcpy(text, data, len);
    text[len] = 0;
    return text;
}

#endif
