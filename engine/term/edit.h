/* The line editor: libedit, away from the loop.
 *
 * Offers: edit_gets, which reads one line with editing, history and completion and blocks its own
 * (pool) thread; meanwhile the loop thread keeps running tasks and shows their output with
 * edit_above: the half-typed line is taken away, the text written, the line drawn again. All
 * drawing happens on the editing thread, at the only place where libedit rests (its read of a
 * character), so the screen has one writer. Input is UTF-8 whatever the locale.
 * Uses: libedit, base/buf. Thread: one edit_gets at a time on any thread; edit_above,
 * edit_resized and edit_stop from any thread; history from the thread that would call edit_gets,
 * while it does not. */
#ifndef RL_TERM_EDIT_H
#define RL_TERM_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct rl_edit rl_edit;

typedef enum rl_edit_end { EDIT_LINE, EDIT_EOF, EDIT_INTERRUPTED, EDIT_STOPPED } rl_edit_end;

/* What could stand in place of line[start..cursor): a NULL-terminated list of malloc'ed strings,
 * or NULL. Called on the editing thread. */
typedef char **(*rl_edit_complete)(void *ud, const char *line, size_t cursor, size_t *start);

rl_err *edit_open(rl_edit **out, int in_fd, int out_fd, rl_edit_complete complete, void *ud);
void edit_close(rl_edit *edit);

/* Call on the loop thread before edit_gets is handed to a thread: forgets an old edit_stop. */
void edit_begin(rl_edit *edit);

/* *line is malloc'ed and without its newline; NULL unless EDIT_LINE. Colours in the prompt are
 * allowed. */
rl_edit_end edit_gets(rl_edit *edit, const char *prompt, char **line);

/* Writes text (a newline is added where it has none) above the line being edited, or plainly
 * when none is. */
void edit_above(rl_edit *edit, const char *text, size_t len);
void edit_resized(rl_edit *edit);
void edit_stop(rl_edit *edit);
bool edit_active(rl_edit *edit);

void edit_history_add(rl_edit *edit, const char *line);

#endif
