/* Pieces that several requests and responses have in common.
 *
 * Offers: arrays that are allocated only for what may really follow, the names of topics within
 * their limit, and "one topic, one partition", as it is asked for and answered.
 * Uses: kafka/wire/frame. Thread: plain memory, one owner. */
#ifndef RL_KAFKA_WIRE_PARTS_H
#define RL_KAFKA_WIRE_PARTS_H

#include "kafka/wire/frame.h"

enum { WIRE_TOPIC_MAX = 249 };

typedef struct wire_ids {
    int *id;
    int count;
} wire_ids;

/* Zeroed memory for the elements of a counted array, `size` bytes each, of which every one takes at
 * least `least` bytes of the frame; NULL when it is empty, null or claims more than there is. */
void *wire_read_array(frame_reader *r, size_t size, size_t least, int *count);
wire_ids wire_read_ids(frame_reader *r);
/* An array that holds one element, as was asked for. */
void wire_read_one(frame_reader *r);
/* Null where the name is longer than Kafka allows; the reader is bad then. */
frame_slice wire_read_topic(frame_reader *r);

/* One topic with one partition; the reader stands behind its number afterwards and is bad unless
 * it is this one. */
void wire_write_place(frame_writer *w, const char *topic, int partition);
void wire_read_place(frame_reader *r, const char *topic, int partition);

#endif
