/* The same work as flow.consume by plain C over librdkafka and the MySQL client, doing the least
 * possible with the same statements: what the flow is measured against.
 *
 *     consume_loop HOST PORT USER PASSWORD SCHEMA TOPIC PARTITIONS RECORDS BATCH
 *     [property=value]...
 *
 * One thread and one connection a partition. Nothing is checked that the work does not need: no
 * duplicates, no retries, no health. Prints one JSON line: seconds and CPU seconds (all threads)
 * from the first record until all are applied. Uses: librdkafka, libmysqlclient. Thread: one a
 * partition. */
#include <mysql.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "peer.h"

enum { WAIT_MS = 100, ACCOUNTS = 1 << 16, TEXT = 1 << 20 };

typedef struct sum {
    long long amount, version, entries;
} sum;

typedef struct work {
    char **login; /* host port user password schema */
    const char *topic;
    long records;
    int batch;
    rd_kafka_t *rk;
    atomic_long done;
    atomic_bool began_set;
    double began, cpu_began;
} work;

typedef struct lane {
    work *w;
    int partition;
    rd_kafka_queue_t *queue;
    MYSQL *db;
    sum sums[ACCOUNTS];
    int touched[ACCOUNTS], ntouched;
    char dedup[TEXT], view[TEXT], effects[TEXT];
} lane;

/* ---- text ---- */

static char *put(char *p, const char *text)
{
    size_t n = strlen(text);
    memcpy(p, text, n);
    return p + n;
}

static char *put_int(char *p, long long v)
{
    char text[24], *q = text + sizeof text;
    unsigned long long u = v < 0 ? 0 - (unsigned long long)v : (unsigned long long)v;
    do
        *--q = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        *p++ = '-';
    memcpy(p, q, (size_t)(text + sizeof text - q));
    return p + (text + sizeof text - q);
}

/* "0190b5e6-..." as 0x0190b5e6... */
static char *put_id(char *p, const char *uuid)
{
    *p++ = '0';
    *p++ = 'x';
    for (int i = 0; i < 36; i++)
        if (uuid[i] != '-')
            *p++ = uuid[i];
    return p;
}

static long long field(const rd_kafka_message_t *msg, const char *name, size_t len)
{
    const char *at = memmem(msg->payload, msg->len, name, len);
    if (!at)
        die("record", name);
    return strtoll(at + len, NULL, 10);
}
#define FIELD(msg, name) field(msg, "\"" name "\":", sizeof name + 2)

/* ---- one batch ---- */

static void query(lane *l, const char *sql, size_t len)
{
    if (mysql_real_query(l->db, sql, (unsigned long)len) != 0)
        die("mysql", mysql_error(l->db));
}

static const char *event_id(const rd_kafka_message_t *msg)
{
    rd_kafka_headers_t *headers;
    const void *value = NULL;
    size_t len = 0;
    if (rd_kafka_message_headers(msg, &headers) ||
        rd_kafka_header_get_last(headers, "event-id", &value, &len) || len != 36)
        die("record", "no event-id");
    return value;
}

