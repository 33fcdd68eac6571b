#include "evidence/history.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

enum { FLUSH_AT = 65536 };

typedef struct history_actor {
    char *name;   /* as JSON */
    int64_t free; /* the process of it that is free, -1: none */
} history_actor;

typedef struct history_process {
    int actor;
    char *f;           /* of what is outstanding, as JSON; NULL: nothing */
    int64_t next_free; /* of the same actor */
} history_process;

struct rl_history {
    pthread_mutex_t lock;
    char *path;
    int fd, failed; /* errno of the write that failed; EBADF after the close */
    int keepers;
    int64_t start, next;
    history_actor *actors;
    history_process *processes; /* by number */
    int n_actors, cap_actors;
    int64_t n_processes, cap_processes;
    rl_buf buf;
};

rl_err *history_open(const char *path, int64_t start, rl_history **out)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_sys(errno, "cannot write %s", path);
    rl_history *history = mem_zero(sizeof *history);
    pthread_mutex_init(&history->lock, NULL);
    history->path = mem_strdup(path);
    history->fd = fd;
    history->keepers = 1;
    history->start = start ? start : clock_ns();
    *out = history;
    return NULL;
}

static void flush(rl_history *history)
{
    size_t done = 0;
    while (done < history->buf.len && !history->failed) {
        ssize_t n = write(history->fd, history->buf.data + done, history->buf.len - done);
        if (n < 0 && errno != EINTR)
            history->failed = errno;
        done += n > 0 ? (size_t)n : 0;
    }
    buf_reset(&history->buf);
}

static rl_err *state_of(const rl_history *history)
{
    return history->failed ? err_sys(history->failed, "cannot write %s", history->path) : NULL;
}

/* ---- actors and their processes, under the lock ---- */

static char *as_json(const char *text)
{
    rl_buf out = {0};
    json_put_cstr(&out, text);
    return out.data;
}

static int actor_of(rl_history *history, const char *name)
{
    char *json = as_json(name);
    for (int i = 0; i < history->n_actors; i++)
        if (strcmp(history->actors[i].name, json) == 0) {
            free(json);
            return i;
        }
    if (history->n_actors == history->cap_actors) {
        history->cap_actors = history->cap_actors ? 2 * history->cap_actors : 16;
        history->actors =
            mem_grow(history->actors, (size_t)history->cap_actors * sizeof *history->actors);
    }
    history->actors[history->n_actors] = (history_actor){.name = json, .free = -1};
    return history->n_actors++;
}

static int64_t new_process(rl_history *history, int actor)
{
    if (history->n_processes == history->cap_processes) {
        history->cap_processes = history->cap_processes ? 2 * history->cap_processes : 64;
        history->processes = mem_grow(history->processes,
                                      (size_t)history->cap_processes * sizeof *history->processes);
    }
    history->processes[history->n_processes] = (history_process){.actor = actor, .next_free = -1};
    return history->n_processes++;
}

static int64_t take_process(rl_history *history, int actor, const char *f)
{
    int64_t number = history->actors[actor].free;
    if (number >= 0)
        history->actors[actor].free = history->processes[number].next_free;
    else
        number = new_process(history, actor);
    rl_assert(!history->processes[number].f);
    history->processes[number].f = as_json(f);
    return number;
}

static void give_back(rl_history *history, int64_t number, history_type how)
{
    history_process *p = &history->processes[number];
    free(p->f);
    p->f = NULL;
    if (how == HISTORY_INFO)
        return;
    p->next_free = history->actors[p->actor].free;
    history->actors[p->actor].free = number;
}

static bool outstanding(const rl_history *history, int64_t number)
{
    return number >= 0 && number < history->n_processes && history->processes[number].f;
}

static void free_processes(rl_history *history)
{
    for (int i = 0; i < history->n_actors; i++)
        free(history->actors[i].name);
    for (int64_t i = 0; i < history->n_processes; i++)
        free(history->processes[i].f);
    free(history->actors);
    free(history->processes);
}

