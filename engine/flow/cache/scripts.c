#include "flow/cache/scripts.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/embed.h"

/* ---- scripts ---- */

static const char *const script_names[CACHE_SCRIPT_COUNT] = {
    [CACHE_PUT] = "put",
    [CACHE_LEASE_FILL] = "lease_fill",
    [CACHE_LEASE_DROP] = "lease_drop",
    [CACHE_LEASE_RELEASE] = "lease_release",
    [CACHE_VERSIONED] = "versioned",
    [CACHE_TONUMBER] = "tonumber",
    [CACHE_TWO_STEP] = "two_step",
    [CACHE_DELTA] = "delta",
    [CACHE_RESERVE] = "reserve",
};

static redisc_script scripts[CACHE_SCRIPT_COUNT];

static const rl_embed *find_text(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "lua/redis/%s.lua", name);
    for (size_t i = 0; i < rl_embed_count; i++)
        if (strcmp(rl_embeds[i].name, path) == 0)
            return &rl_embeds[i];
    return NULL;
}

static void load_scripts(void)
{
    for (int i = 0; i < CACHE_SCRIPT_COUNT; i++) {
        const rl_embed *text = find_text(script_names[i]);
        if (!text)
            abort(); /* the program was built without its own files */
        redisc_script_init(&scripts[i], (const char *)text->data, text->len);
    }
}

const redisc_script *cache_script(cache_script_id which)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_scripts);
    return &scripts[which];
}

/* ---- keys ---- */

static const char *const key_nouns[] = {
    [CACHE_KEY_ACCOUNT] = "account", [CACHE_KEY_LEASE] = "lease", [CACHE_KEY_LATEST] = "latest"};

bool cache_prefix_fits(const char *prefix)
{
    return strlen(prefix) + sizeof "account:{-9223372036854775808}" <= CACHE_KEY_MAX;
}

/* Without printf, since every lookup has one. */
size_t cache_key(char out[CACHE_KEY_MAX], const char *prefix, cache_key_kind kind, int64_t account)
{
    char tag[24], *at = tag + sizeof tag;
    *--at = '}';
    uint64_t n = account < 0 ? 0 - (uint64_t)account : (uint64_t)account;
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    if (account < 0)
        *--at = '-';
    *--at = '{';
    *--at = ':';
    const char *parts[] = {prefix, key_nouns[kind], at};
    size_t lens[] = {strlen(prefix), strlen(key_nouns[kind]), (size_t)(tag + sizeof tag - at)};
    size_t len = 0;
    for (int i = 0; i < 3; i++) {
        size_t fits = lens[i] < CACHE_KEY_MAX - 1 - len ? lens[i] : CACHE_KEY_MAX - 1 - len;
        memcpy(out + len, parts[i], fits);
        len += fits;
    }
    out[len] = '\0';
    return len;
}

/* ---- entries ---- */

void cache_version_text(char out[CACHE_VERSION_DIGITS + 1], int64_t version)
{
    snprintf(out, CACHE_VERSION_DIGITS + 1, "%020lld", (long long)(version > 0 ? version : 0));
}

static void add_arg(cache_args *a, const char *text)
{
    a->argv[a->argc] = text;
    a->lens[a->argc++] = strlen(text);
}

static void add_int(cache_args *a, const char *field, int64_t value)
{
    char *text = a->text[a->argc];
    snprintf(text, sizeof a->text[0], "%lld", (long long)value);
    add_arg(a, field);
    add_arg(a, text);
}

void cache_entry_args(const cache_entry *entry, cache_args *out)
{
    out->argc = 0;
    if (entry->state == CACHE_VALUE)
        add_int(out, "balance", entry->balance);
    char *version = out->text[out->argc];
    cache_version_text(version, entry->version);
    add_arg(out, "version");
    add_arg(out, version);
    add_int(out, "stored", entry->stored);
    if (entry->expires)
        add_int(out, "expires", entry->expires);
    if (entry->state != CACHE_VALUE) {
        add_arg(out, "state");
        add_arg(out, entry->state == CACHE_NEGATIVE ? "none" : "tombstone");
        return;
    }
    if (entry->soft)
        add_int(out, "soft", entry->soft);
    add_int(out, "cost", entry->cost);
}

static bool read_int(const redisReply *r, int64_t *out)
{
    char *end;
    if (r->type != REDIS_REPLY_STRING || r->len == 0)
        return false;
    errno = 0;
    *out = strtoll(r->str, &end, 10);
    return errno == 0 && end == r->str + r->len;
}

