/* The wire client against a broker that misbehaves: a thread that speaks just enough Kafka to be
 * asked for its transactions. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "kafka/survey/errand.h"
#include "kafka/wire/api.h"

typedef enum manner {
    ANSWERS,
    SILENT,        /* keeps requests until it answers again */
    HALF,          /* sends a part of the answer, then closes */
    GARBAGE,       /* no Kafka at all */
    OTHER_ANSWER,  /* to a question that was not asked */
    CLOSES,        /* after this answer */
    KNOWS_NOTHING, /* offers no API */
    KNOWS_NULL     /* its list is not even empty */
} manner;

typedef struct broker {
    pthread_t thread;
    int listener, port;
    _Atomic manner manner;
    atomic_int accepted, asked;
    atomic_bool over;
} broker;

static bool read_all(broker *b, int fd, char *to, size_t n)
{
    for (size_t got = 0; got < n && !b->over;) {
        ssize_t r = recv(fd, to + got, n - got, 0);
        if (r == 0 || (r < 0 && errno != EAGAIN))
            return false;
        got += r > 0 ? (size_t)r : 0;
    }
    return !b->over;
}

static void put_versions(frame_writer *w, manner m)
{
    int count = m == KNOWS_NULL ? -1 : m == KNOWS_NOTHING ? 0 : 67;
    frame_put_i16(w, 0);
    frame_put_i32(w, count);
    for (int api = 0; api < count; api++) {
        frame_put_i16(w, (int16_t)api);
        frame_put_i16(w, 0);
        frame_put_i16(w, 12);
    }
}

static void put_no_transactions(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_i16(w, 0);
    frame_put_array(w, 0);
    frame_put_array(w, 0);
    frame_put_tags(w);
}

static bool answer(broker *b, int fd, const frame_request *q)
{
    bool versions = q->api == FRAME_API_VERSIONS;
    manner m = b->manner;
    rl_buf out = {0};
    frame_writer w = frame_begin_response(&out, q->api, q->version,
                                          q->correlation + (!versions && m == OTHER_ANSWER));
    if (versions)
        put_versions(&w, m);
    else
        put_no_transactions(&w);
    frame_finish(&w);
    if (!versions && m == GARBAGE)
        memcpy(out.data, "HTTP", 4);
    size_t len = !versions && m == HALF ? out.len / 2 : out.len;
    bool sent = send(fd, out.data, len, MSG_NOSIGNAL) == (ssize_t)len;
    buf_free(&out);
    return sent && (versions || (m != HALF && m != CLOSES));
}

static bool serve_one(broker *b, int fd)
{
    char head[4], body[4096];
    size_t size;
    frame_request q;
    if (!read_all(b, fd, head, 4) || frame_size(head, sizeof body, &size) ||
        !read_all(b, fd, body, size) || frame_request_header(body, size, &q))
        return false;
    if (q.api != FRAME_API_VERSIONS)
        b->asked++;
    while (b->manner == SILENT && !b->over)
        usleep(1000);
    return answer(b, fd, &q);
}

static void *serve(void *arg)
{
    broker *b = arg;
    struct timeval slice = {.tv_usec = 5000};
    setsockopt(b->listener, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice);
    while (!b->over) {
        int fd = accept(b->listener, NULL, NULL);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice);
        b->accepted++;
        while (serve_one(b, fd))
            ;
        close(fd);
    }
    return NULL;
}

static void start(broker *b, manner m)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof at;
    memset(b, 0, sizeof *b);
    b->manner = m;
    b->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(b->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(b->listener, 16), 0);
    getsockname(b->listener, (struct sockaddr *)&at, &size);
    b->port = ntohs(at.sin_port);
    pthread_create(&b->thread, NULL, serve, b);
}

static void stop(broker *b)
{
    b->over = true;
    pthread_join(b->thread, NULL);
    close(b->listener);
}

static wire_cluster *cluster_of(const broker *a, const broker *b)
{
    char list[64];
    wire_cluster *c;
    snprintf(list, sizeof list, "127.0.0.1:%d%s%.0d", a->port, b ? ",127.0.0.1:" : "",
             b ? b->port : 0);
    assert_null(wire_cluster_new(list, 100, NULL, &c));
    return c;
}

static wire_call within(int ms)
{
    return (wire_call){.deadline = deadline_in_ms(ms), .wake_fd = -1};
}

static rl_err *ask(wire_cluster *c, const wire_call *call)
{
    wire_txns txns = {0};
    rl_err *err = wire_txns_list(c, call, WIRE_ANY, NULL, 0, &txns);
    wire_txns_free(&txns);
    return err;
}

static void fails(wire_cluster *c, int ms, rl_domain domain, const char *name)
{
    wire_call call = within(ms);
    rl_err *err = ask(c, &call);
    if (!err_is(err, domain, name))
        fail_msg("%s expected, got %s", name, err ? err->msg : "an answer");
    err_free(err);
}

static void works(wire_cluster *c)
{
    wire_call call = within(2000);
    rl_err *err = ask(c, &call);
    if (err)
        fail_msg("%s", err->msg);
}

