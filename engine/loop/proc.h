/* Child processes.
 *
 * Offers: proc_spawn, the output of a child (a bounded tail a stream), its input, its exit status
 * and signals. Every child leads a session of its own, so that Ctrl-C in the terminal does not
 * reach it. A child that is not detached and still runs is killed, with its process group, when its
 * owner lets go of it and at the latest when rlab ends. What a child that has exited left behind,
 * and a detached one, live on.
 * Uses: libuv, base/buf. Thread: the loop thread, except proc_await_end. */
#ifndef RL_LOOP_PROC_H
#define RL_LOOP_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct rl_proc rl_proc;

typedef enum proc_io_kind {
    PROC_NULL,
    PROC_INHERIT,
    PROC_PIPE,
    PROC_FILE,
    PROC_AS_STDOUT
} proc_io_kind;

typedef struct proc_io {
    proc_io_kind kind;
    const char *path; /* PROC_FILE: opened for appending (stdin: for reading) */
} proc_io;

typedef struct proc_opts {
    char **argv; /* argv[0] is looked up in PATH */
    char **env;  /* NULL: ours */
    const char *cwd;
    proc_io io[3];
    bool detached;
    size_t max_output; /* bytes kept of each captured stream, the last ones */
    void (*changed)(rl_proc *p,
                    void *arg); /* output has come, a stream or the child has ended; may be NULL */
    void *arg;
} proc_opts;

typedef struct proc_output {
    const char *data; /* valid until the loop runs again */
    size_t len;
    uint64_t dropped; /* bytes before data that are no longer kept */
} proc_output;

rl_err *proc_spawn(uv_loop_t *loop, const proc_opts *opts, rl_proc **out);

int proc_pid(const rl_proc *p);
bool proc_exited(const rl_proc *p, int *code, int *signum); /* signum 0: it exited by itself */
bool proc_stream_ended(const rl_proc *p,
                       int fd); /* nothing more will come on stdout (1) or stderr (2) */
bool proc_captures(const rl_proc *p, int fd);
proc_output proc_output_of(const rl_proc *p, int fd);
rl_err *proc_signal(rl_proc *p, int signum); /* ESRCH once it has exited */

/* Writes to the child's stdin (PROC_PIPE); done(arg, 0 or a uv error) is called once, later,
 * unless an error is returned. */
rl_err *proc_write(rl_proc *p, const void *bytes, size_t n, void (*done)(void *arg, int status),
                   void *arg);
void proc_end_input(rl_proc *p);
bool proc_takes_input(const rl_proc *p);

/* The owner lets go: no callback comes any more and p must not be touched again. A child that is
 * not detached is killed. Returns what proc_await_end waits for, or NULL when there is nothing to
 * wait for. */
void *proc_abandon(rl_proc *p);

/* Blocks until the killed child is gone, 5 s at most; any thread; frees what it was given. */
void proc_await_end(void *killed);

void proc_kill_all(void);  /* every child that is not detached; at any exit */
void proc_close_all(void); /* the same and closes their uv handles; before the loop is closed */

#endif
