/* Code that runs on and never waits: neither a signal nor a limit is heard by the loop then.
 *
 * Offers: signals and limits that break such code. A second after a signal, or after the last of
 * the limits, a task that has not been left since is stopped by an error at its next instruction;
 * a second signal that finds the first one unheard ends rlab at once, in C too. Code that waits is
 * left to the loop.
 * Uses: task/scheduler, SIGALRM. Thread: the Lua thread. */
#ifndef RL_BIND_HOST_STUCK_H
#define RL_BIND_HOST_STUCK_H

#include "base/err.h"

void stuck_watch(int signum); /* after libuv's own handler is there, which is called on */
void stuck_look(
    int signum);        /* from a handler or another thread: whether the loop takes it in time */
void stuck_heard(void); /* the loop has taken the signal */
void stuck_pass_on(int signum); /* to libuv, from a handler */
void stuck_give_up(int signum); /* from a handler: ends the program by that signal */
rl_err *stuck_stopped(int signum);

/* Limits nest and run side by side; the last one counts. */
void stuck_limit(double seconds);
void stuck_unlimit(void);

#endif
