/* The Kafka clients as plain C: properties, errors, and producer and consumer without any loop,
 * on librdkafka's mock cluster and on nothing at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "kafka/admin/run.h"
#include "kafka/consumer.h"
#include "kafka/leaf.h"
#include "kafka/txn.h"

#include <librdkafka/rdkafka_mock.h>

enum { PATIENCE_MS = 10000 };

static char brokers[256];
static kafka_producer *cluster;

static void succeeds(rl_err *err)
{
    if (err)
        fail_msg("%s: %s", err->name, err->msg);
}

static void fails(rl_err *err, const char *name)
{
    assert_non_null(err);
    assert_string_equal(err->name, name);
    err_free(err);
}

static rd_kafka_conf_t *conf_of(kafka_kind kind, const char *servers)
{
    rd_kafka_conf_t *conf = kafka_conf_new(kind);
    succeeds(kafka_conf_put(conf, "bootstrap.servers", servers));
    return conf;
}

static kafka_producer *producer(const char *servers, const char *name, const char *value)
{
    kafka_producer *p;
    rd_kafka_conf_t *conf = conf_of(KAFKA_PRODUCER, servers);
    if (name)
        succeeds(kafka_conf_put(conf, name, value));
    succeeds(kafka_producer_open(conf, &p));
    return p;
}

static kafka_consumer *reader(const char *topic)
{
    kafka_consumer *c;
    rd_kafka_conf_t *conf = conf_of(KAFKA_CONSUMER, brokers);
    succeeds(kafka_conf_put(conf, "enable.partition.eof", "true"));
    succeeds(kafka_consumer_open(conf, NULL, NULL, &c));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = 0;
    succeeds(kafka_consumer_assign(c, list));
    rd_kafka_topic_partition_list_destroy(list);
    return c;
}

static void send_many(kafka_producer *p, const char *topic, int n)
{
    for (int i = 0; i < n; i++) {
        kafka_record record = {.topic = topic, .value = "value", .value_len = 5};
        rd_kafka_resp_err_t code;
        while ((code = kafka_producer_send(p, &record, NULL)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            kafka_producer_drain(p, 10, 1000);
        assert_int_equal(code, 0);
    }
}

/* ---- client.c ---- */

static void test_properties(void **state)
{
    (void)state;
    assert_string_equal(kafka_property_find("linger.ms")->name, "linger.ms");
    assert_string_equal(kafka_property_find("linger_ms")->name, "linger.ms");
    assert_string_equal(kafka_property_find("log_level")->name, "log_level");
    assert_null(kafka_property_find("linger"));
    assert_null(kafka_property_find("error_cb"));
    assert_null(kafka_property_find(""));
    assert_string_equal(kafka_property_nearest("linger.m"), "linger.ms");
    assert_string_equal(kafka_property_nearest("isolation_levle"), "isolation.level");
    assert_null(kafka_property_nearest("something quite different"));
    assert_true(kafka_property_fits(kafka_property_find("acks"), KAFKA_PRODUCER));
    assert_false(kafka_property_fits(kafka_property_find("acks"), KAFKA_CONSUMER));
    assert_true(kafka_property_fits(kafka_property_find("group.id"), KAFKA_ADMIN));
    assert_true(kafka_property_fits(kafka_property_find("client.id"), KAFKA_CONSUMER));
}

static void test_configuration(void **state)
{
    (void)state;
    char value[64];
    rd_kafka_conf_t *conf = kafka_conf_new(KAFKA_PRODUCER);
    kafka_conf_value(conf, "reconnect.backoff.max.ms", value, sizeof value);
    assert_string_equal(value, "200");
    fails(kafka_conf_put(conf, "acks", "most"), "USAGE");
    fails(kafka_conf_put(conf, "no.such.thing", "1"), "USAGE");
    succeeds(kafka_conf_put(conf, "transactional.id", "t"));
    succeeds(kafka_conf_put(conf, "enable.idempotence", "false"));
    rd_kafka_t *rk;
    fails(kafka_client_new(KAFKA_PRODUCER, conf, &rk), "_INVALID_ARG");
}

static void test_errors(void **state)
{
    (void)state;
    assert_null(kafka_err(NULL, RD_KAFKA_RESP_ERR_NO_ERROR, "nothing"));
    rl_err *err = kafka_err(NULL, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, "record to %s", "t");
    assert_string_equal(err->name, "NOT_ENOUGH_REPLICAS");
    assert_int_equal(err->code, 19);
    assert_true(err->retriable && !err->fatal && !err->abortable);
    assert_ptr_equal(strstr(err->msg, "record to t: "), err->msg);
    err_free(err);
    err = kafka_err_take(NULL, rd_kafka_error_new(RD_KAFKA_RESP_ERR__STATE, "not %s", "now"),
                         "commit");
    assert_string_equal(err->msg, "commit: not now");
    err_free(err);
    assert_null(kafka_err_take(NULL, NULL, "commit"));
    fails(kafka_err(NULL, (rd_kafka_resp_err_t)30000, "odd"), "ERR_30000?");
}

