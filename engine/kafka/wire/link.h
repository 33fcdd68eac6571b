/* The bytes below the wire client: a TCP connection, with or without TLS, whose every wait has a
 * deadline and can be cancelled.
 *
 * Offers: open, write, read, close.
 * Uses: kafka/wire/call, kafka/wire/security, OpenSSL. Thread: one at a time. */
#ifndef RL_KAFKA_WIRE_LINK_H
#define RL_KAFKA_WIRE_LINK_H

#include "kafka/wire/call.h"
#include "kafka/wire/security.h"

typedef struct wire_link {
    int fd; /* -1: none */
    SSL *ssl;
    char name[280]; /* host:port */
} wire_link;

/* A link that failed to open is to be closed as well. */
rl_err *wire_link_open(wire_link *link, const wire_call *call, const wire_security *security,
                       const char *host, int port);
/* Writes from *pos on until all is written; *pos says how far it came. */
rl_err *wire_link_write(wire_link *link, const wire_call *call, const char *data, size_t len,
                        size_t *pos);
/* At least one byte, at most `room`. */
rl_err *wire_link_read(wire_link *link, const wire_call *call, char *data, size_t room,
                       size_t *got);
void wire_link_close(wire_link *link);

/* A connection that cannot be made or broke: librdkafka's word for it (_TRANSPORT), so that
 * callers know one name. */
rl_err *wire_link_broken(const wire_link *link, const char *why);

#endif
