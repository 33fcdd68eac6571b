#include "loop/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

enum { READ_CHUNK = 65536, END_MS = 5000, DRAIN_MAX = 64 };

typedef struct stream {
    uv_pipe_t pipe;
    rl_proc *p;
    bool captured, open;
    rl_buf buf;
    uint64_t dropped;
} stream;

struct rl_proc {
    uv_process_t process;
    stream out[2]; /* stdout, stderr */
    uv_pipe_t in;
    bool in_open, detached, abandoned, exited, process_open;
    char *name; /* the program, as it was called */
    int pid, code, signum, uv_open;
    size_t max_output;
    void (*changed)(rl_proc *, void *);
    void *arg;
    rl_proc *prev, *next;
};

typedef struct killed_child {
    int pid, fd;
} killed_child;

/* Every child whose uv handles are open, whoever owns it. */
static rl_proc *all;

static void link_in(rl_proc *p)
{
    p->next = all;
    if (all)
        all->prev = p;
    all = p;
}

static void link_out(rl_proc *p)
{
    *(p->prev ? &p->prev->next : &all) = p->next;
    if (p->next)
        p->next->prev = p->prev;
}

static void free_when_done(rl_proc *p)
{
    if (!p->abandoned || p->uv_open)
        return;
    link_out(p);
    buf_free(&p->out[0].buf);
    buf_free(&p->out[1].buf);
    free(p->name);
    free(p);
}

static void on_closed(uv_handle_t *handle)
{
    rl_proc *p = handle->data;
    p->uv_open--;
    free_when_done(p);
}

