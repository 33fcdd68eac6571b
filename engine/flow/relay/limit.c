/* The largest record that a topic takes. It is asked for once before the first row is sent: a broker
 * refuses a batch as a whole, and what waits behind it would overtake the rows in it. The client,
 * which is given the limit, refuses the one record; before that row is parked, its topic is asked
 * again, as its limit may be larger by now, or it is not the relay's own topic. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flow/relay/internal.h"
#include "kafka/limit.h"

enum { LEAST_BYTES = 1000, CLIENTS_DEFAULT = 1000000, KNOWN_FOR_MS = 5000 };

static const double ask_again = 0.1;

static int64_t client_limit(const flow_relay *relay)
{
    char value[32];
    kafka_conf_value(relay->conf, "message.max.bytes", value, sizeof value);
    return strtoll(value, NULL, 10);
}

static bool compresses(const flow_relay *relay)
{
    char compression[32];
    kafka_conf_value(relay->conf, "compression.codec", compression, sizeof compression);
    return strcmp(compression, "none") != 0;
}

static void limit_set(flow_relay *relay, int64_t limit)
{
    char value[32];
    snprintf(value, sizeof value, "%lld", (long long)limit);
    err_free(kafka_conf_put(relay->conf, "message.max.bytes", value));
    pthread_mutex_lock(&relay->lock);
    relay->reset = relay->replace = true; /* a producer with the new limit */
    pthread_mutex_unlock(&relay->lock);
}

/* What somebody has set is lowered, but not raised. The size of a compressed batch is known only after the
 * client has checked its records, so that is not lowered either. */
static bool limit_fits(flow_relay *relay, int64_t limit, bool lower)
{
    int64_t now = client_limit(relay);
    limit = limit - KAFKA_FRAME_BYTES < LEAST_BYTES ? LEAST_BYTES : limit - KAFKA_FRAME_BYTES;
    bool too_low = now < limit && !relay->limit_given;
    bool too_high = now > limit && lower && !compresses(relay);
    if (!too_low && !too_high)
        return true;
    limit_set(relay, limit);
    return false;
}

static bool limit_ask(flow_relay *relay, const char *topic, int64_t *limit)
{
    rl_err *err = kafka_limit_ask(kafka_producer_rk(relay->producer), topic, limit);
    if (!err) {
        flow_up(&relay->flow, "kafka");
        return true;
    }
    flow_down(&relay->flow, "kafka", err);
    err_free(err);
    flow_sleep(&relay->flow, ask_again);
    return false;
}

bool relay_limit_known(flow_relay *relay)
{
    int64_t limit;
    if (relay->limit_known)
        return true;
    if (!limit_ask(relay, relay->opts.topic, &limit))
        return false;
    relay->limit_known = true;
    relay->limit_given = client_limit(relay) != CLIENTS_DEFAULT;
    if (limit)
        limit_fits(relay, limit, true);
    return true;
}

bool relay_limit_grows(flow_relay *relay, const char *topic)
{
    int64_t limit, now = clock_ms();
    if (relay->limit_given)
        return false;
    if (now < relay->limit_until && strcmp(relay->limit_topic, topic) == 0)
        return false;
    if (!limit_ask(relay, topic, &limit))
        return true;
    relay->limit_until = now + KNOWN_FOR_MS;
    snprintf(relay->limit_topic, sizeof relay->limit_topic, "%s", topic);
    return limit && !limit_fits(relay, limit, false);
}
