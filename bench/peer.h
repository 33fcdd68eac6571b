/* What the plain C programs of the bench share, so that each shows its own loop only.
 *
 * Offers: a way to give up, the clocks that are compared, and a client of librdkafka from
 * name=value words.
 * Uses: librdkafka. Thread: any. */
#ifndef RL_BENCH_PEER_H
#define RL_BENCH_PEER_H

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

_Noreturn static inline void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(1);
}

static inline double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* CPU seconds of all threads. */
static inline double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Takes conf. properties: "name=value" words, NULL at the end. */
static inline rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf, char **properties)
{
    char why[512];
    for (; *properties; properties++) {
        char *value = strchr(*properties, '=');
        if (!value)
            die(*properties, "name=value expected");
        *value = '\0';
        if (rd_kafka_conf_set(conf, *properties, value + 1, why, sizeof why) != RD_KAFKA_CONF_OK)
            die(*properties, why);
        *value = '='; /* the same words may make another client */
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk)
        die("client", why);
    return rk;
}

#endif
