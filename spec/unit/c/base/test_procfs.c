/* What is read from /proc: hostile process names, names of programs, and this process itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/procfs.h"
#include "loop/tcp_table.h"

static void stat_lines(void **state)
{
    (void)state;
    procfs_stat st;
    const char *tail =
        " T 17 1 1 0 -1 4194560 1 0 0 0 5 3 0 0 20 0 12 0 987654 1000 25 18446744073709551615";
    char line[256];
    snprintf(line, sizeof line, "42 (a) R (b)%s", tail);
    assert_true(procfs_parse_stat(line, &st));
    assert_string_equal(st.comm, "a) R (b");
    assert_int_equal(st.state, 'T');
    assert_int_equal(st.parent, 17);
    assert_int_equal(st.threads, 12);
    assert_int_equal(st.start, 987654);
    assert_int_equal(st.rss, 25 * sysconf(_SC_PAGESIZE));
    assert_false(procfs_parse_stat("", &st));
    assert_false(procfs_parse_stat("42 (x", &st));
    assert_false(procfs_parse_stat("42 )x(", &st));
    assert_false(procfs_parse_stat("42 (x) R 1 2 3", &st));
}

#define NAME_IS(want, args)                                         \
    do {                                                            \
        char name_[64];                                             \
        procfs_name_of(args, sizeof args - 1, name_, sizeof name_); \
        assert_string_equal(name_, want);                           \
    } while (0)

static void names(void **state)
{
    (void)state;
    NAME_IS("mysqld", "/r/usr/lib64/ld-linux-x86-64.so.2\0--library-path\0/r/lib\0/r/usr/sbin/"
                      "mysqld\0--no-defaults\0");
    NAME_IS("java kafka.Kafka",
            "/usr/bin/java\0-Xmx256m\0-cp\0a.jar:b.jar\0kafka.Kafka\0server.properties\0");
    NAME_IS("java runner.jar", "java\0-Xmx256m\0-jar\0/opt/runner.jar\0");
    NAME_IS("java", "java\0-version\0");
    NAME_IS("java", "java\0-cp\0");
    NAME_IS("redis-server", "redis-server\0");
    NAME_IS("ld-linux.so", "ld-linux.so\0--library-path\0");
    NAME_IS("x/", "x/\0");
}

static void ourselves(void **state)
{
    (void)state;
    procfs_stat st;
    assert_true(procfs_read(getpid(), &st));
    assert_int_equal(st.parent, getppid());
    assert_true(st.start > 0 && st.rss > 0);
    assert_true(procfs_alive(getpid(), 0));
    assert_true(procfs_alive(getpid(), st.start));
    assert_false(procfs_alive(getpid(), st.start + 1));
    assert_false(procfs_alive(0, 0));
    assert_false(procfs_alive(-1, 0));
    assert_false(procfs_stopped(getpid()));
    int sockets;
    assert_int_equal(procfs_recv_queue(getpid(), 9, &sockets), 0);
    assert_int_equal(sockets, 0);
}

static void find_ourselves(const procfs_thread *thread, void *arg)
{
    procfs_thread *own = arg;
    if (thread->tid == getpid())
        *own = *thread;
}

static void threads(void **state)
{
    (void)state;
    procfs_thread own = {0}, later = {0}, none = {0};
    procfs_threads(getpid(), find_ourselves, &own);
    assert_int_equal(own.tid, getpid());
    assert_true(own.run > 0 && own.delay >= 0);
    for (volatile int i = 0; i < 30000000; i++)
        ;
    procfs_threads(getpid(), find_ourselves, &later);
    assert_true(later.run > own.run && later.delay >= own.delay);
    procfs_threads(0, find_ourselves, &none);
    assert_int_equal(none.tid, 0);
}

typedef struct sighting {
    int port, kernel, proc;
} sighting;

static bool in_kernel(const tcp_row *row, void *arg)
{
    sighting *s = arg;
    s->kernel += row->state == TCP_TABLE_LISTEN && (int)row->local_port == s->port;
    return true;
}

static bool in_proc(const tcp_row *row, void *arg)
{
    sighting *s = arg;
    s->proc += row->state == TCP_TABLE_LISTEN && (int)row->local_port == s->port;
    return true;
}

/* A listener of ours, of each family, as the kernel and as /proc tell of it; a socket that is
 * only bound is none. */
static void listeners(void **state)
{
    (void)state;
    for (int family = AF_INET, i = 0; i < 2; i++, family = AF_INET6) {
        int fd = socket(family, SOCK_STREAM, 0);
        if (fd < 0 && family == AF_INET6)
            continue;
        struct sockaddr_storage a = {.ss_family = (sa_family_t)family};
        socklen_t size = sizeof a;
        assert_int_equal(bind(fd, (struct sockaddr *)&a, size), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
        sighting s = {.port = ntohs(((struct sockaddr_in *)&a)->sin_port)};
        pid_t pid;
        uid_t uid;
        assert_false(procfs_port_owner(s.port, &pid, &uid));
        assert_int_equal(listen(fd, 1), 0);
        tcp_table_listening(in_kernel, &s);
        tcp_table_of(getpid(), in_proc, &s);
        assert_int_equal(s.kernel, 1);
        assert_int_equal(s.proc, 1);
        assert_true(procfs_port_owner(s.port, &pid, &uid));
        assert_int_equal(pid, getpid());
        assert_int_equal(uid, getuid());
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stat_lines), cmocka_unit_test(names),
                                       cmocka_unit_test(ourselves), cmocka_unit_test(threads),
                                       cmocka_unit_test(listeners)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
