#include "term/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct {
    int fd;
    bool guarded, screen;
    struct termios settings;
} guard;

/* The alternate screen without a cursor, and back. */
static const char take_screen[] = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J";
static const char give_screen_back[] = "\x1b[?25h\x1b[?1049l";

static struct {
    int read_fd, real;
    bool on;
} errors;

static void drain_errors(void)
{
    char chunk[4096];
    for (ssize_t n; (n = read(errors.read_fd, chunk, sizeof chunk)) > 0;)
        if (write(errors.real, chunk, (size_t)n) != n)
            return;
}

static void say(const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(guard.fd, text, len);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

void tty_restore(void)
{
    if (guard.screen)
        say(give_screen_back, sizeof give_screen_back - 1);
    guard.screen = false;
    if (guard.guarded)
        tcsetattr(guard.fd, TCSANOW, &guard.settings);
    if (!errors.on)
        return;
    errors.on = false;
    dup2(errors.real, STDERR_FILENO);
    drain_errors();
}

static void on_fatal(int signum)
{
    int saved = errno;
    tty_restore();
    errno = saved;
    signal(signum, SIG_DFL);
    raise(signum);
}

/* Only where nobody else (a sanitizer, nohup) has a say. */
static void catch_default(int signum)
{
    struct sigaction now;
    if (sigaction(signum, NULL, &now) != 0 || now.sa_handler != SIG_DFL)
        return;
    struct sigaction act = {.sa_handler = on_fatal, .sa_flags = SA_NODEFER};
    sigemptyset(&act.sa_mask);
    sigaction(signum, &act, NULL);
}

void tty_guard(int fd)
{
    static const int fatal[] = {SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    if (guard.guarded || tcgetattr(fd, &guard.settings) != 0)
        return;
    guard.fd = fd;
    guard.guarded = true;
    atexit(tty_restore);
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        catch_default(fatal[i]);
}

void tty_take_screen(int fd)
{
    tty_guard(fd);
    if (!guard.guarded || guard.screen)
        return;
    struct termios keys = guard.settings;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    keys.c_cc[VMIN] = 1;
    keys.c_cc[VTIME] = 0;
    keys.c_cc[VSUSP] = _POSIX_VDISABLE;
    tcsetattr(guard.fd, TCSADRAIN, &keys);
    guard.screen = true;
    say(take_screen, sizeof take_screen - 1);
}

rl_err *tty_capture_errors(int *read_fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return err_sys(errno, "pipe");
    errors.real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    errors.read_fd = *read_fd = ends[0];
    errors.on = true;
    return NULL;
}

void tty_release_errors(void)
{
    if (!errors.on)
        return;
    errors.on = false;
    dup2(errors.real, STDERR_FILENO);
    drain_errors();
    close(errors.real);
    close(errors.read_fd);
}
