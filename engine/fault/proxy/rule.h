/* Rules: what happens to single requests, held ones and their release.
 *
 * Offers: rules by number. A rule counts what it matched and what it did; that is the proof of a
 * fault.
 * Uses: fault/proxy/state, fault/proto. Thread: the thread of the loop. Errors: domain RL_LAB. */
#ifndef RL_FAULT_PROXY_RULE_H
#define RL_FAULT_PROXY_RULE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "fault/proto/session.h"
#include "fault/proxy/state.h"

enum { RULE_DELAY_MAX = 1000000000, RULE_ERROR_MAX = 1024, RULES_MAX = 4096 }; /* s, bytes */

typedef enum proxy_action {
    PROXY_DELAY,
    PROXY_CUT_BEFORE,
    PROXY_CUT_AFTER,
    PROXY_LATE,
    PROXY_BLACK_HOLE,
    PROXY_DROP,
    PROXY_DUPLICATE,
    PROXY_ERROR,
    PROXY_HOLD,
    PROXY_COUNT, /* only counts */
} proxy_action;

typedef struct proxy_rule_spec {
    const char *owner, *gate; /* gate "": all of the protocol */
    proto_kind proto;
    const char *api;                                              /* "" : every one */
    const char *client_id, *topic, *statement, *contains, *param; /* "" : does not matter */
    int64_t nth, times; /* acts from the nth match on, so many times (0: always) */
    double chance;      /* 0..1 */
    proxy_action action;
    double delay;      /* seconds; of delay, and of late (0: until released) */
    int code;          /* of error */
    const char *error; /* its text */
} proxy_rule_spec;

const char *proxy_actions(void); /* their names, for a complaint */
bool proxy_action_parse(const char *name, proxy_action *action);
/* Returns the id, from 1. API (nothing is called so), ACTION (not for this API or protocol), LIMIT
 * (delay, code or text out of range; too many rules). */
rl_err *proxy_rule_add(rl_proxy *proxy, const proxy_rule_spec *spec, int64_t *id);
/* Lets its held requests go: those of living connections and the late ones. NO_RULE */
rl_err *proxy_rule_release(rl_proxy *proxy, int64_t id, int64_t *released);
/* Held requests of living connections are let go, late ones are dropped; connections in its
 * black hole are cut. */
rl_err *proxy_rule_remove(rl_proxy *proxy, int64_t id);
/* id 0: all, as a list. */
rl_err *proxy_rules_json(const rl_proxy *proxy, int64_t id, rl_buf *out);

#endif
