/* Handles: the userdata that own a client.
 *
 * Offers: one life cycle for every client seen from Lua. A handle is created closed (so that
 * nothing leaks when opening fails half-way), opened by handle_set, closed by h:close() or
 * `<close>` (an awaitable job that runs type->close on the pool) or, when it was dropped, by the
 * reaper thread after one warning that names where it was opened. `__gc` never blocks.
 * Uses: loop/job. Thread: the Lua thread; type->close runs on a pool or reaper thread,
 * type->cancel on the loop thread. */
#ifndef RL_BIND_TASK_HANDLE_H
#define RL_BIND_TASK_HANDLE_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#include "loop/job.h"

typedef struct rl_handle rl_handle;

typedef struct rl_handle_type {
    const char *name;           /* as users know it: "kafka.producer"; also the metatable's name */
    void (*close)(void *impl);  /* blocking, bounded by a deadline; frees impl */
    void (*cancel)(void *impl); /* makes a blocked call return soon; NULL when nothing blocks */
    void (*detach)(
        rl_handle *handle); /* loop thread, just before close: stop uv handles; may be NULL */
} rl_handle_type;

struct rl_handle {
    const rl_handle_type *type;
    void *impl;  /* NULL until opened and again once closing */
    void *extra; /* a binding's own loop-side state, freed by its detach */
    rl_lane lane;
    bool closed, settled;
    char where[80]; /* script.lua:12 */
};

/* Registers the metatable: methods, __index, __close, __gc, close(), __tostring. */
void handle_type_open(lua_State *L, const rl_handle_type *type, const luaL_Reg *methods);

/* Pushes a new handle of the type with n user values (keep parents there). */
rl_handle *handle_new(lua_State *L, const rl_handle_type *type, int user_values);

/* The handle at idx, raising unless it is of the type and open. */
rl_handle *handle_check(lua_State *L, int idx, const rl_handle_type *type);
rl_handle *handle_test(lua_State *L, int idx,
                       const rl_handle_type *type); /* NULL when of another type; may be closed */

/* Opens the handle: from now on it owns impl. */
void handle_set(rl_handle *handle, void *impl);

/* The client has come to its own end (a child has exited): dropping the handle without close()
 * is no leak any more. */
void handle_settle(rl_handle *handle);

/* Handles opened and neither closed nor settled, of all types: the leak check of the tests. */
int handle_open_count(void);

/* Waits at most `seconds` for the reaper to empty its queue; at exit. */
void reaper_drain(double seconds);

#endif
