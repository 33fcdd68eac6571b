#include "base/cond.h"

#include "base/assert.h"

#define NS_PER_S INT64_C(1000000000)

void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, rl_deadline at)
{
    rl_assert(at >= 0);
    if (at == DEADLINE_NEVER)
        return pthread_cond_wait(cond, lock) == 0;
    struct timespec until = {.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S};
    return pthread_cond_timedwait(cond, lock, &until) == 0;
}
