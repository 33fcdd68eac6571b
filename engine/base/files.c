#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_CHUNK = 1 << 20, DEPTH_MAX = 256 };

/* ---- whole files ---- */

static rl_err *read_all(int fd, const char *path, rl_buf *out)
{
    enum { CHUNK = 65536 };
    for (;;) {
        buf_reserve(out, CHUNK);
        ssize_t n = read(fd, out->data + out->len, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(errno, "cannot read %s", path);
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (n == 0)
            return NULL;
    }
}

rl_err *files_read(const char *path, rl_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "cannot read %s", path);
    rl_err *err = read_all(fd, path, out);
    close(fd);
    return err;
}

static rl_err *write_all(int fd, const char *path, const char *bytes, size_t n)
{
    while (n) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_sys(errno, "cannot write %s", path);
        bytes += done;
        n -= (size_t)done;
    }
    return NULL;
}

static rl_err *sync_parent(const char *path)
{
    char *parent = mem_strdup(path);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    int fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rl_err *err =
        fd < 0 || fsync(fd) != 0 ? err_sys(errno, "cannot sync the folder of %s", path) : NULL;
    if (fd >= 0)
        close(fd);
    free(parent);
    return err;
}

rl_err *files_write(const char *path, const void *bytes, size_t n, unsigned mode, bool sync)
{
    rl_buf temp = {0};
    buf_printf(&temp, "%s.tmp.%d.XXXXXX", path, (int)getpid());
    int fd = mkostemp(temp.data, O_CLOEXEC);
    rl_err *err = fd < 0 ? err_sys(errno, "cannot write %s", path) : write_all(fd, path, bytes, n);
    if (!err && (fchmod(fd, mode) != 0 || (sync && fsync(fd) != 0)))
        err = err_sys(errno, "cannot write %s", path);
    if (fd >= 0 && close(fd) != 0 && !err)
        err = err_sys(errno, "cannot write %s", path);
    if (!err && rename(temp.data, path) != 0)
        err = err_sys(errno, "cannot write %s", path);
    if (err && fd >= 0)
        unlink(temp.data);
    if (!err && sync)
        err = sync_parent(path);
    buf_free(&temp);
    return err;
}

rl_err *files_append(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_sys(errno, "cannot write %s", path);
    rl_err *err = write_all(fd, path, bytes, n);
    close(fd);
    return err;
}

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

rl_err *files_mkdir(const char *path)
{
    char *part = mem_strdup(path);
    rl_err *err = NULL;
    for (char *p = part + 1; *part && !err; p++) {
        char c = *p;
        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        int failed = mkdir(part, 0777) != 0 ? errno : 0;
        if (failed && !is_dir(part))
            err = err_sys(failed == EEXIST ? ENOTDIR : failed, "cannot create the folder %s", part);
        *p = c;
        if (c == '\0')
            break;
    }
    free(part);
    return err;
}

rl_err *files_symlink(const char *target, const char *path)
{
    rl_buf temp = {0};
    buf_printf(&temp, "%s.tmp.%d", path, (int)getpid());
    unlink(temp.data);
    rl_err *err = NULL;
    if (symlink(target, temp.data) != 0 || rename(temp.data, path) != 0) {
        err = err_sys(errno, "cannot link %s", path);
        unlink(temp.data);
    }
    buf_free(&temp);
    return err;
}

/* ---- trees ---- */

static rl_err *stopped(const atomic_bool *stop)
{
    return stop && atomic_load_explicit(stop, memory_order_relaxed)
               ? err_lab("CANCELLED", "the call was cancelled")
               : NULL;
}

static bool dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static rl_err *remove_at(int dir, const char *name, const char *path, int depth,
                         const atomic_bool *stop);

static rl_err *remove_inside(int fd, const char *path, int depth, const atomic_bool *stop)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return err_sys(errno, "cannot remove %s", path);
    }
    rl_err *err = depth > DEPTH_MAX ? err_sys(ELOOP, "cannot remove %s", path) : NULL;
    for (struct dirent *e; !err && (e = readdir(dir));)
        if (!dots(e->d_name))
            err = remove_at(fd, e->d_name, path, depth + 1, stop);
    closedir(dir);
    return err;
}