/* ---- lines ---- */

static void put_line(rl_history *history, int64_t number, history_type type, const char *value,
                     const char *error)
{
    static const char *const types[] = {"invoke", "ok", "fail", "info"};
    const history_process *p = &history->processes[number];
    rl_buf *out = &history->buf;
    buf_printf(out, "{\"index\":%lld,\"time\":%lld,\"process\":%lld,\"type\":\"%s\"",
               (long long)history->next++, (long long)(clock_ns() - history->start),
               (long long)number, types[type]);
    buf_printf(out, ",\"f\":%s,\"value\":%s", p->f, value);
    if (error) {
        buf_str(out, ",\"error\":");
        json_put_cstr(out, error);
    }
    buf_printf(out, ",\"actor\":%s}\n", history->actors[p->actor].name);
    if (out->len >= FLUSH_AT)
        flush(history);
}

rl_err *history_invoke(rl_history *history, const char *actor, const char *f, const char *value,
                       int64_t *process)
{
    rl_assert(actor && f && value);
    *process = -1;
    pthread_mutex_lock(&history->lock);
    if (!history->failed) {
        *process = take_process(history, actor_of(history, actor), f);
        put_line(history, *process, HISTORY_INVOKE, value, NULL);
    }
    rl_err *err = state_of(history);
    pthread_mutex_unlock(&history->lock);
    return err;
}

static void complete(rl_history *history, int64_t process, history_type how, const char *value,
                     const char *error)
{
    rl_assert(outstanding(history, process) && how != HISTORY_INVOKE);
    put_line(history, process, how, value, error);
    give_back(history, process, how);
}

rl_err *history_complete(rl_history *history, int64_t process, history_type how, const char *value,
                         const char *error)
{
    pthread_mutex_lock(&history->lock);
    if (!history->failed)
        complete(history, process, how, value, error);
    rl_err *err = state_of(history);
    pthread_mutex_unlock(&history->lock);
    return err;
}

bool history_outstanding(rl_history *history, int64_t process)
{
    pthread_mutex_lock(&history->lock);
    bool is = outstanding(history, process);
    pthread_mutex_unlock(&history->lock);
    return is;
}

rl_err *history_flush(rl_history *history)
{
    pthread_mutex_lock(&history->lock);
    flush(history);
    rl_err *err = state_of(history);
    pthread_mutex_unlock(&history->lock);
    return err;
}

int64_t history_count(rl_history *history)
{
    pthread_mutex_lock(&history->lock);
    int64_t n = history->next;
    pthread_mutex_unlock(&history->lock);
    return n;
}

void history_keep(rl_history *history)
{
    pthread_mutex_lock(&history->lock);
    rl_assert(history->keepers > 0);
    history->keepers++;
    pthread_mutex_unlock(&history->lock);
}

void history_drop(rl_history *history)
{
    pthread_mutex_lock(&history->lock);
    rl_assert(history->keepers > 0);
    bool last = --history->keepers == 0;
    pthread_mutex_unlock(&history->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&history->lock);
    free_processes(history);
    buf_free(&history->buf);
    free(history->path);
    free(history);
}

static void end_outstanding(rl_history *history)
{
    for (int64_t i = 0; i < history->n_processes && !history->failed; i++)
        if (outstanding(history, i))
            complete(history, i, HISTORY_INFO, "null",
                     "it had not ended when the history was closed");
}

rl_err *history_close(rl_history *history)
{
    pthread_mutex_lock(&history->lock);
    end_outstanding(history);
    flush(history);
    rl_err *err = state_of(history);
    if (close(history->fd) != 0 && !err)
        err = err_sys(errno, "cannot write %s", history->path);
    history->failed = EBADF;
    pthread_mutex_unlock(&history->lock);
    history_drop(history);
    return err;
}
