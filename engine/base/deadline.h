/* Until when something may take.
 *
 * Offers: rl_deadline, a time of clock_ns(), so that a deadline is handed on from call to call
 * without being counted anew: made from seconds or milliseconds from now, asked whether it has
 * passed and how much is left, in the forms that poll and ppoll want.
 * Uses: base/clock. Thread: any. */
#ifndef RL_BASE_DEADLINE_H
#define RL_BASE_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

typedef int64_t rl_deadline;

#define DEADLINE_NEVER INT64_MAX

rl_deadline deadline_in(double seconds); /* 0 and less: passed already; 100 years: never */
rl_deadline deadline_in_ms(int64_t ms);
rl_deadline deadline_or_never(double seconds); /* for options in which 0 means no limit */

bool deadline_passed(rl_deadline at);
int64_t deadline_left(rl_deadline at); /* ns, 0 when it has passed */

/* Milliseconds, rounded up so that nobody turns in circles for the last part of one; 0 when it
 * has passed, -1 for never. */
int deadline_poll_ms(rl_deadline at);
struct timespec deadline_timespec_left(rl_deadline at);

#endif
