#include <stdlib.h>

#include "base/buf.h"
#include "kafka/admin_run.h"

/* Group results have one shape in librdkafka: an error of the group and a list of partitions with errors of their own. */
static rl_err *group_err(const rd_kafka_group_result_t *result, const char *what)
{
    const rd_kafka_error_t *error = rd_kafka_group_result_error(result);
    if (!error)
        return NULL;
    return admin_item_err(rd_kafka_error_code(error), what, rd_kafka_group_result_name(result),
                          rd_kafka_error_string(error));
}

static rd_kafka_resp_err_t group_code(const rd_kafka_group_result_t *result)
{
    const rd_kafka_error_t *error = rd_kafka_group_result_error(result);
    return error ? rd_kafka_error_code(error) : 0;
}

static rl_err *drop_event(rd_kafka_event_t **event, rl_err *err)
{
    if (err) {
        rd_kafka_event_destroy(*event);
        *event = NULL;
    }
    return err;
}

/* ---- list and describe ---- */

static void submit_list(kafka_admin *a, const rd_kafka_AdminOptions_t *options, const void *unused)
{
    (void)unused;
    rd_kafka_ListConsumerGroups(a->rk, options, a->queue);
}

rl_err *kafka_admin_groups(kafka_admin *a, kafka_call *call, rd_kafka_event_t **event)
{
    static const admin_op op = {
        .api = RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, .what = "list groups", .submit = submit_list};
    admin_run run = admin_begin(a, call);
    rl_err *err = admin_do(&run, &op, NULL, event);
    if (err)
        return err;
    size_t valid, errors;
    const rd_kafka_ListConsumerGroups_result_t *result =
        rd_kafka_event_ListConsumerGroups_result(*event);
    rd_kafka_ListConsumerGroups_result_valid(result, &valid);
    const rd_kafka_error_t **failed = rd_kafka_ListConsumerGroups_result_errors(result, &errors);
    if (errors && !valid)
        err = admin_item_err(rd_kafka_error_code(failed[0]), "list groups", "of all brokers",
                             rd_kafka_error_string(failed[0]));
    return drop_event(event, err);
}

static void submit_describe(kafka_admin *a, const rd_kafka_AdminOptions_t *options, const void *arg)
{
    const char *group = arg;
    rd_kafka_DescribeConsumerGroups(a->rk, &group, 1, options, a->queue);
}

static const rd_kafka_error_t *describe_error(rd_kafka_event_t *event)
{
    size_t n;
    return rd_kafka_ConsumerGroupDescription_error(rd_kafka_DescribeConsumerGroups_result_groups(
        rd_kafka_event_DescribeConsumerGroups_result(event), &n)[0]);
}

static rd_kafka_resp_err_t describe_code(rd_kafka_event_t *event)
{
    const rd_kafka_error_t *error = describe_error(event);
    return error ? rd_kafka_error_code(error) : 0;
}

rl_err *kafka_admin_group(kafka_admin *a, kafka_call *call, const char *group,
                          rd_kafka_event_t **event)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
                                .what = "describe group",
                                .submit = submit_describe,
                                .code = describe_code};
    admin_run run = admin_begin(a, call);
    rl_err *err = admin_do(&run, &op, group, event);
    if (err)
        return err;
    const rd_kafka_error_t *error = describe_error(*event);
    if (error)
        err = admin_item_err(rd_kafka_error_code(error), "group", group,
                             rd_kafka_error_string(error));
    return drop_event(event, err);
}

/* ---- offsets ---- */

/* The coordinator may be settling, as in admin_do. */
rl_err *kafka_admin_group_offsets(kafka_admin *a, kafka_call *call, const char *group,
                                  rd_kafka_topic_partition_list_t *places, bool stable,
                                  rd_kafka_topic_partition_list_t **offsets)
{
    admin_run run = admin_begin(a, call);
    rl_err *err;
    do {
        wire_call wire = admin_wire(&run);
        err = wire_group_offsets(a->wire, &wire, group, places, stable, offsets);
    } while (admin_settling(&run, &err));
    return err;
}

static void submit_alter(kafka_admin *a, const rd_kafka_AdminOptions_t *options, const void *arg)
{
    rd_kafka_AlterConsumerGroupOffsets_t *request = (rd_kafka_AlterConsumerGroupOffsets_t *)arg;
    rd_kafka_AlterConsumerGroupOffsets(a->rk, &request, 1, options, a->queue);
}

static const rd_kafka_group_result_t *alter_result(rd_kafka_event_t *event)
{
    size_t n;
    return rd_kafka_AlterConsumerGroupOffsets_result_groups(
        rd_kafka_event_AlterConsumerGroupOffsets_result(event), &n)[0];
}

static rd_kafka_resp_err_t alter_code(rd_kafka_event_t *event)
{
    return group_code(alter_result(event));
}

