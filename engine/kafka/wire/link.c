#include "kafka/wire/link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kafka/client.h"

rl_err *wire_link_broken(const wire_link *link, const char *why)
{
    return err_new(RL_KAFKA, RD_KAFKA_RESP_ERR__TRANSPORT, "_TRANSPORT", "broker %s: %s",
                   link->name, why);
}

/* ---- waiting ---- */

static void drain_wake(const struct pollfd *wake)
{
    uint64_t n;
    if (wake->revents && read(wake->fd, &n, sizeof n) < 0)
        return; /* somebody else took it: the flags are looked at anyway */
}

/* A deadline that has passed still takes what is there already: one slow broker must not cost
 * the answers of the others. */
static rl_err *wait_link(const wire_link *link, const wire_call *call, short events)
{
    for (;;) {
        rl_err *err = wire_cancelled(call);
        if (err)
            return err;
        struct timespec left = deadline_timespec_left(call->deadline);
        struct pollfd fds[2] = {{.fd = link->fd, .events = events},
                                {.fd = call->wake_fd, .events = POLLIN}};
        int n = ppoll(fds, call->wake_fd >= 0 ? 2 : 1, &left, NULL);
        if (n < 0 && errno != EINTR)
            return err_sys(errno, "broker %s", link->name);
        if (n > 0 && fds[0].revents)
            return NULL;
        if (n > 0)
            drain_wake(&fds[1]);
        else if (n == 0 && left.tv_sec == 0 && left.tv_nsec == 0)
            return err_lab("TIMEOUT", "broker %s does not answer", link->name);
    }
}

/* ---- TLS ---- */

static rl_err *tls_broken(const wire_link *link)
{
    char why[256] = "the broker closed the connection";
    unsigned long code = ERR_get_error();
    long verify = SSL_get_verify_result(link->ssl);
    ERR_clear_error();
    if (verify != X509_V_OK && SSL_get_verify_mode(link->ssl) != SSL_VERIFY_NONE)
        return err_new(RL_KAFKA, RD_KAFKA_RESP_ERR__SSL, "_SSL",
                       "broker %s: its certificate is not trusted: %s", link->name,
                       X509_verify_cert_error_string(verify));
    if (code)
        ERR_error_string_n(code, why, sizeof why);
    return wire_link_broken(link, why);
}

/* After an operation that returned rc <= 0: waits for what TLS wants next; NULL means do it
 * again. */
static rl_err *tls_wait(const wire_link *link, const wire_call *call, int rc)
{
    switch (SSL_get_error(link->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return wait_link(link, call, POLLIN);
    case SSL_ERROR_WANT_WRITE:
        return wait_link(link, call, POLLOUT);
    default:
        return tls_broken(link);
    }
}

/* An address in digits is looked for among the certificate's addresses, a name among its names. */
static bool expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
        return true;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static rl_err *start_tls(wire_link *link, const wire_call *call, const wire_security *security,
                         const char *host)
{
    link->ssl = SSL_new(security->tls);
    if (!link->ssl || SSL_set_fd(link->ssl, link->fd) != 1 ||
        (security->check_host && !expect_host(link->ssl, host)))
        return wire_link_broken(link, "TLS cannot be started");
    for (int rc; (rc = SSL_connect(link->ssl)) != 1;) {
        rl_err *err = tls_wait(link, call, rc);
        if (err)
            return err;
    }
    return NULL;
}

/* ---- connecting ---- */

static rl_err *connect_one(wire_link *link, const wire_call *call, const struct addrinfo *address)
{
    link->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return err_sys(errno, "a socket for broker %s", link->name);
    int on = 1, failed = 0;
    socklen_t size = sizeof failed;
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(link->fd, address->ai_addr, address->ai_addrlen) == 0)
        return NULL;
    if (errno != EINPROGRESS)
        return wire_link_broken(link, strerror(errno));
    rl_err *err = wait_link(link, call, POLLOUT);
    if (err)
        return err;
    getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &failed, &size);
    return failed ? wire_link_broken(link, strerror(failed)) : NULL;
}

/* The name is looked up by the system, which knows no deadline; addresses in digits need no
 * look-up. */
static rl_err *connect_any(wire_link *link, const wire_call *call, const char *host, int port)
{
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *list = NULL;
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc == EAI_NONAME) {
        hints.ai_flags = 0;
        rc = getaddrinfo(host, service, &hints, &list);
    }
    if (rc)
        return wire_link_broken(link, gai_strerror(rc));
    rl_err *err = NULL;
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        err_free(err);
        if (link->fd >= 0)
            close(link->fd);
        err = connect_one(link, call, a);
        if (!err || !err_is(err, RL_KAFKA, "_TRANSPORT"))
            break;
    }
    freeaddrinfo(list);
    return err;
}

rl_err *wire_link_open(wire_link *link, const wire_call *call, const wire_security *security,
                       const char *host, int port)
{
    *link = (wire_link){.fd = -1};
    snprintf(link->name, sizeof link->name, "%.250s:%d", host, port);
    if (security && *security->refusal)
        return err_lab("UNSUPPORTED", "%s", security->refusal);
    rl_err *err = connect_any(link, call, host, port);
    return err || !security || !security->tls ? err : start_tls(link, call, security, host);
}

void wire_link_close(wire_link *link)
{
    SSL_free(link->ssl);
    if (link->fd >= 0)
        close(link->fd);
    link->ssl = NULL;
    link->fd = -1;
}

/* ---- bytes ---- */

/* One step; *n 0 means that there was nothing to be done yet and that the wait is over: try
 * again. */
static rl_err *write_some(wire_link *link, const wire_call *call, const char *data, size_t len,
                          size_t *n)
{
    *n = 0;
    if (link->ssl) {
        int rc = SSL_write_ex(link->ssl, data, len, n);
        return rc == 1 ? NULL : tls_wait(link, call, rc);
    }
    ssize_t sent = send(link->fd, data, len, MSG_NOSIGNAL);
    if (sent >= 0)
        *n = (size_t)sent;
    else if (errno != EAGAIN && errno != EINTR)
        return wire_link_broken(link, strerror(errno));
    return sent >= 0 ? NULL : wait_link(link, call, POLLOUT);
}

static rl_err *read_some(wire_link *link, const wire_call *call, char *data, size_t room, size_t *n)
{
    *n = 0;
    if (link->ssl) {
        int rc = SSL_read_ex(link->ssl, data, room, n);
        return rc == 1 ? NULL : tls_wait(link, call, rc);
    }
    ssize_t got = recv(link->fd, data, room, 0);
    if (got > 0)
        *n = (size_t)got;
    else if (got == 0)
        return wire_link_broken(link, "the broker closed the connection");
    else if (errno != EAGAIN && errno != EINTR)
        return wire_link_broken(link, strerror(errno));
    return got > 0 ? NULL : wait_link(link, call, POLLIN);
}

rl_err *wire_link_write(wire_link *link, const wire_call *call, const char *data, size_t len,
                        size_t *pos)
{
    while (*pos < len) {
        size_t n;
        rl_err *err = write_some(link, call, data + *pos, len - *pos, &n);
        if (err)
            return err;
        *pos += n;
    }
    return NULL;
}

rl_err *wire_link_read(wire_link *link, const wire_call *call, char *data, size_t room, size_t *got)
{
    rl_err *err;
    do
        err = read_some(link, call, data, room, got);
    while (!err && !*got);
    return err;
}
