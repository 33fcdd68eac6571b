#include "loop/tcp_table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/files.h"

enum { ANSWER_BYTES = 32768 };

typedef enum walk_end { WALK_ON, WALK_DONE, WALK_STOPPED, WALK_FAILED } walk_end;

/* ---- the kernel's socket diagnosis ---- */

static bool ask(int fd, int family)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } q = {
        .head = {.nlmsg_len = sizeof q,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = (uint8_t)family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = 1u << TCP_TABLE_LISTEN},
    };
    return send(fd, &q, sizeof q, 0) == (ssize_t)sizeof q;
}

static tcp_row row_of(const struct inet_diag_msg *m)
{
    return (tcp_row){.local_port = ntohs(m->id.idiag_sport),
                     .remote_port = ntohs(m->id.idiag_dport),
                     .state = m->idiag_state,
                     .rx_queue = m->idiag_rqueue,
                     .uid = m->idiag_uid,
                     .inode = m->idiag_inode};
}

static walk_end visit_answer(const struct nlmsghdr *h, size_t n, tcp_visit visit, void *arg)
{
    for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
        if (h->nlmsg_type == NLMSG_DONE)
            return WALK_DONE;
        if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
            return WALK_FAILED;
        tcp_row row = row_of(NLMSG_DATA(h));
        if (!visit(&row, arg))
            return WALK_STOPPED;
    }
    return WALK_ON;
}

static walk_end diagnose(int family, tcp_visit visit, void *arg)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return WALK_FAILED;
    walk_end end = ask(fd, family) ? WALK_ON : WALK_FAILED;
    while (end == WALK_ON) {
        ssize_t n = recv(fd, answer, sizeof answer, 0);
        if (n > 0)
            end = visit_answer((const struct nlmsghdr *)answer, (size_t)n, visit, arg);
        else if (n == 0 || errno != EINTR)
            end = WALK_FAILED;
    }
    close(fd);
    return end;
}

/* ---- /proc ---- */

static walk_end walk_file(const char *path, tcp_visit visit, void *arg)
{
    rl_buf text = {0};
    walk_end end = WALK_DONE;
    rl_err *err = files_read(path, &text);
    const char *line = err || !text.len ? NULL : strchr(text.data, '\n');
    for (; line && line[1] && end == WALK_DONE; line = strchr(line + 1, '\n')) {
        tcp_row r;
        if (sscanf(line + 1,
                   " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%x %x %*x:%x %*x:%*x %*x %u %*d %lu",
                   &r.local_port, &r.remote_port, &r.state, &r.rx_queue, &r.uid, &r.inode) == 6 &&
            !visit(&r, arg))
            end = WALK_STOPPED;
    }
    err_free(err);
    buf_free(&text);
    return end;
}

void tcp_table_of(pid_t pid, tcp_visit visit, void *arg)
{
    static const char *const files[] = {"tcp", "tcp6"};
    for (size_t i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/net/%s", (int)pid, files[i]);
        if (walk_file(path, visit, arg) == WALK_STOPPED)
            return;
    }
}

typedef struct only_listening {
    tcp_visit visit;
    void *arg;
} only_listening;

static bool if_listening(const tcp_row *row, void *arg)
{
    only_listening *o = arg;
    return row->state != TCP_TABLE_LISTEN || o->visit(row, o->arg);
}

void tcp_table_listening(tcp_visit visit, void *arg)
{
    only_listening o = {visit, arg};
    walk_end v4 = diagnose(AF_INET, visit, arg);
    if (v4 == WALK_STOPPED)
        return;
    walk_end v6 = diagnose(AF_INET6, visit, arg);
    if (v4 == WALK_FAILED || v6 == WALK_FAILED)
        tcp_table_of(getpid(), if_listening, &o); /* some are then visited twice */
}
