#include "bind/bind_child.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "bind/errs.h"
#include "bind/handle.h"
#include "bind/opts.h"
#include "bind/timed.h"
#include "loop/proc.h"
#include "loop/procfs.h"

enum { UV_PID = 1, UV_START = 2, MAX_OUTPUT = 1 << 20 };

extern char **environ;

typedef struct waiter {
    rl_timed timed; /* first */
    rl_handle *h;
    struct waiter *next;
    int fd; /* 0: waits for the exit; else for a line of this stream */
    uint64_t cursor;
} waiter;

static void child_detach(rl_handle *h);
static const rl_handle_type child_type = {
    .name = "process", .close = proc_bury, .detach = child_detach};

/* ---- signals ---- */

const char *signal_name(int signum)
{
    const char *name = sigabbrev_np(signum);
    return name ? name : "UNKNOWN";
}

int signal_arg(lua_State *L, int idx, int def)
{
    if (lua_isnoneornil(L, idx))
        return def;
    if (lua_type(L, idx) == LUA_TNUMBER) {
        lua_Integer n = luaL_checkinteger(L, idx);
        luaL_argcheck(L, n >= 0 && n < NSIG, idx, "no such signal");
        return (int)n;
    }
    const char *text = luaL_checkstring(L, idx);
    const char *bare = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;
    for (int i = 1; i < NSIG; i++) {
        const char *name = sigabbrev_np(i);
        if (name && strcmp(name, bare) == 0)
            return i;
    }
    return luaL_error(
        L, "'%s' is no signal; write \"KILL\", \"TERM\", \"STOP\", \"CONT\", ... or a number",
        text);
}

typedef struct see_job {
    rl_await await;
    int pid, signum;
    int64_t start;
    atomic_bool cancelled;
} see_job;

/* A signal is sent at once but takes effect when the last thread notices. */
static bool effective(const see_job *job)
{
    return procfs_stopped(job->pid) == (job->signum == SIGSTOP);
}

static void see_run(rl_await *a)
{
    enum { STEP_US = 200, LIMIT_US = 5000000 };
    see_job *job = (see_job *)a;
    if (!procfs_alive(job->pid, job->start))
        a->err = err_sys(ESRCH, "pid %d", job->pid);
    else if (kill(job->pid, job->signum) != 0)
        a->err = err_sys(errno, "signal %s to pid %d", signal_name(job->signum), job->pid);
    for (int us = 0; !a->err && !effective(job); us += STEP_US) {
        if (!procfs_alive(job->pid, job->start))
            a->err = err_sys(ESRCH, "pid %d ended meanwhile", job->pid);
        else if (atomic_load(&job->cancelled))
            a->err = err_lab("CANCELLED", "the call was cancelled");
        else if (us >= LIMIT_US)
            a->err = err_lab("TIMEOUT", "pid %d did not react to %s", job->pid,
                             signal_name(job->signum));
        nanosleep(&(struct timespec){.tv_nsec = STEP_US * 1000}, NULL);
    }
}

static void see_cancel(rl_await *a)
{
    atomic_store(&((see_job *)a)->cancelled, true);
}

int signal_and_see(lua_State *L, int pid, lua_Integer start, int signum)
{
    see_job *job = await_new(sizeof *job, see_run, NULL, NULL);
    job->pid = pid;
    job->start = start;
    job->signum = signum;
    job->await.cancel = see_cancel;
    return await_job(L, 0, &job->await);
}

/* ---- waiters ---- */

static void forget(rl_timed *t)
{
    waiter *w = (waiter *)t;
    waiter **p = (waiter **)&w->h->extra;
    while (*p && *p != w)
        p = &(*p)->next;
    if (*p)
        *p = w->next;
}

static waiter *waiter_new(lua_State *L, rl_handle *h, int (*push)(lua_State *, rl_wait *))
{
    waiter *w = timed_new(L, sizeof *w, push);
    w->timed.forget = forget;
    w->h = h;
    w->next = h->extra;
    h->extra = w;
    return w;
}

typedef struct line {
    const char *text;
    size_t len;
    uint64_t next; /* the cursor behind it */
} line;

