/* engine/redis/cluster without a cluster: slots by the specification's vectors, where commands have their
 * keys, and a client whom nobody answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "redis/cluster/client.h"
#include "redis/cluster/command.h"
#include "redis/cluster/internal.h"

static int slot_of(const char *key)
{
    return cluster_slot(key, strlen(key));
}

static void test_crc(void **state)
{
    (void)state;
    assert_int_equal(cluster_crc16("123456789", 9), 0x31C3);
    assert_int_equal(cluster_crc16("", 0), 0);
}

static void test_slots(void **state)
{
    (void)state;
    assert_int_equal(slot_of("foo"), 12182);
    assert_int_equal(slot_of("bar"), 5061);
    assert_int_equal(slot_of("hello"), 866);
    assert_int_equal(slot_of("somekey"), 11058);
    assert_int_equal(slot_of("foo{hash_tag}"), 2515);
    assert_int_equal(slot_of(""), 0);
}

static void test_hash_tags(void **state)
{
    (void)state;
    assert_int_equal(slot_of("{user1000}.following"), slot_of("{user1000}.followers"));
    assert_int_equal(slot_of("{user1000}.following"), slot_of("user1000"));
    assert_int_equal(slot_of("foo{}{bar}"), cluster_crc16("foo{}{bar}", 10) % CLUSTER_SLOTS);
    assert_int_equal(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    assert_int_equal(slot_of("foo{bar}{zap}"), slot_of("bar"));
    assert_int_equal(slot_of("{x"), cluster_crc16("{x", 2) % CLUSTER_SLOTS);
    assert_int_equal(slot_of("}x{y}"), slot_of("y"));
    assert_int_equal(cluster_slot("a\0b", 3), cluster_crc16("a\0b", 3) % CLUSTER_SLOTS);
}

enum { WORDS_MAX = 8 };

static cluster_form form_of(const char *text)
{
    static char copy[128];
    const char *argv[WORDS_MAX];
    size_t lens[WORDS_MAX];
    int argc = 0;
    strncpy(copy, text, sizeof copy - 1);
    for (char *word = strtok(copy, " "); word && argc < WORDS_MAX; word = strtok(NULL, " ")) {
        argv[argc] = word;
        lens[argc++] = strlen(word);
    }
    return cluster_command_form(argc, argv, lens);
}

static void check_form(const char *text, int key, bool single, bool reads)
{
    cluster_form form = form_of(text);
    if (form.key != key || form.single != single || form.reads != reads)
        fail_msg("%s: key %d, single %d, reads %d", text, form.key, form.single, form.reads);
}

static void test_forms(void **state)
{
    (void)state;
    check_form("get k", 1, true, true);
    check_form("SET k v", 1, true, false);
    check_form("DEL a", 1, true, false);
    check_form("DEL a b", 1, false, false);
    check_form("MGET a b", 1, false, true);
    check_form("EVAL s 2 a b x", 3, false, false);
    check_form("EVAL s 0 x", 0, false, false);
    check_form("EVALSHA s 99999999999999999999 a", 0, false, false);
    check_form("ZUNION 2 a b", 2, false, true);
    check_form("XREAD COUNT 1 STREAMS s 0", 4, false, false);
    check_form("OBJECT ENCODING k", 2, false, false);
    check_form("PING", 0, false, false);
    check_form("MULTI", 0, false, false);
    check_form("NOBODYKNOWS k", 1, false, false); /* what is not known may have several keys */
    check_form("GET", 0, true, true);
}

static redisc_cluster *nobody(void)
{
    cluster_opts opts = {.nodes = "127.0.0.1:1, 127.0.0.1:2",
                         .pool = 1,
                         .tries = 1,
                         .conn = {.resp = 3, .timeout = 1, .connect_timeout = 1}};
    return cluster_new(&opts);
}

static void test_nobody(void **state)
{
    (void)state;
    redisc_cluster *cluster = nobody();
    cluster_batch batch = {0};
    rl_err *err = cluster_connect(cluster);
    assert_true(err_is(err, RL_REDIS, "ECONNREFUSED"));
    err_free(err);
    cluster_batch_add(&batch, 2, (const char *[]){"GET", "k"}, (const size_t[]){3, 1});
    cluster_batch_add(&batch, 1, (const char *[]){"PING"}, (const size_t[]){4});
    cluster_run(cluster, &batch);
    assert_true(err_is(batch.list[0].err, RL_REDIS, "NO_NODE"));
    assert_true(batch.list[0].err->retriable);
    assert_true(err_is(batch.list[1].err, RL_REDIS, "NO_KEY"));
    assert_int_equal(cluster_stats_of(cluster).commands, 2);
    assert_int_equal(cluster_stats_of(cluster).retries, 1);
    cluster_batch_free(&batch);
    cluster_free(cluster);
}

static bool takes_map(redisc_cluster *cluster, const char *resp, size_t len)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    redisReaderFeed(reader, resp, len);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    bool taken = cluster_map_read(cluster, reply, cluster_node_of(cluster, "10.0.0.9", 8, 6379));
    freeReplyObject(reply);
    redisReaderFree(reader);
    return taken;
}

#define SLOTS_AT(host, port) "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n" host "\r\n:" port "\r\n"

static void test_nodes_that_are_none(void **state)
{
    (void)state;
    redisc_cluster *cluster = nobody();
    static const struct {
        const char *resp;
        size_t len;
        bool taken;
    } maps[] = {
#define MAP(host, port, taken) {SLOTS_AT(host, port), sizeof SLOTS_AT(host, port) - 1, taken}
        MAP("$9\r\n127.0.0.1", "65535", true),
        MAP("$1\r\n?", "1", true),
        MAP("$-1", "6379", true),
        MAP("$9\r\n127.0.0.1", "0", false),
        MAP("$9\r\n127.0.0.1", "-1", false),
        MAP("$9\r\n127.0.0.1", "65536", false),
        MAP("$9\r\n127.0.0.1", "4294967297", false),
        MAP("$3\r\na\0b", "6379", false),
        MAP(":7", "6379", false),
    };
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        assert_int_equal(takes_map(cluster, maps[i].resp, maps[i].len), maps[i].taken);
    cluster_free(cluster);
}

static void test_cancelled(void **state)
{
    (void)state;
    redisc_cluster *cluster = nobody();
    cluster_batch batch = {0};
    cluster_cancel(cluster);
    cluster_batch_add(&batch, 2, (const char *[]){"GET", "k"}, (const size_t[]){3, 1});
    cluster_run(cluster, &batch);
    assert_true(err_is(batch.list[0].err, RL_LAB, "CANCELLED"));
    cluster_batch_free(&batch);
    cluster_free(cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),       cmocka_unit_test(test_slots),
        cmocka_unit_test(test_hash_tags), cmocka_unit_test(test_forms),
        cmocka_unit_test(test_nobody),    cmocka_unit_test(test_nodes_that_are_none),
        cmocka_unit_test(test_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