static void test_slices(void **state)
{
    (void)state;
    assert_int_equal(kafka_slice(clock_ns() - 5000000, 100), 0);
    assert_int_equal(kafka_slice(deadline_in(100), 100), 100);
    assert_int_equal(kafka_slice(DEADLINE_NEVER, 100), 100);
    assert_in_range(kafka_slice(deadline_in_ms(50), 100), 1, 50);
}

/* ---- producer and consumer, the caller's thread doing all ---- */

static void count_report(void *arg, const rd_kafka_message_t *msg)
{
    *(int *)arg += msg->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
                   rd_kafka_message_status(msg) == RD_KAFKA_MSG_STATUS_PERSISTED;
}

static void test_flush_drains_by_itself(void **state)
{
    (void)state;
    int reports = 0;
    kafka_producer *p = producer(brokers, "queue.buffering.max.messages", "100");
    kafka_producer_on_report(p, count_report, &reports);
    send_many(p, "self", 1000);
    succeeds(kafka_producer_flush(p, PATIENCE_MS, NULL));
    kafka_counts counts = kafka_producer_counts(p);
    assert_int_equal(reports, 1000);
    assert_int_equal(counts.sent, 1000);
    assert_int_equal(counts.acked, 1000);
    assert_int_equal(counts.bytes, 5000);
    assert_int_equal(kafka_producer_pending(p), 0);
    kafka_producer_close(p);
}

static int poll_all(kafka_consumer *c, int max, int want, int64_t *last)
{
    int seen = 0;
    int64_t until = clock_ms() + PATIENCE_MS;
    while (seen < want && clock_ms() < until) {
        kafka_batch batch;
        succeeds(kafka_consumer_poll(c, max, 500, NULL, &batch));
        assert_true(batch.n <= max);
        for (int i = 0; i < batch.n; i++) {
            if (batch.msgs[i]->err)
                continue;
            assert_int_equal(batch.msgs[i]->offset, *last + 1);
            *last = batch.msgs[i]->offset;
            seen++;
        }
        kafka_batch_free(&batch);
    }
    return seen;
}

static void test_unread_records_come_first_and_in_order(void **state)
{
    (void)state;
    kafka_producer *p = producer(brokers, NULL, NULL);
    for (int i = 0; i < 20; i++) {
        kafka_record record = {.topic = "unread", .value = "v", .value_len = 1};
        assert_int_equal(kafka_producer_send(p, &record, NULL), 0);
    }
    succeeds(kafka_producer_flush(p, PATIENCE_MS, NULL));
    kafka_producer_close(p);
    kafka_consumer *c = reader("unread");
    kafka_batch batch;
    do
        succeeds(kafka_consumer_poll(c, 7, PATIENCE_MS, NULL, &batch));
    while (batch.n == 0);
    int generation = batch.generation;
    kafka_consumer_unread(c, &batch);
    assert_int_equal(batch.n, 0);
    succeeds(kafka_consumer_poll(c, 2, 0, NULL, &batch));
    assert_in_range(batch.n, 1, 2);
    assert_int_equal(batch.msgs[0]->offset, 0);
    assert_int_equal(batch.generation, generation);
    kafka_consumer_unread(c, &batch);
    int64_t last = -1;
    assert_int_equal(poll_all(c, 3, 20, &last), 20);

    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "unread", 0)->offset = 0;
    succeeds(kafka_consumer_seek(c, list, PATIENCE_MS));
    do
        succeeds(kafka_consumer_poll(c, 5, PATIENCE_MS, NULL, &batch));
    while (batch.n == 0);
    kafka_consumer_unread(c, &batch);
    list->elems[0].offset = 12;
    succeeds(kafka_consumer_seek(c, list, PATIENCE_MS));
    last = 11;
    assert_int_equal(poll_all(c, 3, 8, &last), 8);
    list->elems[0].offset = 0;
    succeeds(kafka_consumer_seek(c, list, PATIENCE_MS));
    do
        succeeds(kafka_consumer_poll(c, 5, PATIENCE_MS, NULL, &batch));
    while (batch.n == 0);
    generation = kafka_consumer_generation(c);
    kafka_consumer_unread(c, &batch);
    list->elems[0].offset = 17; /* another assignment: what was held is of the one before */
    succeeds(kafka_consumer_assign(c, list));
    assert_true(kafka_consumer_generation(c) > generation);
    last = 16;
    assert_int_equal(poll_all(c, 3, 3, &last), 3);
    rd_kafka_topic_partition_list_destroy(list);
    kafka_consumer_close(c);
}

