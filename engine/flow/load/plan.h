/* When requests are to start.
 *
 * Offers: the intended start times of an open-loop load, one after the other: evenly spaced, or
 * Poisson (seeded) as independent users come. They depend on rate and seed only, never on how the
 * system answers: what cannot start in time is late, and its latency counts from here.
 * Uses: base/rng. Thread: plain memory, one owner. */
#ifndef RL_FLOW_LOAD_PLAN_H
#define RL_FLOW_LOAD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

typedef struct load_plan {
    double rate; /* per second */
    bool poisson;
    int64_t count, until; /* 0: no limit; until in ns from the start */
    rl_rng rng;
    int64_t n;     /* number of the next request, from 1 */
    double offset; /* its intended start, seconds from the start */
} load_plan;

void load_plan_open(load_plan *p, double rate, bool poisson, const rl_rng *rng);

/* The next one's intended start in ns from the start of the load; false when the plan is over. */
bool load_plan_next(const load_plan *p, int64_t *at);
void load_plan_advance(load_plan *p);

#endif
