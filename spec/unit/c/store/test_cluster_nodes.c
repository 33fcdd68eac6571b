/* engine/redis/cluster against two nodes that answer by a script: redirections, tries, order, lies. */
#include "redis_nodes.h"

#include "redis/cluster/client.h"

enum { WORDS_MAX = 8 };

typedef struct pair {
    nodes both;
    redisc_cluster *cluster;
    cluster_batch batch;
} pair;

#define BOTH "*1\r\n*4\r\n:0\r\n:16383\r\n" HOST ":@A\r\n" HOST ":@B\r\n"
#define HOST "*2\r\n$9\r\n127.0.0.1\r\n"

static void start_with(pair *p, const line *a, const line *b, cluster_opts opts)
{
    *p = (pair){0};
    nodes_start(&p->both, a, b);
    opts.nodes = p->both.seed;
    opts.pool = 2;
    opts.conn = (redisc_opts){.resp = 3, .timeout = 2, .connect_timeout = 2};
    p->cluster = cluster_new(&opts);
    assert_null(cluster_connect(p->cluster));
}

static void start(pair *p, const line *a, const line *b, int redirects, int tries)
{
    start_with(p, a, b, (cluster_opts){.redirects = redirects, .tries = tries});
}

static void add(pair *p, const char *text)
{
    const char *argv[WORDS_MAX];
    size_t lens[WORDS_MAX];
    char copy[128];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok(copy, " "); word && argc < WORDS_MAX; word = strtok(NULL, " ")) {
        argv[argc] = word;
        lens[argc++] = strlen(word);
    }
    cluster_batch_add(&p->batch, argc, argv, lens);
}

static const char *answer_to(pair *p, const char *text)
{
    static char said[256];
    cluster_batch_free(&p->batch);
    add(p, text);
    cluster_run(p->cluster, &p->batch);
    const cluster_command *cmd = p->batch.list;
    assert_true((cmd->reply != NULL) != (cmd->err != NULL));
    snprintf(said, sizeof said, "%s", cmd->err ? cmd->err->name : cmd->reply->str);
    return said;
}

static void stop(pair *p)
{
    cluster_batch_free(&p->batch);
    cluster_free(p->cluster);
    nodes_stop(&p->both);
}

static void test_moved(void **state)
{
    (void)state;
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 1},
                   {"GET k", "-MOVED " SLOT_OF_K " 127.0.0.1:@B\r\n", 0},
                   {NULL}},
          (line[]){{"GET k", "+b\r\n", 0}, {"CLUSTER", ALL_WITH_B, 0}, {NULL}}, 5, 3);
    assert_int_equal(cluster_slot("k", 1), atoi(SLOT_OF_K));
    assert_string_equal(answer_to(&p, "GET k"), "b");
    assert_string_equal(answer_to(&p, "GET k"), "b");
    assert_int_equal(cluster_stats_of(p.cluster).moved, 1); /* the second one knew */
    assert_int_equal(cluster_stats_of(p.cluster).refreshes, 2);
    stop(&p);
}

static void test_moved_in_a_circle(void **state)
{
    (void)state;
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 0},
                   {"GET k", "-MOVED " SLOT_OF_K " 127.0.0.1:@B\r\n", 0},
                   {NULL}},
          (line[]){{"CLUSTER", ALL_WITH_A, 0},
                   {"GET k", "-MOVED " SLOT_OF_K " 127.0.0.1:@A\r\n", 0},
                   {NULL}},
          4, 3);
    assert_string_equal(answer_to(&p, "GET k"), "MOVED");
    assert_int_equal(cluster_stats_of(p.cluster).moved, 5);
    stop(&p);
}

