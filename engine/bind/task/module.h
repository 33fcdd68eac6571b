/* The module rlab.core.task.
 *
 * Offers: the metatables of tasks and events, and the module, put into package.preload; once a state,
 * after task_open and before the first task. Uses: bind/task. Thread: the Lua thread. */
#ifndef RL_BIND_TASK_MODULE_H
#define RL_BIND_TASK_MODULE_H

#include <lua.h>

void task_module_open(lua_State *L);

#endif
