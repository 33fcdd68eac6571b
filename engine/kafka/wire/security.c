#include "kafka/wire/security.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "kafka/token/token.h"

#define VALUE_MAX 4096

static bool is_set(const rd_kafka_conf_t *conf, const char *name, char *value)
{
    kafka_conf_value(conf, name, value, VALUE_MAX);
    return *value != '\0';
}

static bool says(const rd_kafka_conf_t *conf, const char *name, const char *word)
{
    char value[VALUE_MAX];
    return is_set(conf, name, value) && strcasecmp(value, word) == 0;
}

static rl_err *tls_failed(const char *what, const char *file)
{
    char why[160] = "unknown reason";
    unsigned long code = ERR_get_error();
    if (code)
        ERR_error_string_n(code, why, sizeof why);
    ERR_clear_error();
    return err_new(RL_KAFKA, RD_KAFKA_RESP_ERR__SSL, "_SSL", "%s %s: %s", what, file, why);
}

static int give_password(char *out, int size, int writing, void *password)
{
    (void)writing;
    return snprintf(out, (size_t)size, "%s", (const char *)password);
}

static rl_err *load_trust(SSL_CTX *ctx, const rd_kafka_conf_t *conf)
{
    char file[VALUE_MAX];
    if (says(conf, "enable.ssl.certificate.verification", "false"))
        return NULL;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (!is_set(conf, "ssl.ca.location", file) || strcmp(file, "probe") == 0)
        return SSL_CTX_set_default_verify_paths(ctx) == 1
                   ? NULL
                   : tls_failed("the system's", "certificates");
    bool good = SSL_CTX_load_verify_locations(ctx, file, NULL) == 1 ||
                SSL_CTX_load_verify_locations(ctx, NULL, file) == 1;
    return good ? NULL : tls_failed("ssl.ca.location", file);
}

static rl_err *load_identity(SSL_CTX *ctx, const rd_kafka_conf_t *conf)
{
    char file[VALUE_MAX], password[VALUE_MAX];
    if (is_set(conf, "ssl.certificate.location", file) &&
        SSL_CTX_use_certificate_chain_file(ctx, file) != 1)
        return tls_failed("ssl.certificate.location", file);
    if (!is_set(conf, "ssl.key.location", file))
        return NULL;
    if (is_set(conf, "ssl.key.password", password)) {
        SSL_CTX_set_default_passwd_cb(ctx, give_password);
        SSL_CTX_set_default_passwd_cb_userdata(ctx, password);
    }
    bool good = SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    SSL_CTX_set_default_passwd_cb(ctx, NULL);
    return good ? NULL : tls_failed("ssl.key.location", file);
}

static rl_err *read_tls(wire_security *security, const rd_kafka_conf_t *conf)
{
    static const char *const foreign[] = {"ssl.ca.pem", "ssl.certificate.pem", "ssl.key.pem",
                                          "ssl.keystore.location", NULL};
    char value[VALUE_MAX];
    for (int i = 0; foreign[i]; i++)
        if (is_set(conf, foreign[i], value))
            snprintf(security->refusal, sizeof security->refusal,
                     "%s is not understood by rlab's own client; use files in PEM form",
                     foreign[i]);
    security->tls = SSL_CTX_new(TLS_client_method());
    if (!security->tls)
        return tls_failed("TLS", "");
    SSL_CTX_set_min_proto_version(security->tls, TLS1_2_VERSION);
    SSL_CTX_set_mode(security->tls,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    security->check_host = says(conf, "ssl.endpoint.identification.algorithm", "https") &&
                           !says(conf, "enable.ssl.certificate.verification", "false");
    rl_err *err = load_trust(security->tls, conf);
    return err ? err : load_identity(security->tls, conf);
}

static void read_sasl(wire_security *security, const rd_kafka_conf_t *conf)
{
    static const char *const known[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", NULL};
    char value[VALUE_MAX];
    if (kafka_token_command(conf, value, sizeof value)) {
        security->mechanism = "OAUTHBEARER";
        security->command = mem_strdup(value);
        return;
    }
    is_set(conf, "sasl.mechanisms", value);
    for (int i = 0; known[i]; i++)
        if (strcasecmp(known[i], value) == 0)
            security->mechanism = known[i];
    if (!security->mechanism)
        snprintf(security->refusal, sizeof security->refusal,
                 "sasl.mechanisms=%.60s is not spoken by rlab's own client; it knows "
                 "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER by sasl.token_command",
                 value);
    is_set(conf, "sasl.username", value);
    security->user = mem_strdup(value);
    is_set(conf, "sasl.password", value);
    security->password = mem_strdup(value);
}

rl_err *wire_security_new(const rd_kafka_conf_t *conf, wire_security **out)
{
    char protocol[VALUE_MAX];
    wire_security *security = mem_zero(sizeof *security);
    rl_err *err = NULL;
    is_set(conf, "security.protocol", protocol);
    if (strcasecmp(protocol, "ssl") == 0 || strcasecmp(protocol, "sasl_ssl") == 0)
        err = read_tls(security, conf);
    if (!err && strncasecmp(protocol, "sasl_", 5) == 0)
        read_sasl(security, conf);
    if (err) {
        wire_security_free(security);
        return err;
    }
    *out = security;
    return NULL;
}

void wire_security_free(wire_security *security)
{
    if (!security)
        return;
    SSL_CTX_free(security->tls);
    free(security->user);
    free(security->password);
    free(security->command);
    free(security);
}
