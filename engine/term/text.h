/* Text as a terminal shows it.
 *
 * Offers: the columns that text takes, by the tables of Unicode and by what a reader sees as one
 * character (marks, joined emoji, flags), and the escaping of what must not reach a terminal or a
 * report as it is: control characters, what turns the direction of writing or is invisible, and
 * bytes that are no UTF-8.
 * Uses: base/buf, utf8proc. Thread: pure functions. */
#ifndef RL_TERM_TEXT_H
#define RL_TERM_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* How many bytes the next character takes, 1 at least, and its columns. An escape sequence that
 * colours ("ESC [ ... letter") is one without columns, a byte that is no UTF-8 takes one. */
size_t text_step(const char *text, size_t len, int *columns);

int text_width(const char *text, size_t len);

/* Appends the text with "\x1b", "\xff" or "\u{202e}" for what is not shown as it is; with `lines`
 * line feeds and tabs stay. */
void text_visible(rl_buf *out, const char *text, size_t len, bool lines);

#endif
