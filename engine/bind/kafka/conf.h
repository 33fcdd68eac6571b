/* An option table as a Kafka configuration.
 *
 * Offers: strict reading of the options of kafka.producer{}, consumer{} and admin{}. Any librdkafka
 * property by its name (["linger.ms"]) or with underscores (linger_ms); `brokers` (text or list)
 * and `group` are our own words for bootstrap.servers and group.id, and ["sasl.token_command"], a list
 * of words, is a command that gives tokens for OAUTHBEARER (kafka/token/token.h). *.ms properties
 * take durations ("5s"; a number is milliseconds, as the name says), *.bytes take sizes ("64KiB"),
 * lists become comma-separated text. What librdkafka does not know raises with "did you mean", and so does a
 * property of the other kind of client. `kafka.defaults` (a table of the module) is read first;
 * without `brokers` anywhere the variable RLAB_BROKERS is taken, and without that the call raises.
 * Uses: kafka/client. Thread: the Lua thread. */
#ifndef RL_BIND_KAFKA_CONF_H
#define RL_BIND_KAFKA_CONF_H

#include <lua.h>

#include "kafka/client.h"

/* The table at idx as a configuration; raises on wrong usage. `call` names the function in
 * messages ("kafka.producer"). Keys in `own` (NULL-terminated, may be NULL) are the binding's
 * and are skipped. */
rd_kafka_conf_t *kafka_conf_read(lua_State *L, int idx, const char *call, kafka_kind kind,
                                 const char *const *own);

/* Keeps a configuration from a leak while more is read, which may raise: pushes a value that owns it,
 * until kafka_conf_take, which gives it back. */
rd_kafka_conf_t **kafka_conf_keep(lua_State *L, rd_kafka_conf_t *conf);
rd_kafka_conf_t *kafka_conf_take(rd_kafka_conf_t **kept);

/* Pushes the table kafka.defaults. */
void kafka_conf_push_defaults(lua_State *L);

#endif
