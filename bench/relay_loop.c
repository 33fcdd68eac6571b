/* What flow.relay is measured against: plain C over librdkafka and libmysqlclient that does the
 * least possible. It has no leases, no order after a failure and no way to go on after an error.
 *
 *     relay_loop read|send|update|delete HOST PORT USER PASSWORD SCHEMA TOPIC ROWS BATCH
 *     [property=value]...
 *
 *     read            batch by batch, the columns that the relay reads, and thrown away
 *     send            all rows lie in memory when the clock starts: produced, acknowledged
 *     update, delete  two batches in flight: one thread reads and produces the next on a connection
 *                     while another waits for the reports of the last and marks it on a second one
 *
 * Prints one JSON line: rows, seconds and CPU seconds (all threads), from the first read (send: the
 * first record) until the last row is read, acknowledged or marked. Uses: librdkafka,
 * libmysqlclient. Thread: two, as above. */
#include <mysql.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "peer.h"

enum { POLL_MS = 100, ROW_ID_MAX = 21, IN_FLIGHT = 2, POLL_EVERY = 1024 };

/* Columns of COLUMNS. */
enum { COL_ID, COL_EVENT = 3, COL_KEY, COL_PAYLOAD };
#define COLUMNS "id, shard, published_at IS NULL, event_id, message_key, payload, headers, topic"

typedef struct batch {
    MYSQL_RES *rows;
    long long *ids;
    int n;
    atomic_int waits; /* rows without a report */
    bool flies;       /* under the lock: between produce and mark */
} batch;

typedef struct work {
    const char *how;
    MYSQL *reader, *marker;
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    int size;
    long rows;
    long long last;
    atomic_long done, failed;
    batch batches[IN_FLIGHT];
    pthread_mutex_t lock;
    pthread_cond_t change;
} work;

static void query(MYSQL *mysql, const char *sql, size_t len)
{
    if (mysql_real_query(mysql, sql, (unsigned long)len) != 0)
        die(sql, mysql_error(mysql));
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    work *w = opaque;
    batch *b = msg->_private;
    (void)rk;
    if (msg->err)
        w->failed++;
    b->waits--;
}

/* ---- rows ---- */

static MYSQL_RES *read_rows(work *w, long limit)
{
    char sql[256];
    bool update = strcmp(w->how, "update") == 0;
    int n = snprintf(sql, sizeof sql,
                     "SELECT " COLUMNS " FROM outbox_event FORCE INDEX (%s) "
                     "WHERE published_at IS NULL AND id > %lld ORDER BY id LIMIT %ld",
                     update ? "unsent" : "PRIMARY", w->last, limit);
    query(w->reader, sql, (size_t)n);
    MYSQL_RES *rows = mysql_store_result(w->reader);
    if (!rows)
        die("rows", mysql_error(w->reader));
    return rows;
}

static void put_id(const unsigned char *id, char out[37])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[id[i] >> 4];
        *out++ = digits[id[i] & 15];
    }
    *out = '\0';
}

static rd_kafka_error_t *produce_row(work *w, batch *b, MYSQL_ROW row, const unsigned long *lens)
{
    char id[37];
    put_id((const unsigned char *)row[COL_EVENT], id);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    rd_kafka_header_add(headers, "event-id", 8, id, 36);
    rd_kafka_vu_t vus[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = w->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = RD_KAFKA_PARTITION_UA},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = b},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {row[COL_KEY], lens[COL_KEY]}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {row[COL_PAYLOAD], lens[COL_PAYLOAD]}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    rd_kafka_error_t *error = rd_kafka_produceva(w->rk, vus, sizeof vus / sizeof *vus);
    if (error)
        rd_kafka_headers_destroy(headers);
    return error;
}

static void send_row(work *w, batch *b, MYSQL_ROW row, const unsigned long *lens)
{
    for (;;) {
        rd_kafka_error_t *error = produce_row(w, b, row, lens);
        if (!error)
            return;
        if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        rd_kafka_poll(w->rk, POLL_MS);
    }
}

/* ---- the limits ---- */

static void run_read(work *w)
{
    while (w->done < w->rows) {
        MYSQL_RES *rows = read_rows(w, w->size);
        for (MYSQL_ROW row; (row = mysql_fetch_row(rows)); w->done++)
            w->last = strtoll(row[COL_ID], NULL, 10);
        mysql_free_result(rows);
    }
}

static void run_send(work *w, MYSQL_RES *rows)
{
    batch all = {.waits = (int)mysql_num_rows(rows)};
    long sent = 0;
    for (MYSQL_ROW row; (row = mysql_fetch_row(rows));) {
        send_row(w, &all, row, mysql_fetch_lengths(rows));
        if (++sent % POLL_EVERY == 0)
            rd_kafka_poll(w->rk, 0);
    }
    while (all.waits)
        rd_kafka_poll(w->rk, POLL_MS);
    w->done = sent;
}

