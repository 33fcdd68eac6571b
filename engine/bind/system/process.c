/* rlab.process: children, and any process of this machine by pid and start time. */
#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "bind/system/child.h"
#include "bind/value/errs.h"
#include "bind/value/opts.h"
#include "bind/system/signals.h"
#include "bind/task/timed.h"
#include "loop/procfs.h"
#include "loop/tcp_table.h"

enum { POLL_MS = 5, PORT_LIMIT = 65535, FREE_FROM = 20000 };

int luaopen_rlab_process(lua_State *L);

static pid_t pid_arg(lua_State *L, int idx)
{
    lua_Integer pid = luaL_checkinteger(L, idx);
    luaL_argcheck(L, pid > 0 && pid <= 0x7fffffff, idx, "a pid is a positive number");
    return (pid_t)pid;
}

/* Never init, never ourselves, never a whole group. */
static pid_t victim_arg(lua_State *L, int idx)
{
    pid_t pid = pid_arg(L, idx);
    luaL_argcheck(L, pid != 1, idx, "pid 1 is not ours to signal");
    luaL_argcheck(L, pid != getpid(), idx, "this is rlab's own pid");
    return pid;
}

/* self() -> pid, start */
static int process_l_self(lua_State *L)
{
    procfs_stat st = {0};
    procfs_read(getpid(), &st);
    lua_pushinteger(L, getpid());
    lua_pushinteger(L, st.start);
    return 2;
}

/* alive(pid[, start]) -> boolean; a zombie is not */
static int process_l_alive(lua_State *L)
{
    lua_pushboolean(L, procfs_alive(pid_arg(L, 1), luaL_optinteger(L, 2, 0)));
    return 1;
}

static int process_l_start_time(lua_State *L)
{
    procfs_stat st;
    if (!procfs_read(pid_arg(L, 1), &st))
        return 0;
    lua_pushinteger(L, st.start);
    return 1;
}

static int process_l_state(lua_State *L)
{
    procfs_stat st;
    if (!procfs_read(pid_arg(L, 1), &st))
        return 0;
    lua_pushlstring(L, &st.state, 1);
    return 1;
}

static void add_thread(const procfs_thread *thread, void *arg)
{
    lua_State *L = arg;
    lua_createtable(L, 0, 2);
    lua_pushnumber(L, (double)thread->run / 1e9);
    lua_setfield(L, -2, "run");
    lua_pushnumber(L, (double)thread->delay / 1e9);
    lua_setfield(L, -2, "delay");
    lua_rawseti(L, -2, thread->tid);
}

/* threads(pid) -> {[tid] = {run =, delay =}}: seconds on a processor, seconds of waiting for one */
static int process_l_threads(lua_State *L)
{
    pid_t pid = pid_arg(L, 1);
    lua_newtable(L);
    procfs_threads(pid, add_thread, L);
    return 1;
}

static int process_l_rss(lua_State *L)
{
    procfs_stat st;
    if (!procfs_read(pid_arg(L, 1), &st))
        return 0;
    lua_pushinteger(L, st.rss);
    return 1;
}

/* name(pid) -> "mysqld", "java kafka.Kafka"; nil when there is no such process */
static int process_l_name(lua_State *L)
{
    char name[256];
    pid_t pid = pid_arg(L, 1);
    procfs_stat st;
    if (!procfs_read(pid, &st))
        return 0;
    procfs_name(pid, name, sizeof name);
    lua_pushstring(L, name);
    return 1;
}

/* signal(pid, sig[, start]) -> true | nil, err */
static int process_l_signal(lua_State *L)
{
    pid_t pid = victim_arg(L, 1);
    int signum = signal_arg(L, 2, SIGTERM);
    lua_Integer start = luaL_optinteger(L, 3, 0);
    if (start && !procfs_alive(pid, start))
        return errs_fail(L, err_sys(ESRCH, "signal %s to pid %d", signal_name(signum), pid));
    return errs_ok(L, kill(pid, signum) == 0
                          ? NULL
                          : err_sys(errno, "signal %s to pid %d", signal_name(signum), pid));
}

/* stop(pid[, start]), cont(pid[, start]): return when every thread has stopped, or runs again */
static int process_l_stop(lua_State *L)
{
    return signal_and_see(L, victim_arg(L, 1), luaL_optinteger(L, 2, 0), SIGSTOP);
}

static int process_l_cont(lua_State *L)
{
    return signal_and_see(L, victim_arg(L, 1), luaL_optinteger(L, 2, 0), SIGCONT);
}

/* recv_queue(pid, remote_port) -> unread bytes, number of connections | nil, err */
static int process_l_recv_queue(lua_State *L)
{
    pid_t pid = pid_arg(L, 1);
    int sockets = 0;
    int64_t bytes = procfs_recv_queue(pid, (int)luaL_checkinteger(L, 2), &sockets);
    if (bytes < 0)
        return errs_fail(L, err_sys(ESRCH, "the open files of pid %d", pid));
    lua_pushinteger(L, bytes);
    lua_pushinteger(L, sockets);
    return 2;
}

/* port_owner(port) -> pid, name | nil when nobody listens; pid 0 when the owner may not be
 * looked at */
