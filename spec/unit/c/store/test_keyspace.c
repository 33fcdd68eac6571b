/* engine/redis/cluster/keyspace: the same calls on one Redis and on a cluster; a node that rests. */
#include "redis_nodes.h"

#include "redis/cluster/keyspace.h"

#define HALVES "*2\r\n" RANGE("0", "8191", "@A") RANGE("8192", "16383", "@B")
#define ON_A "k"
#define ON_B "a"

typedef struct fixture {
    nodes both;
    redisc_keyspace *keys;
    redisc_pipe pipe;
    redisReply *replies[8];
    size_t got;
} fixture;

static void start(fixture *f, const line *a, const line *b, keyspace_opts opts)
{
    *f = (fixture){0};
    nodes_start(&f->both, a, b);
    opts.conn = (redisc_opts){
        .resp = 3, .timeout = 2, .connect_timeout = 2, .port = opts.nodes ? 0 : f->both.a.port};
    if (opts.nodes)
        opts.nodes = f->both.seed;
    f->keys = keyspace_new(&opts, NULL);
    assert_false(keyspace_connected(f->keys));
    assert_null(keyspace_connect(f->keys));
    assert_true(keyspace_connected(f->keys) && keyspace_whole(f->keys));
}

static const keyspace_opts one = {0}, spread = {.nodes = "set by start"};

static void forget(fixture *f)
{
    for (size_t i = 0; i < f->pipe.count; i++)
        freeReplyObject(f->replies[i]);
    redisc_pipe_free(&f->pipe);
}

static void stop(fixture *f)
{
    forget(f);
    keyspace_free(f->keys);
    nodes_stop(&f->both);
}

static void put(fixture *f, const char *verb, const char *key)
{
    const char *argv[] = {verb, key, "v"};
    redisc_pipe_add(&f->pipe, strcmp(verb, "SET") == 0 ? 3 : 2, argv,
                    (const size_t[]){strlen(verb), strlen(key), 1});
}

static rl_err *run(fixture *f)
{
    memset(f->replies, 0xff, sizeof f->replies);
    return keyspace_run(f->keys, &f->pipe, f->replies, &f->got);
}

/* What became of one command: its answer, or the error's name. */
static const char *outcome(fixture *f, const char *verb, const char *key)
{
    static char said[64];
    forget(f);
    put(f, verb, key);
    rl_err *err = run(f);
    assert_true((err != NULL) != (f->replies[0] != NULL));
    snprintf(said, sizeof said, "%s", err ? err->name : f->replies[0]->str);
    err_free(err);
    return said;
}

static void test_read_back(void **state)
{
    (void)state;
    redisc_pipe pipe = {0};
    redisc_words words = {0};
    size_t at = 0;
    assert_false(redisc_pipe_read(&pipe, &at, &words));
    redisc_pipe_add(&pipe, 3, (const char *[]){"SET", "", "a\r\n$1\0b"}, (const size_t[]){3, 0, 7});
    redisc_pipe_add(&pipe, 1, (const char *[]){"PING"}, (const size_t[]){4});
    assert_true(redisc_pipe_read(&pipe, &at, &words));
    assert_int_equal(words.argc, 3);
    assert_int_equal(words.lens[1], 0);
    assert_int_equal(words.lens[2], 7);
    assert_memory_equal(words.argv[2], "a\r\n$1\0b", 7);
    assert_true(redisc_pipe_read(&pipe, &at, &words));
    assert_int_equal(words.argc, 1);
    assert_memory_equal(words.argv[0], "PING", 4);
    assert_false(redisc_pipe_read(&pipe, &at, &words));
    redisc_words_free(&words);
    redisc_pipe_free(&pipe);
}