static void test_asked(void **state)
{
    (void)state;
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 0},
                   {"GET k", "-ASK " SLOT_OF_K " 127.0.0.1:@B\r\n", 0},
                   {NULL}},
          (line[]){{"GET k", "+b\r\n", 0}, {NULL}}, 5, 3);
    assert_string_equal(answer_to(&p, "GET k"), "b");
    assert_string_equal(answer_to(&p, "GET k"), "b");
    assert_int_equal(cluster_stats_of(p.cluster).asked, 2); /* the slot has not moved */
    assert_string_equal(p.both.b.heard.data, "ASKING;GET k;ASKING;GET k;");
    stop(&p);
}

/* What has to be tried again begins anew, by the map. */
static void test_asked_in_vain(void **state)
{
    (void)state;
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 0},
                   {"GET k", "-ASK " SLOT_OF_K " 127.0.0.1:@B\r\n", 1},
                   {"GET k", "+a\r\n", 0},
                   {NULL}},
          (line[]){{"GET k", "-TRYAGAIN later\r\n", 0}, {NULL}}, 5, 3);
    assert_string_equal(answer_to(&p, "GET k"), "a");
    assert_string_equal(p.both.b.heard.data, "ASKING;GET k;");
    assert_null(strstr(p.both.a.heard.data, "ASKING"));
    stop(&p);
}

static void test_what_passes_by_itself(void **state)
{
    (void)state;
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 0},
                   {"SET k", "-CLUSTERDOWN not now\r\n", 1},
                   {"SET k", "-LOADING not yet\r\n", 1},
                   {"SET k", "-READONLY a replica by now\r\n", 1},
                   {"SET k", "+OK\r\n", 0},
                   {NULL}},
          (line[]){{NULL}}, 5, 3);
    assert_string_equal(answer_to(&p, "SET k v"), "OK");
    assert_int_equal(cluster_stats_of(p.cluster).refreshes, 1 + 3);
    stop(&p);
}

static void test_tryagain(void **state)
{
    (void)state;
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 0},
                   {"GET k", "-TRYAGAIN later\r\n", 2},
                   {"GET k", "+a\r\n", 1},
                   {"GET k", "-TRYAGAIN later\r\n", 0},
                   {NULL}},
          (line[]){{NULL}}, 5, 3);
    assert_string_equal(answer_to(&p, "GET k"), "a");
    assert_int_equal(cluster_stats_of(p.cluster).tryagain, 2);
    assert_string_equal(answer_to(&p, "GET k"), "TRYAGAIN");
    assert_int_equal(cluster_stats_of(p.cluster).tryagain, 2 + 4);
    stop(&p);
}

/* The second of two on one key was carried out: the first is not, behind it. */
static void test_overtaken(void **state)
{
    (void)state;
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 0},
                   {"SET k", "-CLUSTERDOWN not now\r\n", 1},
                   {"GET k", "+old\r\n", 0},
                   {NULL}},
          (line[]){{NULL}}, 5, 3);
    add(&p, "SET k new");
    add(&p, "GET k");
    cluster_run(p.cluster, &p.batch);
    assert_true(err_is(p.batch.list[0].err, RL_REDIS, "CLUSTERDOWN"));
    assert_string_equal(p.batch.list[1].reply->str, "old");
    stop(&p);
}

/* Another key of the slot is another key. */
static void test_not_overtaken(void **state)
{
    (void)state;
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 0},
                   {"SET k", "-CLUSTERDOWN not now\r\n", 1},
                   {"SET k", "+OK\r\n", 0},
                   {"GET {k}a", "+old\r\n", 0},
                   {NULL}},
          (line[]){{NULL}}, 5, 3);
    add(&p, "SET k new");
    add(&p, "GET {k}a");
    cluster_run(p.cluster, &p.batch);
    assert_non_null(p.batch.list[0].reply);
    assert_string_equal(p.batch.list[1].reply->str, "old");
    stop(&p);
}

static void test_lost(void **state)
{
    (void)state;
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 0},
                   {"SET k", "", 1},
                   {"GET k", "", 1},
                   {"GET k", "+a\r\n", 0},
                   {NULL}},
          (line[]){{NULL}}, 5, 3);
    assert_string_equal(answer_to(&p, "SET k v"),
                        "CONNECTION_LOST");                     /* it may have been carried out */
    assert_int_equal(cluster_stats_of(p.cluster).refreshes, 2); /* and others may serve by now */
    assert_string_equal(answer_to(&p, "GET k"), "a");           /* a read may be asked again */
    stop(&p);
}

