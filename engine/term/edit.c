#include "term/edit_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <wchar.h>

#include "base/buf.h"
#include "term/text.h"

enum { HISTORY_DEFAULT = 2000, REST_OF_CHAR_MS = 100 };
#define LITERAL '\1' /* brackets what the prompt contains without width */

/* ---- reading: the place where libedit rests ---- */

/* Takes what other threads asked for; false when editing must stop. */
static bool serve(rl_edit *edit)
{
    pthread_mutex_lock(&edit->lock);
    rl_buf text = edit->above;
    bool stop = edit->stop, resized = edit->resized;
    edit->above = (rl_buf){0};
    edit->resized = false;
    pthread_mutex_unlock(&edit->lock);
    if (resized)
        el_resize(edit->el);
    if (text.len || resized)
        edit_show_above(edit, text.data, text.len);
    buf_free(&text);
    return !stop;
}

static int wait_input(rl_edit *edit, int ms)
{
    struct pollfd fds[2] = {{.fd = edit->in_fd, .events = POLLIN},
                            {.fd = edit->wake, .events = POLLIN}};
    int n = poll(fds, 2, ms);
    if (fds[1].revents & POLLIN) {
        uint64_t count;
        ssize_t got = read(edit->wake, &count, sizeof count);
        (void)got;
    }
    if (n < 0)
        return errno == EINTR ? 1 : -1;
    return fds[0].revents ? 2 : n ? 1 : 0;
}

/* More bytes behind those that are there: > 0, or 0 at the end of the input. */
static ssize_t fill(rl_edit *edit)
{
    memmove(edit->ahead, edit->ahead + edit->ahead_at, edit->ahead_len - edit->ahead_at);
    edit->ahead_len -= edit->ahead_at;
    edit->ahead_at = 0;
    ssize_t n = read(edit->in_fd, edit->ahead + edit->ahead_len, EDIT_READ_AHEAD - edit->ahead_len);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : 0;
    edit->ahead_len += (size_t)n;
    return n;
}

static size_t utf8_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first < 0xE0)
        return 2;
    if (first >= 0xE0 && first < 0xF0)
        return 3;
    return first >= 0xF0 && first < 0xF5 ? 4 : 0;
}

/* The character of n bytes, or U+FFFD for the first bytes of one that breaks off: how many it took. */
static size_t decode(const unsigned char *p, size_t n, wchar_t *out)
{
    static const unsigned char mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    wchar_t c = p[0] & mask[n];
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            *out = 0xFFFD;
            return i;
        }
        c = c << 6 | (p[i] & 0x3F);
    }
    *out = c;
    return n;
}

static bool take_char(rl_edit *edit, wchar_t *c)
{
    size_t have = edit->ahead_len - edit->ahead_at;
    if (!have)
        return false;
    size_t need = utf8_length(edit->ahead[edit->ahead_at]);
    while (need > have && wait_input(edit, REST_OF_CHAR_MS) > 1 && fill(edit) > 0)
        have = edit->ahead_len - edit->ahead_at;
    bool whole = need && need <= have;
    *c = 0xFFFD;
    edit->ahead_at += whole ? decode(edit->ahead + edit->ahead_at, need, c) : 1;
    return true;
}

static int read_char(EditLine *el, wchar_t *c)
{
    rl_edit *edit = edit_of(el);
    for (;;) {
        if (!serve(edit)) {
            errno = ECANCELED;
            return -1;
        }
        if (take_char(edit, c))
            return 1;
        int ready = wait_input(edit, -1);
        if (ready < 0 || (ready > 1 && fill(edit) == 0))
            return 0;
    }
}

/* ---- life ---- */

static char *prompt_of(EditLine *el)
{
    return edit_of(el)->prompt.data;
}

/* Brackets escape sequences, so that libedit counts the rest only. */
static void set_prompt(rl_edit *edit, const char *prompt)
{
    buf_reset(&edit->prompt);
    rl_buf plain = {0};
    buf_str(&plain, "");
    for (const char *p = prompt; *p;) {
        if (*p != '\033') {
            buf_add(&edit->prompt, p, 1);
            buf_add(&plain, p++, 1);
            continue;
        }
        size_t n = strcspn(p, "m");
        n += p[n] != '\0';
        buf_u8(&edit->prompt, LITERAL);
        buf_add(&edit->prompt, p, n);
        buf_u8(&edit->prompt, LITERAL);
        p += n;
    }
    buf_str(&edit->prompt, "");
    edit->prompt_width = text_width(plain.data, plain.len);
    buf_free(&plain);
}

static void set_up(rl_edit *edit)
{
    HistEvent ev;
    EditLine *el = edit->el;
    history(edit->history, &ev, H_SETSIZE, HISTORY_DEFAULT);
    history(edit->history, &ev, H_SETUNIQUE, 1);
    el_set(el, EL_CLIENTDATA, edit);
    el_set(el, EL_HIST, history, edit->history);
    el_set(el, EL_EDITOR, "emacs");
    el_set(el, EL_SIGNAL, 0);
    el_set(el, EL_PROMPT_ESC, prompt_of, LITERAL);
    el_wset(el, EL_GETCFN, read_char);
    edit_bind_keys(edit);
    el_source(el, NULL);
    el_set(el, EL_SETTY, "-d", "-isig", "-ixon", NULL);
}