/* The answers stand in their commands' places, errors too, whoever gave them. */
static void same_answers(const line *a, const line *b, keyspace_opts opts)
{
    static const char *const want[] = {"1", "WRONGTYPE not this", "3"};
    fixture f;
    start(&f, a, b, opts);
    put(&f, "GET", ON_A);
    put(&f, "GET", ON_B);
    put(&f, "GET", "{" ON_A "}x");
    assert_null(run(&f));
    assert_int_equal(f.got, 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(f.replies[i]->str, want[i]);
    assert_int_equal(f.replies[1]->type, REDIS_REPLY_ERROR);
    stop(&f);
}

static void test_same_answers(void **state)
{
    (void)state;
    const line a = {"GET k", "+1\r\n", 0}, b = {"GET a", "-WRONGTYPE not this\r\n", 0},
               tagged = {"GET {k}x", "+3\r\n", 0}, none = {NULL, NULL, 0};
    same_answers((line[]){a, b, tagged, none}, (line[]){none}, one);
    same_answers((line[]){a, tagged, {"CLUSTER", HALVES, 0}, none}, (line[]){b, none}, spread);
}

static void test_lost_in_its_place(void **state)
{
    (void)state;
    fixture f;
    start(&f, (line[]){{"CLUSTER", HALVES, 0}, {"SET k", "+OK\r\n", 0}, {NULL}},
          (line[]){{"SET a", "", 0}, {NULL}}, spread);
    put(&f, "SET", ON_B);
    put(&f, "SET", ON_A);
    rl_err *err = run(&f);
    assert_true(err_is(err, RL_REDIS, "CONNECTION_LOST"));
    assert_int_equal(f.got, 1);
    assert_null(f.replies[0]);
    assert_string_equal(f.replies[1]->str, "OK");
    assert_true(keyspace_connected(f.keys));
    assert_false(keyspace_whole(f.keys));
    err_free(err);
    stop(&f);
}

/* One server: what came before the connection broke. */
static void test_lost_behind_the_first(void **state)
{
    (void)state;
    fixture f;
    start(&f, (line[]){{"SET k", "+OK\r\n", 0}, {"SET a", "", 0}, {NULL}}, (line[]){{NULL}}, one);
    put(&f, "SET", ON_A);
    put(&f, "SET", ON_B);
    put(&f, "SET", ON_A);
    rl_err *err = run(&f);
    assert_true(err_is(err, RL_REDIS, "CONNECTION_LOST"));
    assert_int_equal(f.got, 1);
    assert_string_equal(f.replies[0]->str, "OK");
    assert_true(!f.replies[1] && !f.replies[2]);
    assert_false(keyspace_connected(f.keys) || keyspace_whole(f.keys));
    err_free(err);
    stop(&f);
}

static void test_script(void **state)
{
    (void)state;
    const line old[] = {{"CLUSTER", HALVES, 0},
                        {"EVALSHA", "-NOSCRIPT no such script\r\n", 0},
                        {"EVAL return 1 2 {k}a {k}b", ":1\r\n", 0},
                        {NULL}};
    const keyspace_opts both[] = {one, spread};
    redisc_script script;
    redisc_script_init(&script, "return 1", 8);
    for (int i = 0; i < 2; i++) {
        fixture f;
        redisReply *reply;
        start(&f, old, (line[]){{NULL}}, both[i]);
        assert_null(keyspace_script(f.keys, &script, 2, 2, (const char *[]){"{k}a", "{k}b"},
                                    (const size_t[]){4, 4}, &reply));
        assert_int_equal(reply->integer, 1);
        freeReplyObject(reply);
        stop(&f);
    }
    redisc_script_free(&script);
}

static size_t heard(node *self, const char *words)
{
    size_t n = 0;
    pthread_mutex_lock(&self->lock);
    for (const char *at = self->heard.data; at && (at = strstr(at, words)); at++)
        n++;
    pthread_mutex_unlock(&self->lock);
    return n;
}

/* After two failures nobody waits for the node, and the other's slots are as before. */
static void test_rests(void **state)
{
    (void)state;
    fixture f;
    keyspace_opts opts = spread;
    opts.rest_after = 2;
    opts.rest = 3600;
    start(&f, (line[]){{"CLUSTER", HALVES, 0}, {"SET k", "+OK\r\n", 0}, {NULL}},
          (line[]){{"SET a", "", 0}, {NULL}}, opts);
    assert_string_equal(outcome(&f, "SET", ON_B), "CONNECTION_LOST");
    assert_string_equal(outcome(&f, "SET", ON_B), "CONNECTION_LOST");
    for (int i = 0; i < 3; i++)
        assert_string_equal(outcome(&f, "SET", ON_B), "NODE_RESTS");
    assert_int_equal(heard(&f.both.b, "SET a"), 2);
    assert_string_equal(outcome(&f, "SET", ON_A), "OK");
    assert_false(keyspace_whole(f.keys));
    stop(&f);
}

/* Its rest is over at once: it is asked again, and counts from the beginning when it answers. */
static void test_rested(void **state)
{
    (void)state;
    fixture f;
    keyspace_opts opts = spread;
    opts.rest_after = 1;
    start(&f, (line[]){{"CLUSTER", HALVES, 0}, {NULL}}, (line[]){{"SET a", "", 2}, {NULL}}, opts);
    assert_string_equal(outcome(&f, "SET", ON_B), "CONNECTION_LOST");
    assert_string_equal(outcome(&f, "SET", ON_B), "CONNECTION_LOST");
    assert_false(keyspace_whole(f.keys));
    assert_string_equal(outcome(&f, "SET", ON_B), "ERR not expected"); /* the third answer */
    assert_true(keyspace_whole(f.keys));
    stop(&f);
}

static void check_says(fixture *f, const char *name)
{
    rl_err *err = keyspace_check(f->keys);
    assert_true(name ? err_is(err, RL_REDIS, name) : !err);
    err_free(err);
}

static void test_check(void **state)
{
    (void)state;
    fixture f;
    start(&f, (line[]){{"CLUSTER", HALVES, 0}, {"PING", "+PONG\r\n", 0}, {NULL}},
          (line[]){{"PING", "", 1}, {"PING", "+PONG\r\n", 0}, {NULL}}, spread);
    check_says(&f, "CONNECTION_LOST");
    assert_false(keyspace_whole(f.keys));
    check_says(&f, NULL);
    assert_true(keyspace_whole(f.keys));
    node_answers(&f.both.a, 0, "*1\r\n" RANGE("0", "16382", "@A"));
    check_says(&f, "NO_NODE");
    stop(&f);
    start(&f, (line[]){{"PING", "", 1}, {"PING", "+PONG\r\n", 0}, {NULL}}, (line[]){{NULL}}, one);
    check_says(&f, "CONNECTION_LOST");
    check_says(&f, NULL); /* connects */
    check_says(&f, NULL); /* asks */
    assert_int_equal(heard(&f.both.a, "PING"), 2);
    stop(&f);
}

/* Threads that share a client share what it knows. */
static void test_shared(void **state)
{
    (void)state;
    nodes both;
    nodes_start(&both, (line[]){{"CLUSTER", HALVES, 0}, {NULL}}, (line[]){{NULL}});
    keyspace_opts opts = {.nodes = both.seed,
                          .conn = {.resp = 3, .timeout = 2, .connect_timeout = 2}};
    redisc_cluster *cluster = keyspace_cluster(&opts, 2);
    redisc_keyspace *first = keyspace_new(&opts, cluster), *second = keyspace_new(&opts, cluster);
    assert_null(keyspace_connect(first));
    assert_true(keyspace_connected(second));
    keyspace_free(first);
    assert_true(keyspace_connected(second));
    keyspace_free(second);
    cluster_free(cluster);
    assert_null(keyspace_cluster(&one, 2));
    nodes_stop(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back),
        cmocka_unit_test(test_same_answers),
        cmocka_unit_test(test_lost_in_its_place),
        cmocka_unit_test(test_lost_behind_the_first),
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_rests),
        cmocka_unit_test(test_rested),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