rl_err *kafka_admin_alter_group_offsets(kafka_admin *a, kafka_call *call, const char *group,
                                        rd_kafka_topic_partition_list_t *list, kafka_items *items)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS,
                                .what = "alter group offsets",
                                .submit = submit_alter,
                                .code = alter_code};
    admin_run run = admin_begin(a, call);
    rd_kafka_event_t *event = NULL;
    *items = (kafka_items){0};
    rd_kafka_AlterConsumerGroupOffsets_t *request =
        rd_kafka_AlterConsumerGroupOffsets_new(group, list);
    rl_err *err = admin_do(&run, &op, request, &event);
    rd_kafka_AlterConsumerGroupOffsets_destroy(request);
    if (err)
        return err;
    err = group_err(alter_result(event), "alter offsets of group");
    if (!err)
        admin_items_of_list(items, rd_kafka_group_result_partitions(alter_result(event)),
                            "alter the offset of");
    rd_kafka_event_destroy(event);
    return err;
}

static void submit_forget(kafka_admin *a, const rd_kafka_AdminOptions_t *options, const void *arg)
{
    rd_kafka_DeleteConsumerGroupOffsets_t *request = (rd_kafka_DeleteConsumerGroupOffsets_t *)arg;
    rd_kafka_DeleteConsumerGroupOffsets(a->rk, &request, 1, options, a->queue);
}

static const rd_kafka_group_result_t *forget_result(rd_kafka_event_t *event)
{
    size_t n;
    return rd_kafka_DeleteConsumerGroupOffsets_result_groups(
        rd_kafka_event_DeleteConsumerGroupOffsets_result(event), &n)[0];
}

static rd_kafka_resp_err_t forget_code(rd_kafka_event_t *event)
{
    return group_code(forget_result(event));
}

rl_err *kafka_admin_delete_group_offsets(kafka_admin *a, kafka_call *call, const char *group,
                                         rd_kafka_topic_partition_list_t *list, kafka_items *items)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS,
                                .what = "delete group offsets",
                                .submit = submit_forget,
                                .code = forget_code};
    admin_run run = admin_begin(a, call);
    rd_kafka_event_t *event = NULL;
    *items = (kafka_items){0};
    rd_kafka_DeleteConsumerGroupOffsets_t *request =
        rd_kafka_DeleteConsumerGroupOffsets_new(group, list);
    rl_err *err = admin_do(&run, &op, request, &event);
    rd_kafka_DeleteConsumerGroupOffsets_destroy(request);
    if (err)
        return err;
    err = group_err(forget_result(event), "delete offsets of group");
    if (!err)
        admin_items_of_list(items, rd_kafka_group_result_partitions(forget_result(event)),
                            "delete the offset of");
    rd_kafka_event_destroy(event);
    return err;
}

/* ---- delete ---- */

typedef struct deletion {
    rd_kafka_DeleteGroup_t **groups;
    size_t count;
} deletion;

static void submit_delete(kafka_admin *a, const rd_kafka_AdminOptions_t *options, const void *arg)
{
    const deletion *d = arg;
    rd_kafka_DeleteGroups(a->rk, d->groups, d->count, options, a->queue);
}

static const rd_kafka_group_result_t **delete_results(rd_kafka_event_t *event, size_t *n)
{
    return rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), n);
}

/* Repeated only for a lone group: of several, those that went would answer otherwise the second time. */
static rd_kafka_resp_err_t delete_code(rd_kafka_event_t *event)
{
    size_t n;
    const rd_kafka_group_result_t **results = delete_results(event, &n);
    return n == 1 ? group_code(results[0]) : 0;
}

rl_err *kafka_admin_delete_groups(kafka_admin *a, kafka_call *call, const char *const *groups,
                                  int count, kafka_items *items)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_DELETEGROUPS,
                                .what = "delete groups",
                                .submit = submit_delete,
                                .code = delete_code};
    admin_run run = admin_begin(a, call);
    rd_kafka_event_t *event = NULL;
    *items = (kafka_items){0};
    if (!count)
        return NULL;
    deletion d = {.groups = mem_alloc((size_t)count * sizeof *d.groups), .count = (size_t)count};
    for (int i = 0; i < count; i++)
        d.groups[i] = rd_kafka_DeleteGroup_new(groups[i]);
    rl_err *err = admin_do(&run, &op, &d, &event);
    rd_kafka_DeleteGroup_destroy_array(d.groups, d.count);
    free(d.groups);
    if (err)
        return err;
    size_t n;
    const rd_kafka_group_result_t **results = delete_results(event, &n);
    for (size_t i = 0; i < n; i++)
        admin_item_add(items, rd_kafka_group_result_name(results[i]), -1, 0,
                       group_err(results[i], "delete group"));
    rd_kafka_event_destroy(event);
    return NULL;
}