rl_err *edit_open(rl_edit **out, int in_fd, int out_fd, rl_edit_complete complete, void *ud)
{
    if (!isatty(in_fd) || !isatty(out_fd))
        return err_lab("NOT_A_TERMINAL",
                       "a prompt needs a terminal on both standard input and output");
    rl_edit *edit = mem_zero(sizeof *edit);
    pthread_mutex_init(&edit->lock, NULL);
    edit->complete = complete;
    edit->ud = ud;
    edit->in_fd = in_fd;
    edit->out_fd = out_fd;
    edit->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    edit->in = fdopen(fcntl(in_fd, F_DUPFD_CLOEXEC, 3), "r");
    edit->out = fdopen(fcntl(out_fd, F_DUPFD_CLOEXEC, 3), "w");
    edit->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = uselocale(edit->locale);
    edit->history = history_init();
    edit->el = el_init("rlab", edit->in, edit->out, edit->out);
    if (edit->el)
        set_up(edit);
    uselocale(before);
    *out = edit;
    if (edit->el)
        return NULL;
    edit_close(edit);
    *out = NULL;
    return err_lab("TERMINAL", "the line editor cannot drive this terminal (TERM=%s)",
                   getenv("TERM"));
}

void edit_close(rl_edit *edit)
{
    if (!edit)
        return;
    if (edit->el)
        el_end(edit->el);
    history_end(edit->history);
    if (edit->locale)
        freelocale(edit->locale);
    fclose(edit->in);
    fclose(edit->out);
    close(edit->wake);
    buf_free(&edit->prompt);
    buf_free(&edit->above);
    pthread_mutex_destroy(&edit->lock);
    free(edit);
}

static void set_active(rl_edit *edit, bool active)
{
    pthread_mutex_lock(&edit->lock);
    edit->active = active;
    if (!active && edit->above.len) {
        edit_write_text(edit, edit->above.data, edit->above.len);
        fflush(edit->out);
        buf_reset(&edit->above);
    }
    pthread_mutex_unlock(&edit->lock);
}

void edit_begin(rl_edit *edit)
{
    pthread_mutex_lock(&edit->lock);
    edit->stop = false;
    pthread_mutex_unlock(&edit->lock);
    set_active(edit, true);
}

static char *without_newline(const char *text)
{
    return text ? mem_dup(text, strcspn(text, "\r\n")) : NULL;
}

rl_edit_end edit_gets(rl_edit *edit, const char *prompt, char **line)
{
    int count = 0;
    *line = NULL;
    locale_t before = uselocale(edit->locale);
    set_prompt(edit, prompt);
    edit->interrupted = false;
    el_set(edit->el, EL_PREP_TERM,
           1); /* before the prompt is seen, so that nothing typed is echoed twice */
    char *text = without_newline(el_gets(edit->el, &count));
    fflush(edit->out);
    uselocale(before);
    set_active(edit, false);
    pthread_mutex_lock(&edit->lock);
    bool stopped = edit->stop;
    pthread_mutex_unlock(&edit->lock);
    if (stopped)
        edit_above(edit, "\n", 1);
    if (text && !edit->interrupted && !stopped) {
        *line = text;
        return EDIT_LINE;
    }
    free(text);
    return stopped ? EDIT_STOPPED : edit->interrupted ? EDIT_INTERRUPTED : EDIT_EOF;
}

static void wake(rl_edit *edit)
{
    uint64_t one = 1;
    ssize_t n = write(edit->wake, &one, sizeof one);
    (void)n;
}

void edit_above(rl_edit *edit, const char *text, size_t len)
{
    pthread_mutex_lock(&edit->lock);
    if (edit->active) {
        buf_add(&edit->above, text, len);
        if (len && text[len - 1] != '\n')
            buf_add(&edit->above, "\n", 1);
    } else {
        edit_write_text(edit, text, len);
        fflush(edit->out);
    }
    pthread_mutex_unlock(&edit->lock);
    wake(edit);
}

void edit_resized(rl_edit *edit)
{
    pthread_mutex_lock(&edit->lock);
    edit->resized = true;
    pthread_mutex_unlock(&edit->lock);
    wake(edit);
}

void edit_stop(rl_edit *edit)
{
    pthread_mutex_lock(&edit->lock);
    edit->stop = true;
    pthread_mutex_unlock(&edit->lock);
    wake(edit);
}

bool edit_active(rl_edit *edit)
{
    pthread_mutex_lock(&edit->lock);
    bool active = edit->active;
    pthread_mutex_unlock(&edit->lock);
    return active;
}

void edit_history_add(rl_edit *edit, const char *line)
{
    HistEvent ev;
    history(edit->history, &ev, H_ENTER, line);
}
