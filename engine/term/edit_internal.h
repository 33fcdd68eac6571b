/* Inside of term/edit: the editor's state, and what its files ask of one another. edit.c (reading
 * and life) stands on edit_keys.c (keys and completion), both on edit_screen.c (where the line
 * stands, and text above it). Everything here runs on the editing thread, but edit_write_text,
 * which also runs on a thread that holds the lock while no line is being edited. Uses: libedit. */
#ifndef RL_TERM_EDIT_INTERNAL_H
#define RL_TERM_EDIT_INTERNAL_H

#include <histedit.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>

#include "base/buf.h"
#include "term/edit.h"

enum { EDIT_READ_AHEAD = 4096 };

struct rl_edit {
    EditLine *el;
    History *history;
    FILE *in, *out;
    int in_fd, out_fd, wake;
    locale_t locale;
    rl_edit_complete complete;
    void *ud;
    rl_buf prompt;
    int prompt_width;
    bool interrupted;
    unsigned char ahead[EDIT_READ_AHEAD];
    size_t ahead_at, ahead_len;

    pthread_mutex_t lock; /* of what follows */
    rl_buf above;
    bool active, stop, resized;
};

static inline rl_edit *edit_of(EditLine *el)
{
    void *e = NULL;
    el_get(el, EL_CLIENTDATA, &e);
    return e;
}

/* edit_screen.c */
int edit_columns(const rl_edit *edit);
void edit_take_line_away(rl_edit *edit);
void edit_write_text(rl_edit *edit, const char *text, size_t len);
void edit_show_above(rl_edit *edit, const char *text, size_t len);

/* edit_keys.c */
void edit_bind_keys(rl_edit *edit);

#endif
