#include "kafka/wire/call.h"

#include <stddef.h>

wire_call wire_call_within(const wire_call *call, int ms)
{
    wire_call shorter = *call;
    rl_deadline deadline = deadline_in_ms(ms);
    if (deadline < shorter.deadline)
        shorter.deadline = deadline;
    return shorter;
}

rl_err *wire_cancelled(const wire_call *call)
{
    for (int i = 0; i < 2; i++)
        if (call->stop[i] && atomic_load(call->stop[i]))
            return err_lab("CANCELLED", "the call was cancelled");
    return NULL;
}