static void close_uv(rl_proc *p, uv_handle_t *handle, bool *open)
{
    if (!*open)
        return;
    *open = false;
    handle->data = p;
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void notify(rl_proc *p)
{
    if (p->changed && !p->abandoned)
        p->changed(p, p->arg);
}

/* ---- output ---- */

/* Twice the limit is held before the older half goes, so that each byte is moved once. */
static void keep(stream *s, const char *bytes, size_t n)
{
    size_t max = s->p->max_output;
    buf_add(&s->buf, bytes, n);
    if (s->buf.len <= 2 * max)
        return;
    size_t excess = s->buf.len - max;
    memmove(s->buf.data, s->buf.data + excess, max);
    s->buf.len = max;
    s->buf.data[max] = '\0';
    s->dropped += excess;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static _Thread_local char chunk[READ_CHUNK];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(chunk, sizeof chunk);
}

static void close_stream(stream *s)
{
    close_uv(s->p, (uv_handle_t *)&s->pipe, &s->open);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    stream *s = (stream *)handle;
    if (n == 0)
        return;
    if (n > 0)
        keep(s, buf->base, (size_t)n);
    else
        close_stream(s);
    notify(s->p);
}

/* What the child wrote before it ended lies in the pipe already; it is taken at once, so that
 * whoever waits for the exit sees all output even when a grandchild keeps the pipe open. */
static void drain(stream *s)
{
    uv_os_fd_t fd;
    uv_buf_t buf;
    if (!s->open || uv_fileno((uv_handle_t *)&s->pipe, &fd) != 0)
        return;
    on_alloc(NULL, 0, &buf);
    for (int i = 0; i < DRAIN_MAX; i++) {
        ssize_t n = read(fd, buf.base, buf.len);
        if (n <= 0)
            return;
        keep(s, buf.base, (size_t)n);
    }
}

static void on_exit_(uv_process_t *process, int64_t code, int signum)
{
    rl_proc *p = (rl_proc *)process;
    p->exited = true;
    p->code = (int)code;
    p->signum = signum;
    drain(&p->out[0]);
    drain(&p->out[1]);
    close_uv(p, (uv_handle_t *)&p->process, &p->process_open);
    close_uv(p, (uv_handle_t *)&p->in, &p->in_open);
    notify(p);
}

/* ---- spawn ---- */

typedef struct stdio {
    uv_stdio_container_t io[3];
    int opened[3]; /* our copies of what the child inherits, closed after the spawn */
    int ours[3];   /* our ends of the pipes */
} stdio;

static void close_fds(int *fds)
{
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static rl_err *stdio_pipe(stdio *w, int fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(errno, "pipe");
    w->ours[fd] = ends[fd == 0];
    w->opened[fd] = ends[fd != 0];
    return NULL;
}

static rl_err *stdio_file(stdio *w, int fd, const char *path)
{
    int flags = fd == 0 ? O_RDONLY : O_WRONLY | O_APPEND | O_CREAT;
    w->opened[fd] = open(path, flags | O_CLOEXEC, 0644);
    return w->opened[fd] < 0 ? err_sys(errno, "cannot open %s", path) : NULL;
}

static rl_err *stdio_of(stdio *w, int fd, const proc_io *io)
{
    rl_err *err = NULL;
    int inherit = fd;
    if (io->kind == PROC_NULL)
        return NULL;
    if (io->kind == PROC_PIPE)
        err = stdio_pipe(w, fd);
    else if (io->kind == PROC_FILE)
        err = stdio_file(w, fd, io->path);
    if (io->kind == PROC_AS_STDOUT) {
        w->io[fd] = w->io[1];
        return NULL;
    }
    if (w->opened[fd] >= 0)
        inherit = w->opened[fd];
    w->io[fd].flags = UV_INHERIT_FD;
    w->io[fd].data.fd = inherit;
    return err;
}

static rl_err *stdio_all(stdio *w, const proc_opts *opts)
{
    rl_err *err = NULL;
    for (int i = 0; i < 3; i++) {
        w->opened[i] = w->ours[i] = -1;
        w->io[i].flags = UV_IGNORE;
    }
    for (int i = 0; i < 3 && !err; i++)
        err = stdio_of(w, i, &opts->io[i]);
    return err;
}

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Sockets of client libraries are not all close-on-exec; a child that inherited one would keep a
 * connection, and its locks, alive after our death. */
static void keep_our_files(void)
{
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (atoi(e->d_name) > 2)
            fcntl(atoi(e->d_name), F_SETFD, FD_CLOEXEC);
    if (dir)
        closedir(dir);
}

static rl_err *start(rl_proc *p, uv_loop_t *loop, const proc_opts *opts, stdio *w)
{
    if (opts->cwd && !is_dir(opts->cwd))
        return err_sys(ENOTDIR, "cannot start %s in %s", opts->argv[0], opts->cwd);
    keep_our_files();
    uv_process_options_t options = {.file = opts->argv[0],
                                    .args = opts->argv,
                                    .env = opts->env,
                                    .cwd = opts->cwd,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio = w->io,
                                    .stdio_count = 3,
                                    .exit_cb = on_exit_};
    int rc = uv_spawn(loop, &p->process, &options);
    p->process_open = true;
    p->uv_open++;
    if (rc == 0)
        return NULL;
    close_uv(p, (uv_handle_t *)&p->process, &p->process_open);
    return err_sys(-rc, "cannot start %s", opts->argv[0]);
}

static void open_pipe(rl_proc *p, uv_loop_t *loop, uv_pipe_t *pipe, int fd, bool *open)
{
    uv_pipe_init(loop, pipe, 0);
    pipe->data = p;
    uv_pipe_open(pipe, fd);
    *open = true;
    p->uv_open++;
}

static void open_pipes(rl_proc *p, uv_loop_t *loop, stdio *w)
{
    if (w->ours[0] >= 0)
        open_pipe(p, loop, &p->in, w->ours[0], &p->in_open);
    for (int i = 0; i < 2; i++) {
        stream *s = &p->out[i];
        if (w->ours[i + 1] < 0)
            continue;
        s->captured = true;
        open_pipe(p, loop, &s->pipe, w->ours[i + 1], &s->open);
        uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read);
    }
    w->ours[0] = w->ours[1] = w->ours[2] = -1;
}

rl_err *proc_spawn(uv_loop_t *loop, const proc_opts *opts, rl_proc **out)
{
    static bool armed;
    rl_assert(opts->argv && opts->argv[0] && opts->max_output > 0);
    stdio w = {0};
    rl_proc *p = mem_zero(sizeof *p);
    p->out[0].p = p->out[1].p = p;
    p->name = mem_strdup(opts->argv[0]);
    p->detached = opts->detached;
    p->max_output = opts->max_output;
    p->changed = opts->changed;
    p->arg = opts->arg;
    link_in(p);
    rl_err *err = stdio_all(&w, opts);
    if (!err)
        err = start(p, loop, opts, &w);
    close_fds(w.opened);
    if (err) {
        close_fds(w.ours);
        p->abandoned = true;
        free_when_done(p);
        return err;
    }
    p->pid = p->process.pid;
    open_pipes(p, loop, &w);
    if (!armed)
        armed = atexit(proc_kill_all) == 0;
    *out = p;
    return NULL;
}

/* ---- what the owner asks ---- */

int proc_pid(const rl_proc *p)
{
    return p->pid;
}

bool proc_exited(const rl_proc *p, int *code, int *signum)
{
    *code = p->code;
    *signum = p->signum;
    return p->exited;
}

bool proc_captures(const rl_proc *p, int fd)
{
    rl_assert(fd == 1 || fd == 2);
    return p->out[fd - 1].captured;
}

bool proc_stream_ended(const rl_proc *p, int fd)
{
    rl_assert(fd == 1 || fd == 2);
    return p->exited || !p->out[fd - 1].open;
}

proc_output proc_output_of(const rl_proc *p, int fd)
{
    rl_assert(fd == 1 || fd == 2);
    const stream *s = &p->out[fd - 1];
    size_t skip = s->buf.len > p->max_output ? s->buf.len - p->max_output : 0;
    return (proc_output){s->buf.data ? s->buf.data + skip : "", s->buf.len - skip,
                         s->dropped + skip};
}

rl_err *proc_signal(rl_proc *p, int signum)
{
    if (p->exited)
        return err_sys(ESRCH, "%s (pid %d) has ended by %s %d", p->name, p->pid,
                       p->signum ? "signal" : "exit code", p->signum ? p->signum : p->code);
    return kill(p->pid, signum) == 0 ? NULL : err_sys(errno, "signal to pid %d", p->pid);
}

bool proc_takes_input(const rl_proc *p)
{
    return p->in_open;
}

typedef struct write_req {
    uv_write_t req;
    void (*done)(void *arg, int status);
    void *arg;
    char bytes[];
} write_req;

static void on_written(uv_write_t *req, int status)
{
    write_req *w = (write_req *)req;
    w->done(w->arg, status);
    free(w);
}

rl_err *proc_write(rl_proc *p, const void *bytes, size_t n, void (*done)(void *, int), void *arg)
{
    if (n > UINT_MAX)
        return err_lab("LIMIT", "%zu bytes are too many for one write", n);
    write_req *w = mem_alloc(sizeof *w + n);
    w->done = done;
    w->arg = arg;
    memcpy(w->bytes, bytes, n);
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)n);
    int rc = uv_write(&w->req, (uv_stream_t *)&p->in, &buf, 1, on_written);
    if (rc == 0)
        return NULL;
    free(w);
    return err_sys(-rc, "write to the stdin of pid %d", p->pid);
}

