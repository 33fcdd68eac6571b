#include "kafka/wire/scram.h"

#include <librdkafka/rdkafka.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define MIN_ITERATIONS 4096
#define MAX_ITERATIONS 1000000 /* a hostile server must not keep us computing */

static rl_err *refuse(const char *why)
{
    return err_new(RL_KAFKA, RD_KAFKA_RESP_ERR__AUTHENTICATION, "_AUTHENTICATION", "SCRAM: %s",
                   why);
}

/* "," and "=" have a meaning of their own in these messages. */
static void add_name(rl_buf *out, const char *name)
{
    for (; *name; name++)
        if (*name == ',')
            buf_str(out, "=2C");
        else if (*name == '=')
            buf_str(out, "=3D");
        else
            buf_u8(out, (uint8_t)*name);
}

static rl_err *make_nonce(scram *s, const char *nonce)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[16];
    if (nonce) {
        strncpy(s->nonce, nonce, sizeof s->nonce - 1);
        return NULL;
    }
    if (RAND_bytes(random, sizeof random) != 1)
        return refuse("no random numbers");
    for (size_t i = 0; i < sizeof random; i++) {
        s->nonce[2 * i] = digits[random[i] >> 4];
        s->nonce[2 * i + 1] = digits[random[i] & 15];
    }
    return NULL;
}

rl_err *scram_begin(scram *s, const char *digest, const char *user, const char *password,
                    const char *nonce, rl_buf *out)
{
    *s = (scram){.digest = digest, .user = user, .password = password};
    rl_err *err = make_nonce(s, nonce);
    if (err)
        return err;
    buf_str(&s->auth, "n=");
    add_name(&s->auth, user);
    buf_printf(&s->auth, ",r=%s", s->nonce);
    buf_printf(out, "n,,%s", s->auth.data);
    return NULL;
}

/* The value of attribute `key`; a null slice when there is none. */
static frame_slice attribute(frame_slice text, char key)
{
    for (size_t at = 0; at + 1 < text.len;) {
        const char *from = text.data + at, *comma = memchr(from, ',', text.len - at);
        size_t len = comma ? (size_t)(comma - from) : text.len - at;
        if (len >= 2 && from[0] == key && from[1] == '=')
            return (frame_slice){.data = from + 2, .len = len - 2};
        at += len + 1;
    }
    return (frame_slice){0};
}

/* -1 when it is no base64 or does not fit. */
static int from_base64(frame_slice text, uint8_t *out, size_t room)
{
    uint8_t whole[192];
    if (!text.data || text.len == 0 || text.len % 4 || text.len / 4 * 3 > sizeof whole)
        return -1;
    int n = EVP_DecodeBlock(whole, (const uint8_t *)text.data, (int)text.len);
    if (n < 0)
        return -1;
    n -= (text.data[text.len - 1] == '=') + (text.data[text.len - 2] == '=');
    if ((size_t)n > room)
        return -1;
    memcpy(out, whole, (size_t)n);
    return n;
}

static bool sign(const EVP_MD *md, const uint8_t *key, int size, const void *text, size_t len,
                 uint8_t *out)
{
    return HMAC(md, key, size, text, len, out, NULL) != NULL;
}

/* The client's proof, and the signature that the server owes us. */
static bool prove(scram *s, const uint8_t *salt, int salt_len, int iterations, uint8_t *proof)
{
    const EVP_MD *md = EVP_get_digestbyname(s->digest);
    uint8_t salted[64], client[64], stored[64], server[64];
    s->size = md ? EVP_MD_get_size(md) : 0;
    if (s->size < 1 || s->size > 64)
        return false;
    bool good =
        PKCS5_PBKDF2_HMAC(s->password, -1, salt, salt_len, iterations, md, s->size, salted) == 1 &&
        sign(md, salted, s->size, "Client Key", 10, client) &&
        EVP_Digest(client, (size_t)s->size, stored, NULL, md, NULL) == 1 &&
        sign(md, stored, s->size, s->auth.data, s->auth.len, proof) &&
        sign(md, salted, s->size, "Server Key", 10, server) &&
        sign(md, server, s->size, s->auth.data, s->auth.len, s->signature);
    for (int i = 0; good && i < s->size; i++)
        proof[i] ^= client[i];
    return good;
}

static int iterations_of(frame_slice text)
{
    char digits[12] = "";
    if (!text.data || text.len >= sizeof digits)
        return 0;
    memcpy(digits, text.data, text.len);
    return atoi(digits);
}

rl_err *scram_answer(scram *s, frame_slice first, rl_buf *out)
{
    uint8_t salt[128], proof[64], text[96];
    frame_slice nonce = attribute(first, 'r');
    int salt_len = from_base64(attribute(first, 's'), salt, sizeof salt);
    int iterations = iterations_of(attribute(first, 'i'));
    if (!nonce.data || nonce.len <= strlen(s->nonce) ||
        memcmp(nonce.data, s->nonce, strlen(s->nonce)) != 0)
        return refuse("the server's nonce does not continue ours");
    if (salt_len < 1 || iterations < MIN_ITERATIONS || iterations > MAX_ITERATIONS)
        return refuse("the server's salt or number of iterations makes no sense");
    size_t at = out->len;
    buf_str(out, "c=biws,r=");
    buf_add(out, nonce.data, nonce.len);
    buf_u8(&s->auth, ',');
    buf_add(&s->auth, first.data, first.len);
    buf_printf(&s->auth, ",%s", out->data + at);
    if (!prove(s, salt, salt_len, iterations, proof))
        return refuse("the cryptographic library failed");
    EVP_EncodeBlock(text, proof, s->size);
    buf_printf(out, ",p=%s", (const char *)text);
    return NULL;
}

rl_err *scram_finish(scram *s, frame_slice final)
{
    uint8_t theirs[64];
    frame_slice complaint = attribute(final, 'e');
    if (complaint.data)
        return err_new(RL_KAFKA, RD_KAFKA_RESP_ERR__AUTHENTICATION, "_AUTHENTICATION",
                       "SCRAM: %.*s", (int)complaint.len, complaint.data);
    int n = from_base64(attribute(final, 'v'), theirs, sizeof theirs);
    if (s->size < 1 || n != s->size || CRYPTO_memcmp(theirs, s->signature, (size_t)n) != 0)
        return refuse("the server cannot prove that it knows the password");
    return NULL;
}

void scram_free(scram *s)
{
    buf_free(&s->auth);
}