static void add(lane *l, int account, long long amount, long long version)
{
    sum *s = &l->sums[account];
    if (s->entries++ == 0)
        l->touched[l->ntouched++] = account;
    s->amount += amount;
    if (version > s->version)
        s->version = version;
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static size_t make_view(lane *l)
{
    char *p =
        put(l->view, "INSERT INTO account_view (account_id, balance, version, entries) VALUES ");
    qsort(l->touched, (size_t)l->ntouched, sizeof *l->touched, by_number);
    for (int i = 0; i < l->ntouched; i++) {
        sum *s = &l->sums[l->touched[i]];
        p = put_int(put(p, i ? ",(" : "("), l->touched[i]);
        p = put_int(put(p, ","), s->amount);
        p = put_int(put(p, ","), s->version);
        p = put(put_int(put(p, ","), s->entries), ")");
        *s = (sum){0};
    }
    l->ntouched = 0;
    p = put(p, " AS new ON DUPLICATE KEY UPDATE balance = account_view.balance + new.balance,"
               " version = GREATEST(account_view.version, new.version),"
               " entries = account_view.entries + new.entries");
    return (size_t)(p - l->view);
}

static void apply(lane *l, rd_kafka_message_t **msgs, int n)
{
    char *d = put(l->dedup, "INSERT INTO processed_event (consumer, event_id) VALUES ");
    char *e =
        put(l->effects, "INSERT INTO effect_log (event_id, account_id, version, member) VALUES ");
    for (int i = 0; i < n; i++) {
        const char *id = event_id(msgs[i]);
        long long account = FIELD(msgs[i], "account_id"), version = FIELD(msgs[i], "version");
        add(l, (int)account, FIELD(msgs[i], "amount"), version);
        d = put(put_id(put(d, i ? ",('bench'," : "('bench',"), id), ")");
        e = put_int(put(put_id(put(e, i ? ",(" : "("), id), ","), account);
        e = put(put_int(put(e, ","), version), ",'bench')");
    }
    size_t view = make_view(l);
    query(l, "START TRANSACTION", 17);
    query(l, l->dedup, (size_t)(d - l->dedup));
    query(l, l->view, view);
    query(l, l->effects, (size_t)(e - l->effects));
    query(l, "COMMIT", 6);
    rd_kafka_offset_store(msgs[n - 1]->rkt, msgs[n - 1]->partition, msgs[n - 1]->offset);
}

static int fetch(lane *l, rd_kafka_message_t **msgs)
{
    ssize_t n = rd_kafka_consume_batch_queue(l->queue, WAIT_MS, msgs, 1);
    if (n <= 0)
        return 0;
    if (l->w->batch > 1) {
        ssize_t more = rd_kafka_consume_batch_queue(l->queue, 0, msgs + 1, (size_t)l->w->batch - 1);
        n += more > 0 ? more : 0;
    }
    if (!atomic_exchange(&l->w->began_set, true)) {
        l->w->began = now();
        l->w->cpu_began = cpu();
    }
    return (int)n;
}

static void *run(void *arg)
{
    lane *l = arg;
    rd_kafka_message_t **msgs = calloc((size_t)l->w->batch, sizeof(rd_kafka_message_t *));
    mysql_thread_init();
    while (atomic_load(&l->w->done) < l->w->records) {
        int n = fetch(l, msgs);
        if (n == 0)
            continue;
        apply(l, msgs, n);
        for (int i = 0; i < n; i++)
            rd_kafka_message_destroy(msgs[i]);
        atomic_fetch_add(&l->w->done, n);
    }
    free(msgs);
    mysql_thread_end();
    return NULL;
}

/* ---- the whole ---- */

static lane *lane_open(work *w, int partition)
{
    lane *l = calloc(1, sizeof *l);
    l->w = w;
    l->partition = partition;
    l->db = mysql_init(NULL);
    if (!mysql_real_connect(l->db, w->login[0], w->login[2], w->login[3], w->login[4],
                            (unsigned)atoi(w->login[1]), NULL, 0))
        die("mysql", mysql_error(l->db));
    query(l, "SET SESSION transaction_isolation = 'READ-COMMITTED'", 52);
    l->queue = rd_kafka_queue_get_partition(w->rk, w->topic, partition);
    rd_kafka_queue_forward(l->queue, NULL);
    return l;
}

static void lane_close(lane *l)
{
    rd_kafka_queue_destroy(l->queue);
    mysql_close(l->db);
    free(l);
}

int main(int argc, char **argv)
{
    enum { PARTITIONS_MAX = 64 };
    if (argc < 10)
        die("usage",
            "HOST PORT USER PASSWORD SCHEMA TOPIC PARTITIONS RECORDS BATCH [property=value]...");
    work w = {
        .login = argv + 1, .topic = argv[6], .records = atol(argv[8]), .batch = atoi(argv[9])};
    int partitions = atoi(argv[7]);
    if (partitions < 1 || partitions > PARTITIONS_MAX || w.batch < 1 || w.batch > 5000)
        die("usage", "1 to 64 partitions, batches of 1 to 5000");
    w.rk = client(RD_KAFKA_CONSUMER, rd_kafka_conf_new(), argv + 10);
    rd_kafka_poll_set_consumer(w.rk);
    lane *lanes[PARTITIONS_MAX];
    pthread_t threads[PARTITIONS_MAX];
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(partitions);
    for (int p = 0; p < partitions; p++) {
        lanes[p] = lane_open(&w, p);
        rd_kafka_topic_partition_list_add(all, w.topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_assign(w.rk, all);
    for (int p = 0; p < partitions; p++)
        pthread_create(&threads[p], NULL, run, lanes[p]);
    for (int p = 0; p < partitions; p++)
        pthread_join(threads[p], NULL);
    printf("{\"records\":%ld,\"failed\":0,\"seconds\":%.6f,\"cpu\":%.6f}\n", atomic_load(&w.done),
           now() - w.began, cpu() - w.cpu_began);
    for (int p = 0; p < partitions; p++)
        lane_close(lanes[p]);
    rd_kafka_topic_partition_list_destroy(all);
    rd_kafka_consumer_close(w.rk);
    rd_kafka_destroy(w.rk);
    return 0;
}
