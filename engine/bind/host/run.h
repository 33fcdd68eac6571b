/* The host: one Lua state on one libuv loop.
 *
 * Offers: host_run, which opens a state with every module, runs the Lua entry point `rlab.main` as
 * the main task with the command line, turns SIGINT and SIGTERM into the cancellation of that task,
 * and returns the process's exit code when everything has ended. A second signal ends without
 * waiting.
 * Uses: bind/task, bind/handle, base/embed. Thread: the calling thread becomes the Lua thread. */
#ifndef RL_BIND_HOST_RUN_H
#define RL_BIND_HOST_RUN_H

int host_run(int argc, char **argv);

#endif
