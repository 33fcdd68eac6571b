/* The fault proxy's state, as its parts know it.
 *
 * Offers: its type, and which gates there are. Uses: nothing. Thread: the thread of the loop. */
#ifndef RL_FAULT_PROXY_STATE_H
#define RL_FAULT_PROXY_STATE_H

#include <stdbool.h>

typedef struct rl_proxy rl_proxy;

bool proxy_gate_known(const rl_proxy *proxy, const char *name);

#endif