static void test_positions(void **state)
{
    (void)state;
    kafka_producer *p = producer(brokers, NULL, NULL);
    kafka_record record = {.topic = "positions", .value = "v", .value_len = 1};
    assert_int_equal(kafka_producer_send(p, &record, NULL), 0);
    succeeds(kafka_producer_flush(p, PATIENCE_MS, NULL));
    kafka_producer_close(p);
    kafka_consumer *c = reader("positions");
    bool eof = false;
    int64_t until = clock_ms() + PATIENCE_MS;
    while (!eof && clock_ms() < until) {
        kafka_batch batch;
        succeeds(kafka_consumer_poll(c, 10, 500, NULL, &batch));
        rd_kafka_topic_partition_list_t *list = kafka_batch_positions(&batch);
        assert_int_equal(list->cnt, batch.n > 0);
        if (batch.n) /* after the record as at the end: the next offset is 1 */
            assert_int_equal(list->elems[0].offset, 1);
        eof = batch.n && batch.msgs[batch.n - 1]->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        rd_kafka_topic_partition_list_destroy(list);
        kafka_batch_free(&batch);
    }
    assert_true(eof);
    kafka_consumer_close(c);
}

/* ---- being stopped ---- */

static void *stop_soon(void *arg)
{
    usleep(50000);
    atomic_store((kafka_stop *)arg, true);
    return NULL;
}

static void *cancel_soon(void *arg)
{
    usleep(50000);
    kafka_consumer_cancel(arg);
    return NULL;
}

static void test_calls_can_be_stopped(void **state)
{
    (void)state;
    kafka_stop stop = false;
    pthread_t thread;
    kafka_producer *p = producer("127.0.0.1:1", "transactional.id", "t");
    pthread_create(&thread, NULL, stop_soon, &stop);
    int64_t began = clock_ms();
    fails(kafka_txn_init(p, 60000, &stop), "CANCELLED");
    assert_true(clock_ms() - began < 5000);
    pthread_join(thread, NULL);
    fails(kafka_producer_flush(p, 60000, &stop), "CANCELLED");
    kafka_producer_cancel(p);
    fails(kafka_producer_flush(p, 60000, NULL), "CANCELLED");
    kafka_producer_close(p);
}

static void test_a_cancelled_consumer_stays_so(void **state)
{
    (void)state;
    pthread_t thread;
    kafka_batch batch;
    kafka_consumer *c = reader("empty");
    pthread_create(&thread, NULL, cancel_soon, c);
    int64_t began = clock_ms();
    rl_err *err = NULL;
    while (!err) {
        err = kafka_consumer_poll(c, 1, 60000, NULL, &batch);
        kafka_batch_free(&batch);
    }
    fails(err, "CANCELLED");
    assert_true(clock_ms() - began < 5000);
    pthread_join(thread, NULL);
    fails(kafka_consumer_poll(c, 1, 60000, NULL, &batch), "CANCELLED");
    kafka_consumer_close(c);
}

static void test_closing_ends_without_brokers(void **state)
{
    (void)state;
    int64_t began = clock_ms();
    kafka_producer *p = producer("127.0.0.1:1", NULL, NULL);
    send_many(p, "nowhere", 10);
    kafka_producer_close(p);
    kafka_consumer *c;
    rd_kafka_conf_t *conf = conf_of(KAFKA_CONSUMER, "127.0.0.1:1");
    succeeds(kafka_conf_put(conf, "group.id", "g"));
    succeeds(kafka_consumer_open(conf, NULL, NULL, &c));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "nowhere", RD_KAFKA_PARTITION_UA);
    succeeds(kafka_consumer_subscribe(c, list));
    rd_kafka_topic_partition_list_destroy(list);
    kafka_consumer_close_within(c, 500);
    kafka_consumer_close(c);
    assert_true(clock_ms() - began < PATIENCE_MS);
}

/* ---- the observer ---- */

static kafka_call ended;

static void submit_offsets(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                           const void *list)
{
    rd_kafka_ListOffsets(admin->rk, (rd_kafka_topic_partition_list_t *)list, options, admin->queue);
}

/* The answer says that a leader is just being found, and the call is cancelled then. */
static rd_kafka_resp_err_t cancelled_meanwhile(rd_kafka_event_t *event)
{
    (void)event;
    atomic_store(&ended.cancelled, true);
    return RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}