/* The first line at or after the cursor. What was dropped in between is skipped up to the next whole line; a last line without an end counts once the
 * stream has ended. */
static bool find_line(const rl_proc *p, int fd, uint64_t cursor, line *out)
{
    proc_output o = proc_output_of(p, fd);
    const char *at = o.data, *end = o.data + o.len;
    if (cursor > o.dropped)
        at += cursor - o.dropped;
    const char *nl = memchr(at, '\n', (size_t)(end - at));
    if (cursor < o.dropped && nl) {
        at = nl + 1;
        nl = memchr(at, '\n', (size_t)(end - at));
    }
    const char *to = nl ? nl : end;
    *out = (line){at, (size_t)(to - at), o.dropped + (uint64_t)(to - o.data) + (nl != NULL)};
    return nl || (to > at && proc_stream_ended(p, fd));
}

static bool satisfied(const waiter *w)
{
    int code, signum;
    if (!w->h->impl)
        return true;
    if (!w->fd)
        return proc_exited(w->h->impl, &code, &signum);
    line found;
    return find_line(w->h->impl, w->fd, w->cursor, &found) || proc_stream_ended(w->h->impl, w->fd);
}

static void wake_satisfied(rl_handle *h)
{
    for (waiter *w = h->extra, *next; w; w = next) {
        next = w->next;
        if (satisfied(w))
            timed_wake(&w->timed);
    }
}

static void child_changed(rl_proc *p, void *arg)
{
    int code, signum;
    if (proc_exited(p, &code, &signum))
        handle_settle(arg);
    wake_satisfied(arg);
}

static void child_detach(rl_handle *h)
{
    void *grave = proc_abandon(h->impl);
    h->impl = NULL;
    wake_satisfied(h);
    h->impl = grave;
}

/* ---- spawn ---- */

/* Pushes a table that keeps the strings alive and returns the array of them, collected with the stack. */
static char **string_array(lua_State *L, lua_Integer n)
{
    char **list = lua_newuserdatauv(L, sizeof *list * (size_t)(n + 1), 1);
    memset(list, 0, sizeof *list * (size_t)(n + 1));
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, 1);
    return list;
}

/* Takes the string on top into the array whose keeper table lies at `keep`. */
static void array_add(lua_State *L, char **list, int *n, int keep)
{
    list[(*n)++] = (char *)lua_tostring(L, -1);
    lua_rawseti(L, keep, *n);
}

static char **read_cmd(lua_State *L, int idx)
{
    if (lua_getfield(L, idx, "cmd") != LUA_TTABLE || luaL_len(L, -1) == 0)
        luaL_error(L, "process.spawn: cmd = {\"program\", \"argument\", ...} expected");
    int cmd = lua_gettop(L), n = 0;
    lua_Integer len = luaL_len(L, cmd);
    char **argv = string_array(L, len);
    for (lua_Integer i = 1; i <= len; i++) {
        int type = lua_geti(L, cmd, i);
        if (type != LUA_TSTRING && type != LUA_TNUMBER)
            luaL_error(L, "process.spawn: cmd[%I] is a %s, a string is expected", (LUAI_UACINT)i,
                       lua_typename(L, type));
        array_add(L, argv, &n, cmd + 2);
    }
    return argv;
}

static bool overridden(lua_State *L, int env, const char *entry)
{
    const char *eq = strchr(entry, '=');
    lua_pushlstring(L, entry, eq ? (size_t)(eq - entry) : strlen(entry));
    bool yes = lua_rawget(L, env) != LUA_TNIL;
    lua_pop(L, 1);
    return yes;
}

static void add_own_env(lua_State *L, int env, char **list, int *n, int keep)
{
    for (lua_pushnil(L); lua_next(L, env); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "process.spawn: env = {NAME = \"value\"} expected");
        if (lua_isboolean(L, -1) && !lua_toboolean(L, -1))
            continue;
        const char *value = luaL_tolstring(L, -1, NULL);
        lua_pushfstring(L, "%s=%s", lua_tostring(L, -3), value);
        array_add(L, list, n, keep);
        lua_pop(L, 1);
    }
}

