#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rl_err out_of_memory = {
    .domain = RL_SYS, .code = 12, .name = "ENOMEM", .msg = "out of memory", .fatal = true};

/* ---- what an error means ---- */

typedef struct meaning_row {
    rl_domain domain;
    err_meaning meaning;
    const char *names; /* by blank */
} meaning_row;

static const meaning_row meanings[] = {
    {RL_KAFKA,
     {ERR_UNKNOWN, ERR_OF_SERVER, true},
     "_TRANSPORT _ALL_BROKERS_DOWN _TIMED_OUT REQUEST_TIMED_OUT NETWORK_EXCEPTION "
     "NOT_ENOUGH_REPLICAS_AFTER_APPEND KAFKA_STORAGE_ERROR"},
    {RL_KAFKA, {ERR_UNKNOWN, ERR_OF_SERVER, false}, "_MSG_TIMED_OUT UNKNOWN _FAIL"},
    {RL_KAFKA,
     {ERR_NOT_DONE, ERR_OF_SERVER, true},
     "_TIMED_OUT_QUEUE LEADER_NOT_AVAILABLE NOT_LEADER_FOR_PARTITION "
     "REPLICA_NOT_AVAILABLE COORDINATOR_LOAD_IN_PROGRESS COORDINATOR_NOT_AVAILABLE "
     "NOT_COORDINATOR NOT_ENOUGH_REPLICAS NOT_CONTROLLER FENCED_LEADER_EPOCH "
     "UNKNOWN_LEADER_EPOCH OFFSET_NOT_AVAILABLE PREFERRED_LEADER_NOT_AVAILABLE "
     "ELIGIBLE_LEADERS_NOT_AVAILABLE THROTTLING_QUOTA_EXCEEDED"},
    {RL_KAFKA,
     {ERR_NOT_DONE, ERR_OF_SERVER, false},
     "_RESOLVE _SSL _AUTHENTICATION BROKER_NOT_AVAILABLE SASL_AUTHENTICATION_FAILED"},
    {RL_KAFKA,
     {ERR_NOT_DONE, ERR_OF_CALL, true},
     "_QUEUE_FULL _WAIT_COORD _WAIT_CACHE _IN_PROGRESS _PREV_IN_PROGRESS _RETRY "
     "INVALID_MSG CONCURRENT_TRANSACTIONS FETCH_SESSION_ID_NOT_FOUND "
     "INVALID_FETCH_SESSION_EPOCH UNSTABLE_OFFSET_COMMIT REBALANCE_IN_PROGRESS"},
    {RL_KAFKA,
     {ERR_NOT_DONE, ERR_OF_CALL, false},
     "_PURGE_QUEUE _STATE _INVALID_ARG _CONFLICT _NOT_IMPLEMENTED _FENCED "
     "OUT_OF_ORDER_SEQUENCE_NUMBER INVALID_PRODUCER_EPOCH PRODUCER_FENCED "
     "INVALID_PRODUCER_ID_MAPPING INVALID_TXN_STATE INVALID_REQUIRED_ACKS "
     "ILLEGAL_GENERATION UNKNOWN_MEMBER_ID FENCED_INSTANCE_ID GROUP_ID_NOT_FOUND "
     "NON_EMPTY_GROUP TOPIC_ALREADY_EXISTS UNSUPPORTED_VERSION INVALID_REQUEST "
     "INVALID_CONFIG INVALID_REPLICATION_FACTOR INVALID_PARTITIONS "
     "OFFSET_OUT_OF_RANGE POLICY_VIOLATION"},
    {RL_KAFKA, {ERR_DONE, ERR_OF_CALL, false}, "DUPLICATE_SEQUENCE_NUMBER"},
    {RL_KAFKA,
     {ERR_NOT_DONE, ERR_OF_RECORD, false},
     "MSG_SIZE_TOO_LARGE RECORD_LIST_TOO_LARGE INVALID_RECORD INVALID_TIMESTAMP"},
    {RL_KAFKA, {ERR_NOT_DONE, ERR_OF_PLACE, true}, "UNKNOWN_TOPIC_OR_PART"},
    {RL_KAFKA,
     {ERR_NOT_DONE, ERR_OF_PLACE, false},
     "_UNKNOWN_TOPIC _UNKNOWN_PARTITION TOPIC_EXCEPTION UNKNOWN_TOPIC_ID "
     "TOPIC_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED "
     "CLUSTER_AUTHORIZATION_FAILED TRANSACTIONAL_ID_AUTHORIZATION_FAILED"},
    {RL_MYSQL,
     {ERR_UNKNOWN, ERR_OF_SERVER, true},
     "TIMEOUT ER_SERVER_SHUTDOWN ER_NET_READ_ERROR ER_NET_READ_INTERRUPTED "
     "ER_NET_ERROR_ON_WRITE ER_NET_WRITE_INTERRUPTED CR_SERVER_GONE_ERROR "
     "CR_SERVER_LOST CR_MALFORMED_PACKET "
     "CR_SERVER_LOST_EXTENDED ER_SESSION_WAS_KILLED ER_5013 ER_5014 "
     "ER_NORMAL_SHUTDOWN ER_SHUTDOWN_COMPLETE ER_FORCING_CLOSE ER_ABORTING_CONNECTION "
     "ER_NEW_ABORTING_CONNECTION ER_NET_PACKETS_OUT_OF_ORDER ER_NET_UNCOMPRESS_ERROR"},
    {RL_MYSQL,
     {ERR_NOT_DONE, ERR_OF_SERVER, true},
     "CR_COMMANDS_OUT_OF_SYNC ER_CLIENT_INTERACTION_TIMEOUT "
     "ER_CON_COUNT_ERROR ER_TOO_MANY_USER_CONNECTIONS CR_CONNECTION_ERROR "
     "CR_CONN_HOST_ERROR CR_UNKNOWN_HOST CR_SERVER_HANDSHAKE_ERR ER_HANDSHAKE_ERROR"},
    {RL_MYSQL, {ERR_UNKNOWN, ERR_OF_SERVER, false}, "ER_ERROR_DURING_COMMIT CR_UNKNOWN_ERROR"},
    {RL_MYSQL,
     {ERR_NOT_DONE, ERR_OF_SERVER, false},
     "ER_DISK_FULL ER_OUTOFMEMORY ER_RECORD_FILE_FULL ER_HOST_IS_BLOCKED "
     "ER_HOST_NOT_PRIVILEGED ER_OPTION_PREVENTS_STATEMENT ER_QUERY_INTERRUPTED "
     "ER_READ_ONLY_MODE ER_SERVER_ISNT_AVAILABLE CR_SOCKET_CREATE_ERROR CR_VERSION_ERROR "
     "CR_SSL_CONNECTION_ERROR CR_AUTH_PLUGIN_CANNOT_LOAD CR_AUTH_PLUGIN_ERR ER_BAD_HOST_ERROR"},
    {RL_MYSQL,
     {ERR_NOT_DONE, ERR_OF_PLACE, false},
     "ER_DBACCESS_DENIED_ERROR ER_ACCESS_DENIED_ERROR ER_BAD_DB_ERROR "
     "ER_BAD_FIELD_ERROR ER_TABLEACCESS_DENIED_ERROR ER_NO_SUCH_TABLE"},
    {RL_MYSQL,
     {ERR_NOT_DONE, ERR_OF_CALL, true},
     "BROKEN ER_LOCK_WAIT_TIMEOUT ER_LOCK_DEADLOCK ER_XA_RBDEADLOCK ER_LOCK_NOWAIT"},
    {RL_REDIS, {ERR_UNKNOWN, ERR_OF_SERVER, true}, "TIMEOUT CONNECTION_LOST PROTOCOL"},
    {RL_REDIS,
     {ERR_NOT_DONE, ERR_OF_SERVER, true},
     "BUSY CLUSTERDOWN LOADING MASTERDOWN NOREPLICAS TRYAGAIN"},
    {RL_REDIS, {ERR_NOT_DONE, ERR_OF_SERVER, false}, "OOM READONLY MISCONF NOAUTH NOPERM MOVED"},
    {RL_REDIS, {ERR_NOT_DONE, ERR_OF_CALL, true}, "BROKEN POOL_TIMEOUT NODE_RESTS"},
    {RL_REDIS, {ERR_NOT_DONE, ERR_OF_PLACE, true}, "NO_NODE"},
    {RL_REDIS, {ERR_NOT_DONE, ERR_OF_PLACE, false}, "UNKNOWN_HOST"},
    {RL_HTTP, {ERR_NOT_DONE, ERR_OF_SERVER, true}, "CONNECT UNKNOWN_HOST TLS"},
    {RL_HTTP, {ERR_UNKNOWN, ERR_OF_SERVER, false}, "TIMEOUT CONNECTION_LOST HTTP"},
    {RL_HTTP, {ERR_NOT_DONE, ERR_OF_CALL, false}, "URL"},
    {RL_LAB, {ERR_UNKNOWN, ERR_OF_CALL, false}, "CANCELLED CLOSED INTERRUPTED TERMINATED"},
    {RL_LAB, {ERR_UNKNOWN, ERR_OF_SERVER, false}, "TIMEOUT"},
    {RL_SYS, {ERR_UNKNOWN, ERR_OF_SERVER, false}, "ETIMEDOUT ECONNRESET EPIPE EIO"},
    {RL_SYS, {ERR_NOT_DONE, ERR_OF_SERVER, false}, "ECONNREFUSED EHOSTUNREACH ENETUNREACH"},
};

