/* rlab.fs: files, folders and locks. What may take long (trees, fsync) waits on the pool,
 * everything else is done at once. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/files.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/task/handle.h"
#include "bind/value/opts.h"
#include "bind/task/await.h"
#include "loop/procfs.h"

int luaopen_rlab_fs(lua_State *L);

/* read(path) -> text | nil, err */
static int fs_l_read(lua_State *L)
{
    rl_buf text = {0};
    rl_err *err = files_read(luaL_checkstring(L, 1), &text);
    if (!err)
        lua_pushlstring(L, text.data, text.len);
    buf_free(&text);
    return err ? errs_fail(L, err) : 1;
}

/* A file that is to be on the disk waits for it on the pool. */
typedef struct write_job {
    rl_await await;          /* first */
    const char *path, *text; /* on the waiting task's stack */
    size_t len;
    unsigned mode;
} write_job;

static void write_run(rl_await *a)
{
    write_job *job = (write_job *)a;
    a->err = files_write(job->path, job->text, job->len, job->mode, true);
}

/* write(path, text[, {mode = 420, sync = bool}]) -> true | nil, err: the old content or the new,
 * never a part */
static int fs_l_write(lua_State *L)
{
    static const char *const keys[] = {"mode", "sync", NULL};
    size_t n;
    const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &n);
    opts_check(L, 3, "fs.write", keys);
    unsigned mode = (unsigned)opts_int_in(L, 3, "mode", 0644, 0, 07777);
    if (!opts_bool(L, 3, "sync", false))
        return errs_ok(L, files_write(path, text, n, mode, false));
    write_job *job = await_new(sizeof *job, write_run, NULL, NULL);
    job->path = path;
    job->text = text;
    job->len = n;
    job->mode = mode;
    return await_job(L, 0, &job->await);
}

static int fs_l_append(lua_State *L)
{
    size_t n;
    const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &n);
    return errs_ok(L, files_append(path, text, n));
}

static int fs_l_mkdir(lua_State *L)
{
    return errs_ok(L, files_mkdir(luaL_checkstring(L, 1)));
}

static int fs_l_symlink(lua_State *L)
{
    return errs_ok(L, files_symlink(luaL_checkstring(L, 1), luaL_checkstring(L, 2)));
}

static int fs_l_rename(lua_State *L)
{
    const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
    return errs_ok(L, rename(from, to) == 0 ? NULL
                                            : err_sys(errno, "cannot rename %s to %s", from, to));
}

static int fs_l_exists(lua_State *L)
{
    struct stat st;
    lua_pushboolean(L, lstat(luaL_checkstring(L, 1), &st) == 0);
    return 1;
}

static const char *kind_of(mode_t mode)
{
    return S_ISREG(mode)    ? "file"
           : S_ISDIR(mode)  ? "dir"
           : S_ISLNK(mode)  ? "link"
           : S_ISSOCK(mode) ? "socket"
                            : "other";
}

/* stat(path) -> {type=, size=, disk= bytes on disk, mode=, mtime= unix ms, uid=} | nil, err; a
 * link is not followed */
