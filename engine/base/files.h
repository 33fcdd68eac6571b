/* Files and folders, with errors that name the path.
 *
 * Offers: whole-file reads, atomic writes (a temporary file and a rename), appends, mkdir -p,
 * removal and copying of trees (sparse files stay sparse, modes and times stay), and locks that die
 * with their process (flock). Long calls look at *stop now and then and give up with CANCELLED.
 * Uses: base/buf, base/err. Thread: any; blocking. */
#ifndef RL_BASE_FILES_H
#define RL_BASE_FILES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

rl_err *files_read(const char *path, rl_buf *out);
rl_err *files_write(const char *path, const void *bytes, size_t n, unsigned mode, bool sync);
rl_err *files_append(const char *path, const void *bytes, size_t n);
rl_err *files_mkdir(const char *path); /* with its parents; an existing folder is fine */
rl_err *files_symlink(const char *target, const char *path); /* replaces a link that is there */

/* A file, or a folder with all in it; never follows links; what is not there is fine. */
rl_err *files_remove(const char *path, const atomic_bool *stop);

/* A file (an existing one is replaced) or a tree (the goal must not exist, or be empty). Names
 * that match one of the NULL-terminated patterns are left out (fnmatch; may be NULL). */
rl_err *files_copy(const char *from, const char *to, const char *const *except,
                   const atomic_bool *stop);

/* Takes the lock file or, when another process has it, returns no error and *fd = -1 with what
 * that one wrote in *holder. */
rl_err *files_lock(const char *path, const char *text, int *fd, rl_buf *holder);
void files_unlock(int fd);

#endif
