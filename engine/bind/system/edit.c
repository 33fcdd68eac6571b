#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include "bind/host/stuck.h"
#include "bind/value/errs.h"
#include "bind/task/await.h"
#include "bind/task/scheduler.h"
#include "term/edit.h"
#include "term/tty.h"

#define COMPLETE_KEY "rlab.edit.complete"

int luaopen_rlab_edit(lua_State *L);

/* One editor a process. A completion is asked on the editing thread and answered on the loop
 * thread. */
static struct {
    rl_edit *edit;
    lua_State *L;
    uv_async_t async;
    uv_signal_t winch;
    uv_poll_t *errors; /* NULL: not captured */
    rl_buf errors_text;

    pthread_mutex_t lock;
    pthread_cond_t answered;
    const char *line;
    size_t cursor, start;
    char **list;
    bool asked, stopping;
} ed = {.lock = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER};

/* ---- completion ---- */

static char **ask(void *ud, const char *line, size_t cursor, size_t *start)
{
    (void)ud;
    pthread_mutex_lock(&ed.lock);
    ed.line = line;
    ed.cursor = cursor;
    ed.list = NULL;
    ed.asked = true;
    uv_async_send(&ed.async);
    while (ed.asked && !ed.stopping)
        pthread_cond_wait(&ed.answered, &ed.lock);
    ed.asked = false;
    char **list = ed.list;
    ed.list = NULL;
    *start = ed.start;
    pthread_mutex_unlock(&ed.lock);
    return list;
}

