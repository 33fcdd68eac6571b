#include "flow/relay/points.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/uuid.h"

static int put_ids(const relay_batch *batch, relay_state state, rl_buf *ids,
                   char first[UUID_LEN + 1])
{
    int n = 0;
    char text[UUID_LEN + 1];
    for (int i = 0; i < batch->n; i++) {
        my_value id = my_cell(batch->result, batch->rows[i].at, COL_EVENT_ID);
        if (batch->rows[i].state != state || id.len != UUID_BYTES)
            continue;
        uuid_text((const unsigned char *)id.s, text);
        if (n == 0)
            memcpy(first, text, sizeof text);
        if (n++ < RELAY_IDS_MAX)
            buf_printf(ids, "%s%s", ids->len ? "," : "", text);
    }
    return n;
}

static fail_outcome batch_hit(fail_point_id point, const relay_batch *batch)
{
    rl_buf ids = {0};
    fail_value value;
    char first[UUID_LEN + 1] = "", number[24], count[16];
    relay_state state = point == FAIL_POINT_RELAY_AFTER_ACK ? ROW_ACKED : ROW_FLYING;
    my_value key = my_cell(batch->result, batch->rows[0].at, COL_KEY);
    char *key_text = mem_dup(key.s, key.len);
    snprintf(count, sizeof count, "%d", put_ids(batch, state, &ids, first));
    snprintf(number, sizeof number, "%lld", (long long)batch->number);
    const fail_kv ctx[] = {{"batch", number, true},
                           {"id", first, false},
                           {"ids", ids.data ? ids.data : "", false},
                           {"key", key_text, false},
                           {"n", count, true}};
    fail_outcome outcome = fail_hit(point, ctx, sizeof ctx / sizeof *ctx, &value);
    free(value.text);
    free(key_text);
    buf_free(&ids);
    return outcome;
}

fail_outcome relay_point(fail_point_id point, const relay_batch *batch)
{
    return atomic_load_explicit(&fail_armed, memory_order_relaxed) ? batch_hit(point, batch)
                                                                   : FAIL_GO_ON;
}
