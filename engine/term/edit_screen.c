#include <stdlib.h>
#include <sys/ioctl.h>
#include <wchar.h>

#include "term/edit_internal.h"

int edit_columns(const rl_edit *edit)
{
    struct winsize ws;
    if (ioctl(edit->out_fd, TIOCGWINSZ, &ws) != 0 || ws.ws_col == 0)
        return 80;
    return ws.ws_col;
}

/* One more character from column `at` on, as libedit draws it: control characters as ^X, a wide
 * one never split by the margin. */
static int advance(int at, wchar_t c, int cols)
{
    int width = c < 32 || c == 127 ? 2 : wcwidth(c);
    if (width < 0)
        width = 8; /* \U+xxxxx */
    if (width == 2 && at % cols == cols - 1)
        at++;
    return at + width;
}

static int cursor_row(rl_edit *edit)
{
    int cols = edit_columns(edit), at = edit->prompt_width;
    const LineInfoW *line = el_wline(edit->el);
    for (const wchar_t *p = line->buffer; p < line->cursor; p++)
        at = advance(at, *p, cols);
    return at / cols;
}

void edit_take_line_away(rl_edit *edit)
{
    int row = cursor_row(edit);
    fputc('\r', edit->out);
    if (row > 0)
        fprintf(edit->out, "\033[%dA", row);
    fputs("\033[J", edit->out);
}

void edit_write_text(rl_edit *edit, const char *text, size_t len)
{
    fwrite(text, 1, len, edit->out);
    if (len && text[len - 1] != '\n')
        fputc('\n', edit->out);
}

/* libedit's own CC_REDISPLAY would blank the rows that were just written. */
void edit_show_above(rl_edit *edit, const char *text, size_t len)
{
    edit_take_line_away(edit);
    edit_write_text(edit, text, len);
    el_set(edit->el, EL_REFRESH);
    fflush(edit->out);
}
