#include "kafka/token/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "base/json.h"

enum { WORDS_MAX = 64, OUTPUT_MAX = 64 << 10, LOOK_MS = 20, LINE_MAX_SHOWN = 200 };

extern char **environ;

typedef struct run {
    char *argv[WORDS_MAX + 1];
    pid_t pid;
    int from[2]; /* its stdout and stderr */
    rl_buf said[2];
    int status;
} run;

static bool words_of(run *r, const char *command)
{
    json_reader reader;
    json_token token;
    int n = 0;
    json_open(&reader, command, strlen(command));
    while ((token = json_next(&reader)) != JSON_ERROR && token != JSON_END)
        if (token == JSON_STRING && n < WORDS_MAX)
            r->argv[n++] = mem_strdup(reader.str.data ? reader.str.data : "");
    json_close(&reader);
    return n > 0;
}

static rl_err *failed(const run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static rl_err *failed(const run *r, const char *fmt, ...)
{
    char why[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return err_new(RL_KAFKA, -1, "TOKEN_COMMAND", "the token command %s failed: %s",
                   r->argv[0] ? r->argv[0] : "", why);
}

/* The others' threads may block signals; what they start shall not. */
static int spawn(run *r, int in, const int to[2])
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, usual;
    sigemptyset(&none);
    sigfillset(&usual);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, 0);
    posix_spawn_file_actions_adddup2(&files, to[0], 1);
    posix_spawn_file_actions_adddup2(&files, to[1], 2);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &usual);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int code = posix_spawnp(&r->pid, r->argv[0], &files, &attr, r->argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return code;
}

static int start(run *r)
{
    int out[2] = {-1, -1}, errs[2] = {-1, -1}, in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int code = in < 0 || pipe2(out, O_CLOEXEC) || pipe2(errs, O_CLOEXEC) ? errno : 0;
    if (!code) {
        r->from[0] = out[0];
        r->from[1] = errs[0];
        fcntl(out[0], F_SETFL, O_NONBLOCK);
        fcntl(errs[0], F_SETFL, O_NONBLOCK);
        code = spawn(r, in, (const int[2]){out[1], errs[1]});
    } else if (out[0] >= 0)
        close(out[0]);
    for (int i = 0; i < 3; i++) {
        int fd = (int[3]){in, out[1], errs[1]}[i];
        if (fd >= 0)
            close(fd);
    }
    return code;
}

static void take_output(run *r)
{
    char chunk[4096];
    for (int i = 0; i < 2; i++) {
        ssize_t n;
        while ((n = read(r->from[i], chunk, sizeof chunk)) > 0)
            if (r->said[i].len < OUTPUT_MAX)
                buf_add(&r->said[i], chunk, (size_t)n);
    }
}

/* Whether it ended in time. A child of its own that keeps the pipes open is not waited for. */
static bool await_end(run *r, int limit_ms)
{
    rl_deadline until = deadline_in_ms(limit_ms);
    for (;;) {
        pid_t got = waitpid(r->pid, &r->status, WNOHANG);
        take_output(r);
        if (got)
            return true;
        if (deadline_passed(until))
            return false;
        struct pollfd fds[2] = {{r->from[0], POLLIN, 0}, {r->from[1], POLLIN, 0}};
        bool ended = poll(fds, 2, 0) > 0 && ((fds[0].revents | fds[1].revents) & POLLHUP);
        poll(fds, ended ? 0 : 2, LOOK_MS);
    }
}

static void kill_group(run *r)
{
    kill(-r->pid, SIGKILL);
    while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR)
        ;
}

static const char *last_line(run *r)
{
    rl_buf *text = &r->said[1];
    while (text->len && strchr(" \r\n\t", text->data[text->len - 1]))
        text->data[--text->len] = '\0';
    if (!text->len)
        return "it wrote nothing to stderr";
    char *line = memrchr(text->data, '\n', text->len);
    line = line ? line + 1 : text->data;
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    if (strlen(line) > LINE_MAX_SHOWN)
        line[LINE_MAX_SHOWN] = '\0';
    kafka_token_hide(line, r->said[0].data);
    return line;
}

static rl_err *outcome(run *r, kafka_token *out)
{
    if (WIFSIGNALED(r->status))
        return failed(r, "signal %d: %s", WTERMSIG(r->status), last_line(r));
    if (WEXITSTATUS(r->status))
        return failed(r, "exit %d: %s", WEXITSTATUS(r->status), last_line(r));
    rl_err *err = kafka_token_read(r->said[0].data ? r->said[0].data : "", r->said[0].len,
                                   clock_unix_ms(), out);
    if (!err)
        return NULL;
    rl_err *named = failed(r, "%s", err->msg);
    err_free(err);
    return named;
}

static void run_free(run *r)
{
    for (int i = 0; r->argv[i]; i++)
        free(r->argv[i]);
    for (int i = 0; i < 2; i++) {
        if (r->said[i].data)
            explicit_bzero(r->said[i].data, r->said[i].len);
        buf_free(&r->said[i]);
        if (r->from[i] >= 0)
            close(r->from[i]);
    }
}

rl_err *kafka_token_run(const char *command, int limit_ms, kafka_token *out)
{
    run r = {.from = {-1, -1}};
    rl_err *err = NULL;
    *out = (kafka_token){0};
    if (!words_of(&r, command))
        err = failed(&r, "there is no command");
    int code = err ? 0 : start(&r);
    if (code)
        err = failed(&r, "%s", strerror(code));
    if (!err && !await_end(&r, limit_ms)) {
        kill_group(&r);
        err = failed(&r, "it took longer than %d ms and was killed: %s", limit_ms, last_line(&r));
    }
    if (!err)
        err = outcome(&r, out);
    run_free(&r);
    return err;
}