static rl_err *remove_at(int dir, const char *name, const char *path, int depth,
                         const atomic_bool *stop)
{
    rl_err *err = stopped(stop);
    if (err || unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return err;
    if (errno != EISDIR && errno != EPERM)
        return err_sys(errno, "cannot remove %s (in %s)", name, path);
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "cannot remove %s (in %s)", name, path);
    err = remove_inside(fd, path, depth, stop);
    if (!err && unlinkat(dir, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        err = err_sys(errno, "cannot remove %s (in %s)", name, path);
    return err;
}

rl_err *files_remove(const char *path, const atomic_bool *stop)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    char *bare = mem_dup(path, n);
    const char *slash = strrchr(bare, '/'), *last = slash ? slash + 1 : bare;
    rl_err *err = n == 0 || !*last || dots(last) ? err_sys(EINVAL, "refusing to remove '%s'", path)
                                                 : remove_at(AT_FDCWD, bare, path, 0, stop);
    free(bare);
    return err;
}

/* ---- copying ---- */

static bool left_out(const char *name, const char *const *except)
{
    for (; except && *except; except++)
        if (fnmatch(*except, name, 0) == 0)
            return true;
    return false;
}

/* Copies one run of data; the offsets of both files are the same. */
static int copy_range(int in, int out, off_t from, off_t to, const atomic_bool *stop, char *chunk)
{
    while (from < to) {
        if (stop && atomic_load_explicit(stop, memory_order_relaxed))
            return ECANCELED;
        size_t want = to - from > COPY_CHUNK ? COPY_CHUNK : (size_t)(to - from);
        ssize_t n = pread(in, chunk, want, from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return 0;
        for (ssize_t done = 0; done < n;) {
            ssize_t w = pwrite(out, chunk + done, (size_t)(n - done), from + done);
            if (w < 0 && errno != EINTR)
                return errno;
            done += w > 0 ? w : 0;
        }
        from += n;
    }
    return 0;
}

/* Holes are skipped; a file system that knows none reports one run of data. */
static int copy_data(int in, int out, off_t size, const atomic_bool *stop)
{
    char *chunk = mem_alloc(COPY_CHUNK);
    int rc = ftruncate(out, size) == 0 ? 0 : errno;
    for (off_t data = 0, hole; !rc && data < size; data = hole) {
        data = lseek(in, data, SEEK_DATA);
        if (data < 0) {
            rc = errno == ENXIO ? 0 : errno;
            break;
        }
        hole = lseek(in, data, SEEK_HOLE);
        rc = hole < 0 ? errno : copy_range(in, out, data, hole, stop, chunk);
    }
    free(chunk);
    return rc;
}

static int keep_times(int fd, const struct stat *st)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    return fchmod(fd, st->st_mode & 07777) == 0 && futimens(fd, times) == 0 ? 0 : errno;
}

static rl_err *copy_file(const char *from, const char *to, const struct stat *st,
                         const atomic_bool *stop)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return err_sys(errno, "cannot read %s", from);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = out < 0 ? errno : copy_data(in, out, st->st_size, stop);
    if (!rc)
        rc = keep_times(out, st);
    close(in);
    if (out >= 0 && close(out) != 0 && !rc)
        rc = errno;
    if (rc == ECANCELED)
        return stopped(stop);
    return rc ? err_sys(rc, "cannot copy %s to %s", from, to) : NULL;
}

static rl_err *copy_link(const char *from, const char *to)
{
    char target[PATH_MAX];
    ssize_t n = readlink(from, target, sizeof target - 1);
    if (n < 0)
        return err_sys(errno, "cannot read the link %s", from);
    target[n] = '\0';
    return symlink(target, to) == 0 ? NULL : err_sys(errno, "cannot link %s", to);
}

