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

enum { HISTORY_DEFAULT = 2000, REST_OF_CHAR_MS = 100 };
#define LITERAL '\1' /* brackets what the prompt contains without width */

/* ---- reading: the place where libedit rests ---- */

/* Takes what other threads asked for; false when editing must stop. */
static bool serve(rl_edit *e)
{
    pthread_mutex_lock(&e->lock);
    rl_buf text = e->above;
    bool stop = e->stop, resized = e->resized;
    e->above = (rl_buf){0};
    e->resized = false;
    pthread_mutex_unlock(&e->lock);
    if (resized)
        el_resize(e->el);
    if (text.len || resized)
        edit_show_above(e, text.data, text.len);
    buf_free(&text);
    return !stop;
}

static int wait_input(rl_edit *e, int ms)
{
    struct pollfd fds[2] = {{.fd = e->in_fd, .events = POLLIN}, {.fd = e->wake, .events = POLLIN}};
    int n = poll(fds, 2, ms);
    if (fds[1].revents & POLLIN) {
        uint64_t count;
        ssize_t got = read(e->wake, &count, sizeof count);
        (void)got;
    }
    if (n < 0)
        return errno == EINTR ? 1 : -1;
    return fds[0].revents ? 2 : n ? 1 : 0;
}

/* More bytes behind those that are there: > 0, or 0 at the end of the input. */
static ssize_t fill(rl_edit *e)
{
    memmove(e->ahead, e->ahead + e->ahead_at, e->ahead_len - e->ahead_at);
    e->ahead_len -= e->ahead_at;
    e->ahead_at = 0;
    ssize_t n = read(e->in_fd, e->ahead + e->ahead_len, EDIT_READ_AHEAD - e->ahead_len);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : 0;
    e->ahead_len += (size_t)n;
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

static wchar_t decode(const unsigned char *p, size_t n)
{
    static const unsigned char mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    wchar_t c = p[0] & mask[n];
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0xFFFD;
        c = c << 6 | (p[i] & 0x3F);
    }
    return c;
}

static bool take_char(rl_edit *e, wchar_t *c)
{
    size_t have = e->ahead_len - e->ahead_at;
    if (!have)
        return false;
    size_t need = utf8_length(e->ahead[e->ahead_at]);
    while (need > have && wait_input(e, REST_OF_CHAR_MS) > 1 && fill(e) > 0)
        have = e->ahead_len - e->ahead_at;
    bool whole = need && need <= have;
    *c = whole ? decode(e->ahead + e->ahead_at, need) : 0xFFFD;
    e->ahead_at += whole ? need : 1;
    return true;
}

static int read_char(EditLine *el, wchar_t *c)
{
    rl_edit *e = edit_of(el);
    for (;;) {
        if (!serve(e)) {
            errno = ECANCELED;
            return -1;
        }
        if (take_char(e, c))
            return 1;
        int ready = wait_input(e, -1);
        if (ready < 0 || (ready > 1 && fill(e) == 0))
            return 0;
    }
}

/* ---- life ---- */

static char *prompt_of(EditLine *el)
{
    return edit_of(el)->prompt.data;
}

/* Brackets escape sequences, so that libedit counts the rest only. */
static void set_prompt(rl_edit *e, const char *prompt)
{
    buf_reset(&e->prompt);
    rl_buf plain = {0};
    buf_str(&plain, "");
    for (const char *p = prompt; *p;) {
        if (*p != '\033') {
            buf_add(&e->prompt, p, 1);
            buf_add(&plain, p++, 1);
            continue;
        }
        size_t n = strcspn(p, "m");
        n += p[n] != '\0';
        buf_u8(&e->prompt, LITERAL);
        buf_add(&e->prompt, p, n);
        buf_u8(&e->prompt, LITERAL);
        p += n;
    }
    buf_str(&e->prompt, "");
    e->prompt_width = edit_text_width(plain.data ? plain.data : "");
    buf_free(&plain);
}

static void set_up(rl_edit *e)
{
    HistEvent ev;
    EditLine *el = e->el;
    history(e->history, &ev, H_SETSIZE, HISTORY_DEFAULT);
    history(e->history, &ev, H_SETUNIQUE, 1);
    el_set(el, EL_CLIENTDATA, e);
    el_set(el, EL_HIST, history, e->history);
    el_set(el, EL_EDITOR, "emacs");
    el_set(el, EL_SIGNAL, 0);
    el_set(el, EL_PROMPT_ESC, prompt_of, LITERAL);
    el_wset(el, EL_GETCFN, read_char);
    edit_bind_keys(e);
    el_source(el, NULL);
    el_set(el, EL_SETTY, "-d", "-isig", "-ixon", NULL);
}

