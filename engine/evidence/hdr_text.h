/* Histograms as text, so that those of several machines can be added count by count.
 *
 * Offers: HdrHistogram's V2 encoding, compressed and in base64 ("HISTF..."), which its libraries in
 * other languages read as well; the build of the C library that we link leaves its own out. Counts,
 * range and digits come back as they were; least and greatest are those of their buckets.
 * Uses: base/buf, base/err, HdrHistogram, zlib, OpenSSL's base64. Thread: plain memory, one owner. */
#ifndef RL_EVIDENCE_HDR_TEXT_H
#define RL_EVIDENCE_HDR_TEXT_H

#include <hdr/hdr_histogram.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

void hdr_text_write(const struct hdr_histogram *h, rl_buf *out);

/* A new histogram for hdr_close, or an error NOT_A_HISTOGRAM of the text that says what is wrong. */
rl_err *hdr_text_read(const char *text, size_t len, struct hdr_histogram **h);

#endif
