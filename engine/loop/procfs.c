#include "loop/procfs.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "loop/tcp_table.h"

enum { PORT_MAX = 65535, TICK_BITS = 40 };

static bool slurp(const char *path, rl_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n;
    do {
        buf_reserve(out, 4096);
        n = read(fd, out->data + out->len, 4096);
        if (n > 0)
            out->len += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    out->data[out->len] = '\0';
    close(fd);
    return n == 0;
}

static bool slurp_of(pid_t pid, const char *file, rl_buf *out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    return slurp(path, out);
}

/* 22 bits that differ from boot to boot, above the ticks: a start time kept over a reboot
 * matches nothing. */
static int64_t boot_mark(void)
{
    static _Thread_local int64_t mark;
    if (mark)
        return mark;
    rl_buf id = {0};
    uint32_t h = 2166136261u;
    if (slurp("/proc/sys/kernel/random/boot_id", &id))
        for (size_t i = 0; i < id.len; i++)
            h = (h ^ (unsigned char)id.data[i]) * 16777619u;
    buf_free(&id);
    mark = (int64_t)((h & 0x3fffff) | 1) << TICK_BITS;
    return mark;
}

bool procfs_parse_stat(const char *text, procfs_stat *out)
{
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open)
        return false;
    size_t n = (size_t)(close - open - 1);
    if (n >= sizeof out->comm)
        n = sizeof out->comm - 1;
    memcpy(out->comm, open + 1, n);
    out->comm[n] = '\0';
    int parent;
    unsigned long long start;
    long rss;
    if (sscanf(close + 1,
               " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %llu "
               "%*u %ld",
               &out->state, &parent, &out->threads, &start, &rss) != 5)
        return false;
    out->parent = parent;
    out->start = (int64_t)start;
    out->rss = (int64_t)rss * sysconf(_SC_PAGESIZE);
    return true;
}

bool procfs_read(pid_t pid, procfs_stat *out)
{
    rl_buf text = {0};
    bool ok = pid > 0 && slurp_of(pid, "stat", &text) && procfs_parse_stat(text.data, out);
    if (ok)
        out->start += boot_mark();
    buf_free(&text);
    return ok;
}

bool procfs_alive(pid_t pid, int64_t start)
{
    procfs_stat st;
    return procfs_read(pid, &st) && (st.state != 'Z' || st.threads > 1) && st.state != 'X' &&
           (!start || st.start == start);
}

bool procfs_stopped(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    bool stopped = true;
    for (struct dirent *e; stopped && (e = readdir(dir));) {
        procfs_stat st;
        if (e->d_name[0] == '.')
            continue;
        stopped = procfs_read((pid_t)atoi(e->d_name), &st) && st.state == 'T';
    }
    closedir(dir);
    return stopped;
}

/* One line of /proc/PID/task/TID/schedstat: ns on a processor, ns of waiting for one, slices. */
static bool thread_of(pid_t pid, const char *tid, procfs_thread *out)
{
    char path[96], text[96];
    snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", (int)pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    long long run, delay;
    if (sscanf(text, "%lld %lld", &run, &delay) != 2)
        return false;
    *out = (procfs_thread){.tid = (pid_t)atoi(tid), .run = run, .delay = delay};
    return true;
}

void procfs_threads(pid_t pid, procfs_thread_fn *f, void *arg)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return;
    procfs_thread thread;
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && thread_of(pid, e->d_name, &thread))
            f(&thread, arg);
    closedir(dir);
}

/* ---- names ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static const char *next_arg(const char *arg, const char *end)
{
    const char *next = arg + strlen(arg) + 1;
    return next < end ? next : NULL;
}

/* The first argument that is no option; those of `with_value` take the following argument along. */
static const char *first_operand(const char *arg, const char *end, const char *const *with_value)
{
    while ((arg = next_arg(arg, end)) && arg[0] == '-') {
        for (const char *const *w = with_value; *w; w++) {
            if (strcmp(arg, *w) != 0)
                continue;
            arg = next_arg(arg, end);
            break;
        }
        if (!arg)
            return NULL;
    }
    return arg;
}

void procfs_name_of(const char *cmdline, size_t len, char *out, size_t size)
{
    static const char *const loader[] = {"--library-path", "--inhibit-rpath", "--preload",
                                         "--argv0",        "--audit",         NULL};
    static const char *const jvm[] = {
        "-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", NULL};
    const char *end = cmdline + len, *arg = cmdline;
    if (strncmp(base_name(arg), "ld-linux", 8) == 0) {
        const char *program = first_operand(arg, end, loader);
        arg = program ? program : arg;
    }
    const char *name = base_name(arg);
    const char *class = strcmp(name, "java") == 0 ? first_operand(arg, end, jvm) : NULL;
    if (class)
        snprintf(out, size, "%s %s", name, base_name(class));
    else
        snprintf(out, size, "%s", name);
}

