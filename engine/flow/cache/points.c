/* The failpoints of flow.cache. */
#include <stdio.h>
#include <stdlib.h>

#include "fault/point/registry.h"
#include "flow/cache/internal.h"

rl_err *cache_point(int id, int64_t account)
{
    char text[24];
    fail_value value;
    fail_kv ctx[] = {{"account", text, true}, {"key", text, false}};
    snprintf(text, sizeof text, "%lld", (long long)account);
    fail_outcome outcome = fail_point((fail_point_id)id, ctx, 2, &value);
    if (outcome == FAIL_GO_ON)
        return NULL;
    rl_err *err = NULL;
    if (outcome == FAIL_FAILED)
        err = err_lab(value.text ? value.text : "INJECTED", "the failpoint %s says so",
                      fail_point_names[id]);
    free(value.text);
    return err;
}

void cache_points_resume(void)
{
    fail_resume(fail_point_names[FAIL_POINT_QUERY_ENTER]);
    fail_resume(fail_point_names[FAIL_POINT_QUERY_DB_LOAD]);
    fail_resume(fail_point_names[FAIL_POINT_QUERY_BEFORE_FILL]);
}
