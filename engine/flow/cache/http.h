/* GET /accounts/{id} out of a flow.cache.
 *
 * Offers: flow_cache_http_front, for http_set_front with the flow_cache as its argument. An answer is
 * {"account_id":17,"balance":1200,"version":3,"source":"cache", "age_ms":12} with the headers
 * X-Cache (its source) and Age (seconds); what cannot be answered is problem+json: 404 no such
 * account (source as well), 503 and Retry-After refused by ourselves or MySQL is away, 504 MySQL
 * did not answer in time, 500 a failpoint's error.
 * Uses: flow/cache, http/server. Thread: the server's and the flow's. */
#ifndef RL_FLOW_CACHE_HTTP_H
#define RL_FLOW_CACHE_HTTP_H

#include "flow/cache/flow.h"
#include "http/server.h"

extern const http_front flow_cache_http_front;

/* The account of a path such as "/accounts/17"; false: it is another path, or no number of 64
 * bits. */
bool cache_http_account(const char *path, int64_t *account);

#endif
