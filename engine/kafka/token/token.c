#include "kafka/token/token.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "kafka/token/run.h"

#define MARK "rlab-token-command:"
#define CONFIG "sasl.oauthbearer.config"

enum { LIMIT_MS = 10000, FAILURE_MS = 1000, COMMAND_MAX = 4096 };

typedef struct entry {
    struct entry *next;
    char *command;
    kafka_token token; /* the last one */
    rl_err *failure;   /* of the last run; NULL: there is none */
    int64_t failed_ms;
} entry;

static pthread_mutex_t entries_lock = PTHREAD_MUTEX_INITIALIZER;
static entry *entries;
static pthread_mutex_t trouble_lock = PTHREAD_MUTEX_INITIALIZER;
static char trouble[600];

static void note_trouble(const rl_err *err)
{
    pthread_mutex_lock(&trouble_lock);
    snprintf(trouble, sizeof trouble, "%s", err ? err->msg : "");
    pthread_mutex_unlock(&trouble_lock);
}

bool kafka_token_trouble(char *out, size_t size)
{
    pthread_mutex_lock(&trouble_lock);
    snprintf(out, size, "%s", trouble);
    pthread_mutex_unlock(&trouble_lock);
    return *out != '\0';
}

static entry *entry_of(const char *command)
{
    entry *e = entries;
    while (e && strcmp(e->command, command) != 0)
        e = e->next;
    if (e)
        return e;
    e = mem_zero(sizeof *e);
    e->command = mem_strdup(command);
    e->next = entries;
    return entries = e;
}

static bool is_fresh(const kafka_token *token, int64_t now_ms)
{
    return token->text && now_ms < token->got_ms + (token->end_ms - token->got_ms) / 2;
}

static void renew(entry *e)
{
    kafka_token next;
    rl_err *err = kafka_token_run(e->command, LIMIT_MS, &next);
    note_trouble(err);
    err_free(e->failure);
    e->failure = err;
    e->failed_ms = clock_unix_ms();
    if (err)
        return;
    kafka_token_free(&e->token);
    e->token = next;
}

static rl_err *token_now(entry *e, kafka_token *out)
{
    int64_t now_ms = clock_unix_ms();
    bool told = e->failure && now_ms - e->failed_ms < FAILURE_MS;
    if (!told && !is_fresh(&e->token, now_ms))
        renew(e);
    if (e->failure)
        return err_copy(e->failure);
    *out = e->token;
    out->text = mem_strdup(e->token.text);
    return NULL;
}

rl_err *kafka_token_get(const char *command, kafka_token *out)
{
    *out = (kafka_token){0};
    pthread_mutex_lock(&entries_lock);
    rl_err *err = token_now(entry_of(command), out);
    pthread_mutex_unlock(&entries_lock);
    return err;
}

/* ---- librdkafka ---- */

static void refresh(rd_kafka_t *rk, const char *config, void *opaque)
{
    (void)opaque;
    char why[256] = "";
    kafka_token token;
    rl_err *err = kafka_token_get(config + strlen(MARK), &token);
    if (err)
        rd_kafka_oauthbearer_set_token_failure(rk, err->msg);
    else if (rd_kafka_oauthbearer_set_token(rk, token.text, token.end_ms, token.subject, NULL, 0,
                                            why, sizeof why))
        rd_kafka_oauthbearer_set_token_failure(rk, why);
    kafka_token_free(&token);
    err_free(err);
}

rl_err *kafka_token_use(rd_kafka_conf_t *conf, const char *command)
{
    char config[COMMAND_MAX];
    int len = snprintf(config, sizeof config, MARK "%s", command);
    if (len < 0 || (size_t)len >= sizeof config)
        return err_lab("USAGE", "a token command has at most %d characters", COMMAND_MAX - 100);
    char why[256] = "";
    if (rd_kafka_conf_set(conf, "sasl.mechanisms", "OAUTHBEARER", why, sizeof why) ||
        rd_kafka_conf_set(conf, CONFIG, config, why, sizeof why))
        return err_lab("USAGE", "%s", why);
    rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, refresh);
    rd_kafka_conf_enable_sasl_queue(conf, 1);
    return NULL;
}

bool kafka_token_command(const rd_kafka_conf_t *conf, char *out, size_t size)
{
    char config[COMMAND_MAX];
    size_t have = sizeof config;
    if (rd_kafka_conf_get(conf, CONFIG, config, &have) != RD_KAFKA_CONF_OK ||
        strncmp(config, MARK, strlen(MARK)) != 0)
        return false;
    snprintf(out, size, "%s", config + strlen(MARK));
    return true;
}

rl_err *kafka_token_serve(rd_kafka_t *rk)
{
    char command[COMMAND_MAX];
    if (!kafka_token_command(rd_kafka_conf(rk), command, sizeof command))
        return NULL;
    rd_kafka_error_t *error = rd_kafka_sasl_background_callbacks_enable(rk);
    rl_err *err =
        error ? err_lab("TOKEN", "tokens cannot be asked for: %s", rd_kafka_error_string(error))
              : NULL;
    rd_kafka_error_destroy(error);
    return err;
}
