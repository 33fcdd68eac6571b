#include "bind/system/signals.h"

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "bind/task/await.h"
#include "loop/procfs.h"

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
