/* The plain C side of bench/kafka.lua: the same records through librdkafka without rlab.
 *   kafka produce|consume BROKERS TOPIC RECORDS SIZE BATCH -> seconds on stdout */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char why[256];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    return rk;
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    (void)rk;
    *(long *)opaque += msg->err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static double produce(const char *brokers, const char *name, long records, size_t size)
{
    long acked = 0;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "linger.ms", "5");
    set(conf, "acks", "1");
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, &acked);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    char *value = calloc(1, size);
    double start = now();
    for (long i = 0; i < records;) {
        if (rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value, size, NULL, 0, NULL) == 0)
            i++;
        else
            rd_kafka_poll(rk, 10);
        if (i % 1000 == 0)
            rd_kafka_poll(rk, 0);
    }
    rd_kafka_flush(rk, 60000);
    double seconds = now() - start;
    if (acked != records)
        fprintf(stderr, "%ld of %ld records acknowledged\n", acked, records);
    free(value);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
    return acked == records ? seconds : -1;
}

static double consume(const char *brokers, const char *name, long records, size_t batch)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "group.id", "bench");
    set(conf, "enable.auto.commit", "false");
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, name, 0)->offset = 0;
    rd_kafka_message_t **msgs = calloc(batch, sizeof *msgs);
    double start = now();
    rd_kafka_assign(rk, list);
    size_t bytes = 0;
    for (long seen = 0; seen < records;) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 1000, msgs, 1);
        if (n == 1)
            n += rd_kafka_consume_batch_queue(queue, 0, msgs + 1, batch - 1);
        for (ssize_t i = 0; i < n; i++) {
            bytes += msgs[i]->len;
            seen += msgs[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR;
            rd_kafka_message_destroy(msgs[i]);
        }
    }
    double seconds = now() - start;
    free(msgs);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return bytes ? seconds : -1;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 64;
    long records = atol(argv[4]);
    size_t size = (size_t)atol(argv[5]), batch = (size_t)atol(argv[6]);
    double seconds = strcmp(argv[1], "produce") == 0 ? produce(argv[2], argv[3], records, size)
                                                     : consume(argv[2], argv[3], records, batch);
    printf("%.6f\n", seconds);
    return seconds < 0;
}
