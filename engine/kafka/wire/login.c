#include "kafka/client.h"
#include "kafka/token/token.h"
#include "kafka/wire/conn.h"
#include "kafka/wire/scram.h"

#define HANDSHAKE_VERSION 1
#define AUTHENTICATE_VERSION 1

static rl_err *sasl_handshake(wire_conn *conn, const wire_call *call, const char *mechanism)
{
    frame_reader r;
    frame_writer w = wire_begin(conn, FRAME_SASL_HANDSHAKE, HANDSHAKE_VERSION);
    frame_put_str(&w, mechanism);
    wire_end(conn, &w);
    rl_err *err = wire_flush(conn, call);
    if (!err)
        err = wire_receive(conn, call, &r);
    if (err)
        return err;
    int code = frame_i16(&r);
    for (int32_t n = frame_array(&r); n > 0 && !r.bad; n--)
        frame_str(&r);
    err = frame_end(&r, "SaslHandshake response");
    return err ? err : wire_code(code, "broker %s, SASL mechanism %s", wire_name(conn), mechanism);
}

/* One step of the dialogue; the broker's part is valid until the next. */
static rl_err *sasl_step(wire_conn *conn, const wire_call *call, const rl_buf *ours,
                         frame_slice *theirs)
{
    frame_reader r;
    frame_writer w = wire_begin(conn, FRAME_SASL_AUTHENTICATE, AUTHENTICATE_VERSION);
    frame_put_bytes(&w, ours->data, ours->len);
    wire_end(conn, &w);
    rl_err *err = wire_flush(conn, call);
    if (!err)
        err = wire_receive(conn, call, &r);
    if (err)
        return err;
    int code = frame_i16(&r);
    frame_slice why = frame_str(&r);
    *theirs = frame_bytes(&r);
    frame_i64(&r); /* session lifetime: the broker closes, and we come again */
    err = frame_end(&r, "SaslAuthenticate response");
    if (err || !code)
        return err;
    return err_new(RL_KAFKA, code, kafka_code_name((rd_kafka_resp_err_t)code), "broker %s: %.*s",
                   wire_name(conn), (int)why.len, why.data ? why.data : "");
}

static rl_err *sasl_plain(wire_conn *conn, const wire_call *call, const wire_security *security)
{
    rl_buf ours = {0};
    frame_slice theirs;
    buf_u8(&ours, 0);
    buf_str(&ours, security->user);
    buf_u8(&ours, 0);
    buf_str(&ours, security->password);
    rl_err *err = sasl_step(conn, call, &ours, &theirs);
    buf_free(&ours);
    return err;
}

static rl_err *sasl_scram(wire_conn *conn, const wire_call *call, const wire_security *security,
                          const char *digest)
{
    rl_buf ours = {0};
    frame_slice theirs;
    scram login;
    rl_err *err = scram_begin(&login, digest, security->user, security->password, NULL, &ours);
    if (!err)
        err = sasl_step(conn, call, &ours, &theirs);
    buf_reset(&ours);
    if (!err)
        err = scram_answer(&login, theirs, &ours);
    if (!err)
        err = sasl_step(conn, call, &ours, &theirs);
    if (!err)
        err = scram_finish(&login, theirs);
    scram_free(&login);
    buf_free(&ours);
    return err;
}

/* Refused, the broker says why and waits for the end of the dialogue. */
static rl_err *sasl_token(wire_conn *conn, const wire_call *call, const wire_security *security)
{
    kafka_token token;
    rl_buf ours = {0};
    frame_slice theirs;
    rl_err *err = kafka_token_get(security->command, &token);
    if (err)
        return err;
    buf_printf(&ours, "n,,\001auth=Bearer %s\001\001", token.text);
    err = sasl_step(conn, call, &ours, &theirs);
    if (!err && theirs.len)
        err = err_new(RL_KAFKA, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
                      "SASL_AUTHENTICATION_FAILED", "broker %s refuses the token: %.*s",
                      wire_name(conn), (int)theirs.len, theirs.data);
    kafka_token_free(&token);
    buf_free(&ours);
    return err;
}

static rl_err *sasl_login(wire_conn *conn, const wire_call *call, const wire_security *security)
{
    rl_err *err = sasl_handshake(conn, call, security->mechanism);
    if (err)
        return err;
    if (security->mechanism[0] == 'P')
        return sasl_plain(conn, call, security);
    if (security->command)
        return sasl_token(conn, call, security);
    return sasl_scram(conn, call, security, security->mechanism[10] == '2' ? "SHA256" : "SHA512");
}

rl_err *wire_login(wire_conn *conn, const wire_call *call)
{
    rl_err *err = wire_learn(conn, call);
    const wire_security *security = err ? NULL : wire_login_due(conn);
    if (!security)
        return err;
    err = sasl_login(conn, call, security);
    if (!err)
        wire_login_done(conn);
    return err;
}