static void test_lies(void **state)
{
    (void)state;
    static const char *const maps[] = {"+OK\r\n",
                                       "*1\r\n:1\r\n",
                                       "*1\r\n*3\r\n:0\r\n:16384\r\n*0\r\n",
                                       "*1\r\n*3\r\n:5\r\n:4\r\n*2\r\n$1\r\nx\r\n:1\r\n",
                                       "*1\r\n*2\r\n:0\r\n:1\r\n",
                                       "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n:1\r\n:1\r\n"};
    static const char *const moves[] = {"-MOVED\r\n", "-MOVED 1\r\n", "-MOVED 1 127.0.0.1:@B\r\n",
                                        "-MOVED " SLOT_OF_K " nowhere\r\n",
                                        "-ASK " SLOT_OF_K " :1\r\n"};
    pair p;
    start(&p, (line[]){{"CLUSTER", ALL_WITH_A, 1}, {"CLUSTER", "", 0}, {"GET k", "", 0}, {NULL}},
          (line[]){{NULL}}, 5, 3);
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        node_answers(&p.both.a, 1, maps[i]);
        rl_err *err = cluster_refresh(p.cluster);
        assert_true(err_is(err, RL_REDIS, "PROTOCOL"));
        err_free(err);
    }
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        node_answers(&p.both.a, 2, moves[i]);
        assert_non_null(strchr("MA", answer_to(&p, "GET k")[0]));
    }
    stop(&p);
}

static void *get_k(void *arg)
{
    cluster_batch batch = {0};
    cluster_batch_add(&batch, 2, (const char *[]){"GET", "k"}, (const size_t[]){3, 1});
    cluster_run(arg, &batch);
    bool right = batch.list->reply && strcmp(batch.list->reply->str, "b") == 0;
    cluster_batch_free(&batch);
    return right ? arg : NULL;
}

/* All are told that the slot has moved before the first hears where the others are: one asks for all. */
static void test_single_flight(void **state)
{
    (void)state;
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 1},
                   {"GET k", "-MOVED " SLOT_OF_K " 127.0.0.1:@B\r\n", 0},
                   {NULL}},
          (line[]){{"GET k", "+b\r\n", 0}, {"CLUSTER", ALL_WITH_B, 0}, {NULL}}, 5, 3);
    pthread_mutex_lock(&p.both.a.lock);
    pthread_mutex_lock(&p.both.b.lock);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, get_k, p.cluster);
    while (cluster_stats_of(p.cluster).commands < THREADS)
        usleep(1000);
    pthread_mutex_unlock(&p.both.a.lock);
    while (cluster_stats_of(p.cluster).moved < 1)
        usleep(1000);
    pthread_mutex_unlock(&p.both.b.lock);
    for (int i = 0; i < THREADS; i++) {
        void *right;
        pthread_join(threads[i], &right);
        assert_non_null(right);
    }
    cluster_stats stats = cluster_stats_of(p.cluster);
    assert_true(stats.moved >= 1);
    assert_int_equal(stats.refreshes,
                     2); /* the first one of all, and one for those that were moved */
    stop(&p);
}

/* A command of several keys goes alone, and what comes behind it waits for it, also
 * while it has to be asked again. */
static void test_several_keys_in_order(void **state)
{
    (void)state;
    pair p;
    start(&p,
          (line[]){{"CLUSTER", ALL_WITH_A, 0},
                   {"SET k v", "+OK\r\n", 0},
                   {"DEL k {k}a", "-TRYAGAIN\r\n", 1},
                   {"DEL k {k}a", ":1\r\n", 0},
                   {"GET k", "+b\r\n", 0},
                   {NULL}},
          (line[]){{NULL}}, 5, 3);
    add(&p, "SET k v");
    add(&p, "DEL k {k}a");
    add(&p, "GET k");
    cluster_run(p.cluster, &p.batch);
    assert_non_null(strstr(p.both.a.heard.data, "SET k v;DEL k {k}a;DEL k {k}a;GET k;"));
    stop(&p);
}

