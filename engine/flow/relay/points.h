/* The relay's failpoints. Uses: fault/failpoint. Thread: the flow's. */
#ifndef RL_FLOW_RELAY_POINTS_H
#define RL_FLOW_RELAY_POINTS_H

#include "fault/point/registry.h"
#include "flow/relay/internal.h"

/* With ctx batch (number), n, key (of the first row), id (its event id) and ids (event ids of
 * the batch, comma separated, RELAY_IDS_MAX at most): of the rows that are still to be sent, or
 * of those that were acknowledged. */
enum { RELAY_IDS_MAX = 128 };
fail_outcome relay_point(fail_point_id point, const relay_batch *batch);

#endif