/* ---- two batches in flight ---- */

static void produce_batch(work *w, batch *b)
{
    b->rows = read_rows(w, w->size);
    b->n = 0;
    b->waits = (int)mysql_num_rows(b->rows);
    for (MYSQL_ROW row; (row = mysql_fetch_row(b->rows)); b->n++) {
        b->ids[b->n] = w->last = strtoll(row[COL_ID], NULL, 10);
        send_row(w, b, row, mysql_fetch_lengths(b->rows));
    }
    mysql_free_result(b->rows);
}

static void wait_for(work *w, const batch *b, bool flies)
{
    pthread_mutex_lock(&w->lock);
    while (b->flies != flies)
        pthread_cond_wait(&w->change, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

static void set(work *w, batch *b, bool flies)
{
    pthread_mutex_lock(&w->lock);
    b->flies = flies;
    pthread_cond_signal(&w->change);
    pthread_mutex_unlock(&w->lock);
}

static void mark(work *w, const batch *b, char *sql, size_t room)
{
    size_t n = (size_t)snprintf(sql, room, "%s",
                                strcmp(w->how, "update") == 0
                                    ? "UPDATE outbox_event SET published_at = NOW(6) WHERE id IN"
                                    : "DELETE FROM outbox_event WHERE id IN");
    for (int i = 0; i < b->n; i++)
        n += (size_t)snprintf(sql + n, room - n, "%s%lld", i ? "," : " (", b->ids[i]);
    n += (size_t)snprintf(sql + n, room - n, ")");
    query(w->marker, sql, n);
}

static void *run_marker(void *arg)
{
    work *w = arg;
    size_t room = (size_t)w->size * ROW_ID_MAX + 100;
    char *sql = malloc(room);
    if (!sql)
        die("memory", "none left");
    for (int turn = 0; w->done < w->rows; turn = (turn + 1) % IN_FLIGHT) {
        batch *b = &w->batches[turn];
        wait_for(w, b, true);
        while (b->waits)
            rd_kafka_poll(w->rk, POLL_MS);
        mark(w, b, sql, room);
        w->done += b->n;
        set(w, b, false);
    }
    free(sql);
    return NULL;
}

static void run_marks(work *w)
{
    pthread_t marker;
    long produced = 0;
    pthread_create(&marker, NULL, run_marker, w);
    for (int turn = 0; produced < w->rows; turn = (turn + 1) % IN_FLIGHT) {
        batch *b = &w->batches[turn];
        wait_for(w, b, false);
        produce_batch(w, b);
        produced += b->n;
        set(w, b, true);
    }
    pthread_join(marker, NULL);
}

/* ---- clients ---- */

static void open_kafka(work *w, const char *topic, char **properties)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, w);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    w->rk = client(RD_KAFKA_PRODUCER, conf, properties);
    w->topic = rd_kafka_topic_new(w->rk, topic, NULL);
    const struct rd_kafka_metadata *metadata;
    if (rd_kafka_metadata(w->rk, 0, w->topic, &metadata, 10000))
        die("topic", "no metadata");
    rd_kafka_metadata_destroy(metadata);
}

static MYSQL *open_mysql(char **at)
{
    unsigned protocol = MYSQL_PROTOCOL_TCP;
    MYSQL *mysql = mysql_init(NULL);
    mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
    if (!mysql_real_connect(mysql, at[0], at[2], at[3], at[4], (unsigned)atoi(at[1]), NULL, 0))
        die("mysql", mysql_error(mysql));
    return mysql;
}

static void open_batches(work *w)
{
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->change, NULL);
    for (int i = 0; i < IN_FLIGHT; i++)
        if (!(w->batches[i].ids = malloc((size_t)w->size * sizeof(long long))))
            die("memory", "none left");
}

int main(int argc, char **argv)
{
    if (argc < 10)
        die("usage", "read|send|update|delete HOST PORT USER PASSWORD SCHEMA TOPIC ROWS BATCH "
                     "[property=value]...");
    work w = {.how = argv[1], .rows = atol(argv[8]), .size = atoi(argv[9])};
    w.reader = open_mysql(argv + 2);
    w.marker = open_mysql(argv + 2);
    open_kafka(&w, argv[7], argv + 10);
    open_batches(&w);
    bool reads = strcmp(w.how, "read") == 0, sends = strcmp(w.how, "send") == 0;
    MYSQL_RES *all = sends ? read_rows(&w, w.rows) : NULL;
    double began = now(), cpu_began = cpu();
    if (reads)
        run_read(&w);
    else if (sends)
        run_send(&w, all);
    else
        run_marks(&w);
    printf("{\"records\":%ld,\"failed\":%ld,\"seconds\":%.6f,\"cpu\":%.6f}\n", w.done, w.failed,
           now() - began, cpu() - cpu_began);
    fflush(stdout);
    _Exit(0);
}
