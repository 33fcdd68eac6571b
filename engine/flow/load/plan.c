#include "flow/load/plan.h"

#include <math.h>

#include "base/assert.h"

/* Later than any load may last, so that it can be counted in ns. */
static const double offset_max = 1e9;

/* The first request of a steady load starts at once, of a Poisson one after its first gap. */
static double gap(load_plan *p)
{
    return -log(1.0 - rng_double(&p->rng)) / p->rate;
}

void load_plan_open(load_plan *p, double rate, bool poisson, const rl_rng *rng)
{
    *p = (load_plan){.rate = rate, .poisson = poisson, .n = 1};
    rng_split(rng, "arrivals", 8, &p->rng);
    p->offset = poisson ? gap(p) : 0;
}

bool load_plan_next(const load_plan *p, int64_t *at)
{
    rl_assert(p->rate > 0 && p->n >= 1 && p->offset >= 0);
    *at = (int64_t)((p->offset < offset_max ? p->offset : offset_max) * 1e9);
    return (p->count == 0 || p->n <= p->count) && (p->until == 0 || *at < p->until);
}

void load_plan_advance(load_plan *p)
{
    double before = p->offset;
    if (p->poisson)
        p->offset += gap(p);
    else
        p->offset = (double)p->n / p->rate;
    p->n++;
    rl_assert(p->offset >= before);
    (void)before;
}
