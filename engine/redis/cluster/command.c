#include "redis/cluster/command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct word {
    char text[24]; /* upper case; empty when it is longer than any that we know */
} word;

static word word_of(const char *bytes, size_t len)
{
    word w = {""};
    for (size_t i = 0; i < len && len < sizeof w.text; i++)
        w.text[i] = (char)toupper((unsigned char)bytes[i]);
    return w;
}

static bool is_one_of(word w, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(w.text, *list) == 0)
            return true;
    return false;
}

/* Commands that name a server, a connection or all keys, and those that belong to a connection for longer
 * than one answer. */
static bool is_keyless(word w)
{
    static const char *const list[] = {
        "ACL",     "ASKING",     "AUTH",      "BGSAVE",   "CLIENT",     "CLUSTER",   "COMMAND",
        "CONFIG",  "DBSIZE",     "DISCARD",   "ECHO",     "EXEC",       "FAILOVER",  "FLUSHALL",
        "FLUSHDB", "FUNCTION",   "HELLO",     "INFO",     "KEYS",       "LASTSAVE",  "LATENCY",
        "MODULE",  "MONITOR",    "MULTI",     "PING",     "PSUBSCRIBE", "PSYNC",     "PUBLISH",
        "PUBSUB",  "QUIT",       "RANDOMKEY", "READONLY", "READWRITE",  "REPLICAOF", "RESET",
        "ROLE",    "SAVE",       "SCAN",      "SCRIPT",   "SELECT",     "SHUTDOWN",  "SLAVEOF",
        "SLOWLOG", "SSUBSCRIBE", "SUBSCRIBE", "SWAPDB",   "SYNC",       "TIME",      "UNWATCH",
        "WAIT",    "WATCH",      NULL};
    return is_one_of(w, list);
}

/* "EVAL script 2 a b", "ZUNION 2 a b": the keys follow their number. */
static int behind_number(int at, int argc, const char *const *argv, const size_t *lens)
{
    char number[12] = "";
    if (at >= argc || lens[at] >= sizeof number)
        return 0;
    memcpy(number, argv[at], lens[at]);
    return atoi(number) > 0 && at + 1 < argc ? at + 1 : 0;
}

static int behind_streams(int argc, const char *const *argv, const size_t *lens)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(word_of(argv[i], lens[i]).text, "STREAMS") == 0)
            return i + 1;
    return 0;
}

static int first_key(word w, int argc, const char *const *argv, const size_t *lens)
{
    static const char *const scripts[] = {"EVAL",     "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL",
                                          "FCALL_RO", "BLMPOP",  "BZMPOP",  NULL};
    static const char *const counted[] = {"ZUNION",     "ZINTER", "ZDIFF", "ZINTERCARD",
                                          "SINTERCARD", "LMPOP",  "ZMPOP", NULL};
    static const char *const second[] = {"OBJECT", "MEMORY", "XGROUP", "XINFO",
                                         "BITOP",  "DEBUG",  NULL};
    static const char *const streams[] = {"XREAD", "XREADGROUP", NULL};
    if (is_keyless(w))
        return 0;
    if (is_one_of(w, scripts))
        return behind_number(2, argc, argv, lens);
    if (is_one_of(w, counted))
        return behind_number(1, argc, argv, lens);
    if (is_one_of(w, streams))
        return behind_streams(argc, argv, lens);
    int at = is_one_of(w, second) ? 2 : 1;
    return at < argc ? at : 0;
}

static bool is_single_read(word w)
{
    static const char *const list[] = {
        "BITCOUNT", "EXPIRETIME", "GET",    "GETBIT", "GETRANGE", "HEXISTS",   "HGET",
        "HGETALL",  "HKEYS",      "HLEN",   "HMGET",  "HSCAN",    "HSTRLEN",   "HVALS",
        "LINDEX",   "LLEN",       "LRANGE", "PTTL",   "SCARD",    "SISMEMBER", "SMEMBERS",
        "SSCAN",    "STRLEN",     "TTL",    "TYPE",   "XLEN",     "XRANGE",    "ZCARD",
        "ZCOUNT",   "ZRANGE",     "ZRANK",  "ZSCORE", NULL};
    return is_one_of(w, list);
}

static bool is_single_write(word w)
{
    static const char *const list[] = {
        "APPEND", "DECR",    "DECRBY",  "EXPIRE", "EXPIREAT", "GETDEL",  "GETEX",    "GETSET",
        "HDEL",   "HINCRBY", "HMSET",   "HSET",   "HSETNX",   "INCR",    "INCRBY",   "INCRBYFLOAT",
        "LPOP",   "LPUSH",   "LREM",    "LTRIM",  "PERSIST",  "PEXPIRE", "PSETEX",   "RPOP",
        "RPUSH",  "SADD",    "SET",     "SETBIT", "SETEX",    "SETNX",   "SETRANGE", "SREM",
        "XADD",   "ZADD",    "ZINCRBY", "ZREM",   NULL};
    return is_one_of(w, list);
}

static bool is_any_read(word w)
{
    static const char *const list[] = {"MGET",     "EXISTS", "EVAL_RO", "EVALSHA_RO",
                                       "FCALL_RO", "SINTER", "SUNION",  "SDIFF",
                                       "ZUNION",   "ZINTER", "ZDIFF",   NULL};
    return is_one_of(w, list);
}

cluster_form cluster_command_form(int argc, const char *const *argv, const size_t *lens)
{
    word w = word_of(argv[0], lens[0]);
    bool read = is_single_read(w);
    static const char *const lists[] = {"DEL", "UNLINK", "EXISTS", "TOUCH", "MGET", NULL};
    return (cluster_form){
        .key = first_key(w, argc, argv, lens),
        .single = read || is_single_write(w) || (argc == 2 && is_one_of(w, lists)),
        .reads = read || is_any_read(w),
    };
}