static int64_t *number_field(cache_entry *entry, const char *name)
{
    const struct {
        const char *name;
        int64_t *at;
    } fields[] = {{"balance", &entry->balance}, {"version", &entry->version},
                  {"stored", &entry->stored},   {"soft", &entry->soft},
                  {"expires", &entry->expires}, {"cost", &entry->cost}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].name, name) == 0)
            return fields[i].at;
    return NULL;
}

static cache_state state_of(const redisReply *value)
{
    if (value->type != REDIS_REPLY_STRING)
        return CACHE_ABSENT;
    return strcmp(value->str, "none") == 0 ? CACHE_NEGATIVE : CACHE_TOMBSTONE;
}

static bool parse_fields(const redisReply *reply, cache_entry *entry)
{
    bool balance = false;
    cache_state said = CACHE_ABSENT;
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i], *value = reply->element[i + 1];
        if (name->type != REDIS_REPLY_STRING)
            return false;
        int64_t *number = number_field(entry, name->str);
        if (number && !read_int(value, number))
            return false;
        balance = balance || number == &entry->balance;
        if (strcmp(name->str, "state") == 0)
            said = state_of(value);
    }
    entry->state = said != CACHE_ABSENT ? said : balance ? CACHE_VALUE : CACHE_ABSENT;
    return true;
}

bool cache_entry_parse(const redisReply *reply, cache_entry *out)
{
    *out = (cache_entry){.state = CACHE_ABSENT};
    if (reply->type != REDIS_REPLY_MAP && reply->type != REDIS_REPLY_ARRAY)
        return false;
    if (parse_fields(reply, out))
        return true;
    *out = (cache_entry){.state = CACHE_ABSENT};
    return false;
}

/* ---- after a change ---- */

const char *const cache_mode_names[] = {"none",     "del",      "lease", "versioned", "update",
                                        "tonumber", "two-step", "delta", NULL};

bool cache_mode_parse(const char *name, cache_mode *out)
{
    for (int i = 0; cache_mode_names[i]; i++)
        if (strcmp(cache_mode_names[i], name) == 0) {
            *out = (cache_mode)i;
            return true;
        }
    return false;
}

/* One call of a script: what the pipeline and, where the server does not know the script, its
 * repetition are written from. */
typedef struct script_call {
    cache_script_id script;
    int nkeys, argc;
    char keys[2][CACHE_KEY_MAX], version[CACHE_VERSION_DIGITS + 1];
    cache_args fields;
    const char *argv[8 + CACHE_FIELD_ARGS];
} script_call;

static void call_key(script_call *call, const char *prefix, cache_key_kind kind, int64_t account)
{
    cache_key(call->keys[call->nkeys], prefix, kind, account);
    call->argv[call->argc++] = call->keys[call->nkeys++];
}

static void call_fields(script_call *call, const cache_change *change)
{
    call->fields.argc = 0;
    add_int(&call->fields, "balance", change->balance);
    add_int(&call->fields, "stored", clock_unix_ms());
    for (int i = 0; i < call->fields.argc; i++)
        call->argv[call->argc++] = call->fields.argv[i];
}

static void call_versioned(script_call *call, const cache_change *change, bool tombstone)
{
    call->script = CACHE_VERSIONED;
    call->argv[call->argc++] = tombstone ? "tombstone" : "update";
    call->argv[call->argc++] = call->version;
    if (!tombstone) {
        call->argv[call->argc++] = "0";
        call_fields(call, change);
        return;
    }
    snprintf(call->fields.text[0], sizeof call->fields.text[0], "%d", CACHE_TOMBSTONE_MS);
    call->argv[call->argc++] = call->fields.text[0];
    call->argv[call->argc++] = "state";
    call->argv[call->argc++] = "tombstone";
}

static void call_two_step(script_call *call, const char *prefix, const cache_change *change)
{
    call->script = CACHE_TWO_STEP;
    call_key(call, prefix, CACHE_KEY_LATEST, change->account);
    call->argv[call->argc++] = call->version;
    call->argv[call->argc++] = change->event ? change->event : "";
    call_fields(call, change);
}