static char **list_of(lua_State *L, int idx)
{
    if (!lua_istable(L, idx))
        return NULL;
    lua_Integer n = luaL_len(L, idx);
    char **list = mem_zero(sizeof *list * (size_t)(n + 1));
    size_t used = 0;
    for (lua_Integer i = 1; i <= n; i++) {
        if (lua_rawgeti(L, idx, i) == LUA_TSTRING)
            list[used++] = mem_strdup(lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    return list;
}

static char **call_completer(lua_State *L, const char *line, size_t cursor, size_t *start)
{
    int top = lua_gettop(L);
    char **list = NULL;
    *start = cursor;
    if (lua_getfield(L, LUA_REGISTRYINDEX, COMPLETE_KEY) == LUA_TFUNCTION) {
        lua_pushstring(L, line);
        lua_pushinteger(L, (lua_Integer)cursor);
        if (lua_pcall(L, 2, 2, 0) == LUA_OK) {
            list = list_of(L, top + 1);
            *start = (size_t)luaL_optinteger(L, top + 2, (lua_Integer)cursor + 1) - 1;
        } else {
            lua_warning(L, "completion failed: ", 1);
            lua_warning(L, luaL_tolstring(L, -1, NULL), 0);
        }
    }
    lua_settop(L, top);
    return list;
}

static void on_asked(uv_async_t *async)
{
    (void)async;
    pthread_mutex_lock(&ed.lock);
    bool asked = ed.asked;
    pthread_mutex_unlock(&ed.lock);
    if (!asked)
        return;
    size_t start; /* the asking thread waits, so its line stays */
    char **list = call_completer(ed.L, ed.line, ed.cursor, &start);
    pthread_mutex_lock(&ed.lock);
    ed.list = list;
    ed.start = start;
    ed.asked = false;
    pthread_cond_signal(&ed.answered);
    pthread_mutex_unlock(&ed.lock);
}

/* complete(f): f(line, cursor) -> list, start. cursor counts the bytes before it; each candidate
 * replaces the bytes from start (1-based) to the cursor. f must not wait. */
static int edit_l_complete(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, COMPLETE_KEY);
    return 0;
}

/* ---- opening ---- */

static void on_winch(uv_signal_t *handle, int signum)
{
    (void)handle;
    (void)signum;
    edit_resized(ed.edit);
}

static rl_err *open_once(lua_State *L)
{
    if (ed.edit)
        return NULL;
    rl_err *err = edit_open(&ed.edit, STDIN_FILENO, STDOUT_FILENO, ask, NULL);
    if (err)
        return err;
    tty_guard(STDIN_FILENO);
    ed.L = task_main_state(L);
    uv_async_init(task_loop(L), &ed.async, on_asked);
    uv_unref((uv_handle_t *)&ed.async);
    uv_signal_init(task_loop(L), &ed.winch);
    uv_signal_start(&ed.winch, on_winch, SIGWINCH);
    uv_unref((uv_handle_t *)&ed.winch);
    return NULL;
}

/* ---- readline ---- */

typedef struct read_line {
    rl_await await;
    char *prompt, *line;
    rl_edit_end end;
} read_line;

static void read_run(rl_await *a)
{
    read_line *r = (read_line *)a;
    r->end = edit_gets(ed.edit, r->prompt, &r->line);
    if (r->end == EDIT_INTERRUPTED) /* no signal, as the terminal is raw */
        stuck_look(SIGINT);
}

static void read_cancel(rl_await *a)
{
    (void)a;
    pthread_mutex_lock(&ed.lock);
    ed.stopping = true;
    pthread_cond_signal(&ed.answered);
    pthread_mutex_unlock(&ed.lock);
    edit_stop(ed.edit);
}

static int read_push(lua_State *L, rl_await *a)
{
    read_line *r = (read_line *)a;
    if (r->end == EDIT_INTERRUPTED) {
        stuck_heard();
        return errs_fail(L, err_lab("INTERRUPTED", "the line was given up"));
    }
    if (r->end == EDIT_STOPPED)
        return errs_fail(L, err_lab("CANCELLED", "the prompt was cancelled"));
    lua_pushstring(L, r->line); /* nil at the end of the input */
    return 1;
}

static void read_drop(rl_await *a)
{
    read_line *r = (read_line *)a;
    free(r->prompt);
    free(r->line);
}

/* readline(prompt) -> line | nil at the end of the input | nil, err{name="INTERRUPTED"} */
static int edit_l_readline(lua_State *L)
{
    const char *prompt = luaL_optstring(L, 1, "> ");
    rl_err *err = open_once(L);
    if (err)
        return errs_fail(L, err);
    if (edit_active(ed.edit))
        return luaL_error(L, "edit.readline: another task is reading a line");
    read_line *r = await_new(sizeof *r, read_run, read_push, read_drop);
    r->prompt = mem_strdup(prompt);
    r->end = EDIT_STOPPED;
    r->await.cancel = read_cancel;
    ed.stopping = false;
    fflush(stdout);
    edit_begin(ed.edit);
    return await_job(L, 0, &r->await);
}

/* print_above(text): shown above the prompt while a line is being edited, else plainly */
static int edit_l_print_above(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    if (ed.edit && edit_active(ed.edit)) {
        edit_above(ed.edit, text, len);
        return 0;
    }
    fwrite(text, 1, len, stdout);
    if (len && text[len - 1] != '\n')
        fputc('\n', stdout);
    fflush(stdout);
    return 0;
}

/* active() -> true while a task waits in readline */
static int edit_l_active(lua_State *L)
{
    lua_pushboolean(L, ed.edit && edit_active(ed.edit));
    return 1;
}

/* ---- history ---- */

static int edit_l_history_add(lua_State *L)
{
    const char *line = luaL_checkstring(L, 1);
    rl_err *err = open_once(L);
    if (err)
        return errs_fail(L, err);
    if (*line)
        edit_history_add(ed.edit, line);
    lua_pushboolean(L, 1);
    return 1;
}

static void add_lines(FILE *f)
{
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0;) {
        line[strcspn(line, "\n")] = '\0';
        if (*line)
            edit_history_add(ed.edit, line);
    }
    free(line);
}

