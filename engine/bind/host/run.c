#include "bind/host/run.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include "base/embed.h"
#include "bind/value/errs.h"
#include "bind/task/handle.h"
#include "bind/host/interrupt.h"
#include "bind/host/refused.h"
#include "bind/host/stuck.h"
#include "bind/task/module.h"
#include "bind/task/scheduler.h"
#include "fault/point/registry.h"
#include "loop/proc.h"

enum {
    EXIT_USAGE = 64,
    EXIT_SCRIPT = 65,
    EXIT_BUG = 70,
    EXIT_INTERRUPTED = 130,
    POOL_THREADS = 64,
    END_MS = 5000,
    TOLD_MAX = 1000,
};

typedef struct host {
    uv_loop_t loop;
    uv_signal_t sigint, sigterm, sighup;
    uv_timer_t deadline;
    void *sched;
    lua_State *L;
    rl_task *main_task;
    int signals;
} host;

#define HOST_KEY "rlab.host"

#define MODULE(name) int luaopen_rlab_##name(lua_State *L);
#include "bind/host/modules.h"
#undef MODULE

static const luaL_Reg modules[] = {
#define MODULE(name) {"rlab." #name, luaopen_rlab_##name},
#include "bind/host/modules.h"
#undef MODULE
    {NULL, NULL}};

/* ---- Lua sources: RLAB_LUA_PATH first (a checkout, for hacking), then what is embedded ---- */

static const rl_embed *embed_find(const char *name)
{
    size_t lo = 0, hi = rl_embed_count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int order = strcmp(name, rl_embeds[mid].name);
        if (order == 0)
            return &rl_embeds[mid];
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

/* embedded(name) -> text | nil: any embedded file, such as "migrations/V1__core.sql" */
static int host_l_embedded(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const char *root = getenv("RLAB_LUA_PATH");
    if (root) {
        lua_pushfstring(L, "%s/%s", root, name);
        FILE *f = fopen(lua_tostring(L, -1), "rb");
        if (f) {
            luaL_Buffer b;
            luaL_buffinit(L, &b);
            char chunk[8192];
            for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
                luaL_addlstring(&b, chunk, n);
            fclose(f);
            luaL_pushresult(&b);
            return 1;
        }
    }
    const rl_embed *e = embed_find(name);
    if (!e)
        return 0;
    lua_pushlstring(L, (const char *)e->data, e->len);
    return 1;
}

/* embedded_names(prefix) -> list */
static int host_l_embedded_names(lua_State *L)
{
    const char *prefix = luaL_optstring(L, 1, "");
    lua_newtable(L);
    for (size_t i = 0, n = 0; i < rl_embed_count; i++) {
        if (strncmp(rl_embeds[i].name, prefix, strlen(prefix)) != 0)
            continue;
        lua_pushstring(L, rl_embeds[i].name);
        lua_rawseti(L, -2, (lua_Integer)++n);
    }
    return 1;
}

static int load_named(lua_State *L, const char *file)
{
    lua_pushcfunction(L, host_l_embedded);
    lua_pushstring(L, file);
    lua_call(L, 1, 1);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    if (!text) {
        lua_pop(L, 1);
        return 0;
    }
    lua_pushfstring(L, "@%s", file);
    if (luaL_loadbufferx(L, text, len, lua_tostring(L, -1), "t") != LUA_OK)
        return lua_error(L);
    lua_pushstring(L, file);
    return 2;
}

/* package searcher: rlab.stack.local -> lua/rlab/stack/local.lua, lua/rlab/stack/local/init.lua */
static int search_embedded(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const char *path = luaL_gsub(L, name, ".", "/");
    lua_pushfstring(L, "lua/%s.lua", path);
    int n = load_named(L, lua_tostring(L, -1));
    if (n)
        return n;
    lua_pushfstring(L, "lua/%s/init.lua", path);
    n = load_named(L, lua_tostring(L, -1));
    if (n)
        return n;
    lua_pushfstring(L, "no embedded module '%s'", name);
    return 1;
}

static void add_searcher(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_Integer n = luaL_len(L, -1);
    for (lua_Integer i = n; i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, search_embedded);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 2);
}