/* ---- the tests ---- */

static void test_one_connection_serves_many_questions(void **state)
{
    (void)state;
    broker b;
    start(&b, ANSWERS);
    wire_cluster *c = cluster_of(&b, NULL);
    for (int i = 0; i < 200; i++)
        works(c);
    assert_int_equal(b.accepted, 1);
    assert_int_equal(b.asked, 200);
    wire_cluster_free(c);
    stop(&b);
}

static void test_silence_ends_at_the_deadline_and_the_connection_survives(void **state)
{
    (void)state;
    broker b;
    start(&b, ANSWERS);
    wire_cluster *c = cluster_of(&b, NULL);
    works(c);
    b.manner = SILENT;
    int64_t began = clock_ns();
    fails(c, 60, RL_LAB, "TIMEOUT");
    assert_true(clock_ns() - began < 500 * 1000000LL);
    b.manner = ANSWERS;
    works(c); /* the late answer is skipped */
    assert_int_equal(b.accepted, 1);
    wire_cluster_free(c);
    stop(&b);
}

/* More questions within the time of silence than a connection holds: it is replaced, and each of
 * them still ends with its own deadline. */
static void test_unanswered_questions_do_not_pile_up(void **state)
{
    (void)state;
    broker b;
    start(&b, ANSWERS);
    wire_cluster *c = cluster_of(&b, NULL);
    works(c);
    b.manner = SILENT;
    for (int i = 0; i < WIRE_MAX_AHEAD + 8; i++)
        fails(c, 1, RL_LAB, "TIMEOUT");
    b.manner = ANSWERS;
    works(c);
    wire_cluster_free(c);
    stop(&b);
}

static void test_silence_from_the_first_byte(void **state)
{
    (void)state;
    broker b;
    start(&b, SILENT);
    wire_cluster *c = cluster_of(&b, NULL);
    fails(c, 60, RL_LAB, "TIMEOUT");
    b.manner = ANSWERS;
    works(c);
    assert_int_equal(b.accepted, 1);
    wire_cluster_free(c);
    stop(&b);
}

typedef struct canceller {
    broker *b;
    atomic_bool stop;
    int fd;
} canceller;

static void *cancel_when_asked(void *arg)
{
    canceller *x = arg;
    uint64_t one = 1;
    while (!x->b->asked)
        usleep(500);
    x->stop = true;
    if (write(x->fd, &one, sizeof one) != sizeof one)
        abort();
    return NULL;
}

static void test_another_thread_cancels(void **state)
{
    (void)state;
    broker b;
    pthread_t thread;
    start(&b, ANSWERS);
    wire_cluster *c = cluster_of(&b, NULL);
    works(c);
    b.asked = 0;
    b.manner = SILENT;
    canceller x = {.b = &b, .fd = eventfd(0, EFD_NONBLOCK)};
    pthread_create(&thread, NULL, cancel_when_asked, &x);
    wire_call call = {.deadline = deadline_in(20), .stop = {&x.stop}, .wake_fd = x.fd};
    int64_t began = clock_ns();
    rl_err *err = ask(c, &call);
    assert_true(err_is(err, RL_LAB, "CANCELLED"));
    assert_true(clock_ns() - began < 2000000000LL);
    err_free(err);
    pthread_join(thread, NULL);
    b.manner = ANSWERS;
    works(c);
    close(x.fd);
    wire_cluster_free(c);
    stop(&b);
}

static void test_a_wake_without_a_flag_means_nothing(void **state)
{
    (void)state;
    broker b;
    uint64_t one = 1;
    start(&b, ANSWERS);
    wire_cluster *c = cluster_of(&b, NULL);
    wire_call call = within(2000);
    call.wake_fd = eventfd(0, EFD_NONBLOCK);
    assert_int_equal(write(call.wake_fd, &one, sizeof one), sizeof one);
    assert_null(ask(c, &call));
    close(call.wake_fd);
    wire_cluster_free(c);
    stop(&b);
}

