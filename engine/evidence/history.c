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
    rl_history *h = mem_zero(sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    h->path = mem_strdup(path);
    h->fd = fd;
    h->keepers = 1;
    h->start = start ? start : clock_ns();
    *out = h;
    return NULL;
}

static void flush(rl_history *h)
{
    size_t done = 0;
    while (done < h->buf.len && !h->failed) {
        ssize_t n = write(h->fd, h->buf.data + done, h->buf.len - done);
        if (n < 0 && errno != EINTR)
            h->failed = errno;
        done += n > 0 ? (size_t)n : 0;
    }
    buf_reset(&h->buf);
}

static rl_err *state_of(const rl_history *h)
{
    return h->failed ? err_sys(h->failed, "cannot write %s", h->path) : NULL;
}

/* ---- actors and their processes, under the lock ---- */

static char *as_json(const char *text)
{
    rl_buf out = {0};
    json_put_cstr(&out, text);
    return out.data;
}

static int actor_of(rl_history *h, const char *name)
{
    char *json = as_json(name);
    for (int i = 0; i < h->n_actors; i++)
        if (strcmp(h->actors[i].name, json) == 0) {
            free(json);
            return i;
        }
    if (h->n_actors == h->cap_actors) {
        h->cap_actors = h->cap_actors ? 2 * h->cap_actors : 16;
        h->actors = mem_grow(h->actors, (size_t)h->cap_actors * sizeof *h->actors);
    }
    h->actors[h->n_actors] = (history_actor){.name = json, .free = -1};
    return h->n_actors++;
}

static int64_t new_process(rl_history *h, int actor)
{
    if (h->n_processes == h->cap_processes) {
        h->cap_processes = h->cap_processes ? 2 * h->cap_processes : 64;
        h->processes = mem_grow(h->processes, (size_t)h->cap_processes * sizeof *h->processes);
    }
    h->processes[h->n_processes] = (history_process){.actor = actor, .next_free = -1};
    return h->n_processes++;
}

static int64_t take_process(rl_history *h, int actor, const char *f)
{
    int64_t number = h->actors[actor].free;
    if (number >= 0)
        h->actors[actor].free = h->processes[number].next_free;
    else
        number = new_process(h, actor);
    rl_assert(!h->processes[number].f);
    h->processes[number].f = as_json(f);
    return number;
}

static void give_back(rl_history *h, int64_t number, history_type how)
{
    history_process *p = &h->processes[number];
    free(p->f);
    p->f = NULL;
    if (how == HISTORY_INFO)
        return;
    p->next_free = h->actors[p->actor].free;
    h->actors[p->actor].free = number;
}

static bool outstanding(const rl_history *h, int64_t number)
{
    return number >= 0 && number < h->n_processes && h->processes[number].f;
}

static void free_processes(rl_history *h)
{
    for (int i = 0; i < h->n_actors; i++)
        free(h->actors[i].name);
    for (int64_t i = 0; i < h->n_processes; i++)
        free(h->processes[i].f);
    free(h->actors);
    free(h->processes);
}

/* ---- lines ---- */

static void put_line(rl_history *h, int64_t number, history_type type, const char *value,
                     const char *error)
{
    static const char *const types[] = {"invoke", "ok", "fail", "info"};
    const history_process *p = &h->processes[number];
    rl_buf *out = &h->buf;
    buf_printf(out, "{\"index\":%lld,\"time\":%lld,\"process\":%lld,\"type\":\"%s\"",
               (long long)h->next++, (long long)(clock_ns() - h->start), (long long)number,
               types[type]);
    buf_printf(out, ",\"f\":%s,\"value\":%s", p->f, value);
    if (error) {
        buf_str(out, ",\"error\":");
        json_put_cstr(out, error);
    }
    buf_printf(out, ",\"actor\":%s}\n", h->actors[p->actor].name);
    if (out->len >= FLUSH_AT)
        flush(h);
}

rl_err *history_invoke(rl_history *h, const char *actor, const char *f, const char *value,
                       int64_t *process)
{
    rl_assert(actor && f && value);
    *process = -1;
    pthread_mutex_lock(&h->lock);
    if (!h->failed) {
        *process = take_process(h, actor_of(h, actor), f);
        put_line(h, *process, HISTORY_INVOKE, value, NULL);
    }
    rl_err *err = state_of(h);
    pthread_mutex_unlock(&h->lock);
    return err;
}

static void complete(rl_history *h, int64_t process, history_type how, const char *value,
                     const char *error)
{
    rl_assert(outstanding(h, process) && how != HISTORY_INVOKE);
    put_line(h, process, how, value, error);
    give_back(h, process, how);
}

rl_err *history_complete(rl_history *h, int64_t process, history_type how, const char *value,
                         const char *error)
{
    pthread_mutex_lock(&h->lock);
    if (!h->failed)
        complete(h, process, how, value, error);
    rl_err *err = state_of(h);
    pthread_mutex_unlock(&h->lock);
    return err;
}

bool history_outstanding(rl_history *h, int64_t process)
{
    pthread_mutex_lock(&h->lock);
    bool is = outstanding(h, process);
    pthread_mutex_unlock(&h->lock);
    return is;
}

rl_err *history_flush(rl_history *h)
{
    pthread_mutex_lock(&h->lock);
    flush(h);
    rl_err *err = state_of(h);
    pthread_mutex_unlock(&h->lock);
    return err;
}

int64_t history_count(rl_history *h)
{
    pthread_mutex_lock(&h->lock);
    int64_t n = h->next;
    pthread_mutex_unlock(&h->lock);
    return n;
}

void history_keep(rl_history *h)
{
    pthread_mutex_lock(&h->lock);
    rl_assert(h->keepers > 0);
    h->keepers++;
    pthread_mutex_unlock(&h->lock);
}

void history_drop(rl_history *h)
{
    pthread_mutex_lock(&h->lock);
    rl_assert(h->keepers > 0);
    bool last = --h->keepers == 0;
    pthread_mutex_unlock(&h->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&h->lock);
    free_processes(h);
    buf_free(&h->buf);
    free(h->path);
    free(h);
}

static void end_outstanding(rl_history *h)
{
    for (int64_t i = 0; i < h->n_processes && !h->failed; i++)
        if (outstanding(h, i))
            complete(h, i, HISTORY_INFO, "null", "it had not ended when the history was closed");
}

rl_err *history_close(rl_history *h)
{
    pthread_mutex_lock(&h->lock);
    end_outstanding(h);
    flush(h);
    rl_err *err = state_of(h);
    if (close(h->fd) != 0 && !err)
        err = err_sys(errno, "cannot write %s", h->path);
    h->failed = EBADF;
    pthread_mutex_unlock(&h->lock);
    history_drop(h);
    return err;
}
