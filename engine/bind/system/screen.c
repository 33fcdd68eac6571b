/* rlab.screen: take, give_back, typed: the whole terminal for a program that redraws it. */
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include "bind/task/scheduler.h"
#include "term/tty.h"

int luaopen_rlab_screen(lua_State *L);

/* The terminal a second time: the loop reads without blocking, and a terminal that is not blocking for
 * one who opened it is so for all who share that opening, the shell too. */
static int keys_fd = -1;

/* take(): standard output's terminal shows an empty screen of its own until give_back(), or until the
 * process ends in any way but SIGKILL */
static int screen_l_take(lua_State *L)
{
    (void)L;
    tty_take_screen(STDOUT_FILENO);
    if (keys_fd < 0)
        keys_fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    return 0;
}

static int screen_l_give_back(lua_State *L)
{
    (void)L;
    tty_restore();
    if (keys_fd >= 0)
        close(keys_fd);
    keys_fd = -1;
    return 0;
}

typedef struct typed_wait {
    rl_wait wait;
    uv_poll_t poll;
    bool woken;
} typed_wait;

static void typed_wake(typed_wait *t)
{
    if (t->woken)
        return;
    t->woken = true;
    uv_poll_stop(&t->poll);
    task_wake(&t->wait);
}

static void on_typed(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    typed_wake(poll->data);
}

static void on_cancel(rl_wait *wait)
{
    typed_wake((typed_wait *)wait);
}

static int push_typed(lua_State *L, rl_wait *wait)
{
    (void)wait;
    char keys[64];
    ssize_t n = read(keys_fd, keys, sizeof keys);
    if (n <= 0)
        lua_pushnil(L);
    else
        lua_pushlstring(L, keys, (size_t)n);
    return 1;
}

static void free_typed(uv_handle_t *poll)
{
    free(poll->data);
}

static void drop_typed(rl_wait *wait)
{
    uv_close((uv_handle_t *)&((typed_wait *)wait)->poll, free_typed);
}

/* typed() -> the bytes of the keys that were pressed, once some are there | nil: there are none to come */
static int screen_l_typed(lua_State *L)
{
    task_require(L);
    if (keys_fd < 0)
        return 0;
    typed_wait *t = mem_zero(sizeof *t);
    t->wait = (rl_wait){.cancel = on_cancel, .push = push_typed, .drop = drop_typed};
    t->poll.data = t;
    int code = uv_poll_init(task_loop(L), &t->poll, keys_fd);
    if (code != 0) {
        free(t);
        return luaL_error(L, "/dev/tty: %s", uv_strerror(code));
    }
    uv_poll_start(&t->poll, UV_READABLE, on_typed);
    return task_wait(L, &t->wait);
}

int luaopen_rlab_screen(lua_State *L)
{
    static const luaL_Reg functions[] = {{"take", screen_l_take},
                                         {"give_back", screen_l_give_back},
                                         {"typed", screen_l_typed},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