/* ---- rlab.core_host ---- */

static int host_l_open_handles(lua_State *L)
{
    lua_pushinteger(L, handle_open_count());
    return 1;
}

/* die_with_parent(): a child that rlab started for a run must not outlive it, even when rlab is
 * killed. */
static int host_l_die_with_parent(lua_State *L)
{
    lua_Integer parent = luaL_checkinteger(L, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lua_pushboolean(L, getppid() == (pid_t)parent);
    return 1;
}

static int host_l_isatty(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

int luaopen_rlab_core_host(lua_State *L)
{
    static const luaL_Reg functions[] = {{"embedded", host_l_embedded},
                                         {"embedded_names", host_l_embedded_names},
                                         {"open_handles", host_l_open_handles},
                                         {"die_with_parent", host_l_die_with_parent},
                                         {"isatty", host_l_isatty},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

/* ---- life ---- */

static void on_warn(void *ud, const char *text, int more)
{
    static bool continued, off;
    (void)ud;
    if (!continued && text[0] == '@') {
        if (strcmp(text, "@off") == 0 || strcmp(text, "@on") == 0)
            off = text[2] == 'f';
        return;
    }
    if (off)
        return;
    fprintf(stderr, "%s%s%s", continued ? "" : "rlab: warning: ", text, more ? "" : "\n");
    continued = more;
}

static void on_signal(uv_signal_t *handle, int signum)
{
    host *h = handle->data;
    stuck_heard();
    if (signum == SIGINT && interrupt_taken(h->L))
        return;
    if (signum == SIGHUP && h->signals > 0)
        return; /* a closed terminal says so more than once */
    if (++h->signals > 1) {
        stuck_give_up(signum);
        return;
    }
    errs_push_table(h->L, stuck_stopped(signum));
    task_cancel(h->L, h->main_task);
}

static void watch_signal(host *h, uv_signal_t *handle, int signum)
{
    uv_signal_init(&h->loop, handle);
    handle->data = h;
    uv_signal_start(handle, on_signal, signum);
    uv_unref((uv_handle_t *)handle);
    stuck_watch(signum);
}

/* A closed terminal ends rlab as SIGTERM does, with the servers mended; under nohup it goes on. */
static void watch_hangup(host *h)
{
    struct sigaction now;
    if (sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
        watch_signal(h, &h->sighup, SIGHUP);
}

static void open_state(host *h)
{
    lua_State *L = h->L;
    lua_setwarnf(L, on_warn, NULL);
    luaL_openlibs(L);
    lua_gc(L, LUA_GCGEN, 0, 0);
    errs_open(L);
    h->sched = task_open(L, &h->loop);
    task_module_open(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    luaL_setfuncs(L, modules, 0);
    lua_pop(L, 1);
    add_searcher(L);
}

static void push_main(lua_State *L, int argc, char **argv)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, "rlab.main");
    lua_call(L, 1, 1);
    lua_createtable(L, argc, 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
}

/* ok and the results of the main task lie at idx and above: its exit code. */
static int exit_code(lua_State *L, host *h, int idx)
{
    if (lua_toboolean(L, idx))
        return (int)luaL_optinteger(L, idx + 1, 0);
    if (h->signals)
        return EXIT_INTERRUPTED;
    fprintf(stderr, "rlab: a bug in rlab: %s\n", luaL_tolstring(L, idx + 1, NULL));
    return EXIT_BUG;
}

static void on_deadline(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* What is still running when the main task has ended is cancelled and gets a moment to close its
 * handles. */
static void end_others(host *h)
{
    uv_timer_init(&h->loop, &h->deadline);
    uv_timer_start(&h->deadline, on_deadline, END_MS, 0);
    errs_push_table(h->L, err_lab("CANCELLED", "the program is ending"));
    task_cancel_others(h->L, NULL);
    while (task_live(h->L) && uv_is_active((uv_handle_t *)&h->deadline))
        uv_run(&h->loop, UV_RUN_ONCE);
    uv_timer_stop(&h->deadline);
}

static void close_any(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

#define IN_VAIN \
    "it waits for an event, a channel or a task, and nothing is left that could end that"

/* Whether the main task has ended. Where all tasks wait for what nothing can end, the newest is
 * told so where it waits, as the others may wait for it; who catches that and waits in vain again
 * and again is given up. */
static bool main_ends(lua_State *L, host *h)
{
    for (int told = 0; told < TOLD_MAX; told++) {
        while (!task_done(h->main_task) && uv_run(&h->loop, UV_RUN_ONCE))
            ;
        if (task_done(h->main_task))
            return true;
        errs_push_table(L, err_lab("SCRIPT", "%s", IN_VAIN));
        task_cancel_newest(L);
    }
    return false;
}

static int run_main(lua_State *L)
{
    host *h = lua_touserdata(L, 1);
    push_main(L, *(int *)lua_touserdata(L, 2), lua_touserdata(L, 3));
    h->main_task = task_start(L, 1);
    if (!main_ends(L, h)) {
        fputs("rlab: " IN_VAIN "\n", stderr);
        lua_pushinteger(L, EXIT_SCRIPT);
        return 1;
    }
    int first = lua_gettop(L);
    task_result(L, h->main_task);
    int code = exit_code(L, h, first);
    end_others(h);
    lua_pushinteger(L, code);
    return 1;
}

/* A client that does not end in time is left to its threads (kafka/client.c), and these may be
 * in OpenSSL while the process ends: its clean-up would free what they use. */
static void keep_openssl_to_the_end(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

static void set_pool_size(void)
{
    char text[16];
    snprintf(text, sizeof text, "%d", POOL_THREADS);
    setenv("UV_THREADPOOL_SIZE", text, 0);
}

/* What is opened next would become the standard input, output or error that was closed: libuv gives
 * up there, and a socket would get what we say. */
static void open_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(EXIT_BUG);
}

int host_run(int argc, char **argv)
{
    host h = {0};
    open_standard();
    keep_openssl_to_the_end();
    set_pool_size();
    signal(SIGPIPE, SIG_IGN);
    rl_err *err = fail_init();
    if (err) {
        fprintf(stderr, "rlab: %s\n", err->msg);
        err_free(err);
        return EXIT_USAGE;
    }
    refused_memory_watch();
    if (uv_loop_init(&h.loop) != 0)
        return EXIT_BUG;
    h.L = luaL_newstate();
    if (!h.L)
        mem_out();
    open_state(&h);
    watch_signal(&h, &h.sigint, SIGINT);
    watch_signal(&h, &h.sigterm, SIGTERM);
    watch_hangup(&h);
    lua_pushcfunction(h.L, run_main);
    lua_pushlightuserdata(h.L, &h);
    lua_pushlightuserdata(h.L, &argc);
    lua_pushlightuserdata(h.L, argv);
    int code = EXIT_BUG;
    int status = lua_pcall(h.L, 3, 1, 0);
    if (status == LUA_ERRMEM)
        mem_out();
    if (status == LUA_OK)
        code = (int)lua_tointeger(h.L, -1);
    else
        fprintf(stderr, "rlab: a bug in rlab: %s\n", luaL_tolstring(h.L, -1, NULL));
    code = refused_output(code);
    if (!task_live(h.L)) {
        lua_close(h.L);
        reaper_drain(5);
        proc_close_all();
        uv_walk(&h.loop, close_any, NULL);
        uv_run(&h.loop, UV_RUN_DEFAULT);
        uv_loop_close(&h.loop);
        free(h.sched);
    }
    return code;
}
