#include "evidence/history.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

enum { FLUSH_AT = 65536 };

struct rl_history {
    pthread_mutex_t lock;
    char *path;
    int fd, failed; /* errno of the write that failed; EBADF after the close */
    int keepers;
    int64_t start, next;
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

static void put_op(rl_history *h, const history_op *op)
{
    static const char *const types[] = {"invoke", "ok", "fail", "info"};
    rl_buf *out = &h->buf;
    int64_t at = op->at ? op->at : clock_ns();
    buf_printf(out, "{\"index\":%lld,\"time\":%lld,\"process\":%s,\"type\":\"%s\",\"f\":",
               (long long)h->next, (long long)(at - h->start), op->process, types[op->type]);
    json_put_cstr(out, op->f);
    buf_printf(out, ",\"value\":%s", op->value);
    if (op->error) {
        buf_str(out, ",\"error\":");
        json_put_cstr(out, op->error);
    }
    buf_str(out, "}\n");
}

rl_err *history_add(rl_history *h, const history_op *op, int64_t *index)
{
    rl_assert(op->f && op->value && op->process && op->type <= HISTORY_INFO);
    pthread_mutex_lock(&h->lock);
    put_op(h, op);
    *index = h->next++;
    if (h->buf.len >= FLUSH_AT)
        flush(h);
    rl_err *err = state_of(h);
    pthread_mutex_unlock(&h->lock);
    return err;
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
    buf_free(&h->buf);
    free(h->path);
    free(h);
}

rl_err *history_close(rl_history *h)
{
    pthread_mutex_lock(&h->lock);
    flush(h);
    rl_err *err = state_of(h);
    if (close(h->fd) != 0 && !err)
        err = err_sys(errno, "cannot write %s", h->path);
    h->failed = EBADF;
    pthread_mutex_unlock(&h->lock);
    history_drop(h);
    return err;
}
