#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "bind/host/interrupt.h"
#include "bind/host/stuck.h"
#include "bind/value/errs.h"

enum { PATIENCE = 3 };
#define HANDLER_KEY "rlab.on_interrupt"

int luaopen_rlab_interrupt(lua_State *L);

static struct {
    bool installed;
    pthread_t lua_thread;
    struct sigaction before;
    lua_State *volatile target; /* the coroutine that may be broken */
    volatile sig_atomic_t unheard;
} state;

static void break_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    errs_raise(L, err_lab("INTERRUPTED", "stopped by Ctrl-C"));
}

/* lua_sethook is the one call that Lua allows in a signal handler; a suspended target is woken
 * by the loop instead. */
static void on_sigint(int signum)
{
    if (!pthread_equal(pthread_self(), state.lua_thread)) {
        pthread_kill(state.lua_thread, signum);
        return;
    }
    lua_State *target = state.target;
    if (target && lua_status(target) == LUA_OK)
        lua_sethook(target, break_hook, LUA_MASKCOUNT, 1);
    if (++state.unheard > PATIENCE)
        stuck_give_up(signum);
    stuck_look(signum); /* another task than the target may be the one that never waits */
    stuck_pass_on(signum);
}

static void install(void)
{
    if (state.installed)
        return;
    state.lua_thread = pthread_self();
    struct sigaction act = {.sa_handler = on_sigint, .sa_flags = SA_RESTART};
    sigfillset(&act.sa_mask);
    sigaction(SIGINT, &act, &state.before);
    state.installed = true;
}

static void uninstall(void)
{
    if (state.installed)
        sigaction(SIGINT, &state.before, NULL);
    state.installed = false;
    state.target = NULL;
}

bool interrupt_taken(lua_State *L)
{
    if (!state.installed)
        return false;
    state.unheard = 0;
    if (state.target)
        lua_sethook(state.target, NULL, 0, 0);
    lua_getfield(L, LUA_REGISTRYINDEX, HANDLER_KEY);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        lua_warning(L, "the Ctrl-C handler failed: ", 1);
        lua_warning(L, luaL_tolstring(L, -1, NULL), 0);
        lua_pop(L, 2);
    }
    return true;
}

/* set(f | nil): f, which must not wait, is called on Ctrl-C instead of ending the program */
static int interrupt_l_set(lua_State *L)
{
    lua_settop(L, 1);
    if (!lua_isnil(L, 1))
        luaL_checktype(L, 1, LUA_TFUNCTION);
    if (lua_isnil(L, 1))
        uninstall();
    else
        install();
    lua_setfield(L, LUA_REGISTRYINDEX, HANDLER_KEY);
    return 0;
}

/* breakable(on): from here on, until breakable(false), Ctrl-C stops even a loop of the calling
 * coroutine that never waits */
static int interrupt_l_breakable(lua_State *L)
{
    bool on = lua_toboolean(L, 1);
    if (!on && state.target == L)
        lua_sethook(L, NULL, 0, 0);
    state.target = on ? L : NULL;
    return 0;
}

/* limit(seconds), until unlimit(): code that runs beyond it without ever waiting is broken */
static int interrupt_l_limit(lua_State *L)
{
    stuck_limit(luaL_checknumber(L, 1));
    return 0;
}

static int interrupt_l_unlimit(lua_State *L)
{
    (void)L;
    stuck_unlimit();
    return 0;
}

int luaopen_rlab_interrupt(lua_State *L)
{
    static const luaL_Reg functions[] = {{"set", interrupt_l_set},
                                         {"breakable", interrupt_l_breakable},
                                         {"limit", interrupt_l_limit},
                                         {"unlimit", interrupt_l_unlimit},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