/* history_load(path) -> true | nil, err; a file that is not there yet is fine */
static int edit_l_history_load(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    rl_err *err = open_once(L);
    if (err)
        return errs_fail(L, err);
    FILE *f = fopen(path, "re");
    if (!f && errno != ENOENT)
        return errs_fail(L, err_sys(errno, "%s", path));
    if (f) {
        add_lines(f);
        fclose(f);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static void make_parents(const char *path)
{
    char *copy = mem_strdup(path);
    for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        mkdir(copy, 0700); /* what is there already stays; open says what is wrong */
        *p = '/';
    }
    free(copy);
}

/* history_save(path, line | list [, replace]) -> true | nil, err: appends (or replaces) in a
 * file that only its owner can read */
static int edit_l_history_save(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    int how = O_WRONLY | O_CREAT | O_CLOEXEC | (lua_toboolean(L, 3) ? O_TRUNC : O_APPEND);
    rl_buf text = {0};
    buf_str(&text, "");
    lua_Integer n = lua_istable(L, 2) ? luaL_len(L, 2) : 0;
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        buf_printf(&text, "%s\n", lua_tostring(L, -1) ? lua_tostring(L, -1) : "");
        lua_pop(L, 1);
    }
    if (!lua_istable(L, 2))
        buf_printf(&text, "%s\n", lua_tostring(L, 2));
    make_parents(path);
    int fd = open(path, how, 0600);
    bool ok =
        fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text.data, text.len) == (ssize_t)text.len;
    rl_err *err = ok ? NULL : err_sys(errno, "%s", path);
    if (fd >= 0)
        close(fd);
    buf_free(&text);
    return errs_ok(L, err);
}

/* ---- stderr above the prompt ---- */

static void show_errors(bool all)
{
    char *last = ed.errors_text.len ? memrchr(ed.errors_text.data, '\n', ed.errors_text.len) : NULL;
    size_t whole = all ? ed.errors_text.len : last ? (size_t)(last - ed.errors_text.data) + 1 : 0;
    if (!whole)
        return;
    edit_above(ed.edit, ed.errors_text.data, whole);
    memmove(ed.errors_text.data, ed.errors_text.data + whole, ed.errors_text.len - whole);
    ed.errors_text.len -= whole;
}

static void on_errors(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    char chunk[4096];
    uv_os_fd_t fd;
    uv_fileno((uv_handle_t *)poll, &fd);
    for (ssize_t n; (n = read(fd, chunk, sizeof chunk)) > 0;)
        buf_add(&ed.errors_text, chunk, (size_t)n);
    show_errors(false);
}

static void free_poll(uv_handle_t *poll)
{
    free(poll);
}

static void watch_errors(lua_State *L, int fd)
{
    ed.errors = mem_zero(sizeof *ed.errors);
    uv_poll_init(task_loop(L), ed.errors, fd);
    uv_poll_start(ed.errors, UV_READABLE, on_errors);
    uv_unref((uv_handle_t *)ed.errors);
}

/* The loop closes the handle later; by then another one may be open. */
static void leave_errors(void)
{
    on_errors(ed.errors, 0, 0);
    show_errors(true);
    uv_close((uv_handle_t *)ed.errors, free_poll);
    ed.errors = NULL;
    tty_release_errors();
}

/* capture_errors(on): what is written to stderr, by C libraries too, appears above the prompt */
static int edit_l_capture_errors(lua_State *L)
{
    bool on = lua_toboolean(L, 1);
    rl_err *err = open_once(L);
    int fd = -1;
    if (!err && on && !ed.errors && !(err = tty_capture_errors(&fd)))
        watch_errors(L, fd);
    else if (!err && !on && ed.errors)
        leave_errors();
    return errs_ok(L, err);
}

/* size(fd) -> columns, rows | nil when fd is no terminal */
static int edit_l_size(lua_State *L)
{
    struct winsize ws;
    if (ioctl((int)luaL_optinteger(L, 1, 1), TIOCGWINSZ, &ws) != 0 || ws.ws_col == 0)
        return 0;
    lua_pushinteger(L, ws.ws_col);
    lua_pushinteger(L, ws.ws_row);
    return 2;
}

/* The state is closing: no task reads any more. */
static int edit_l_end(lua_State *L)
{
    (void)L;
    edit_close(ed.edit);
    ed.edit = NULL;
    buf_free(&ed.errors_text);
    tty_restore();
    return 0;
}

int luaopen_rlab_edit(lua_State *L)
{
    static const luaL_Reg functions[] = {{"readline", edit_l_readline},
                                         {"print_above", edit_l_print_above},
                                         {"active", edit_l_active},
                                         {"complete", edit_l_complete},
                                         {"history_add", edit_l_history_add},
                                         {"history_load", edit_l_history_load},
                                         {"history_save", edit_l_history_save},
                                         {"capture_errors", edit_l_capture_errors},
                                         {"size", edit_l_size},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_newuserdatauv(L, 0, 0);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, edit_l_end);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, "rlab.edit.end");
    return 1;
}