/* Our environment with the changes of `env`; a variable that is false there is taken out. */
static char **read_env(lua_State *L, int idx)
{
    bool clear = opts_bool(L, idx, "clear_env", false);
    if (lua_getfield(L, idx, "env") == LUA_TNIL)
        lua_newtable(L), lua_replace(L, -2);
    luaL_checktype(L, -1, LUA_TTABLE);
    int env = lua_gettop(L), n = 0;
    lua_Integer count = 0;
    for (char **e = environ; *e; e++)
        count++;
    for (lua_pushnil(L); lua_next(L, env); lua_pop(L, 1))
        count++;
    char **list = string_array(L, count);
    for (char **e = environ; *e && !clear; e++) {
        if (overridden(L, env, *e))
            continue;
        lua_pushstring(L, *e);
        array_add(L, list, &n, env + 2);
    }
    add_own_env(L, env, list, &n, env + 2);
    return list;
}

static proc_io read_io(lua_State *L, int idx, const char *key, const char *def)
{
    static const char *const words[] = {"null", "inherit", "capture", "pipe", "stdout", NULL};
    const char *text = opts_str(L, idx, key, def);
    bool input = strcmp(key, "stdin") == 0;
    if (strcmp(text, "null") == 0)
        return (proc_io){PROC_NULL, NULL};
    if (strcmp(text, "inherit") == 0)
        return (proc_io){PROC_INHERIT, NULL};
    if (strcmp(text, input ? "pipe" : "capture") == 0)
        return (proc_io){PROC_PIPE, NULL};
    if (strcmp(key, "stderr") == 0 && strcmp(text, "stdout") == 0)
        return (proc_io){PROC_AS_STDOUT, NULL};
    if (!strpbrk(text, "/.")) {
        const char *near = units_nearest(text, words);
        luaL_error(
            L, "process.spawn: %s = '%s' is neither \"null\", \"inherit\", \"%s\" nor a path%s%s%s",
            key, text, input ? "pipe" : "capture", near ? "; did you mean '" : "", near ? near : "",
            near ? "'?" : "");
    }
    return (proc_io){PROC_FILE, text};
}

static proc_opts read_opts(lua_State *L)
{
    static const char *const keys[] = {"cmd",    "env",    "clear_env", "cwd",        "stdin",
                                       "stdout", "stderr", "detached",  "max_output", NULL};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    opts_check(L, 1, "process.spawn", keys);
    proc_opts o = {.detached = opts_bool(L, 1, "detached", false),
                   .cwd = opts_str(L, 1, "cwd", NULL)};
    int64_t max = opts_size(L, 1, "max_output", MAX_OUTPUT);
    luaL_argcheck(L, max > 0, 1, "max_output must be positive");
    o.max_output = (size_t)max;
    const char *out = o.detached ? "null" : "capture";
    o.io[0] = read_io(L, 1, "stdin", "null");
    o.io[1] = read_io(L, 1, "stdout", out);
    o.io[2] = read_io(L, 1, "stderr", out);
    for (int i = 0; i < 3; i++)
        if (o.detached && o.io[i].kind == PROC_PIPE)
            luaL_error(L, "process.spawn: a detached child outlives rlab; give its output a file "
                          "path, \"inherit\" or \"null\"");
    o.argv = read_cmd(L, 1);
    o.env = read_env(L, 1);
    return o;
}

int child_spawn(lua_State *L)
{
    proc_opts o = read_opts(L);
    rl_handle *h = handle_new(L, &child_type, 2);
    o.changed = child_changed;
    o.arg = h;
    rl_proc *p;
    rl_err *err = proc_spawn(task_loop(L), &o, &p);
    if (err)
        return errs_fail(L, err);
    handle_set(h, p);
    if (o.detached)
        handle_settle(h);
    procfs_stat st = {0};
    procfs_read(proc_pid(p), &st);
    lua_pushinteger(L, proc_pid(p));
    lua_setiuservalue(L, -2, UV_PID);
    lua_pushinteger(L, st.start);
    lua_setiuservalue(L, -2, UV_START);
    return 1;
}

