/* Kafka's framing: primitives and headers, apart from any socket.
 *
 * Offers: a reader that never leaves its bytes and keeps the first mistake, so that a parser reads
 * straight through and asks once at the end; a writer; both speak the classic and the flexible
 * (compact, tagged) encodings; request and response headers; the names of the APIs and the version
 * from which each is flexible. Used by the wire client and by the fault proxy.
 * Uses: base/buf, base/err. Thread: plain memory, one owner. Slices point into the bytes that
 * were read and live as long as they do. */
#ifndef RL_KAFKA_WIRE_FRAME_H
#define RL_KAFKA_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum frame_api {
    FRAME_PRODUCE = 0,
    FRAME_FETCH = 1,
    FRAME_LIST_OFFSETS = 2,
    FRAME_METADATA = 3,
    FRAME_OFFSET_COMMIT = 8,
    FRAME_OFFSET_FETCH = 9,
    FRAME_FIND_COORDINATOR = 10,
    FRAME_DESCRIBE_GROUPS = 15,
    FRAME_LIST_GROUPS = 16,
    FRAME_SASL_HANDSHAKE = 17,
    FRAME_API_VERSIONS = 18,
    FRAME_WRITE_TXN_MARKERS = 27,
    FRAME_SASL_AUTHENTICATE = 36,
    FRAME_DELETE_GROUPS = 42,
    FRAME_OFFSET_DELETE = 47,
    FRAME_DESCRIBE_PRODUCERS = 61,
    FRAME_DESCRIBE_TRANSACTIONS = 65,
    FRAME_LIST_TRANSACTIONS = 66,
    FRAME_CONSUMER_GROUP_DESCRIBE = 69,
};

/* "Produce", ...; NULL for a key that is not known here. */
const char *frame_api_name(int api);
/* The key of a name, upper or lower case alike; -1 when there is none. */
int frame_api_key(const char *name);
/* Whether this version of the API uses the flexible encodings; false for unknown keys. */
bool frame_api_flexible(int api, int version);

/* ---- reading ---- */

typedef struct frame_slice {
    const char *data; /* NULL for a null string; not terminated */
    size_t len;
} frame_slice;

typedef struct frame_reader {
    const char *data;
    size_t len, pos;
    bool flexible, bad;
} frame_reader;

frame_reader frame_read(const void *data, size_t len, bool flexible);
int8_t frame_i8(frame_reader *r);
int16_t frame_i16(frame_reader *r);
int32_t frame_i32(frame_reader *r);
int64_t frame_i64(frame_reader *r);
uint32_t frame_uvarint(frame_reader *r);
frame_slice frame_raw(frame_reader *r, size_t n);
frame_slice frame_str(frame_reader *r);   /* string, compact when the reader is flexible */
frame_slice frame_bytes(frame_reader *r); /* bytes, likewise */
/* Count of elements, -1 for a null array; never more than bytes are left. */
int32_t frame_array(frame_reader *r);
void frame_tags(frame_reader *r); /* skips tagged fields; nothing in a classic frame */
/* NULL when all bytes were read and none was missing, else MALFORMED; `what` names the message. */
rl_err *frame_end(const frame_reader *r, const char *what);

char *frame_dup(frame_slice slice); /* terminated copy; NULL for a null string */

/* ---- headers: `data` begins after the four bytes of the size ---- */

typedef struct frame_request {
    int api, version;
    int32_t correlation;
    frame_slice client;
    size_t body; /* where the body begins */
    bool flexible;
} frame_request;

rl_err *frame_request_header(const void *data, size_t len, frame_request *request);
/* The reader stands at the body afterwards. api and version are those of the request that is
 * answered. */
rl_err *frame_response_header(frame_reader *r, int api, int version, int32_t *correlation);

/* The size that stands in front of a frame; MALFORMED when it is negative or above `limit`. */
rl_err *frame_size(const void *four_bytes, size_t limit, size_t *size);

/* ---- writing ---- */

typedef struct frame_writer {
    rl_buf *buf;
    size_t start;
    bool flexible;
} frame_writer;

/* Begins a request frame, size and header included, behind what buf already holds; frame_finish
 * sets the size. */
frame_writer frame_begin(rl_buf *buf, int api, int version, int32_t correlation,
                         const char *client);
frame_writer frame_begin_response(rl_buf *buf, int api, int version, int32_t correlation);
void frame_finish(frame_writer *w);
void frame_put_i8(frame_writer *w, int8_t v);
void frame_put_i16(frame_writer *w, int16_t v);
void frame_put_i32(frame_writer *w, int32_t v);
void frame_put_i64(frame_writer *w, int64_t v);
void frame_put_uvarint(frame_writer *w, uint32_t v);
void frame_put_str(frame_writer *w, const char *text); /* NULL writes a null string */
void frame_put_slice(frame_writer *w, frame_slice slice);
void frame_put_bytes(frame_writer *w, const void *data, size_t n);
void frame_put_array(frame_writer *w, int32_t count); /* -1 writes a null array */
void frame_put_tags(frame_writer *w); /* no tagged fields; nothing in a classic frame */

#endif