void proc_end_input(rl_proc *p)
{
    close_uv(p, (uv_handle_t *)&p->in, &p->in_open);
}

/* ---- the end ---- */

static void kill_group(const rl_proc *p)
{
    if (p->pid > 1 && !p->exited && !p->detached)
        kill(-p->pid, SIGKILL);
}

static void close_pipes(rl_proc *p)
{
    close_stream(&p->out[0]);
    close_stream(&p->out[1]);
    close_uv(p, (uv_handle_t *)&p->in, &p->in_open);
}

void *proc_abandon(rl_proc *p)
{
    killed_child *g = NULL;
    if (!p->exited && !p->detached) {
        g = mem_alloc(sizeof *g);
        *g = (killed_child){p->pid, (int)syscall(SYS_pidfd_open, p->pid, 0)};
        kill_group(p);
    }
    p->abandoned = true;
    close_pipes(p);
    free_when_done(p);
    return g;
}

static bool still_there(int pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

void proc_await_end(void *arg)
{
    killed_child *g = arg;
    if (!g)
        return;
    if (g->fd >= 0) {
        struct pollfd pfd = {.fd = g->fd, .events = POLLIN};
        while (poll(&pfd, 1, END_MS) < 0 && errno == EINTR)
            ;
        close(g->fd);
    } else {
        /* A kernel without pidfd_open. */
        for (int ms = 0; ms < END_MS && still_there(g->pid); ms++)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    free(g);
}

void proc_kill_all(void)
{
    for (const rl_proc *p = all; p; p = p->next)
        kill_group(p);
}

void proc_close_all(void)
{
    proc_kill_all();
    for (rl_proc *p = all, *next; p; p = next) {
        next = p->next;
        p->abandoned = true;
        close_pipes(p);
        close_uv(p, (uv_handle_t *)&p->process, &p->process_open);
        free_when_done(p);
    }
}
