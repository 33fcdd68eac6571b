/* What /proc knows about any process of this machine.
 *
 * Offers: state, start time and memory of a pid, what each of its threads waited for a processor,
 * a name that people recognise, who listens on a port, how many bytes lie unread in a process's
 * sockets, and ports that can be bound. A process is known by its pid *and* start time, since pids
 * are used again; the start time is an opaque number that also tells boots apart. A zombie counts
 * as gone when its other threads have ended too: it holds no port and no file then.
 * Uses: base/buf, loop/tcp_table. Thread: any; nothing is kept between calls but the boot's
 * mark. */
#ifndef RL_LOOP_PROCFS_H
#define RL_LOOP_PROCFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct procfs_stat {
    char state; /* R running, S sleeping, D disk, T stopped, t traced, Z zombie, X dead */
    pid_t parent;
    int threads;
    int64_t start; /* opaque, > 0 */
    int64_t rss;   /* bytes */
    char comm[64];
} procfs_stat;

bool procfs_read(pid_t pid, procfs_stat *out); /* false: no such process */
bool procfs_parse_stat(
    const char *text,
    procfs_stat *out); /* one line of /proc/PID/stat; start without the boot's mark */

/* Alive and not a zombie; start 0 matches any. */
bool procfs_alive(pid_t pid, int64_t start);

/* Every thread is stopped (SIGSTOP has taken effect). */
bool procfs_stopped(pid_t pid);

/* What the scheduler says of a thread: ns on a processor, ns of waiting for one. A wait counts
 * when it has ended. */
typedef struct procfs_thread {
    pid_t tid;
    int64_t run, delay;
} procfs_thread;

typedef void procfs_thread_fn(const procfs_thread *thread, void *arg);

/* Each thread that lives; none when there is no such process, or the kernel keeps no figures. */
void procfs_threads(pid_t pid, procfs_thread_fn *f, void *arg);

/* The program's name from the command line: "mysqld" also when run through ld.so, "java
 * kafka.Kafka" for a JVM. */
void procfs_name(pid_t pid, char *out, size_t size);
void procfs_name_of(const char *cmdline, size_t len, char *out,
                    size_t size); /* of NUL-separated arguments */

/* Who listens on the TCP port: false when nobody does. The pid is 0 where the owner may not be
 * looked at (another user's); uid is always set. */
bool procfs_port_owner(int port, pid_t *pid, uid_t *uid);

/* Bytes received and not read by the process, summed over its established connections to the
 * remote port; -1: no such process. */
int64_t procfs_recv_queue(pid_t pid, int remote_port, int *sockets);

bool procfs_port_free(int port);

/* The first of n consecutive free ports at or above `from`, 0 when there are none. */
int procfs_free_ports(int n, int from);

#endif
