/* The work of flow.relay by plain C over librdkafka and libmysqlclient, doing the least possible:
 * read a batch, produce it, read and produce the next, wait for the reports of the first, mark it.
 * Two batches in flight, one thread. What rlab's relay is measured against; it has no leases, no
 * order after a failure and no way to go on after an error.
 *
 *     relay_loop update|delete|none HOST PORT USER PASSWORD SCHEMA TOPIC ROWS BATCH
 *     [property=value]...
 *
 * Prints one JSON line: rows, seconds and CPU seconds (all threads), from the first read until the
 * last row is marked. Uses: librdkafka, libmysqlclient.
 * Thread: one. */
#include <mysql.h>

#include "peer.h"

enum { POLL_MS = 100, ROW_ID_MAX = 21 };

typedef struct batch {
    MYSQL_RES *rows; /* NULL: none */
    long long *ids;
    int n, waits; /* rows without a report */
} batch;

typedef struct work {
    const char *how;
    MYSQL *mysql;
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    int size;
    long long last;
    long done, failed;
} work;

static void query(work *w, const char *sql, size_t len)
{
    if (mysql_real_query(w->mysql, sql, (unsigned long)len) != 0)
        die(sql, mysql_error(w->mysql));
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

/* ---- a batch ---- */

static void read_rows(work *w, batch *b)
{
    char sql[256];
    int n = snprintf(sql, sizeof sql,
                     "SELECT id, event_id, message_key, payload FROM outbox_event FORCE INDEX (%s) "
                     "WHERE published_at IS NULL AND id > %lld ORDER BY id LIMIT %d",
                     strcmp(w->how, "update") == 0 ? "unsent" : "PRIMARY", w->last, w->size);
    query(w, sql, (size_t)n);
    b->rows = mysql_store_result(w->mysql);
    if (!b->rows)
        die("rows", mysql_error(w->mysql));
    b->n = b->waits = 0;
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

static void send_row(work *w, batch *b, MYSQL_ROW row, const unsigned long *lens)
{
    char id[37];
    put_id((const unsigned char *)row[1], id);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    rd_kafka_header_add(headers, "event-id", 8, id, 36);
    rd_kafka_vu_t vus[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = w->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = RD_KAFKA_PARTITION_UA},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = b},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {row[2], lens[2]}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {row[3], lens[3]}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    rd_kafka_error_t *error = rd_kafka_produceva(w->rk, vus, sizeof vus / sizeof *vus);
    if (error)
        die("produce", rd_kafka_error_string(error));
}

static void produce(work *w, batch *b)
{
    for (MYSQL_ROW row; (row = mysql_fetch_row(b->rows)); b->n++) {
        b->ids[b->n] = w->last = strtoll(row[0], NULL, 10);
        b->waits++;
        send_row(w, b, row, mysql_fetch_lengths(b->rows));
    }
    mysql_free_result(b->rows);
}

static void mark(work *w, const batch *b, char *sql, size_t room)
{
    if (strcmp(w->how, "none") == 0)
        return;
    size_t n = (size_t)snprintf(sql, room, "%s",
                                strcmp(w->how, "update") == 0
                                    ? "UPDATE outbox_event SET published_at = NOW(6) WHERE id IN"
                                    : "DELETE FROM outbox_event WHERE id IN");
    for (int i = 0; i < b->n; i++)
        n += (size_t)snprintf(sql + n, room - n, "%s%lld", i ? "," : " (", b->ids[i]);
    n += (size_t)snprintf(sql + n, room - n, ")");
    query(w, sql, n);
}

static void run(work *w, long rows)
{
    batch batches[2] = {0};
    size_t room = (size_t)w->size * ROW_ID_MAX + 100;
    char *sql = malloc(room);
    batches[0].ids = malloc((size_t)w->size * sizeof *batches->ids);
    batches[1].ids = malloc((size_t)w->size * sizeof *batches->ids);
    if (!sql || !batches[0].ids || !batches[1].ids)
        die("memory", "none left");
    int turn = 0;
    read_rows(w, &batches[0]);
    produce(w, &batches[0]);
    while (w->done < rows) {
        batch *b = &batches[turn], *next = &batches[turn ^ 1];
        read_rows(w, next);
        produce(w, next);
        while (b->waits)
            rd_kafka_poll(w->rk, POLL_MS);
        mark(w, b, sql, room);
        w->done += b->n;
        turn ^= 1;
    }
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

static void open_mysql(work *w, char **at)
{
    unsigned protocol = MYSQL_PROTOCOL_TCP;
    w->mysql = mysql_init(NULL);
    mysql_options(w->mysql, MYSQL_OPT_PROTOCOL, &protocol);
    if (!mysql_real_connect(w->mysql, at[0], at[2], at[3], at[4], (unsigned)atoi(at[1]), NULL, 0))
        die("mysql", mysql_error(w->mysql));
}

int main(int argc, char **argv)
{
    if (argc < 10)
        die("usage", "update|delete|none HOST PORT USER PASSWORD SCHEMA TOPIC ROWS BATCH "
                     "[property=value]...");
    work w = {.how = argv[1], .size = atoi(argv[9])};
    open_mysql(&w, argv + 2);
    open_kafka(&w, argv[7], argv + 10);
    double began = now(), cpu_began = cpu();
    run(&w, atol(argv[8]));
    printf("{\"records\":%ld,\"failed\":%ld,\"seconds\":%.6f,\"cpu\":%.6f}\n", w.done, w.failed,
           now() - began, cpu() - cpu_began);
    fflush(stdout);
    _Exit(0);
}
