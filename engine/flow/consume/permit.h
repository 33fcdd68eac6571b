/* Whether work may begin, and whether it may be tried once more.
 *
 * Offers: consume_permit, which each worker and each partition carries. Whoever does a step of the
 * work asks it, and needs to know neither the options nor the flow for that.
 * Uses: flow/core. Thread: any; the flow and the flag outlive it. */
#ifndef RL_FLOW_CONSUME_PERMIT_H
#define RL_FLOW_CONSUME_PERMIT_H

#include "flow/core.h"

typedef struct consume_permit {
    rl_flow *flow;           /* can be told to stop */
    const atomic_bool *lost; /* the partition was taken away; NULL: work goes on all the same */
} consume_permit;

/* Work that has begun is finished when the flow stops, so stopping does not count here. */
static inline bool consume_may_begin(const consume_permit *permit)
{
    return !permit->lost || !atomic_load(permit->lost);
}

static inline bool consume_may_repeat(const consume_permit *permit)
{
    return !flow_stopping(permit->flow) && consume_may_begin(permit);
}

#endif
