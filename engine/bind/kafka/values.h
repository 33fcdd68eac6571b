/* Kafka's values between Lua and C: records, headers, partition lists, reports, errors with a
 * status.
 *
 * Offers: strict reading of a record table, which raises on wrong usage before anything is allocated,
 * and pushing of headers, lists of partitions, reports and errors.
 * Uses: kafka/client, kafka/producer, bind/errs. Thread: the Lua thread. */
#ifndef RL_BIND_KAFKA_VALUES_H
#define RL_BIND_KAFKA_VALUES_H

#include <lua.h>

#include "kafka/notes.h"
#include "kafka/producer.h"

/* A record table {topic=, key=, value=, partition=, timestamp=, headers={{name, value}, ...}}.
 * Its strings live as long as the table holds them. Headers are built (the caller's until a send
 * takes them) unless only_check. */
void kafka_record_read(lua_State *L, int idx, kafka_record *record, bool only_check);
void kafka_record_drop(kafka_record *record); /* the headers, when no send took them */

/* {{name, value|null}, ...}; headers may be NULL: {} */
void kafka_header_list_push(lua_State *L, const rd_kafka_headers_t *headers);
/* Those of a record, or nil when it has none. */
void kafka_headers_push(lua_State *L, const rd_kafka_message_t *msg);

/* {topic=, partition=, leader_epoch=, metadata=}, the last two when they are known. The offset is
 * the caller's to add: what is no position means another thing in each list. */
void kafka_place_push(lua_State *L, const rd_kafka_topic_partition_t *place);

/* {{topic=,partition=,offset=,leader_epoch=}, ...}; an unknown offset is absent, the logical
 * ones are words. */
void kafka_list_push(lua_State *L, const rd_kafka_topic_partition_list_t *list);

/* What "earliest", "latest" and "stored" stand for; RD_KAFKA_OFFSET_INVALID for any other word. */
int64_t kafka_logical_offset(const char *word);

const char *kafka_status_name(rd_kafka_msg_status_t status);

/* What is known of a sent record. */
typedef struct kafka_report {
    rd_kafka_resp_err_t code; /* _IN_PROGRESS until the report has come */
    rd_kafka_msg_status_t status;
    bool reported; /* by librdkafka, not refused at once */
    int32_t partition;
    int64_t offset, timestamp; /* -1: unknown */
} kafka_report;

kafka_report kafka_report_of(const rd_kafka_message_t *msg);
kafka_report kafka_report_none(rd_kafka_resp_err_t code, rd_kafka_msg_status_t status);

/* {topic, partition, offset, timestamp, status}, or an error table with status, topic and
 * partition (p: NULL when it is closed). */
void kafka_report_push(lua_State *L, const char *topic, const kafka_report *report);
void kafka_send_error_push(lua_State *L, kafka_producer *producer, const char *topic,
                           const kafka_report *report);

/* The errors of the notes as a list of error tables with `at` (ms); they are taken. */
int kafka_notes_push(lua_State *L, kafka_notes *notes);

/* Sets `client` (librdkafka's statistics as JSON text) in the table on top when there are any. */
void kafka_client_stats_set(lua_State *L, kafka_notes *notes);

#endif
