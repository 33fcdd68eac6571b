/* Fills a topic with events of the ledger for bench/consume.lua: 200 bytes of JSON, keyed by
 * account, with an event-id.
 *
 *     consume_fill TOPIC RECORDS ACCOUNTS [property=value]...
 *
 * Uses: librdkafka. Thread: one. */
#include "peer.h"

enum { VALUE_MAX = 512, BYTES = 200, FLUSH_MS = 120000 };

static int make_value(char *out, const char *id, int account, long version)
{
    int n = snprintf(out, VALUE_MAX,
                     "{\"event_id\":\"%s\",\"account_id\":%d,\"amount\":%ld,\"balance\":%ld,"
                     "\"version\":%ld,\"request_id\":\"cmd-%08ld\",\"type\":\"entry\",\"note\":\"",
                     id, account, version % 500 + 1, version * 250, version, version);
    while (n < BYTES - 2)
        out[n++] = 'x';
    memcpy(out + n, "\"}", 3);
    return n + 2;
}

static void send_one(rd_kafka_t *rk, const char *topic, long i, int accounts)
{
    char id[48], key[16], value[VALUE_MAX];
    int account = (int)(i * 7919 % accounts) + 1;
    snprintf(id, sizeof id, "0190b5e6-%04x-7000-8000-%012lx", (unsigned)(i >> 16) & 0xffff, i);
    int key_len = snprintf(key, sizeof key, "%d", account);
    int len = make_value(value, id, account, i / accounts + 1);
    rd_kafka_resp_err_t err;
    while ((err = rd_kafka_producev(
                rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key, (size_t)key_len),
                RD_KAFKA_V_VALUE(value, (size_t)len), RD_KAFKA_V_HEADER("event-id", id, 36),
                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) ==
           RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(rk, 10);
    if (err)
        die("produce", rd_kafka_err2str(err));
}

int main(int argc, char **argv)
{
    if (argc < 5)
        die("usage", "TOPIC RECORDS ACCOUNTS [property=value]...");
    long records = atol(argv[2]);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), argv + 4);
    for (long i = 0; i < records; i++)
        send_one(rk, argv[1], i, atoi(argv[3]));
    if (rd_kafka_flush(rk, FLUSH_MS))
        die("flush", "not all records were acknowledged in time");
    rd_kafka_destroy(rk);
    printf("{\"records\":%ld}\n", records);
    return 0;
}