enum { MEANINGS = sizeof meanings / sizeof *meanings };

static bool is_among(const char *name, const char *names)
{
    size_t len = strlen(name);
    for (const char *at = names; len && (at = strstr(at, name)); at += len)
        if ((at == names || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

/* What a server says in so many words did not happen; of a client's own word nobody knows. */
static err_meaning unlisted(rl_domain domain, const char *name)
{
    bool clients = domain == RL_KAFKA || domain == RL_HTTP || domain == RL_REGISTRY ||
                   (domain == RL_MYSQL && strncmp(name, "CR_", 3) == 0);
    return (err_meaning){clients ? ERR_UNKNOWN : ERR_NOT_DONE, ERR_OF_CALL, false};
}

err_meaning err_meaning_of(rl_domain domain, const char *name)
{
    for (size_t i = 0; i < MEANINGS; i++)
        if (meanings[i].domain == domain && is_among(name, meanings[i].names))
            return meanings[i].meaning;
    return unlisted(domain, name);
}

bool err_meaning_row(size_t i, rl_domain *domain, const char **names)
{
    if (i >= MEANINGS)
        return false;
    *domain = meanings[i].domain;
    *names = meanings[i].names;
    return true;
}

const char *err_happened_name(rl_happened happened)
{
    static const char *const names[] = {"unknown", "no", "yes"};
    return names[happened];
}

/* ---- errors ---- */

rl_err *err_newv(rl_domain domain, int code, const char *name, const char *fmt, va_list ap)
{
    rl_err *err = calloc(1, sizeof *err);
    if (!err)
        return &out_of_memory;
    err_meaning meaning = err_meaning_of(domain, name ? name : "");
    err->domain = domain;
    err->code = code;
    err->retriable = meaning.retriable;
    err->happened = meaning.happened;
    err->blame = meaning.blame;
    snprintf(err->name, sizeof err->name, "%s", name ? name : "");
    if (vasprintf(&err->msg, fmt, ap) < 0) {
        free(err);
        return &out_of_memory;
    }
    return err;
}

rl_err *err_new(rl_domain domain, int code, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rl_err *err = err_newv(domain, code, name, fmt, ap);
    va_end(ap);
    return err;
}

rl_err *err_sys(int errnum, const char *fmt, ...)
{
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    const char *name = strerrorname_np(errnum);
    return err_new(RL_SYS, errnum, name ? name : "ERRNO", "%s: %s", what, strerror(errnum));
}

rl_err *err_lab(const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rl_err *err = err_newv(RL_LAB, 0, name, fmt, ap);
    va_end(ap);
    return err;
}

rl_err *err_copy(const rl_err *err)
{
    if (!err)
        return NULL;
    rl_err *copy = err_new(err->domain, err->code, err->name, "%s", err->msg);
    if (copy == &out_of_memory)
        return copy;
    copy->retriable = err->retriable;
    copy->abortable = err->abortable;
    copy->fatal = err->fatal;
    copy->happened = err->happened;
    copy->blame = err->blame;
    return copy;
}

bool err_is(const rl_err *err, rl_domain domain, const char *name)
{
    return err && err->domain == domain && strcmp(err->name, name) == 0;
}

static const char *const domains[] = {"system", "kafka",    "mysql", "redis",
                                      "http",   "registry", "rlab"};

const char *err_domain_name(rl_domain domain)
{
    return domains[domain];
}

bool err_domain_find(const char *name, rl_domain *out)
{
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
        if (strcmp(domains[i], name) == 0) {
            *out = (rl_domain)i;
            return true;
        }
    return false;
}

void err_free(rl_err *err)
{
    if (!err || err == &out_of_memory)
        return;
    free(err->msg);
    free(err);
}