static void test_wrong_bytes_are_errors(void **state)
{
    (void)state;
    static const struct {
        manner manner;
        rl_domain domain;
        const char *name;
    } cases[] = {{GARBAGE, RL_LAB, "MALFORMED"},
                 {OTHER_ANSWER, RL_LAB, "MALFORMED"},
                 {HALF, RL_KAFKA, "_TRANSPORT"},
                 {KNOWS_NOTHING, RL_KAFKA, "UNSUPPORTED_VERSION"},
                 {KNOWS_NULL, RL_KAFKA, "UNSUPPORTED_VERSION"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        broker b;
        start(&b, cases[i].manner);
        wire_cluster *c = cluster_of(&b, NULL);
        fails(c, 2000, cases[i].domain, cases[i].name);
        wire_cluster_free(c);
        stop(&b);
    }
}

static void test_a_connection_that_died_unseen_is_replaced(void **state)
{
    (void)state;
    broker b;
    start(&b, CLOSES);
    wire_cluster *c = cluster_of(&b, NULL);
    works(c);
    b.manner = ANSWERS;
    works(c);
    works(c);
    assert_int_equal(b.accepted, 2);
    wire_cluster_free(c);
    stop(&b);
}

static void test_another_broker_is_asked(void **state)
{
    (void)state;
    broker frozen, alive;
    start(&frozen, SILENT);
    start(&alive, ANSWERS);
    wire_cluster *c = cluster_of(&frozen, &alive);
    works(c);
    int64_t began = clock_ns();
    for (int i = 0; i < 20; i++)
        works(c);
    assert_true(clock_ns() - began < 500 * 1000000LL); /* the silent one is not tried again */
    assert_int_equal(alive.asked, 21);
    wire_cluster_free(c);
    stop(&frozen);
    stop(&alive);
}

static void test_nobody_listens(void **state)
{
    (void)state;
    broker b;
    start(&b, ANSWERS);
    wire_cluster *c = cluster_of(&b, NULL);
    stop(&b);
    fails(c, 2000, RL_KAFKA, "_TRANSPORT");
    wire_cluster_free(c);
}

/* ---- many brokers at once ---- */

static void write_all_transactions(frame_writer *w, const void *unused)
{
    (void)unused;
    frame_put_array(w, 0); /* states */
    frame_put_array(w, 0); /* producers */
    frame_put_tags(w);
}

static int answers;

static rl_err *take_any(frame_reader *r, const errand *e)
{
    (void)r;
    (void)e;
    answers++;
    return NULL;
}

static rl_err *refuse(frame_reader *r, const errand *e)
{
    (void)r;
    (void)e;
    answers++;
    return wire_code(RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, "it loads");
}

static void ask_both(wire_cluster *c, survey *s, rl_err *(*take)(frame_reader *, const errand *))
{
    errands all = {0};
    wire_call call = within(60000);
    for (int i = 0; i < 6; i++)
        errands_add(&all, &(errand){.broker = 1 + i / 3,
                                    .api = FRAME_LIST_TRANSACTIONS,
                                    .version = 0,
                                    .write = write_all_transactions,
                                    .take = take,
                                    .survey = s});
    assert_null(errands_run(&all, c, &call));
}

static void forget_failures(survey *s)
{
    for (int i = 0; i < s->failure_count; i++)
        err_free(s->failures[i].err);
    free(s->failures);
    *s = (survey){0};
}

/* Of a list of errands the silent one is asked one, within its patience; the others do all theirs. */
static void test_a_silent_broker_costs_its_own_answers(void **state)
{
    (void)state;
    broker a, b;
    survey s = {0};
    start(&a, ANSWERS);
    start(&b, ANSWERS);
    wire_cluster *c;
    assert_null(wire_cluster_new("127.0.0.1:1", 400, NULL, &c));
    wire_cluster_learn(c, 1, "127.0.0.1", a.port);
    wire_cluster_learn(c, 2, "127.0.0.1", b.port);
    ask_both(c, &s, take_any);
    assert_true(answers == 6 && s.failure_count == 0);
    ask_both(c, &s, refuse);
    assert_int_equal(answers, 12);
    assert_int_equal(s.failure_count, 6);
    assert_false(s.failures[0].silent || s.failures[5].silent);
    forget_failures(&s);
    b.manner = SILENT;
    ask_both(c, &s, take_any);
    assert_int_equal(answers, 15);
    assert_int_equal(s.failure_count, 1);
    assert_int_equal(s.failures[0].broker, 2);
    assert_true(s.failures[0].silent && err_is(s.failures[0].err, RL_LAB, "TIMEOUT"));
    assert_int_equal(b.asked, 7);
    forget_failures(&s);
    wire_cluster_free(c);
    stop(&a);
    stop(&b);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",       ",",          "host",    "host:", ":9092",
                                      "host:0", "host:70000", "host:9x", "a:1,b"};
    static const char *const good[] = {"host:9092", " a:1, b:2 ", "PLAINTEXT://a:1,SSL://b:2",
                                       "[::1]:9092"};
    wire_cluster *c;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rl_err *err = wire_cluster_new(bad[i], 100, NULL, &c);
        assert_true(err_is(err, RL_LAB, "USAGE"));
        err_free(err);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_null(wire_cluster_new(good[i], 100, NULL, &c));
        wire_cluster_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_connection_serves_many_questions),
        cmocka_unit_test(test_silence_ends_at_the_deadline_and_the_connection_survives),
        cmocka_unit_test(test_unanswered_questions_do_not_pile_up),
        cmocka_unit_test(test_silence_from_the_first_byte),
        cmocka_unit_test(test_another_thread_cancels),
        cmocka_unit_test(test_a_wake_without_a_flag_means_nothing),
        cmocka_unit_test(test_wrong_bytes_are_errors),
        cmocka_unit_test(test_a_connection_that_died_unseen_is_replaced),
        cmocka_unit_test(test_another_broker_is_asked),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_a_silent_broker_costs_its_own_answers),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