/* A primary that hangs up costs one read; it is passed over for a while and then asked again. */
static void test_replicas(void **state)
{
    (void)state;
    pair p;
    start_with(
        &p, (line[]){{"CLUSTER", BOTH, 0}, {"READONLY", "+OK\r\n", 0}, {"GET k", "", 0}, {NULL}},
        (line[]){{"CLUSTER", BOTH, 0}, {"READONLY", "+OK\r\n", 0}, {"GET k", "+b\r\n", 0}, {NULL}},
        (cluster_opts){.replicas = true});
    int lost = 0;
    for (int i = 0; i < 20; i++)
        lost += strcmp(answer_to(&p, "GET k"), "b") != 0;
    assert_int_equal(lost, 1);
    assert_non_null(strstr(p.both.b.heard.data, "READONLY;GET k;"));
    for (int i = 0; i < 500 && lost == 1; i++) {
        usleep(10000);
        lost += strcmp(answer_to(&p, "GET k"), "b") != 0;
    }
    assert_int_equal(lost, 2);
    stop(&p);
}

/* What writes is the primary's, and so is a read that has to be asked again: A's, by the map. */
static void test_replicas_take_no_writes(void **state)
{
    (void)state;
    pair p;
    start_with(
        &p,
        (line[]){{"CLUSTER", BOTH, 0},
                 {"READONLY", "+OK\r\n", 0},
                 {"SET k v", "+OK\r\n", 0},
                 {"GET k", "+a\r\n", 0},
                 {NULL}},
        (line[]){{"CLUSTER", BOTH, 0},
                 {"READONLY", "+OK\r\n", 0},
                 {"SET k v", "-READONLY You can't write against a read only replica.\r\n", 0},
                 {"GET k", "-MASTERDOWN Link with MASTER is down\r\n", 0},
                 {NULL}},
        (cluster_opts){.replicas = true, .tries = 3, .redirects = 3});
    for (int i = 0; i < 4; i++)
        assert_string_equal(answer_to(&p, "SET k v"), "OK");
    assert_null(strstr(p.both.b.heard.data ? p.both.b.heard.data : "", "SET"));
    assert_int_equal(cluster_stats_of(p.cluster).retries, 0);
    for (int i = 0; i < 4; i++)
        assert_string_equal(answer_to(&p, "GET k"), "a");
    assert_true(cluster_stats_of(p.cluster).retries > 0);
    stop(&p);
}

/* Where all of them fail nobody is passed over. */
static void test_no_replica_left(void **state)
{
    (void)state;
    pair p;
    start_with(&p,
               (line[]){{"CLUSTER", BOTH, 0}, {"READONLY", "+OK\r\n", 0}, {"GET k", "", 0}, {NULL}},
               (line[]){{"CLUSTER", BOTH, 0},
                        {"READONLY", "+OK\r\n", 0},
                        {"GET k", "", 2},
                        {"GET k", "+b\r\n", 0},
                        {NULL}},
               (cluster_opts){.replicas = true});
    int tries = 0;
    while (strcmp(answer_to(&p, "GET k"), "b") != 0)
        assert_true(++tries < 20);
    stop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_moved_in_a_circle),
        cmocka_unit_test(test_asked),
        cmocka_unit_test(test_tryagain),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_single_flight),
        cmocka_unit_test(test_several_keys_in_order),
        cmocka_unit_test(test_asked_in_vain),
        cmocka_unit_test(test_what_passes_by_itself),
        cmocka_unit_test(test_not_overtaken),
        cmocka_unit_test(test_replicas),
        cmocka_unit_test(test_replicas_take_no_writes),
        cmocka_unit_test(test_no_replica_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
