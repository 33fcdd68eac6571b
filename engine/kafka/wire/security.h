/* What a wire connection needs to be let in.
 *
 * Offers: TLS and SASL settings read from a librdkafka configuration, so that a cluster is
 * described once for both: security.protocol, ssl.ca.location, ssl.certificate.location,
 * ssl.key.location, ssl.key.password, enable.ssl.certificate.verification,
 * ssl.endpoint.identification.algorithm, sasl.mechanisms (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, and
 * OAUTHBEARER with a token command), sasl.username, sasl.password. What only librdkafka can do
 * (Kerberos, tokens by OIDC, certificates inside of properties) is refused when a connection is
 * wanted, not before: the rest of an admin client works without one.
 * Uses: kafka/client, OpenSSL. Thread: made once, then read only. */
#ifndef RL_KAFKA_WIRE_SECURITY_H
#define RL_KAFKA_WIRE_SECURITY_H

#include <openssl/ssl.h>

#include "kafka/client.h"

typedef struct wire_security {
    SSL_CTX *tls; /* NULL: plain TCP */
    bool check_host;
    const char *mechanism; /* NULL: no SASL */
    char *user, *password;
    char *command;     /* of OAUTHBEARER: that of kafka/token/token.h */
    char refusal[200]; /* why we cannot connect; "" when we can */
} wire_security;

rl_err *wire_security_new(const rd_kafka_conf_t *conf, wire_security **out);
void wire_security_free(wire_security *security);

#endif
