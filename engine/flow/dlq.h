/* The headers of records that failed: ours alone, by their prefix; those of others are none of our
 * business, whatever they are called.
 *
 * Offers: their names (docs/dlq.md says who writes which and what it holds), for retry topics, the
 * dead-letter topic and replays. lua/rlab/dlq.lua has the same names for Lua; a test holds the two
 * together.
 * Uses: nothing. Thread: constants. */
#ifndef RL_FLOW_DLQ_H
#define RL_FLOW_DLQ_H

#define DLQ_ORIGINAL_TOPIC "rlab-original-topic"
#define DLQ_ORIGINAL_PARTITION "rlab-original-partition"
#define DLQ_ORIGINAL_OFFSET "rlab-original-offset"
#define DLQ_ORIGINAL_TIMESTAMP "rlab-original-timestamp"
#define DLQ_ORIGINAL_GROUP "rlab-original-group"
#define DLQ_ERROR_CLASS "rlab-error-class"
#define DLQ_ERROR_MESSAGE "rlab-error-message"
#define DLQ_ATTEMPT "rlab-attempt"
#define DLQ_FIRST_FAILURE "rlab-first-failure"
#define DLQ_DUE_AT "rlab-due-at"
#define DLQ_REPLAY_COUNT "rlab-replay-count"
#define DLQ_TARGET_GROUP "rlab-target-group"
#define DLQ_CUT "rlab-cut"

enum { DLQ_MESSAGE_MAX = 256 }; /* bytes of error-message */
enum { DLQ_CUT_BYTES = 4096 };  /* what a copy that was cut keeps of the value */

#endif
