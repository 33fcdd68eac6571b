/* Condition variables that wait by the monotonic clock, so that setting the wall clock neither
 * stretches nor cuts a wait.
 *
 * Offers: cond_init, and a wait that ends at a deadline.
 * Uses: base/deadline. Thread: any; a wait is made under the lock, as with pthread_cond_wait. */
#ifndef RL_BASE_COND_H
#define RL_BASE_COND_H

#include <pthread.h>
#include <stdbool.h>

#include "base/assert.h"
#include "base/deadline.h"

static inline void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

/* False when the deadline has passed; true after a signal or for no reason at all: the caller looks
 * at its condition again. */
static inline bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, rl_deadline at)
{
    rl_assert(at >= 0);
    if (at == DEADLINE_NEVER)
        return pthread_cond_wait(cond, lock) == 0;
    struct timespec until = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
    return pthread_cond_timedwait(cond, lock, &until) == 0;
}

#endif