/* Whoever gets an error gets no event: it would be destroyed twice. */
static void test_a_try_that_is_given_up_leaves_no_event(void **state)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_LISTOFFSETS,
                                .what = "list offsets",
                                .submit = submit_offsets,
                                .code = cancelled_meanwhile};
    (void)state;
    kafka_admin *admin;
    rd_kafka_event_t *event;
    succeeds(kafka_admin_new(conf_of(KAFKA_ADMIN, brokers), &admin));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "empty", 0)->offset = RD_KAFKA_OFFSET_SPEC_LATEST;
    ended.timeout_ms = PATIENCE_MS;
    admin_run run = admin_begin(admin, &ended);
    fails(admin_do(&run, &op, list, &event), "CANCELLED");
    assert_true(ended.cancelled);
    assert_null(event);
    rd_kafka_topic_partition_list_destroy(list);
    kafka_admin_free(admin);
}

/* ---- notes ---- */

static void test_notes_are_bounded(void **state)
{
    (void)state;
    static kafka_notes notes;
    static kafka_note out[KAFKA_NOTES_MAX];
    kafka_notes_open(&notes);
    for (int i = 0; i < KAFKA_NOTES_MAX + 10; i++)
        kafka_notes_error(&notes, err_lab("N", "%d", i));
    kafka_notes_error(&notes, NULL);
    assert_int_equal(kafka_notes_take(&notes, out), KAFKA_NOTES_MAX);
    assert_string_equal(out[0].err->msg, "10");
    assert_int_equal(notes.dropped, 10);
    for (int i = 0; i < KAFKA_NOTES_MAX; i++)
        err_free(out[i].err);
    assert_int_equal(kafka_notes_take(&notes, out), 0);
    assert_null(kafka_notes_stats_copy(&notes));
    kafka_notes_stats(&notes, "{}junk", 2);
    char *stats = kafka_notes_stats_copy(&notes);
    assert_string_equal(stats, "{}");
    free(stats);
    kafka_notes_close(&notes);
}

static int open_cluster(void **state)
{
    (void)state;
    rd_kafka_conf_t *conf = kafka_conf_new(KAFKA_PRODUCER);
    succeeds(kafka_conf_put(conf, "test.mock.num.brokers", "3"));
    succeeds(kafka_producer_open(conf, &cluster));
    rd_kafka_mock_cluster_t *mock = rd_kafka_handle_mock_cluster(kafka_producer_rk(cluster));
    rd_kafka_mock_topic_create(mock, "self", 1, 1);
    rd_kafka_mock_topic_create(mock, "unread", 1, 1);
    rd_kafka_mock_topic_create(mock, "positions", 1, 1);
    rd_kafka_mock_topic_create(mock, "empty", 1, 1);
    snprintf(brokers, sizeof brokers, "%s", rd_kafka_mock_cluster_bootstraps(mock));
    return 0;
}

static int close_cluster(void **state)
{
    (void)state;
    kafka_producer_close(cluster);
    return 0;
}

/* ---- locks that librdkafka's callbacks take ---- */

static void *may_call(void *arg)
{
    *(bool *)arg = kafka_may_call();
    return NULL;
}

#ifdef RL_ASSERTS
/* In a process of its own, which is to die. */
static int end_of_a_call_under(pthread_mutex_t *lock, kafka_consumer *consumer)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
        fclose(stderr);
        kafka_leaf_lock(lock);
        kafka_consumer_pause(consumer, list);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
#endif

static void test_no_call_under_a_leaf(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t other;
    bool others = false;
    kafka_leaf_lock(&lock);
    assert_false(kafka_may_call());
    assert_int_equal(pthread_create(&other, NULL, may_call, &others), 0);
    pthread_join(other, NULL);
    assert_true(others);
    kafka_leaf_unlock(&lock);
    assert_true(kafka_may_call());
#ifdef RL_ASSERTS
    kafka_consumer *c = reader("positions");
    assert_int_equal(end_of_a_call_under(&lock, c), SIGABRT);
    kafka_consumer_close(c);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_configuration),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_flush_drains_by_itself),
        cmocka_unit_test(test_unread_records_come_first_and_in_order),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_no_call_under_a_leaf),
        cmocka_unit_test(test_calls_can_be_stopped),
        cmocka_unit_test(test_a_cancelled_consumer_stays_so),
        cmocka_unit_test(test_closing_ends_without_brokers),
        cmocka_unit_test(test_a_try_that_is_given_up_leaves_no_event),
        cmocka_unit_test(test_notes_are_bounded),
    };
    return cmocka_run_group_tests_name("kafka clients", tests, open_cluster, close_cluster);
}
