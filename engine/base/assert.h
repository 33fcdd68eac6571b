/* Assertions: what a header promises about state and ranges, said once more where it is relied
 * upon.
 *
 * Offers: rl_assert, which aborts with file, line and condition in the debug and sanitizer builds
 * (make BUILD=build-debug, build-asan, ...: they define RL_ASSERTS) and is not evaluated in the
 * default one. It is for mistakes of our own code only: what comes from outside (bytes, numbers,
 * options, servers) is checked and answered by an error.
 * Uses: nothing. Thread: any. */
#ifndef RL_BASE_ASSERT_H
#define RL_BASE_ASSERT_H

#ifdef RL_ASSERTS
#include <stdio.h>
#include <stdlib.h>

static inline void rl_assert_failed(const char *condition, const char *file, int at_line)
{
    fprintf(stderr, "rlab: %s:%d: assertion failed: %s\n", file, at_line, condition);
    abort();
}
#define rl_assert(condition) \
    ((condition) ? (void)0 : rl_assert_failed(#condition, __FILE__, __LINE__))
#else
#define rl_assert(condition) ((void)sizeof((condition) ? 1 : 0))
#endif

#endif
