/* The way into a broker: what it speaks, then SASL.
 *
 * Offers: wire_login, which makes a fresh connection ready; for one that is ready it does nothing.
 * After an error other than TIMEOUT, and after one in the middle of SASL, the connection is of no
 * further use.
 * Uses: kafka/wire/conn, kafka/wire/scram. Thread: that of the connection. */
#ifndef RL_KAFKA_WIRE_LOGIN_H
#define RL_KAFKA_WIRE_LOGIN_H

#include "kafka/wire/conn.h"

rl_err *wire_login(wire_conn *conn, const wire_call *call);

#endif
