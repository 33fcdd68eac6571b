#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "redis/internal.h"

static rl_err *dial_err(const redisc_conn *conn, int errnum)
{
    const char *name = errnum == ETIMEDOUT ? "TIMEOUT" : strerrorname_np(errnum);
    rl_err *err = conn->opts.socket ? err_new(RL_REDIS, errnum, name, "cannot connect to %s: %s",
                                              conn->opts.socket, strerror(errnum))
                                    : err_new(RL_REDIS, errnum, name, "cannot connect to %s:%d: %s",
                                              conn->opts.host, conn->opts.port, strerror(errnum));
    err->retriable = true;
    err->happened = ERR_NOT_DONE;
    err->blame = ERR_OF_SERVER;
    return err;
}

static bool publish(redisc_conn *conn, int fd)
{
    pthread_mutex_lock(&conn->lock);
    bool go = !conn->cancelled;
    if (go)
        conn->fd = fd;
    pthread_mutex_unlock(&conn->lock);
    if (!go)
        close(fd);
    return go;
}

void redisc_hang_up(redisc_conn *conn)
{
    pthread_mutex_lock(&conn->lock);
    int fd = conn->fd;
    conn->fd = -1;
    pthread_mutex_unlock(&conn->lock);
    redisc_tls_end(conn);
    if (conn->ctx)
        redisFree(conn->ctx); /* closes the socket, which it owns */
    else if (fd >= 0)
        close(fd);
    conn->ctx = NULL;
}

bool redisc_hung_up(redisc_conn *conn)
{
    char byte;
    if (conn->ssl)
        return redisc_tls_hung_up(conn);
    ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* 0 or errno. A cancel shuts the socket down, which ends the poll. */
static int wait_connected(int fd, rl_deadline deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int n;
    do
        n = poll(&p, 1, deadline_poll_ms(deadline));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    if (n == 0)
        return ETIMEDOUT;
    int errnum = 0;
    socklen_t len = sizeof errnum;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
    if (!errnum && (p.revents & POLLHUP))
        return ECONNRESET;
    return errnum;
}

static rl_err *dial_one(redisc_conn *conn, const struct sockaddr *addr, socklen_t len,
                        rl_deadline deadline)
{
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return dial_err(conn, errno);
    int on = 1;
    if (addr->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!publish(conn, fd))
        return err_lab("CANCELLED", "the call was cancelled");
    int errnum = connect(fd, addr, len) == 0 ? 0 : errno;
    if (errnum == EINPROGRESS)
        errnum = wait_connected(fd, deadline);
    if (!errnum)
        return NULL;
    redisc_hang_up(conn);
    return dial_err(conn, errnum);
}

static rl_err *dial_unix(redisc_conn *conn, rl_deadline deadline)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(conn->opts.socket) >= sizeof un.sun_path)
        return dial_err(conn, ENAMETOOLONG);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", conn->opts.socket);
    return dial_one(conn, (struct sockaddr *)&un, sizeof un, deadline);
}

rl_err *redisc_dial(redisc_conn *conn, rl_deadline deadline)
{
    if (conn->opts.socket)
        return dial_unix(conn, deadline);
    char port[16];
    snprintf(port, sizeof port, "%d", conn->opts.port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    int rc = getaddrinfo(conn->opts.host, port, &hints, &list);
    if (rc != 0) {
        rl_err *err = err_new(RL_REDIS, rc, "UNKNOWN_HOST", "cannot find %s: %s", conn->opts.host,
                              gai_strerror(rc));
        err->retriable = rc == EAI_AGAIN;
        return err;
    }
    rl_err *err = NULL;
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        err_free(err);
        err = dial_one(conn, a->ai_addr, a->ai_addrlen, deadline);
        if (!err || err_is(err, RL_LAB, "CANCELLED"))
            break;
    }
    freeaddrinfo(list);
    return err;
}
