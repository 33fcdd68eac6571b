/* SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), the client's side.
 *
 * Offers: the three steps of a login as text in and text out, apart from any connection. The
 * server's own proof is checked too.
 * Uses: OpenSSL's libcrypto. Thread: plain memory, one owner. */
#ifndef RL_KAFKA_WIRE_SCRAM_H
#define RL_KAFKA_WIRE_SCRAM_H

#include "kafka/wire/frame.h"

typedef struct scram {
    const char *digest; /* "SHA256", "SHA512" */
    const char *user, *password;
    char nonce[40];
    rl_buf auth;           /* what both sides sign */
    uint8_t signature[64]; /* the server's, as expected */
    int size;
} scram;

/* user and password must outlive the login. nonce NULL: a random one. */
rl_err *scram_begin(scram *s, const char *digest, const char *user, const char *password,
                    const char *nonce, rl_buf *out);
rl_err *scram_answer(scram *s, frame_slice server_first, rl_buf *out);
rl_err *scram_finish(scram *s, frame_slice server_final);
void scram_free(scram *s);

#endif