/* ---- methods ---- */

static rl_proc *check(lua_State *L, rl_handle **h)
{
    *h = handle_check(L, 1, &child_type);
    return (*h)->impl;
}

static int push_status(lua_State *L, rl_proc *p)
{
    int code, signum;
    if (!proc_exited(p, &code, &signum))
        return 0;
    lua_createtable(L, 0, 1);
    if (signum)
        lua_pushstring(L, signal_name(signum));
    else
        lua_pushinteger(L, code);
    lua_setfield(L, -2, signum ? "signal" : "code");
    return 1;
}

static int push_waited(lua_State *L, rl_wait *wait)
{
    rl_handle *h = ((waiter *)wait)->h;
    if (!h->impl)
        return errs_fail(L, err_lab("CLOSED", "the process was closed meanwhile"));
    int n = push_status(L, h->impl);
    return n ? n : errs_fail(L, err_lab("TIMEOUT", "pid %d is still running", proc_pid(h->impl)));
}

/* p:wait([at_most]) -> {code=} | {signal=} | nil, err */
static int l_wait(lua_State *L)
{
    rl_handle *h;
    rl_proc *p = check(L, &h);
    double limit = timed_limit(L, 2);
    int n = push_status(L, p);
    if (n)
        return n;
    return timed_wait(L, &waiter_new(L, h, push_waited)->timed, limit);
}

/* p:status() -> like wait, nil while it runs */
static int l_status(lua_State *L)
{
    rl_handle *h;
    return push_status(L, check(L, &h));
}

static int l_kill(lua_State *L)
{
    rl_handle *h;
    rl_proc *p = check(L, &h);
    return errs_ok(L, proc_signal(p, signal_arg(L, 2, SIGKILL)));
}

static int stop_or_cont(lua_State *L, int signum)
{
    rl_handle *h;
    int pid = proc_pid(check(L, &h));
    lua_getiuservalue(L, 1, UV_START);
    return signal_and_see(L, pid, lua_tointeger(L, -1), signum);
}

static int l_stop(lua_State *L)
{
    return stop_or_cont(L, SIGSTOP);
}

static int l_cont(lua_State *L)
{
    return stop_or_cont(L, SIGCONT);
}

static lua_Integer push_output(lua_State *L, rl_proc *p, int fd)
{
    proc_output o = proc_output_of(p, fd);
    if (proc_captures(p, fd))
        lua_pushlstring(L, o.data, o.len);
    else
        lua_pushnil(L);
    return (lua_Integer)o.dropped;
}

/* p:output() -> stdout, stderr, bytes dropped: the captured tails so far, nil for what is not captured */
static int l_output(lua_State *L)
{
    rl_handle *h;
    rl_proc *p = check(L, &h);
    lua_Integer dropped = push_output(L, p, 1);
    dropped += push_output(L, p, 2);
    lua_pushinteger(L, dropped);
    return 3;
}

typedef struct write_wait {
    rl_timed timed; /* first */
    struct write_link {
        struct write_wait *waiter; /* NULL once nobody waits any more */
    } * link;
    int status;
} write_wait;

static void on_written(void *arg, int status)
{
    struct write_link *link = arg;
    if (link->waiter) {
        link->waiter->link = NULL;
        link->waiter->status = status;
        timed_wake(&link->waiter->timed);
    }
    free(link);
}

static void write_forget(rl_timed *t)
{
    write_wait *w = (write_wait *)t;
    if (w->link)
        w->link->waiter = NULL;
    w->link = NULL;
}

static int push_written(lua_State *L, rl_wait *wait)
{
    int status = ((write_wait *)wait)->status;
    return errs_ok(L, status ? err_sys(-status, "write to the child's stdin") : NULL);
}

