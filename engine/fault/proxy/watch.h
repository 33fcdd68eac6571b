/* Watches, and the traffic log that they fill: observed messages as JSON rows in a bounded ring.
 *
 * Uses: fault/proxy/state, fault/proto. Thread: the thread of the loop. Errors: domain RL_LAB. */
#ifndef RL_FAULT_PROXY_WATCH_H
#define RL_FAULT_PROXY_WATCH_H

#include "base/buf.h"
#include "base/err.h"
#include "fault/proto/session.h"
#include "fault/proxy/state.h"

typedef struct proxy_watch_spec {
    const char *owner, *gate;
    proto_kind proto;
    const char *api, *client_id, *topic, *contains;
} proxy_watch_spec;

/* From now on messages that match are logged. */
rl_err *proxy_watch_add(rl_proxy *proxy, const proxy_watch_spec *spec, int64_t *id);
rl_err *proxy_watch_remove(rl_proxy *proxy, int64_t id);
/* {"next":N,"dropped":D,"rows":[...]}: rows with a number above `since`, of the owner named ("":
 * all), of the gate named ("": all); dropped: so many above `since`, of whichever owner, are gone,
 * as the log is bounded. */
void proxy_traffic_json(const rl_proxy *proxy, uint64_t since, const char *owner, const char *gate,
                        rl_buf *out);

#endif