void procfs_name(pid_t pid, char *out, size_t size)
{
    rl_buf text = {0};
    procfs_stat st;
    if (slurp_of(pid, "cmdline", &text) && text.len && text.data[0])
        procfs_name_of(text.data, text.len, out, size);
    else
        snprintf(out, size, "%s", procfs_read(pid, &st) ? st.comm : "?");
    buf_free(&text);
}

/* ---- sockets ---- */

typedef struct inode_set {
    unsigned long *list;
    size_t n, cap;
} inode_set;

/* The socket inodes among a process's open files; false when they may not be looked at. */
static bool socket_inodes(pid_t pid, inode_set *set)
{
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    for (struct dirent *e; (e = readdir(dir));) {
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        unsigned long inode;
        if (n <= 0)
            continue;
        target[n] = '\0';
        if (sscanf(target, "socket:[%lu]", &inode) != 1)
            continue;
        if (set->n == set->cap) {
            set->cap = set->cap ? set->cap * 2 : 64;
            set->list = mem_grow(set->list, set->cap * sizeof *set->list);
        }
        set->list[set->n++] = inode;
    }
    closedir(dir);
    return true;
}

static bool set_has(const inode_set *set, unsigned long inode)
{
    for (size_t i = 0; i < set->n; i++)
        if (set->list[i] == inode)
            return true;
    return false;
}

typedef struct queue_sum {
    inode_set mine;
    unsigned remote_port;
    int64_t bytes;
    int sockets;
} queue_sum;

static bool add_queue(const tcp_row *row, void *arg)
{
    queue_sum *q = arg;
    if (row->state == TCP_TABLE_ESTABLISHED && row->remote_port == q->remote_port &&
        set_has(&q->mine, row->inode)) {
        q->bytes += row->rx_queue;
        q->sockets++;
    }
    return true;
}

int64_t procfs_recv_queue(pid_t pid, int remote_port, int *sockets)
{
    queue_sum q = {.remote_port = (unsigned)remote_port};
    bool ok = socket_inodes(pid, &q.mine);
    tcp_table_of(pid, add_queue, &q);
    free(q.mine.list);
    *sockets = q.sockets;
    return ok ? q.bytes : -1;
}

typedef struct listener {
    unsigned port;
    bool found;
    tcp_row row;
} listener;

static bool find_listener(const tcp_row *row, void *arg)
{
    listener *l = arg;
    if (row->local_port != l->port)
        return true;
    l->row = *row;
    l->found = true;
    return false;
}

static pid_t owner_of_inode(unsigned long inode)
{
    DIR *dir = opendir("/proc");
    pid_t owner = 0;
    for (struct dirent *e; dir && !owner && (e = readdir(dir));) {
        pid_t pid = (pid_t)atoi(e->d_name);
        inode_set set = {0};
        if (pid > 0 && socket_inodes(pid, &set) && set_has(&set, inode))
            owner = pid;
        free(set.list);
    }
    if (dir)
        closedir(dir);
    return owner;
}

bool procfs_port_owner(int port, pid_t *pid, uid_t *uid)
{
    listener l = {.port = (unsigned)port};
    tcp_table_listening(find_listener, &l);
    if (!l.found)
        return false;
    *uid = l.row.uid;
    *pid = owner_of_inode(l.row.inode);
    return true;
}

/* Bound on every address of both families, as a JVM does it; SO_REUSEADDR because servers set it
 * too and TIME_WAIT is no obstacle. */
static bool can_bind(int family, int port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, off = 0;
    if (fd < 0)
        return family == AF_INET6 && errno == EAFNOSUPPORT;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int rc;
    if (family == AF_INET6) {
        struct sockaddr_in6 a = {
            .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_any};
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        rc = bind(fd, (struct sockaddr *)&a, sizeof a);
        if (rc < 0 && errno == EADDRNOTAVAIL)
            rc = 0;
    } else {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        rc = bind(fd, (struct sockaddr *)&a, sizeof a);
    }
    close(fd);
    return rc == 0;
}

bool procfs_port_free(int port)
{
    return port > 0 && port <= PORT_MAX && can_bind(AF_INET, port) && can_bind(AF_INET6, port);
}

int procfs_free_ports(int n, int from)
{
    rl_assert(n > 0 && from > 0);
    int run = 0;
    for (int port = from; port <= PORT_MAX; port++) {
        run = procfs_port_free(port) ? run + 1 : 0;
        if (run == n)
            return port - n + 1;
    }
    return 0;
}