/* p:write(text) -> true | nil, err; needs stdin = "pipe" */
static int l_write(lua_State *L)
{
    rl_handle *h;
    rl_proc *p = check(L, &h);
    size_t n;
    const char *text = luaL_checklstring(L, 2, &n);
    if (!proc_takes_input(p))
        return errs_fail(L, err_sys(EPIPE, "the child's stdin is closed or no pipe"));
    write_wait *w = timed_new(L, sizeof *w, push_written);
    w->timed.forget = write_forget;
    w->link = mem_alloc(sizeof *w->link);
    w->link->waiter = w;
    rl_err *err = proc_write(p, text, n, on_written, w->link);
    if (err) {
        free(w->link);
        timed_discard(&w->timed);
        return errs_fail(L, err);
    }
    return timed_wait(L, &w->timed, -1);
}

static int l_end_input(lua_State *L)
{
    rl_handle *h;
    proc_end_input(check(L, &h));
    return 0;
}

/* ---- lines ---- */

enum { UP_HANDLE = 1, UP_FD = 2, UP_CURSOR = 3 };

static int take_line(lua_State *L, rl_proc *p, int fd)
{
    line l;
    if (!find_line(p, fd, (uint64_t)lua_tointeger(L, lua_upvalueindex(UP_CURSOR)), &l))
        return 0;
    lua_pushinteger(L, (lua_Integer)l.next);
    lua_replace(L, lua_upvalueindex(UP_CURSOR));
    lua_pushlstring(L, l.text, l.len);
    return 1;
}

/* Output that came between the waking and now may have pushed out the line that was ready: an empty one stands for it. */
static int push_line(lua_State *L, rl_wait *wait)
{
    waiter *w = (waiter *)wait;
    if (!w->h->impl || take_line(L, w->h->impl, w->fd))
        return w->h->impl != NULL;
    if (proc_stream_ended(w->h->impl, w->fd))
        return 0;
    lua_pushliteral(L, "");
    return 1;
}

static int next_line(lua_State *L)
{
    rl_handle *h = lua_touserdata(L, lua_upvalueindex(UP_HANDLE));
    int fd = (int)lua_tointeger(L, lua_upvalueindex(UP_FD));
    if (!h->impl || take_line(L, h->impl, fd))
        return h->impl != NULL;
    if (proc_stream_ended(h->impl, fd))
        return 0;
    waiter *w = waiter_new(L, h, push_line);
    w->fd = fd;
    w->cursor = (uint64_t)lua_tointeger(L, lua_upvalueindex(UP_CURSOR));
    return timed_wait(L, &w->timed, -1);
}

/* for line in p:lines(["stderr"]): waits for each; ends when the child has ended */
static int l_lines(lua_State *L)
{
    static const char *const names[] = {"stdout", "stderr", NULL};
    rl_handle *h;
    rl_proc *p = check(L, &h);
    int fd = luaL_checkoption(L, 2, "stdout", names) + 1;
    if (!proc_captures(p, fd))
        return luaL_error(L, "lines: %s is not captured (spawn with %s = \"capture\")",
                          names[fd - 1], names[fd - 1]);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, fd);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_line, 3);
    return 1;
}

/* p.pid and p.start, also of a closed handle; anything else is a method. */
static int l_index(lua_State *L)
{
    const char *key = luaL_checkstring(L, 2);
    if (strcmp(key, "pid") == 0)
        lua_getiuservalue(L, 1, UV_PID);
    else if (strcmp(key, "start") == 0)
        lua_getiuservalue(L, 1, UV_START);
    else
        lua_getfield(L, lua_upvalueindex(1), key);
    return 1;
}

void child_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"wait", l_wait},           {"status", l_status}, {"kill", l_kill},   {"stop", l_stop},
        {"cont", l_cont},           {"output", l_output}, {"write", l_write}, {"lines", l_lines},
        {"end_input", l_end_input}, {NULL, NULL}};
    handle_type_open(L, &child_type, methods);
    luaL_getmetatable(L, child_type.name);
    /* The module may be opened again in one state: the type is not. */
    if (lua_getfield(L, -1, "__index") == LUA_TTABLE) {
        lua_pushcclosure(L, l_index, 1);
        lua_setfield(L, -2, "__index");
        lua_pushnil(L);
    }
    lua_pop(L, 2);
}
