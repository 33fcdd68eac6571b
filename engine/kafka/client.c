#include "kafka/client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cond.h"
#include "base/units.h"
#include "kafka/token/token.h"

/* ---- the properties that librdkafka knows ---- */

static struct {
    pthread_once_t once;
    char *text;
    kafka_property *list;
    const char **names;
    size_t n;
} known = {.once = PTHREAD_ONCE_INIT};

static void property_add(const char *name, char scope)
{
    for (size_t i = 0; i < known.n; i++)
        if (strcmp(known.list[i].name, name) == 0)
            return;
    known.list = mem_grow(known.list, (known.n + 1) * sizeof *known.list);
    known.list[known.n++] = (kafka_property){name, scope};
}

/* A line of librdkafka's own table: "linger.ms  |  P  | 0 .. 900000 | 5 | high | ... <br>*Type:
 * float*". */
static void property_line(char *line)
{
    char *bar = strchr(line, '|');
    if (!bar || line[0] < 'a' || line[0] > 'z' || strstr(line, "see dedicated API"))
        return;
    char scope = bar[1] ? bar[3] : 0;
    char *end = line + strcspn(line, " |");
    *end = '\0';
    if (scope == 'P' || scope == 'C' || scope == '*')
        property_add(line, scope);
}

static void properties_load(void)
{
    size_t size;
    FILE *out = open_memstream(&known.text, &size);
    if (!out)
        mem_out();
    rd_kafka_conf_properties_show(out);
    fclose(out);
    char *rest = known.text;
    for (char *line; (line = strsep(&rest, "\n"));)
        property_line(line);
    static const char *const hidden[] = {"test.mock.num.brokers", "test.mock.broker.rtt",
                                         "client.software.name", "client.software.version"};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        property_add(hidden[i], '*');
    known.names = mem_alloc((known.n + 1) * sizeof *known.names);
    for (size_t i = 0; i < known.n; i++)
        known.names[i] = known.list[i].name;
    known.names[known.n] = NULL;
}

static bool same_name(const char *known_name, const char *name)
{
    for (; *known_name && *name; known_name++, name++)
        if (*known_name != *name && !(*known_name == '.' && *name == '_'))
            return false;
    return *known_name == *name;
}

const kafka_property *kafka_property_find(const char *name)
{
    pthread_once(&known.once, properties_load);
    for (size_t i = 0; i < known.n; i++)
        if (same_name(known.list[i].name, name))
            return &known.list[i];
    return NULL;
}

const char *kafka_property_nearest(const char *name)
{
    pthread_once(&known.once, properties_load);
    char *dotted = mem_strdup(name);
    for (char *p = dotted; *p; p++)
        if (*p == '_')
            *p = '.';
    const char *near = units_nearest(dotted, known.names);
    free(dotted);
    return near;
}

bool kafka_property_fits(const kafka_property *property, kafka_kind kind)
{
    return property->scope == '*' || kind == KAFKA_ADMIN ||
           property->scope == (kind == KAFKA_PRODUCER ? 'P' : 'C');
}

/* ---- configuration and clients ---- */

