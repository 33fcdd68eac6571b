#include "base/deadline.h"

#include <limits.h>

#include "base/clock.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define SECONDS_MAX (100 * 365 * 86400.0)

rl_deadline deadline_in(double seconds)
{
    if (seconds <= 0)
        return clock_ns();
    return seconds < SECONDS_MAX ? clock_ns() + (int64_t)(seconds * 1e9) : DEADLINE_NEVER;
}

rl_deadline deadline_in_ms(int64_t ms)
{
    if (ms <= 0)
        return clock_ns();
    return ms < (int64_t)(SECONDS_MAX * 1000) ? clock_ns() + ms * NS_PER_MS : DEADLINE_NEVER;
}

rl_deadline deadline_or_never(double seconds)
{
    return seconds > 0 ? deadline_in(seconds) : DEADLINE_NEVER;
}

bool deadline_passed(rl_deadline at)
{
    return clock_ns() >= at;
}

int64_t deadline_left(rl_deadline at)
{
    int64_t now = clock_ns();
    return at > now ? at - now : 0;
}

int deadline_poll_ms(rl_deadline at)
{
    if (at == DEADLINE_NEVER)
        return -1;
    int64_t left = deadline_left(at), ms = left / NS_PER_MS + (left % NS_PER_MS > 0);
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

struct timespec deadline_timespec_left(rl_deadline at)
{
    int64_t left = deadline_left(at);
    return (struct timespec){.tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S};
}
