#include "bind/host/stuck.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "bind/task/scheduler.h"
#include "bind/value/errs.h"
#include "loop/proc.h"
#include "term/tty.h"

/* LOOK: seconds between two looks. MOST: the highest signal that is taken. */
enum { LOOK = 1, MOST = 32 };

static struct {
    pthread_t lua_thread;
    void (*loop_handler[MOST])(int); /* libuv's own */
    atomic_int unheard;              /* a signal that the loop has not taken yet, or 0 */
    volatile unsigned long seen;     /* how often a task had been resumed at the last look */
    int limits;
    int64_t deadline; /* of the last limit, on the monotonic clock */
} state;

static const char *what_stopped(int signum)
{
    return signum == SIGINT ? "Ctrl-C" : signum == SIGTERM ? "SIGTERM" : "the end of its terminal";
}

rl_err *stuck_stopped(int signum)
{
    return err_lab(signum == SIGINT ? "INTERRUPTED" : "TERMINATED", "stopped by %s",
                   what_stopped(signum));
}

static void break_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    if (state.unheard)
        errs_raise(L, stuck_stopped(state.unheard));
    errs_raise(L, err_lab("TIMEOUT", "it ran beyond its limit without ever waiting"));
}

static bool to_lua_thread(int signum)
{
    if (pthread_equal(pthread_self(), state.lua_thread))
        return false;
    pthread_kill(state.lua_thread, signum);
    return true;
}

/* lua_sethook is the one call that Lua allows in a signal handler. A task that was resumed since the
 * last look is none that is stuck: the loop has been there. */
static void on_alarm(int signum)
{
    unsigned long resumes;
    if (to_lua_thread(signum))
        return;
    lua_State *co = task_running_now(&resumes);
    bool due = state.unheard || (state.limits > 0 && clock_ns() >= state.deadline);
    if (due && co && resumes == state.seen && lua_status(co) == LUA_OK)
        lua_sethook(co, break_hook, LUA_MASKCOUNT, 1);
    state.seen = resumes;
    if (state.unheard || state.limits > 0)
        alarm(LOOK);
}

void stuck_give_up(int signum)
{
    tty_restore();
    proc_kill_all();
    signal(signum, SIG_DFL);
    raise(signum);
}

void stuck_pass_on(int signum)
{
    state.loop_handler[signum](signum);
}

/* The second signal that finds the first one unheard ends rlab, whatever it is in. */
static void on_stop(int signum)
{
    unsigned long resumes;
    if (to_lua_thread(signum))
        return;
    if (state.unheard && signum != SIGHUP)
        stuck_give_up(signum);
    task_running_now(&resumes);
    state.seen = resumes;
    state.unheard = signum;
    alarm(LOOK);
    stuck_pass_on(signum);
}

static void handle(int signum, void (*handler)(int), struct sigaction *old)
{
    struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigfillset(&act.sa_mask);
    sigaction(signum, &act, old);
}

void stuck_watch(int signum)
{
    struct sigaction old;
    state.lua_thread = pthread_self();
    handle(SIGALRM, on_alarm, NULL);
    handle(signum, on_stop, &old);
    state.loop_handler[signum] = old.sa_handler;
}

void stuck_look(int signum)
{
    state.unheard = signum;
    alarm(LOOK);
}

void stuck_heard(void)
{
    state.unheard = 0;
}

void stuck_limit(double seconds)
{
    int64_t deadline = clock_ns() + (int64_t)(seconds * 1e9);
    if (!state.limits++ || deadline > state.deadline)
        state.deadline = deadline;
    alarm(LOOK);
}

void stuck_unlimit(void)
{
    state.limits--;
}
