/* The fault proxy: TCP in the middle, with Toxiproxy's toxics and rules that understand Kafka,
 * MySQL and Redis.
 *
 * Offers: gates (a port that forwards to an upstream), toxics on a gate's connections, rules that
 * act on single requests, held requests and their release, and a wire log of observed messages.
 * Everything random follows the seed: toxicity, jitter, slices, chances. A rule counts what it
 * matched and what it did; that is the proof of a fault.
 * Uses: libuv, fault/proto, base/rng, base/json. Thread: the thread of the loop, everything. */
#ifndef RL_FAULT_PROXY_GATE_H
#define RL_FAULT_PROXY_GATE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "fault/proto/session.h"

typedef struct rl_proxy rl_proxy;
typedef struct proxy_gate proxy_gate;

rl_proxy *proxy_new(uv_loop_t *loop, uint64_t seed);
/* Cuts everything. The memory goes when the loop has closed its handles; `done` (may be NULL) is
 * called then. */
void proxy_free(rl_proxy *proxy, void (*done)(void *arg), void *arg);

/* ---- gates ---- */

typedef struct proxy_gate_spec {
    const char *name, *listen,
        *upstream;     /* "127.0.0.1:19122"; port 0 of listen: any that is free */
    const char *owner; /* "" : of the stack; else a run's namespace */
    proto_kind proto;
    bool enabled;
} proxy_gate_spec;

/* EXISTS, LISTEN (the port is taken), ADDRESS */
rl_err *proxy_gate_add(rl_proxy *proxy, const proxy_gate_spec *spec);
/* Changes what is not NULL; a new address closes the connections. NO_PROXY */
rl_err *proxy_gate_change(rl_proxy *proxy, const char *name, const char *listen,
                          const char *upstream);
/* Off: the listener and all connections are closed ("down"). */
rl_err *proxy_gate_enable(rl_proxy *proxy, const char *name, bool enabled);
rl_err *proxy_gate_remove(rl_proxy *proxy, const char *name);
bool proxy_gate_known(const rl_proxy *proxy, const char *name);
/* One gate, or with name NULL all, as JSON: an object by name. */
void proxy_gates_json(const rl_proxy *proxy, const char *name, rl_buf *out);

/* ---- toxics ---- */

typedef struct proxy_toxic_spec {
    const char *name, *type;
    proto_dir dir;
    double toxicity;
    const char *const *keys; /* attribute names and their values; NULL ends */
    const int64_t *values;
} proxy_toxic_spec;

/* EXISTS, TYPE, ATTRIBUTE */
rl_err *proxy_toxic_add(rl_proxy *proxy, const char *gate, const proxy_toxic_spec *spec);
/* Changes toxicity (unless negative) and the attributes that are named. */
rl_err *proxy_toxic_change(rl_proxy *proxy, const char *gate, const char *name,
                           const proxy_toxic_spec *spec);
rl_err *proxy_toxic_remove(rl_proxy *proxy, const char *gate, const char *name);
/* The toxics of a gate as a JSON list, or the one named as an object. */
rl_err *proxy_toxics_json(const rl_proxy *proxy, const char *gate, const char *name, rl_buf *out);
/* All gates on and without toxics. */
void proxy_reset(rl_proxy *proxy);

/* ---- rules ---- */

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
/* Returns the id, from 1. API (nothing is called so), ACTION (not for this API or protocol). */
rl_err *proxy_rule_add(rl_proxy *proxy, const proxy_rule_spec *spec, int64_t *id);
/* Lets its held requests go: those of living connections and the late ones. NO_RULE */
rl_err *proxy_rule_release(rl_proxy *proxy, int64_t id, int64_t *released);
/* Held requests of living connections are let go, late ones are dropped; connections in its
 * black hole are cut. */
rl_err *proxy_rule_remove(rl_proxy *proxy, int64_t id);
/* All rules of an owner and of "<owner>-...", their gates and their watches; returns how many. */
int proxy_owner_remove(rl_proxy *proxy, const char *owner);
/* id 0: all, as a list. */
rl_err *proxy_rules_json(const rl_proxy *proxy, int64_t id, rl_buf *out);

/* ---- the wire log ---- */

typedef struct proxy_watch_spec {
    const char *owner, *gate;
    proto_kind proto;
    const char *api, *client_id, *topic, *contains;
} proxy_watch_spec;

/* From now on messages that match are logged. */
rl_err *proxy_watch_add(rl_proxy *proxy, const proxy_watch_spec *spec, int64_t *id);
rl_err *proxy_watch_remove(rl_proxy *proxy, int64_t id);
/* {"next":N,"dropped":D,"rows":[...]}: rows with a number above `since`, of the owner named ("":
 * all), of the gate named ("": all). */
void proxy_wire_json(const rl_proxy *proxy, uint64_t since, const char *owner, const char *gate,
                     rl_buf *out);

#endif
