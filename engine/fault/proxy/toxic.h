/* Toxics: Toxiproxy's disturbances on the connections of a gate.
 *
 * Offers: adding, changing and removing them by name, on living connections too; attributes are
 * Toxiproxy's, in its units (ms, KB/s, bytes, us), from 0 to TOXIC_VALUE_MAX.
 * Uses: fault/proxy/state, fault/proto. Thread: the thread of the loop. Errors: domain RL_LAB. */
#ifndef RL_FAULT_PROXY_TOXIC_H
#define RL_FAULT_PROXY_TOXIC_H

#include "base/buf.h"
#include "base/err.h"
#include "fault/proto/session.h"
#include "fault/proxy/state.h"

/* 31 years, a terabyte, a petabyte a second: sums of such numbers fit into 64 bits. */
#define TOXIC_VALUE_MAX INT64_C(1000000000000)

typedef struct proxy_toxic_spec {
    const char *name, *type;
    proto_dir dir;
    double toxicity;
    const char *const *keys; /* attribute names and their values; NULL ends */
    const int64_t *values;
} proxy_toxic_spec;

/* TOXIC_EXISTS, TYPE, ATTRIBUTE, NAME */
rl_err *proxy_toxic_add(rl_proxy *proxy, const char *gate_name, const proxy_toxic_spec *spec);
/* Changes toxicity (unless negative) and the attributes that are named. */
rl_err *proxy_toxic_change(rl_proxy *proxy, const char *gate_name, const char *name,
                           const proxy_toxic_spec *spec);
rl_err *proxy_toxic_remove(rl_proxy *proxy, const char *gate_name, const char *name);
/* The toxics of a gate as a JSON list, or the one named as an object. */
rl_err *proxy_toxics_json(const rl_proxy *proxy, const char *gate_name, const char *name,
                          rl_buf *out);

#endif