static void call_delta(script_call *call, const cache_change *change)
{
    call->script = CACHE_DELTA;
    snprintf(call->fields.text[0], sizeof call->fields.text[0], "%lld", (long long)change->amount);
    call->argv[call->argc++] = call->version;
    call->argv[call->argc++] = call->fields.text[0];
}

static void call_of(script_call *call, const char *prefix, cache_mode mode,
                    const cache_change *change)
{
    call->nkeys = call->argc = 0;
    call_key(call, prefix, CACHE_KEY_ACCOUNT, change->account);
    cache_version_text(call->version, change->version);
    switch (mode) {
    case CACHE_MODE_LEASE:
        call->script = CACHE_LEASE_DROP;
        call_key(call, prefix, CACHE_KEY_LEASE, change->account);
        break;
    case CACHE_MODE_TONUMBER:
        call->script = CACHE_TONUMBER;
        call->argv[call->argc++] = call->version;
        call_fields(call, change);
        break;
    case CACHE_MODE_TWO_STEP:
        call_two_step(call, prefix, change);
        break;
    case CACHE_MODE_DELTA:
        call_delta(call, change);
        break;
    default:
        call_versioned(call, change, mode == CACHE_MODE_VERSIONED);
    }
}

static void add_script(redisc_pipe *pipe, const script_call *call, bool whole)
{
    size_t lens[8 + CACHE_FIELD_ARGS];
    for (int i = 0; i < call->argc; i++)
        lens[i] = strlen(call->argv[i]);
    redisc_script_put(pipe, cache_script(call->script), whole, call->nkeys, call->argc, call->argv,
                      lens);
}

static void add_change(redisc_pipe *pipe, const char *prefix, cache_mode mode,
                       const cache_change *change, bool whole)
{
    script_call c;
    call_of(&c, prefix, mode, change);
    if (mode == CACHE_MODE_DEL)
        redisc_pipe_add(pipe, 2, (const char *[]){"DEL", c.keys[0]},
                        (const size_t[]){3, strlen(c.keys[0])});
    else
        add_script(pipe, &c, whole);
}

static void count_reply(const redisReply *reply, cache_mode mode, cache_tally *tally,
                        rl_err **first)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        tally->failed++;
        if (!*first)
            *first = redisc_reply_err(reply);
        return;
    }
    bool dropped = mode == CACHE_MODE_DEL || mode == CACHE_MODE_LEASE;
    if (reply->integer > 0)
        tally->written++;
    else if (reply->integer < 0 || dropped)
        tally->missing++;
    else
        tally->refused++;
}

typedef struct apply_job {
    redisc_keyspace *keys;
    const char *prefix;
    cache_mode mode;
    const cache_change *changes;
    cache_tally *tally;
    rl_err *first;
} apply_job;

/* Sends changes [at[0]..at[n-1]] (at NULL: the first n); those whose script the server did not
 * know are left in unknown. */
static rl_err *apply_some(apply_job *job, const size_t *at, size_t n, size_t *unknown,
                          size_t *n_unknown)
{
    redisc_pipe pipe = {0};
    redisReply **replies = mem_zero((n ? n : 1) * sizeof *replies);
    size_t got = 0;
    for (size_t i = 0; i < n; i++)
        add_change(&pipe, job->prefix, job->mode, &job->changes[at ? at[i] : i], at != NULL);
    rl_err *err = keyspace_run(job->keys, &pipe, replies, &got);
    for (size_t i = 0; i < n; i++) {
        if (!replies[i])
            continue;
        if (!at && redisc_script_unknown(replies[i]))
            unknown[(*n_unknown)++] = i;
        else
            count_reply(replies[i], job->mode, job->tally, &job->first);
        freeReplyObject(replies[i]);
    }
    free(replies);
    redisc_pipe_free(&pipe);
    return err;
}

rl_err *cache_apply(redisc_keyspace *keys, const char *prefix, cache_mode mode,
                    const cache_change *changes, size_t n, cache_tally *tally)
{
    if (mode == CACHE_MODE_NONE || n == 0)
        return NULL;
    apply_job job = {keys, prefix, mode, changes, tally, NULL};
    size_t *unknown = mem_alloc(n * sizeof *unknown), n_unknown = 0;
    rl_err *err = apply_some(&job, NULL, n, unknown, &n_unknown);
    if (!err && n_unknown)
        err = apply_some(&job, unknown, n_unknown, NULL, NULL);
    free(unknown);
    if (err)
        err_free(job.first);
    return err ? err : job.first;
}
