/* engine/redis/cluster against two nodes that answer by a script: redirections, tries, order, lies. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "redis/cluster/client.h"

enum { WORDS_MAX = 8 };

/* What a node answers to a command that begins with `words`, so many times (0: always); in an answer @A and
 * @B stand for the nodes' ports. "" hangs up. */
typedef struct line {
    const char *words, *answer;
    int times;
} line;

enum { LINES_MAX = 8, CLIENTS_MAX = 32 };

typedef struct node {
    int listener, port;
    line lines[LINES_MAX];
    rl_buf heard; /* "GET k;ASKING;" */
    pthread_t thread;
    pthread_mutex_t lock;
    struct node *a, *b;
} node;

static void read_exactly(FILE *in, char *out, size_t n)
{
    if (fread(out, 1, n, in) != n)
        out[0] = '\0';
    out[n] = '\0';
}

/* "SET k v", or false at the end. */
static bool read_command(FILE *in, char *text, size_t size)
{
    char head[64], word[128];
    text[0] = '\0';
    if (!fgets(head, sizeof head, in))
        return false;
    for (int i = 0, n = atoi(head + 1); i < n; i++) {
        if (!fgets(head, sizeof head, in) || (size_t)atoi(head + 1) + 2 >= sizeof word)
            return false;
        size_t len = (size_t)atoi(head + 1);
        read_exactly(in, word, len + 2);
        word[len] = '\0';
        snprintf(text + strlen(text), size - strlen(text), "%s%s", i ? " " : "", word);
    }
    return true;
}

static const char *answer_of(node *self, const char *text)
{
    for (line *l = self->lines; l->words; l++) {
        if (strncmp(text, l->words, strlen(l->words)) != 0 || l->times < 0)
            continue;
        if (l->times == 1)
            l->times = -1;
        else if (l->times > 1)
            l->times--;
        return l->answer;
    }
    return strncmp(text, "HELLO", 5) == 0 || strcmp(text, "ASKING") == 0 ? "+OK\r\n"
                                                                         : "-ERR not expected\r\n";
}

static void put_answer(int fd, const node *self, const char *answer)
{
    for (const char *at = answer; *at; at++)
        if (*at == '@')
            dprintf(fd, "%d", *++at == 'A' ? self->a->port : self->b->port);
        else if (write(fd, at, 1) != 1)
            return;
}

typedef struct guest {
    node *self;
    int fd;
} guest;

static void *entertain(void *arg)
{
    guest g = *(guest *)arg;
    FILE *in = fdopen(dup(g.fd), "r");
    char text[512];
    free(arg);
    for (bool go = true; go && read_command(in, text, sizeof text);) {
        pthread_mutex_lock(&g.self->lock);
        const char *answer = answer_of(g.self, text);
        if (strncmp(text, "HELLO", 5) != 0)
            buf_printf(&g.self->heard, "%s;", text);
        go = *answer != '\0';
        put_answer(g.fd, g.self, answer);
        pthread_mutex_unlock(&g.self->lock);
    }
    fclose(in);
    shutdown(g.fd, SHUT_RDWR);
    close(g.fd);
    return NULL;
}

static void *listen_on(void *arg)
{
    node *self = arg;
    pthread_t guests[CLIENTS_MAX];
    int count = 0;
    for (int fd; count < CLIENTS_MAX && (fd = accept(self->listener, NULL, NULL)) >= 0; count++) {
        guest *g = mem_alloc(sizeof *g);
        *g = (guest){self, fd};
        pthread_create(&guests[count], NULL, entertain, g);
    }
    for (int i = 0; i < count; i++)
        pthread_join(guests[i], NULL);
    return NULL;
}

static void node_start(node *self)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    self->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(self->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(self->listener, 16), 0);
    getsockname(self->listener, (struct sockaddr *)&at, &len);
    self->port = ntohs(at.sin_port);
    pthread_mutex_init(&self->lock, NULL);
    pthread_create(&self->thread, NULL, listen_on, self);
}

static void node_stop(node *self)
{
    shutdown(self->listener, SHUT_RDWR);
    pthread_join(self->thread, NULL);
    close(self->listener);
    buf_free(&self->heard);
    pthread_mutex_destroy(&self->lock);
}

typedef struct pair {
    node a, b;
    redisc_cluster *cluster;
    cluster_batch batch;
} pair;

#define ALL_WITH_A "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:@A\r\n"
#define ALL_WITH_B "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:@B\r\n"
#define BOTH "*1\r\n*4\r\n:0\r\n:16383\r\n" HOST ":@A\r\n" HOST ":@B\r\n"
#define HOST "*2\r\n$9\r\n127.0.0.1\r\n"
#define SLOT_OF_K "7629"

static void start_with(pair *p, const line *a, const line *b, cluster_opts opts)
{
    char seed[32];
    *p = (pair){0};
    p->a.a = p->b.a = &p->a;
    p->a.b = p->b.b = &p->b;
    for (int i = 0; i < LINES_MAX && a[i].words; i++)
        p->a.lines[i] = a[i];
    for (int i = 0; i < LINES_MAX && b[i].words; i++)
        p->b.lines[i] = b[i];
    node_start(&p->a);
    node_start(&p->b);
    snprintf(seed, sizeof seed, "127.0.0.1:%d", p->a.port);
    opts.nodes = seed;
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
    node_stop(&p->a);
    node_stop(&p->b);
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
    assert_string_equal(p.b.heard.data, "ASKING;GET k;ASKING;GET k;");
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
                        "CONNECTION_LOST");           /* it may have been carried out */
    assert_string_equal(answer_to(&p, "GET k"), "a"); /* a read may be asked again */
    stop(&p);
}

static void answers_now(node *self, int nth, const char *answer)
{
    pthread_mutex_lock(&self->lock);
    self->lines[nth].answer = answer;
    pthread_mutex_unlock(&self->lock);
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
        answers_now(&p.a, 1, maps[i]);
        rl_err *err = cluster_refresh(p.cluster);
        assert_true(err_is(err, RL_REDIS, "PROTOCOL"));
        err_free(err);
    }
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        answers_now(&p.a, 2, moves[i]);
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
    pthread_mutex_lock(&p.a.lock);
    pthread_mutex_lock(&p.b.lock);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, get_k, p.cluster);
    while (cluster_stats_of(p.cluster).commands < THREADS)
        usleep(1000);
    pthread_mutex_unlock(&p.a.lock);
    while (cluster_stats_of(p.cluster).moved < 1)
        usleep(1000);
    pthread_mutex_unlock(&p.b.lock);
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
    assert_non_null(strstr(p.b.heard.data, "READONLY;GET k;"));
    for (int i = 0; i < 500 && lost == 1; i++) {
        usleep(10000);
        lost += strcmp(answer_to(&p, "GET k"), "b") != 0;
    }
    assert_int_equal(lost, 2);
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
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moved),    cmocka_unit_test(test_moved_in_a_circle),
        cmocka_unit_test(test_asked),    cmocka_unit_test(test_tryagain),
        cmocka_unit_test(test_lost),     cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_lies),     cmocka_unit_test(test_single_flight),
        cmocka_unit_test(test_replicas), cmocka_unit_test(test_no_replica_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
