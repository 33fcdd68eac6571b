#include "kafka/wire/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kafka/client.h"

wire_call wire_call_within(const wire_call *call, int ms)
{
    wire_call shorter = *call;
    rl_deadline deadline = deadline_in_ms(ms);
    if (deadline < shorter.deadline)
        shorter.deadline = deadline;
    return shorter;
}

rl_err *wire_cancelled(const wire_call *call)
{
    for (int i = 0; i < 2; i++)
        if (call->stop[i] && atomic_load(call->stop[i]))
            return err_lab("CANCELLED", "the call was cancelled");
    return NULL;
}

/* ---- codes ---- */

/* Codes that brokers send and the librdkafka we build on does not know. */
static const struct {
    int code;
    const char *name, *text;
} newer_codes[] = {
    {98, "SNAPSHOT_NOT_FOUND", "Requested snapshot was not found"},
    {99, "POSITION_OUT_OF_RANGE", "Requested position is outside of the snapshot"},
    {101, "DUPLICATE_BROKER_REGISTRATION", "This broker id is already in use"},
    {102, "BROKER_ID_NOT_REGISTERED", "The given broker id was not registered"},
    {104, "INCONSISTENT_CLUSTER_ID", "The cluster id does not match that of the server"},
    {105, "TRANSACTIONAL_ID_NOT_FOUND", "The transactional id could not be found"},
    {106, "FETCH_SESSION_TOPIC_ID_ERROR", "The fetch session mixes topics with and without ids"},
    {107, "INELIGIBLE_REPLICA", "The new ISR contains at least one ineligible replica"},
    {108, "NEW_LEADER_ELECTED", "The partition was altered but its leader has changed"},
    {109, "OFFSET_MOVED_TO_TIERED_STORAGE", "The requested offset is moved to tiered storage"},
    {134, "GROUP_DELETION_FAILED", "The group could not be deleted"},
    {136, "CONTROLLER_ID_NOT_REGISTERED", "The given controller id was not registered"},
};

static void code_words(int code, const char **name, const char **text)
{
    *name = kafka_code_name((rd_kafka_resp_err_t)code);
    *text = rd_kafka_err2str((rd_kafka_resp_err_t)code);
    for (size_t i = 0; strchr(*name, '?') && i < sizeof newer_codes / sizeof *newer_codes; i++) {
        if (newer_codes[i].code != code)
            continue;
        *name = newer_codes[i].name;
        *text = newer_codes[i].text;
    }
}

rl_err *wire_code(int code, const char *fmt, ...)
{
    if (!code)
        return NULL;
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    const char *name, *text;
    code_words(code, &name, &text);
    return err_new(RL_KAFKA, code, name, "%s: %s", what, text);
}
