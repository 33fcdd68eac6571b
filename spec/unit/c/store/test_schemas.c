/* engine/registry/schemas: each id is asked for once, whoever and how many want it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "registry/schemas.h"

enum { THREADS = 8, ID = 7 };

/* A registry that answers when it may. */
typedef struct server {
    struct MHD_Daemon *daemon;
    char url[64];
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool held; /* nobody is answered */
    int asked;
    unsigned status;
    const char *body;
} server;

static void hold(server *s)
{
    pthread_mutex_lock(&s->lock);
    s->asked++;
    pthread_cond_broadcast(&s->change);
    while (s->held)
        pthread_cond_wait(&s->change, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *size, void **seen)
{
    server *s = arg;
    (void)method;
    (void)version;
    (void)body;
    (void)size;
    if (!*seen) {
        *seen = s;
        return MHD_YES;
    }
    assert_string_equal(url, "/schemas/ids/7");
    hold(s);
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(s->body), (void *)s->body, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_queue_response(c, s->status, r);
    MHD_destroy_response(r);
    return result;
}

static const char schema[] = "{\"schema\": \"\\\"string\\\"\"}";
static const char unknown[] = "{\"error_code\": 40403, \"message\": \"no such schema\"}";

static int setup(void **state)
{
    server *s = calloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->change, NULL);
    s->status = 200;
    s->body = schema;
    s->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0,
                                 NULL, NULL, answer, s, MHD_OPTION_END);
    if (!s->daemon)
        return -1;
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u",
             MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    server *s = *state;
    MHD_stop_daemon(s->daemon);
    pthread_cond_destroy(&s->change);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return 0;
}

static void set_held(server *s, bool held)
{
    pthread_mutex_lock(&s->lock);
    s->held = held;
    pthread_cond_broadcast(&s->change);
    pthread_mutex_unlock(&s->lock);
}

static void await_asked(server *s, int n)
{
    pthread_mutex_lock(&s->lock);
    while (s->asked < n)
        pthread_cond_wait(&s->change, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static registry_schemas *schemas_of(const server *s)
{
    registry_schemas *schemas;
    assert_null(
        registry_schemas_new(&(registry_opts){.url = s->url, .timeout = 20, .tries = 1}, &schemas));
    return schemas;
}

/* Threads that want the same schema. */
typedef struct wish {
    registry_schemas *schemas;
    atomic_int *begun;
    const avro_form *form;
    rl_err *err;
    pthread_t thread;
} wish;

static void *get_form(void *arg)
{
    wish *w = arg;
    atomic_fetch_add(w->begun, 1);
    w->err = registry_schemas_form(w->schemas, ID, &w->form);
    return NULL;
}

static void wish_all(wish *list, registry_schemas *schemas, atomic_int *begun)
{
    for (int i = 0; i < THREADS; i++) {
        list[i] = (wish){.schemas = schemas, .begun = begun};
        pthread_create(&list[i].thread, NULL, get_form, &list[i]);
    }
    while (atomic_load(begun) < THREADS)
        sched_yield();
}

/* All have begun, and one has asked, whom the server keeps waiting. */
static void wish_while_held(server *s, wish *list, registry_schemas *schemas, atomic_int *begun)
{
    set_held(s, true);
    wish_all(list, schemas, begun);
    await_asked(s, 1);
}

static void join_all(wish *list)
{
    for (int i = 0; i < THREADS; i++)
        pthread_join(list[i].thread, NULL);
}

static void one_asks_for_all(void **state)
{
    server *s = *state;
    registry_schemas *schemas = schemas_of(s);
    wish list[THREADS];
    atomic_int begun = 0;
    wish_while_held(s, list, schemas, &begun);
    set_held(s, false);
    join_all(list);
    for (int i = 0; i < THREADS; i++) {
        assert_null(list[i].err);
        assert_non_null(list[i].form);
        assert_ptr_equal(list[i].form, list[0].form);
    }
    assert_int_equal(s->asked, 1);
    registry_schemas_free(schemas);
}

static void a_failure_is_not_kept(void **state)
{
    server *s = *state;
    registry_schemas *schemas = schemas_of(s);
    const avro_form *form;
    s->status = 404;
    s->body = unknown;
    rl_err *err = registry_schemas_form(schemas, ID, &form);
    assert_true(err_is(err, RL_REGISTRY, "SCHEMA_NOT_FOUND"));
    assert_true(registry_blames_record(err));
    err_free(err);
    s->status = 200;
    s->body = schema;
    assert_null(registry_schemas_form(schemas, ID, &form));
    assert_null(registry_schemas_form(schemas, ID, &form));
    assert_int_equal(s->asked, 2);
    registry_schemas_free(schemas);
}

static void a_stop_lets_all_go(void **state)
{
    server *s = *state;
    registry_schemas *schemas = schemas_of(s);
    wish list[THREADS];
    atomic_int begun = 0;
    wish_while_held(s, list, schemas, &begun);
    registry_schemas_stop(schemas);
    join_all(list);
    for (int i = 0; i < THREADS; i++) {
        assert_true(err_is(list[i].err, RL_LAB, "CANCELLED"));
        err_free(list[i].err);
    }
    assert_int_equal(s->asked, 1);
    set_held(s, false);
    registry_schemas_free(schemas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_asks_for_all, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stop_lets_all_go, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