static int process_l_port_owner(lua_State *L)
{
    char name[256];
    pid_t pid;
    uid_t uid;
    if (!procfs_port_owner((int)luaL_checkinteger(L, 1), &pid, &uid))
        return 0;
    lua_pushinteger(L, pid);
    if (pid) {
        procfs_name(pid, name, sizeof name);
        lua_pushstring(L, name);
    } else {
        lua_pushfstring(L, "a process of user %d", (int)uid);
    }
    return 2;
}

static bool add_port(const tcp_row *row, void *L)
{
    lua_pushboolean(L, 1);
    lua_rawseti(L, -2, row->local_port);
    return true;
}

/* listening() -> set of the TCP ports that somebody on this machine listens on */
static int process_l_listening(lua_State *L)
{
    lua_newtable(L);
    tcp_table_listening(add_port, L);
    return 1;
}

/* free_ports(n[, from]) -> list of n consecutive free ports */
static int process_l_free_ports(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1),
                from = luaL_optinteger(L, 2, FREE_FROM + getpid() % FREE_FROM / 2);
    luaL_argcheck(L, n >= 1 && n <= PORT_LIMIT, 1, "a number of ports expected");
    luaL_argcheck(L, from >= 1 && from <= PORT_LIMIT, 2, "a port expected");
    int first = procfs_free_ports((int)n, (int)from);
    if (!first)
        return errs_fail(
            L, err_lab("NO_PORTS", "no %d free ports in a row at or above %d", (int)n, (int)from));
    lua_createtable(L, (int)n, 0);
    for (int i = 0; i < (int)n; i++) {
        lua_pushinteger(L, first + i);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- wait_gone: the end of a process that is no child ---- */

typedef struct watch watch;

typedef struct gone_wait {
    rl_timed timed; /* first */
    pid_t pid;
    int64_t start;
    watch *watch;
} gone_wait;

/* The loop's side, which is closed later than the wait ends: a pidfd where the kernel has them,
 * else a timer that looks. */
struct watch {
    union {
        uv_handle_t any;
        uv_poll_t poll;
        uv_timer_t timer;
    } uv; /* first */
    gone_wait *wait;
    int pidfd;
};

static void on_watch_closed(uv_handle_t *handle)
{
    watch *w = (watch *)handle;
    if (w->pidfd >= 0)
        close(w->pidfd);
    free(w);
}

static void gone_forget(rl_timed *t)
{
    uv_close(&((gone_wait *)t)->watch->uv.any, on_watch_closed);
}

static void look(watch *w)
{
    if (!procfs_alive(w->wait->pid, w->wait->start))
        timed_wake(&w->wait->timed);
}

static void on_pidfd(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    look((watch *)poll);
}

static void on_look(uv_timer_t *timer)
{
    look((watch *)timer);
}

static void watch_start(lua_State *L, gone_wait *g, int pidfd)
{
    watch *w = mem_zero(sizeof *w);
    w->wait = g;
    w->pidfd = pidfd;
    g->watch = w;
    if (pidfd >= 0) {
        uv_poll_init(task_loop(L), &w->uv.poll, pidfd);
        uv_poll_start(&w->uv.poll, UV_READABLE, on_pidfd);
    } else {
        uv_timer_init(task_loop(L), &w->uv.timer);
        uv_timer_start(&w->uv.timer, on_look, POLL_MS, POLL_MS);
    }
}

static int push_gone(lua_State *L, rl_wait *wait)
{
    gone_wait *g = (gone_wait *)wait;
    bool alive = procfs_alive(g->pid, g->start);
    return errs_ok(L, alive ? err_lab("TIMEOUT", "pid %d is still there", g->pid) : NULL);
}

/* wait_gone(pid[, start[, at_most]]) -> true | nil, err */
static int process_l_wait_gone(lua_State *L)
{
    pid_t pid = pid_arg(L, 1);
    int64_t start = luaL_optinteger(L, 2, 0);
    double limit = timed_limit(L, 3);
    task_require(L);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (!procfs_alive(pid, start)) {
        if (pidfd >= 0)
            close(pidfd);
        lua_pushboolean(L, 1);
        return 1;
    }
    gone_wait *g = timed_new(L, sizeof *g, push_gone);
    g->timed.forget = gone_forget;
    g->pid = pid;
    g->start = start;
    watch_start(L, g, pidfd);
    return timed_wait(L, &g->timed, limit);
}

int luaopen_rlab_process(lua_State *L)
{
    static const luaL_Reg functions[] = {{"spawn", child_spawn},
                                         {"self", process_l_self},
                                         {"alive", process_l_alive},
                                         {"start_time", process_l_start_time},
                                         {"state", process_l_state},
                                         {"threads", process_l_threads},
                                         {"rss", process_l_rss},
                                         {"name", process_l_name},
                                         {"signal", process_l_signal},
                                         {"stop", process_l_stop},
                                         {"cont", process_l_cont},
                                         {"recv_queue", process_l_recv_queue},
                                         {"port_owner", process_l_port_owner},
                                         {"listening", process_l_listening},
                                         {"free_ports", process_l_free_ports},
                                         {"wait_gone", process_l_wait_gone},
                                         {NULL, NULL}};
    child_open(L);
    luaL_newlib(L, functions);
    return 1;
}
