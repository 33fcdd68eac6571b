#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "term/edit_internal.h"
#include "term/text.h"

enum { LIST_MAX = 120 };

static unsigned char on_interrupt(EditLine *el, int key)
{
    (void)key;
    rl_edit *edit = edit_of(el);
    edit->interrupted = true;
    edit_take_line_away(edit);
    const LineInfoW *line = el_wline(el);
    el_cursor(el, (int)(line->lastchar - line->cursor));
    el_insertstr(el, "^C");
    el_set(el, EL_REFRESH);
    fputc('\n', edit->out);
    return CC_NEWLINE;
}

/* The shell's job control works as anywhere: the terminal is given back first. */
static unsigned char on_suspend(EditLine *el, int key)
{
    (void)key;
    el_set(el, EL_PREP_TERM, 0);
    kill(getpid(), SIGTSTP);
    el_set(el, EL_PREP_TERM, 1);
    el_set(el, EL_REFRESH);
    return CC_NORM;
}

static void free_list(char **list)
{
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
}

static size_t common_prefix(char **list)
{
    size_t n = strlen(list[0]);
    for (char **p = list + 1; *p; p++) {
        size_t i = 0;
        while (i < n && (*p)[i] == list[0][i])
            i++;
        n = i;
    }
    while (n && (list[0][n] & 0xC0) == 0x80) /* never half a character */
        n--;
    return n;
}

static int columns_of(const char *text)
{
    return text_width(text, strlen(text));
}

/* The candidates in columns, from the last separator of their common part on ("kafka.producer"
 * is listed as "producer"). */
static unsigned char list_candidates(rl_edit *edit, char **list, size_t common)
{
    int widest = 0, count = 0;
    size_t skip = common;
    while (skip && !strchr(".:'\"( ", list[0][skip - 1]))
        skip--;
    for (char **p = list; *p; p++, count++)
        widest = columns_of(*p + skip) > widest ? columns_of(*p + skip) : widest;
    int shown = count < LIST_MAX ? count : LIST_MAX;
    int per_row = edit_columns(edit) / (widest + 2) > 0 ? edit_columns(edit) / (widest + 2) : 1;
    int rows = (shown + per_row - 1) / per_row;
    rl_buf text = {0};
    for (int r = 0; r < rows; r++) {
        for (int i = r; i < shown; i += rows)
            buf_printf(&text, "%s%*s", list[i] + skip,
                       i + rows < shown ? widest + 2 - columns_of(list[i] + skip) : 0, "");
        buf_add(&text, "\n", 1);
    }
    if (shown < count)
        buf_printf(&text, "+%d more\n", count - shown);
    edit_show_above(edit, text.data, text.len);
    buf_free(&text);
    return CC_NORM;
}

static void replace_word(EditLine *el, const char *line, size_t start, size_t cursor,
                         const char *text, size_t len)
{
    int chars = 0;
    for (size_t i = start; i < cursor; i++)
        chars += (line[i] & 0xC0) != 0x80;
    char *copy = mem_dup(text, len);
    el_deletestr(el, chars);
    el_insertstr(el, copy);
    free(copy);
}

/* More input right behind a tab means that text is being pasted. */
static bool pasted(const rl_edit *edit)
{
    return edit->ahead_at < edit->ahead_len && edit->ahead[edit->ahead_at] != '\t';
}

static unsigned char on_tab(EditLine *el, int key)
{
    (void)key;
    rl_edit *edit = edit_of(el);
    if (pasted(edit)) {
        el_insertstr(el, "  ");
        return CC_REFRESH;
    }
    const LineInfo *info = el_line(el);
    size_t cursor = (size_t)(info->cursor - info->buffer), start = cursor;
    char *line = mem_dup(info->buffer, (size_t)(info->lastchar - info->buffer));
    char **list = edit->complete ? edit->complete(edit->ud, line, cursor, &start) : NULL;
    unsigned char how = CC_REFRESH_BEEP;
    if (list && list[0] && start <= cursor) {
        size_t common = common_prefix(list);
        bool longer =
            common > cursor - start || strncmp(line + start, list[0], cursor - start) != 0;
        how = CC_REFRESH;
        if (longer && common)
            replace_word(el, line, start, cursor, list[0], common);
        else if (list[1])
            how = list_candidates(edit, list, common);
    }
    free_list(list);
    free(line);
    return how;
}

/* Ctrl-D: leaves an empty line, deletes in a line, completes at its end. */
static unsigned char on_eof(EditLine *el, int key)
{
    const LineInfoW *line = el_wline(el);
    if (line->buffer == line->lastchar)
        return CC_EOF;
    if (line->cursor == line->lastchar)
        return on_tab(el, key);
    el_cursor(el, 1);
    el_deletestr(el, 1);
    return CC_REFRESH;
}

void edit_bind_keys(rl_edit *edit)
{
    EditLine *el = edit->el;
    /* wide, since libedit keeps these pointers and would leak its own copies of narrow ones */
    el_wset(el, EL_ADDFN, L"rlab-interrupt", L"give up this line", on_interrupt);
    el_wset(el, EL_ADDFN, L"rlab-suspend", L"stop the program", on_suspend);
    el_wset(el, EL_ADDFN, L"rlab-complete", L"complete", on_tab);
    el_wset(el, EL_ADDFN, L"rlab-eof", L"leave, delete or complete", on_eof);
    el_set(el, EL_BIND, "^C", "rlab-interrupt", NULL);
    el_set(el, EL_BIND, "^D", "rlab-eof", NULL);
    el_set(el, EL_BIND, "^Z", "rlab-suspend", NULL);
    el_set(el, EL_BIND, "^I", "rlab-complete", NULL);
    el_set(el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(el, EL_BIND, "^W", "ed-delete-prev-word", NULL);
}
