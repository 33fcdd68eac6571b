/* The headers of records that failed.
 *
 * Offers: their names (docs/dlq.md says who writes which and what it holds), for retry topics, the
 * dead-letter topic and replays. lua/rlab/dlq.lua has the same names for Lua; a test holds the two
 * together.
 * Uses: nothing. Thread: constants. */
#ifndef RL_FLOW_DLQ_H
#define RL_FLOW_DLQ_H

#define DLQ_ORIGINAL_TOPIC "original-topic"
#define DLQ_ORIGINAL_PARTITION "original-partition"
#define DLQ_ORIGINAL_OFFSET "original-offset"
#define DLQ_ORIGINAL_TIMESTAMP "original-timestamp"
#define DLQ_ORIGINAL_GROUP "original-group"
#define DLQ_ERROR_CLASS "error-class"
#define DLQ_ERROR_MESSAGE "error-message"
#define DLQ_ATTEMPT "attempt"
#define DLQ_FIRST_FAILURE "first-failure"
#define DLQ_DUE_AT "due-at"
#define DLQ_REPLAY_COUNT "replay-count"
#define DLQ_TARGET_GROUP "target-group"
#define DLQ_CUT "cut"

enum { DLQ_MESSAGE_MAX = 256 }; /* bytes of error-message */
enum { DLQ_CUT_BYTES = 4096 };  /* what a copy that was cut keeps of the value */

#endif
