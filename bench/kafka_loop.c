/* The same work as bench/loops.lua by plain C over librdkafka, doing the least possible: what
 * rlab's Lua is measured against.
 *
 *     kafka_loop produce|consume TOPIC PARTITIONS RECORDS BYTES BATCH [property=value]...
 *
 * Prints one JSON line: seconds and CPU seconds (all threads) from the first record, once every
 * partition leader has been talked to, until every record is acknowledged or read. Uses:
 * librdkafka. Thread: one. */
#include "peer.h"

enum { WAIT_MS = 60000, ROOM_MS = 100 };

typedef struct work {
    const char *topic;
    int partitions;
    long records;
    size_t bytes;
    int batch;
    rd_kafka_t *rk;
    rd_kafka_topic_t *rkt;
    long done, failed;
    long long sum;
    double began, cpu_began;
} work;

static void start_clock(work *w)
{
    w->done = w->failed = 0;
    w->began = now();
    w->cpu_began = cpu();
}

static void print_result(const work *w)
{
    printf("{\"records\":%ld,\"failed\":%ld,\"bytes\":%lld,\"seconds\":%.6f,\"cpu\":%.6f}\n",
           w->done, w->failed, w->sum, now() - w->began, cpu() - w->cpu_began);
}

/* ---- produce ---- */

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    work *w = opaque;
    (void)rk;
    if (msg->err)
        w->failed++;
    else
        w->done++;
}

static void flush(work *w)
{
    if (rd_kafka_flush(w->rk, WAIT_MS))
        die("flush", "records are still in flight");
}

static void warm_up(work *w)
{
    for (int p = 0; p < w->partitions; p++)
        if (rd_kafka_produce(w->rkt, p, RD_KAFKA_MSG_F_COPY, "warm", 4, NULL, 0, NULL))
            die("produce", rd_kafka_err2str(rd_kafka_last_error()));
    flush(w);
}

/* Sends all n; the partitioner chooses. */
static void send_batch(work *w, rd_kafka_message_t *msgs, int n)
{
    int sent = 0;
    for (;;) {
        sent += rd_kafka_produce_batch(w->rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                                       msgs + sent, n - sent);
        if (sent == n)
            return;
        if (msgs[sent].err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce", rd_kafka_err2str(msgs[sent].err));
        rd_kafka_poll(w->rk, ROOM_MS);
    }
}

static rd_kafka_message_t *make_batch(const work *w)
{
    rd_kafka_message_t *msgs = calloc((size_t)w->batch, sizeof *msgs);
    for (int i = 0; msgs && i < w->batch; i++) {
        msgs[i].len = w->bytes;
        msgs[i].payload = malloc(w->bytes);
        if (!msgs[i].payload)
            die("memory", "none left");
        memset(msgs[i].payload, 'a' + i % 26, w->bytes);
    }
    return msgs;
}

static void produce(work *w, char **properties)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, w);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    w->rk = client(RD_KAFKA_PRODUCER, conf, properties);
    w->rkt = rd_kafka_topic_new(w->rk, w->topic, NULL);
    rd_kafka_message_t *msgs = make_batch(w);
    warm_up(w);
    start_clock(w);
    for (long left = w->records; left > 0; left -= w->batch) {
        send_batch(w, msgs, left < w->batch ? (int)left : w->batch);
        rd_kafka_poll(w->rk, 0);
    }
    flush(w);
    w->sum = (long long)w->done * (long long)w->bytes;
    print_result(w);
}

/* ---- consume ---- */

static void take(work *w, rd_kafka_message_t **msgs, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++) {
        if (msgs[i]->err)
            die("consume", rd_kafka_message_errstr(msgs[i]));
        w->sum += (long long)(msgs[i]->len + msgs[i]->key_len);
        w->done++;
        rd_kafka_message_destroy(msgs[i]);
    }
}

static void assign_all(work *w)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(w->partitions);
    for (int p = 0; p < w->partitions; p++)
        rd_kafka_topic_partition_list_add(list, w->topic, p)->offset = 0;
    if (rd_kafka_assign(w->rk, list))
        die("assign", "refused");
    rd_kafka_topic_partition_list_destroy(list);
}

static void consume(work *w, char **properties)
{
    w->rk = client(RD_KAFKA_CONSUMER, rd_kafka_conf_new(), properties);
    rd_kafka_poll_set_consumer(w->rk);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(w->rk);
    rd_kafka_message_t **msgs = calloc((size_t)w->batch, sizeof *msgs);
    assign_all(w);
    take(w, msgs, rd_kafka_consume_batch_queue(queue, WAIT_MS, msgs, 1));
    start_clock(w);
    while (w->done < w->records) {
        long left = w->records - w->done;
        size_t want = (size_t)(left < w->batch ? left : w->batch);
        take(w, msgs, rd_kafka_consume_batch_queue(queue, ROOM_MS, msgs, want));
    }
    print_result(w);
}

int main(int argc, char **argv)
{
    if (argc < 7)
        die("usage", "produce|consume TOPIC PARTITIONS RECORDS BYTES BATCH [property=value]...");
    work w = {.topic = argv[2],
              .partitions = atoi(argv[3]),
              .records = atol(argv[4]),
              .bytes = (size_t)atol(argv[5]),
              .batch = atoi(argv[6])};
    if (strcmp(argv[1], "produce") == 0)
        produce(&w, argv + 7);
    else
        consume(&w, argv + 7);
    fflush(stdout);
    _Exit(0);
}
