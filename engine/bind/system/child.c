#include "bind/system/child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bind/system/child_opts.h"
#include "bind/value/errs.h"
#include "bind/task/handle.h"
#include "bind/system/signals.h"
#include "bind/task/timed.h"
#include "loop/proc.h"
#include "loop/procfs.h"

enum { UV_PID = 1, UV_START = 2 };

typedef struct waiter {
    rl_timed timed; /* first */
    rl_handle *h;
    struct waiter *next;
    int fd; /* 0: waits for the exit; else for a line of this stream */
    uint64_t cursor;
} waiter;

static void child_detach(rl_handle *h);
static const rl_handle_type child_type = {
    .name = "process", .close = proc_await_end, .detach = child_detach};

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

/* The first line at or after the cursor. What was dropped in between is skipped up to the next
 * whole line; a last line without an end counts once the stream has ended. */
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

int child_spawn(lua_State *L)
{
    proc_opts opts = child_opts(L);
    rl_handle *h = handle_new(L, &child_type, 2);
    opts.changed = child_changed;
    opts.arg = h;
    rl_proc *p;
    rl_err *err = proc_spawn(task_loop(L), &opts, &p);
    if (err)
        return errs_fail(L, err);
    handle_set(h, p);
    if (opts.detached)
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

static rl_proc *child_check(lua_State *L, rl_handle **h)
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
static int child_l_wait(lua_State *L)
{
    rl_handle *h;
    rl_proc *p = child_check(L, &h);
    double limit = timed_limit(L, 2);
    int n = push_status(L, p);
    if (n)
        return n;
    return timed_wait(L, &waiter_new(L, h, push_waited)->timed, limit);
}

/* p:status() -> like wait, nil while it runs */
static int child_l_status(lua_State *L)
{
    rl_handle *h;
    return push_status(L, child_check(L, &h));
}

static int child_l_kill(lua_State *L)
{
    rl_handle *h;
    rl_proc *p = child_check(L, &h);
    return errs_ok(L, proc_signal(p, signal_arg(L, 2, SIGKILL)));
}

static int stop_or_cont(lua_State *L, int signum)
{
    rl_handle *h;
    int pid = proc_pid(child_check(L, &h));
    lua_getiuservalue(L, 1, UV_START);
    return signal_and_see(L, pid, lua_tointeger(L, -1), signum);
}

static int child_l_stop(lua_State *L)
{
    return stop_or_cont(L, SIGSTOP);
}

static int child_l_cont(lua_State *L)
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

/* p:output() -> stdout, stderr, bytes dropped: the captured tails so far, nil for what is not
 * captured */
static int child_l_output(lua_State *L)
{
    rl_handle *h;
    rl_proc *p = child_check(L, &h);
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
static int child_l_write(lua_State *L)
{
    rl_handle *h;
    rl_proc *p = child_check(L, &h);
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

static int child_l_end_input(lua_State *L)
{
    rl_handle *h;
    proc_end_input(child_check(L, &h));
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

/* Output that came between the waking and now may have pushed out the line that was ready: an
 * empty one stands for it. */
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
static int child_l_lines(lua_State *L)
{
    static const char *const names[] = {"stdout", "stderr", NULL};
    rl_handle *h;
    rl_proc *p = child_check(L, &h);
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
static int child_l_index(lua_State *L)
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
    static const luaL_Reg methods[] = {{"wait", child_l_wait},           {"status", child_l_status},
                                       {"kill", child_l_kill},           {"stop", child_l_stop},
                                       {"cont", child_l_cont},           {"output", child_l_output},
                                       {"write", child_l_write},         {"lines", child_l_lines},
                                       {"end_input", child_l_end_input}, {NULL, NULL}};
    handle_type_open(L, &child_type, methods);
    luaL_getmetatable(L, child_type.name);
    /* The module may be opened again in one state: the type is not. */
    if (lua_getfield(L, -1, "__index") == LUA_TTABLE) {
        lua_pushcclosure(L, child_l_index, 1);
        lua_setfield(L, -2, "__index");
        lua_pushnil(L);
    }
    lua_pop(L, 2);
}