rd_kafka_conf_t *kafka_conf_new(kafka_kind kind)
{
    static const char *const defaults[][2] = {{"reconnect.backoff.ms", "20"},
                                              {"reconnect.backoff.max.ms", "200"},
                                              {"log_level", "0"},
                                              {"log.connection.close", "false"},
                                              {"client.id", "rlab"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        rd_kafka_conf_set(conf, defaults[i][0], defaults[i][1], NULL, 0);
    if (kind == KAFKA_ADMIN) /* a frozen broker must not freeze the observer */
        rd_kafka_conf_set(conf, "socket.timeout.ms", "600", NULL, 0);
    return conf;
}

rl_err *kafka_conf_put(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[512] = "";
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return NULL;
    return err_lab("USAGE", "%s", why);
}

void kafka_conf_value(const rd_kafka_conf_t *conf, const char *name, char *out, size_t size)
{
    size_t have = size;
    if (rd_kafka_conf_get(conf, name, out, &have) != RD_KAFKA_CONF_OK)
        out[0] = '\0';
}

void kafka_conf_hush(rd_kafka_conf_t *conf)
{
    char level[8];
    kafka_conf_value(conf, "log_level", level, sizeof level);
    if (strcmp(level, "0") == 0)
        rd_kafka_conf_set_log_cb(conf, NULL);
}

rl_err *kafka_client_new(kafka_kind kind, rd_kafka_conf_t *conf, rd_kafka_t **out)
{
    char why[512] = "";
    kafka_conf_hush(conf);
    rd_kafka_type_t type = kind == KAFKA_CONSUMER ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER;
    *out = rd_kafka_new(type, conf, why, sizeof why);
    if (*out)
        return kafka_token_serve(*out);
    rd_kafka_resp_err_t code = rd_kafka_last_error();
    rd_kafka_conf_destroy(conf);
    return err_new(RL_KAFKA, code, kafka_code_name(code), "the client cannot be made: %s", why);
}

typedef struct teardown {
    pthread_mutex_t lock;
    pthread_cond_t change;
    void (*end)(void *what, int flags);
    void *what;
    int flags, refs;
    bool done;
} teardown;

/* Called with the lock held. */
static void teardown_leave(teardown *down)
{
    bool last = --down->refs == 0;
    pthread_mutex_unlock(&down->lock);
    if (!last)
        return;
    pthread_cond_destroy(&down->change);
    pthread_mutex_destroy(&down->lock);
    free(down);
}

static void *teardown_main(void *arg)
{
    teardown *down = arg;
    down->end(down->what, down->flags);
    pthread_mutex_lock(&down->lock);
    down->done = true;
    pthread_cond_broadcast(&down->change);
    teardown_leave(down);
    return NULL;
}

static void teardown_wait(teardown *down, int deadline_ms)
{
    rl_deadline until = deadline_in_ms(deadline_ms);
    pthread_mutex_lock(&down->lock);
    while (!down->done && cond_wait_until(&down->change, &down->lock, until))
        ;
    teardown_leave(down);
}

void kafka_end_within(void (*end)(void *what, int flags), void *what, int flags, int deadline_ms)
{
    pthread_t thread;
    teardown *down = mem_zero(sizeof *down);
    cond_init(&down->change);
    pthread_mutex_init(&down->lock, NULL);
    down->end = end;
    down->what = what;
    down->flags = flags;
    down->refs = 2;
    if (pthread_create(&thread, NULL, teardown_main, down) == 0) {
        pthread_detach(thread);
        teardown_wait(down, deadline_ms);
        return;
    }
    down->refs = 1;
    teardown_main(down);
}

static void client_end(void *rk, int flags)
{
    rd_kafka_destroy_flags(rk, flags);
}

void kafka_client_destroy(rd_kafka_t *rk, int flags, int deadline_ms)
{
    if (rk)
        kafka_end_within(client_end, rk, flags, deadline_ms);
}

/* ---- errors ---- */

bool kafka_code_retriable(rd_kafka_resp_err_t code)
{
    return err_meaning_of(RL_KAFKA, kafka_code_name(code)).retriable;
}

rl_blame kafka_code_blame(rd_kafka_resp_err_t code)
{
    return err_meaning_of(RL_KAFKA, kafka_code_name(code)).blame;
}

bool kafka_topic_can_be(const char *name)
{
    enum { TOPIC_MAX = 249 };
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);
    return len > 0 && len <= TOPIC_MAX && strspn(name, letters) == len && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

const char *kafka_code_name(rd_kafka_resp_err_t code)
{
    const char *name = rd_kafka_err2name(code);
    return name ? name : "UNKNOWN";
}

static rl_err *fatal_err(rd_kafka_t *rk, const char *what)
{
    char why[512] = "";
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(rk, why, sizeof why);
    if (!code)
        return NULL;
    rl_err *err = err_new(RL_KAFKA, code, kafka_code_name(code),
                          "%s: this client is dead, make a new one: %s", what, why);
    err->fatal = true;
    err->retriable = false;
    return err;
}

rl_err *kafka_err(rd_kafka_t *rk, rd_kafka_resp_err_t code, const char *fmt, ...)
{
    if (!code)
        return NULL;
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    rl_err *err = rk ? fatal_err(rk, what) : NULL;
    if (err)
        return err;
    err = err_new(RL_KAFKA, code, kafka_code_name(code), "%s: %s", what, rd_kafka_err2str(code));
    err->fatal = code == RD_KAFKA_RESP_ERR__FATAL;
    return err;
}

rl_err *kafka_err_take(rd_kafka_t *rk, rd_kafka_error_t *error, const char *what)
{
    if (!error)
        return NULL;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rl_err *err = NULL;
    if (rk && (rd_kafka_error_is_fatal(error) || code == RD_KAFKA_RESP_ERR__FATAL))
        err = fatal_err(rk, what);
    if (!err) {
        err = err_new(RL_KAFKA, code, kafka_code_name(code), "%s: %s", what,
                      rd_kafka_error_string(error));
        err->retriable = rd_kafka_error_is_retriable(error);
        err->abortable = rd_kafka_error_txn_requires_abort(error);
        err->fatal = rd_kafka_error_is_fatal(error);
    }
    rd_kafka_error_destroy(error);
    return err;
}

/* ---- slices ---- */

bool kafka_stopped(const kafka_stop *stop)
{
    return stop && atomic_load_explicit(stop, memory_order_relaxed);
}

int kafka_slice(rl_deadline until, int slice_ms)
{
    int left = deadline_poll_ms(until);
    return left >= 0 && left < slice_ms ? left : slice_ms;
}
