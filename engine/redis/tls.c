/* TLS below a Redis connection: the handshake, and the bytes of hiredis' context through it. What OpenSSL has
 * decrypted is always taken whole, as hiredis reads with room for a record, so that poll knows when there is
 * more. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "redis/internal.h"

/* ---- options ---- */

static char *copy(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

redisc_tls redisc_tls_copy(const redisc_tls *tls)
{
    return (redisc_tls){
        .mode = tls->mode, .ca = copy(tls->ca), .cert = copy(tls->cert), .key = copy(tls->key)};
}

void redisc_tls_free(redisc_tls *tls)
{
    free((char *)tls->ca);
    free((char *)tls->cert);
    free((char *)tls->key);
}

/* ---- the handshake ---- */

static rl_err *tls_err(const redisc_conn *conn, const char *what)
{
    char why[256] = "the server closed the connection";
    unsigned long code = ERR_get_error();
    long verify = conn->ssl ? SSL_get_verify_result(conn->ssl) : X509_V_OK;
    ERR_clear_error();
    if (code)
        ERR_error_string_n(code, why, sizeof why);
    if (verify != X509_V_OK && conn->opts.tls.mode == REDISC_TLS_VERIFY)
        snprintf(why, sizeof why, "the certificate of %s:%d is not trusted: %s", conn->opts.host,
                 conn->opts.port, X509_verify_cert_error_string(verify));
    return err_new(RL_REDIS, 0, "TLS", "%s: %s", what, why);
}

static bool load_files(SSL_CTX *ctx, const redisc_tls *tls)
{
    if (tls->mode == REDISC_TLS_VERIFY) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        if (tls->ca ? SSL_CTX_load_verify_locations(ctx, tls->ca, NULL) != 1
                    : SSL_CTX_set_default_verify_paths(ctx) != 1)
            return false;
    }
    return (!tls->cert || SSL_CTX_use_certificate_chain_file(ctx, tls->cert) == 1) &&
           (!tls->key || SSL_CTX_use_PrivateKey_file(ctx, tls->key, SSL_FILETYPE_PEM) == 1);
}

/* An address in digits is looked for among the certificate's addresses, a name among its names. */
static bool expect(SSL *ssl, const char *host)
{
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1 ||
           (SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1);
}

static rl_err *make_ssl(redisc_conn *conn)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    bool good = ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
                load_files(ctx, &conn->opts.tls);
    if (good) {
        SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        conn->ssl = SSL_new(ctx);
    }
    SSL_CTX_free(ctx);
    if (!good || !conn->ssl || SSL_set_fd(conn->ssl, conn->fd) != 1)
        return tls_err(conn, "ca, cert or key cannot be used");
    if (conn->opts.tls.mode == REDISC_TLS_VERIFY && !expect(conn->ssl, conn->opts.host))
        return tls_err(conn, "no certificate can be expected of that host");
    return NULL;
}

/* After a step that returned rc <= 0: waits for what it wants next; NULL means do it again. */
static rl_err *wait_for(redisc_conn *conn, int rc, rl_deadline deadline)
{
    int wanted = SSL_get_error(conn->ssl, rc);
    if (wanted != SSL_ERROR_WANT_READ && wanted != SSL_ERROR_WANT_WRITE)
        return tls_err(conn, "TLS handshake failed");
    struct pollfd p = {.fd = conn->fd, .events = wanted == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT};
    if (poll(&p, 1, deadline_poll_ms(deadline)) == 0)
        return err_new(RL_REDIS, 0, "TIMEOUT", "%s:%d does not answer in TLS", conn->opts.host,
                       conn->opts.port);
    return NULL;
}

rl_err *redisc_tls_start(redisc_conn *conn, rl_deadline deadline)
{
    if (conn->opts.tls.mode == REDISC_TLS_OFF)
        return NULL;
    rl_err *err = make_ssl(conn);
    ERR_clear_error();
    for (int rc; !err && (rc = SSL_connect(conn->ssl)) != 1;)
        err = wait_for(conn, rc, deadline);
    return err;
}

void redisc_tls_end(redisc_conn *conn)
{
    SSL_free(conn->ssl);
    conn->ssl = NULL;
}

/* ---- bytes ---- */

static bool come_again(SSL *ssl, int rc)
{
    int why = SSL_get_error(ssl, rc);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static ssize_t broke(redisContext *ctx, int err, const char *why)
{
    ERR_clear_error();
    ctx->err = err;
    snprintf(ctx->errstr, sizeof ctx->errstr, "%s", why);
    return -1;
}

static ssize_t tls_read(redisContext *ctx, char *data, size_t room)
{
    SSL *ssl = ((redisc_conn *)ctx->privdata)->ssl;
    size_t n = 0;
    int rc = SSL_read_ex(ssl, data, room, &n);
    if (rc == 1 || come_again(ssl, rc))
        return (ssize_t)n;
    return broke(ctx, REDIS_ERR_EOF, "the server closed the connection");
}

static ssize_t tls_write(redisContext *ctx)
{
    SSL *ssl = ((redisc_conn *)ctx->privdata)->ssl;
    size_t n = 0;
    int rc = SSL_write_ex(ssl, ctx->obuf, sdslen(ctx->obuf), &n);
    if (rc == 1 || come_again(ssl, rc))
        return (ssize_t)n;
    return broke(ctx, REDIS_ERR_IO, "the server closed the connection");
}

void redisc_tls_adopt(redisc_conn *conn)
{
    if (!conn->ssl)
        return;
    conn->funcs = *conn->ctx->funcs;
    conn->funcs.read = tls_read;
    conn->funcs.write = tls_write;
    conn->ctx->funcs = &conn->funcs;
    conn->ctx->privdata = conn;
}

bool redisc_tls_hung_up(redisc_conn *conn)
{
    char byte;
    int rc = SSL_peek(conn->ssl, &byte, 1);
    bool over = rc <= 0 && !come_again(conn->ssl, rc);
    ERR_clear_error();
    return over;
}
