/* Condition variables that wait by the monotonic clock, so that setting the wall clock neither
 * stretches nor cuts a wait.
 *
 * Offers: cond_init, and a wait that ends at a deadline.
 * Uses: base/deadline. Thread: any; a wait is made under the lock, as with pthread_cond_wait. */
#ifndef RL_BASE_COND_H
#define RL_BASE_COND_H

#include <pthread.h>
#include <stdbool.h>

#include "base/deadline.h"

void cond_init(pthread_cond_t *cond);

/* False when the deadline has passed; true after a signal or for no reason at all: the caller looks
 * at its condition again. */
bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, rl_deadline at);

#endif
