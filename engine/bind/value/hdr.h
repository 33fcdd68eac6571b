/* Histograms for other bindings.
 *
 * Offers: a new rlab.hdr histogram of the default range, to be filled by the caller. Uses:
 * HdrHistogram. Thread: the Lua thread. */
#ifndef RL_BIND_VALUE_HDR_H
#define RL_BIND_VALUE_HDR_H

#include <hdr/hdr_histogram.h>
#include <lua.h>

/* Pushes it; the pointer is good as long as the value is. */
struct hdr_histogram *hdr_push(lua_State *L);

#endif