static rl_err *copy_any(const char *from, const char *to, const char *const *except, int depth,
                        const atomic_bool *stop);

static rl_err *copy_entries(DIR *dir, const char *from, const char *to, const char *const *except,
                            int depth, const atomic_bool *stop)
{
    rl_err *err = NULL;
    rl_buf a = {0}, b = {0};
    for (struct dirent *e; !err && (e = readdir(dir));) {
        if (dots(e->d_name) || left_out(e->d_name, except))
            continue;
        buf_reset(&a);
        buf_reset(&b);
        buf_printf(&a, "%s/%s", from, e->d_name);
        buf_printf(&b, "%s/%s", to, e->d_name);
        err = copy_any(a.data, b.data, except, depth + 1, stop);
    }
    buf_free(&a);
    buf_free(&b);
    return err;
}

static rl_err *copy_dir(const char *from, const char *to, const struct stat *st,
                        const char *const *except, int depth, const atomic_bool *stop)
{
    if (depth > DEPTH_MAX)
        return err_sys(ELOOP, "cannot copy %s", from);
    /* Only an empty folder may be there already. */
    if (rmdir(to) != 0 && errno != ENOENT)
        return err_sys(errno, "cannot copy to %s", to);
    DIR *dir = opendir(from);
    if (!dir)
        return err_sys(errno, "cannot read %s", from);
    rl_err *err = mkdir(to, 0700) != 0 ? err_sys(errno, "cannot create the folder %s", to)
                                       : copy_entries(dir, from, to, except, depth, stop);
    closedir(dir);
    int fd = err ? -1 : open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? 0 : keep_times(fd, st);
    if (fd >= 0)
        close(fd);
    return rc ? err_sys(rc, "cannot set the mode of %s", to) : err;
}

static rl_err *copy_any(const char *from, const char *to, const char *const *except, int depth,
                        const atomic_bool *stop)
{
    struct stat st;
    rl_err *err = stopped(stop);
    if (err)
        return err;
    if (lstat(from, &st) != 0)
        return err_sys(errno, "cannot copy %s", from);
    if (S_ISDIR(st.st_mode))
        return copy_dir(from, to, &st, except, depth, stop);
    if (S_ISLNK(st.st_mode))
        return copy_link(from, to);
    if (S_ISREG(st.st_mode))
        return copy_file(from, to, &st, stop);
    return NULL; /* sockets and pipes belong to the process that made them */
}

/* Copying a folder into itself would not end. */
static bool inside(const char *from, const char *to)
{
    char *a = realpath(from, NULL), *parent = mem_strdup(to);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    char *b = realpath(slash ? parent : ".", NULL);
    size_t n = a ? strlen(a) : 0;
    bool yes = a && b && strncmp(a, b, n) == 0 && (b[n] == '/' || b[n] == '\0');
    free(a);
    free(b);
    free(parent);
    return yes;
}

rl_err *files_copy(const char *from, const char *to, const char *const *except,
                   const atomic_bool *stop)
{
    if (is_dir(from) && inside(from, to))
        return err_sys(EINVAL, "cannot copy %s into itself (%s)", from, to);
    return copy_any(from, to, except, 0, stop);
}

/* ---- locks ---- */

rl_err *files_lock(const char *path, const char *text, int *out, rl_buf *holder)
{
    *out = -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_sys(errno, "cannot lock %s", path);
    rl_err *err = NULL;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        err = errno == EWOULDBLOCK ? read_all(fd, path, holder)
                                   : err_sys(errno, "cannot lock %s", path);
        close(fd);
        return err;
    }
    if (ftruncate(fd, 0) != 0)
        err = err_sys(errno, "cannot write %s", path);
    if (!err)
        err = write_all(fd, path, text, strlen(text));
    if (err)
        close(fd);
    else
        *out = fd;
    return err;
}

void files_unlock(int fd)
{
    int emptied = ftruncate(fd, 0); /* who comes next overwrites it anyway */
    (void)emptied;
    close(fd);
}
