/* Gates: a port that forwards to an upstream, and closes when it is switched off.
 *
 * Uses: fault/proxy/state, fault/proto. Thread: the thread of the loop. Errors: domain RL_LAB. */
#ifndef RL_FAULT_PROXY_GATE_H
#define RL_FAULT_PROXY_GATE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "fault/proto/session.h"
#include "fault/proxy/state.h"

typedef struct proxy_gate_spec {
    const char *name, *listen,
        *upstream;     /* "127.0.0.1:19122"; port 0 of listen: any that is free */
    const char *owner; /* "" : of the stack; else a run's namespace */
    proto_kind proto;
    bool enabled;
} proxy_gate_spec;

/* Gates may listen beyond the loopback: anybody who reaches this machine reaches the upstream. */
void proxy_listen_anywhere(rl_proxy *proxy);

/* EXISTS, LISTEN (the port is taken), ADDRESS, NAME */
rl_err *proxy_gate_add(rl_proxy *proxy, const proxy_gate_spec *spec);
/* Whether a gate is another one than it would be with these; NULL is what it has, port 0 of listen
 * any port. NO_PROXY, ADDRESS */
rl_err *proxy_gate_differs(const rl_proxy *proxy, const char *name, const char *listen,
                           const char *upstream, bool *differs);
/* Changes what is not NULL; a new address closes the connections. NO_PROXY; ADDRESS: nothing was
 * changed; LISTEN: it was, and the gate is off. */
rl_err *proxy_gate_change(rl_proxy *proxy, const char *name, const char *listen,
                          const char *upstream);
/* Off: the listener and all connections are closed ("down"). LISTEN: it stays off. */
rl_err *proxy_gate_enable(rl_proxy *proxy, const char *name, bool enabled);
rl_err *proxy_gate_remove(rl_proxy *proxy, const char *name);
/* One gate, or with name NULL all, as JSON: an object by name. */
void proxy_gates_json(const rl_proxy *proxy, const char *name, rl_buf *out);

#endif