static int fs_l_stat(lua_State *L)
{
    struct stat st;
    const char *path = luaL_checkstring(L, 1);
    if (lstat(path, &st) != 0)
        return errs_fail(L, err_sys(errno, "%s", path));
    lua_createtable(L, 0, 7);
    field_set_text(L, "type", kind_of(st.st_mode));
    field_set_int(L, "size", st.st_size);
    field_set_int(L, "disk", (lua_Integer)st.st_blocks * 512);
    field_set_int(L, "mode", st.st_mode & 07777);
    field_set_int(L, "mtime", (lua_Integer)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
    field_set_int(L, "uid", st.st_uid);
    field_set_int(L, "inode", (lua_Integer)st.st_ino);
    return 1;
}

static int not_dots(const struct dirent *e)
{
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* list(path) -> sorted names | nil, err */
static int fs_l_list(lua_State *L)
{
    struct dirent **entries;
    const char *path = luaL_checkstring(L, 1);
    int n = scandir(path, &entries, not_dots, by_name);
    if (n < 0)
        return errs_fail(L, err_sys(errno, "cannot list %s", path));
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushstring(L, entries[i]->d_name);
        lua_rawseti(L, -2, i + 1);
        free(entries[i]);
    }
    free(entries);
    return 1;
}

/* tmpdir([prefix]) -> the path of a new folder under $TMPDIR | nil, err */
static int fs_l_tmpdir(lua_State *L)
{
    const char *root = getenv("TMPDIR");
    const char *pattern = lua_pushfstring(L, "%s/%s-XXXXXX", root && *root ? root : "/tmp",
                                          luaL_optstring(L, 1, "rlab"));
    char *path = mem_strdup(pattern);
    rl_err *err = mkdtemp(path) ? NULL : err_sys(errno, "cannot create the folder %s", pattern);
    lua_pushstring(L, path);
    free(path);
    return err ? errs_fail(L, err) : 1;
}

/* disk_free(path) -> bytes | nil, err */
static int fs_l_disk_free(lua_State *L)
{
    struct statvfs st;
    const char *path = luaL_checkstring(L, 1);
    if (statvfs(path, &st) != 0)
        return errs_fail(L, err_sys(errno, "%s", path));
    lua_pushinteger(L, (lua_Integer)(st.f_bavail * st.f_frsize));
    return 1;
}

static int push_realpath(lua_State *L, const char *path)
{
    char *real = realpath(path, NULL);
    if (!real)
        return errs_fail(L, err_sys(errno, "%s", path));
    lua_pushstring(L, real);
    free(real);
    return 1;
}

static int fs_l_realpath(lua_State *L)
{
    return push_realpath(L, luaL_checkstring(L, 1));
}

/* self_exe() -> path of the running rlab; by its process where the file was replaced meanwhile */
static int fs_l_self_exe(lua_State *L)
{
    char *real = realpath("/proc/self/exe", NULL);
    if (real)
        lua_pushstring(L, real);
    else
        lua_pushfstring(L, "/proc/%d/exe", (int)getpid());
    free(real);
    return 1;
}

/* ---- trees ---- */

typedef struct tree_job {
    rl_await await;  /* first */
    char *from, *to; /* `to` is NULL when removing */
    char **except;
    atomic_bool stop;
} tree_job;

static void tree_run(rl_await *a)
{
    tree_job *job = (tree_job *)a;
    a->err = job->to ? files_copy(job->from, job->to, (const char *const *)job->except, &job->stop)
                     : files_remove(job->from, &job->stop);
}

static void tree_cancel(rl_await *a)
{
    atomic_store(&((tree_job *)a)->stop, true);
}

static void tree_drop(rl_await *a)
{
    tree_job *job = (tree_job *)a;
    for (char **e = job->except; e && *e; e++)
        free(*e);
    free(job->except);
    free(job->from);
    free(job->to);
}

static int tree_start(lua_State *L, const char *from, const char *to, char **except)
{
    tree_job *job = await_new(sizeof *job, tree_run, NULL, tree_drop);
    job->await.cancel = tree_cancel;
    job->from = mem_strdup(from);
    job->to = to ? mem_strdup(to) : NULL;
    job->except = except;
    return await_job(L, 0, &job->await);
}

/* remove(path) -> true | nil, err: also a whole tree, also when nothing is there */
static int fs_l_remove(lua_State *L)
{
    return tree_start(L, luaL_checkstring(L, 1), NULL, NULL);
}

static char **read_except(lua_State *L)
{
    static const char *const keys[] = {"except", NULL};
    opts_check(L, 3, "fs.copy", keys);
    if (lua_isnoneornil(L, 3) || lua_getfield(L, 3, "except") == LUA_TNIL)
        return NULL;
    luaL_checktype(L, -1, LUA_TTABLE);
    int idx = lua_gettop(L);
    lua_Integer n = luaL_len(L, idx);
    for (lua_Integer i = 1; i <= n; i++) {
        if (lua_geti(L, idx, i) != LUA_TSTRING)
            luaL_error(L, "fs.copy: except is a list of names such as \"*.log\"");
        lua_pop(L, 1);
    }
    char **list = mem_zero(sizeof *list * (size_t)(n + 1));
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, idx, i);
        list[i - 1] = mem_strdup(lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    return list;
}

/* copy(from, to[, {except = {"*.log"}}]) -> true | nil, err */
static int fs_l_copy(lua_State *L)
{
    const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
    return tree_start(L, from, to, read_except(L));
}

/* ---- locks ---- */

typedef struct lock {
    int fd;
} lock;

static void lock_close(void *impl)
{
    lock *k = impl;
    files_unlock(k->fd);
    free(k);
}

static const rl_handle_type lock_type = {.name = "fs.lock", .close = lock_close};

/* The holder wrote "PID START\nTEXT". */
static int push_locked(lua_State *L, const char *path, const rl_buf *holder)
{
    long long pid = 0, start = 0;
    const char *text = holder->data ? strchr(holder->data, '\n') : NULL;
    if (holder->data)
        sscanf(holder->data, "%lld %lld", &pid, &start);
    text = text ? text + 1 : "";
    char name[128];
    procfs_name((pid_t)pid, name, sizeof name);
    errs_fail(L, err_lab("LOCKED", "%s is held by pid %lld (%s%s%s)", path, pid, name,
                         *text ? ": " : "", text));
    field_set_int(L, "pid", (lua_Integer)pid);
    field_set_int(L, "start", (lua_Integer)start);
    field_set_text(L, "text", text);
    return 2;
}

/* lock(path[, text]) -> handle | nil, err; err.name is LOCKED, err.pid, err.start and err.text
 * tell who holds it */
static int fs_l_lock(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *text = luaL_optstring(L, 2, "");
    procfs_stat st = {0};
    procfs_read(getpid(), &st);
    rl_handle *h = handle_new(L, &lock_type, 0);
    rl_buf holder = {0}, mine = {0};
    buf_printf(&mine, "%d %lld\n%s", (int)getpid(), (long long)st.start, text);
    int fd;
    rl_err *err = files_lock(path, mine.data, &fd, &holder);
    int n = 1;
    if (err)
        n = errs_fail(L, err);
    else if (fd < 0)
        n = push_locked(L, path, &holder);
    buf_free(&holder);
    buf_free(&mine);
    if (fd >= 0) {
        lock *k = mem_alloc(sizeof *k);
        k->fd = fd;
        handle_set(h, k);
    }
    return n;
}

int luaopen_rlab_fs(lua_State *L)
{
    static const luaL_Reg functions[] = {{"read", fs_l_read},
                                         {"write", fs_l_write},
                                         {"append", fs_l_append},
                                         {"mkdir", fs_l_mkdir},
                                         {"list", fs_l_list},
                                         {"stat", fs_l_stat},
                                         {"remove", fs_l_remove},
                                         {"copy", fs_l_copy},
                                         {"exists", fs_l_exists},
                                         {"rename", fs_l_rename},
                                         {"lock", fs_l_lock},
                                         {"tmpdir", fs_l_tmpdir},
                                         {"symlink", fs_l_symlink},
                                         {"disk_free", fs_l_disk_free},
                                         {"realpath", fs_l_realpath},
                                         {"self_exe", fs_l_self_exe},
                                         {NULL, NULL}};
    static const luaL_Reg none[] = {{NULL, NULL}};
    handle_type_open(L, &lock_type, none);
    luaL_newlib(L, functions);
    return 1;
}
