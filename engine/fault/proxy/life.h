/* The fault proxy: TCP in the middle, with Toxiproxy's toxics and rules that understand Kafka,
 * MySQL and Redis.
 *
 * Offers: its beginning and its end, and what concerns all of it. Everything random follows the
 * seed: toxicity, jitter, slices, chances. gate.h, toxic.h, rule.h and watch.h have the rest.
 * Uses: libuv, fault/proto, base/rng. Thread: the thread of the loop, everything. */
#ifndef RL_FAULT_PROXY_LIFE_H
#define RL_FAULT_PROXY_LIFE_H

#include <stdint.h>
#include <uv.h>

#include "fault/proxy/state.h"

rl_proxy *proxy_new(uv_loop_t *loop, uint64_t seed);
/* Cuts everything. The memory goes when the loop has closed its handles; `done` (may be NULL) is
 * called then. */
void proxy_free(rl_proxy *proxy, void (*done)(void *arg), void *arg);

/* All gates on and without toxics. LISTEN: some stay off, this is what one of them met. */
rl_err *proxy_reset(rl_proxy *proxy);
/* All rules of an owner and of "<owner>-...", their gates and their watches; returns how many. */
int proxy_owner_remove(rl_proxy *proxy, const char *owner);

#endif
