/* Replies of an HTTP/1.1 server, as they come in.
 *
 * Offers: finding the end of a reply in a growing buffer (Content-Length, chunked, until the
 * connection closes; interim 1xx replies are passed over), its status, its body, and whether the
 * connection may be used again.
 * Uses: base/buf. Thread: plain memory, one owner. */
#ifndef RL_FLOW_LOAD_PARSE_H
#define RL_FLOW_LOAD_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* What a reply may have at most; more is PARSE_BROKEN. */
enum {
    PARSE_HEAD_MAX = 65536,       /* bytes of a head, and of the trailers */
    PARSE_INTERIM_MAX = 16,       /* 1xx replies before it */
    PARSE_LINE_MAX = 4096,        /* bytes of a chunk's size line, with its extensions */
    PARSE_FRAMING_MAX = 16 << 20, /* bytes of all size lines and line ends of the chunks */
    PARSE_BODY_MAX = 16 << 20
};

typedef enum load_parse_state { PARSE_MORE, PARSE_DONE, PARSE_BROKEN } load_parse_state;

typedef struct load_parse {
    int status;     /* 0: the head is not complete */
    bool reusable;  /* the connection may carry the next request */
    bool head_only; /* set by the caller: the reply to HEAD has no body */
    bool chunked, until_close;
    bool last;         /* the last chunk and the trailers have been read */
    int interim;       /* 1xx replies passed over */
    size_t framing;    /* bytes around the chunks read so far */
    size_t from, next; /* where the reply begins; where a chunk's size line begins */
    size_t length;
    rl_buf body; /* freed by the caller */
} load_parse;

void load_parse_begin(load_parse *p, bool head_only); /* keeps the body's memory */

/* `in` is all that came since the request; ended: nothing more will. */
load_parse_state load_parse_feed(load_parse *p, const rl_buf *in, bool ended);

#endif
