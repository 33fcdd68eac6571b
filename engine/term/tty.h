/* The terminal's settings, given back on every way out.
 *
 * Offers: tty_guard, which remembers the settings of a terminal and restores them at exit and when
 * a signal ends the process; tty_restore, which does so at once and may be called from a signal
 * handler; tty_take_screen, which shows an empty screen in place of the terminal's until tty_restore
 * and lets keys through as they are typed; tty_capture_errors, which turns stderr into a pipe (so that
 * what C libraries and warnings write there can be shown above a prompt) until tty_release_errors. What
 * is still in the pipe when the process dies is written out.
 * Uses: nothing. Thread: tty_restore any thread and signal handlers; the rest the Lua thread. */
#ifndef RL_TERM_TTY_H
#define RL_TERM_TTY_H

#include "base/err.h"

void tty_guard(int fd);
void tty_restore(void);

/* Ctrl-C stays a signal; Ctrl-Z does nothing, since nobody would give the screen back. */
void tty_take_screen(int fd);

/* The read end (non-blocking) of the pipe; writers never block, what does not fit is dropped. */
rl_err *tty_capture_errors(int *read_fd);
void tty_release_errors(void);

#endif