rl_err *edit_open(rl_edit **out, int in_fd, int out_fd, rl_edit_complete complete, void *ud)
{
    if (!isatty(in_fd) || !isatty(out_fd))
        return err_lab("NOT_A_TERMINAL",
                       "a prompt needs a terminal on both standard input and output");
    rl_edit *e = mem_zero(sizeof *e);
    pthread_mutex_init(&e->lock, NULL);
    e->complete = complete;
    e->ud = ud;
    e->in_fd = in_fd;
    e->out_fd = out_fd;
    e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e->in = fdopen(fcntl(in_fd, F_DUPFD_CLOEXEC, 3), "r");
    e->out = fdopen(fcntl(out_fd, F_DUPFD_CLOEXEC, 3), "w");
    e->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = uselocale(e->locale);
    e->history = history_init();
    e->el = el_init("rlab", e->in, e->out, e->out);
    if (e->el)
        set_up(e);
    uselocale(before);
    *out = e;
    if (e->el)
        return NULL;
    edit_close(e);
    *out = NULL;
    return err_lab("TERMINAL", "the line editor cannot drive this terminal (TERM=%s)",
                   getenv("TERM"));
}

void edit_close(rl_edit *e)
{
    if (!e)
        return;
    if (e->el)
        el_end(e->el);
    history_end(e->history);
    if (e->locale)
        freelocale(e->locale);
    fclose(e->in);
    fclose(e->out);
    close(e->wake);
    buf_free(&e->prompt);
    buf_free(&e->above);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static void set_active(rl_edit *e, bool active)
{
    pthread_mutex_lock(&e->lock);
    e->active = active;
    if (!active && e->above.len) {
        edit_write_text(e, e->above.data, e->above.len);
        fflush(e->out);
        buf_reset(&e->above);
    }
    pthread_mutex_unlock(&e->lock);
}

void edit_begin(rl_edit *e)
{
    pthread_mutex_lock(&e->lock);
    e->stop = false;
    pthread_mutex_unlock(&e->lock);
    set_active(e, true);
}

static char *without_newline(const char *text)
{
    return text ? mem_dup(text, strcspn(text, "\r\n")) : NULL;
}

rl_edit_end edit_gets(rl_edit *e, const char *prompt, char **line)
{
    int count = 0;
    *line = NULL;
    locale_t before = uselocale(e->locale);
    set_prompt(e, prompt);
    e->interrupted = false;
    el_set(e->el, EL_PREP_TERM,
           1); /* before the prompt is seen, so that nothing typed is echoed twice */
    char *text = without_newline(el_gets(e->el, &count));
    fflush(e->out);
    uselocale(before);
    set_active(e, false);
    pthread_mutex_lock(&e->lock);
    bool stopped = e->stop;
    pthread_mutex_unlock(&e->lock);
    if (stopped)
        edit_above(e, "\n", 1);
    if (text && !e->interrupted && !stopped) {
        *line = text;
        return EDIT_LINE;
    }
    free(text);
    return stopped ? EDIT_STOPPED : e->interrupted ? EDIT_INTERRUPTED : EDIT_EOF;
}

static void wake(rl_edit *e)
{
    uint64_t one = 1;
    ssize_t n = write(e->wake, &one, sizeof one);
    (void)n;
}

void edit_above(rl_edit *e, const char *text, size_t len)
{
    pthread_mutex_lock(&e->lock);
    if (e->active) {
        buf_add(&e->above, text, len);
        if (len && text[len - 1] != '\n')
            buf_add(&e->above, "\n", 1);
    } else {
        edit_write_text(e, text, len);
        fflush(e->out);
    }
    pthread_mutex_unlock(&e->lock);
    wake(e);
}

void edit_resized(rl_edit *e)
{
    pthread_mutex_lock(&e->lock);
    e->resized = true;
    pthread_mutex_unlock(&e->lock);
    wake(e);
}

void edit_stop(rl_edit *e)
{
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    pthread_mutex_unlock(&e->lock);
    wake(e);
}

bool edit_active(rl_edit *e)
{
    pthread_mutex_lock(&e->lock);
    bool active = e->active;
    pthread_mutex_unlock(&e->lock);
    return active;
}

void edit_history_add(rl_edit *e, const char *line)
{
    HistEvent ev;
    history(e->history, &ev, H_ENTER, line);
}
