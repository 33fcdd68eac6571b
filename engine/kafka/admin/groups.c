#include <string.h>

#include "kafka/admin/run.h"

/* ---- list ---- */

static void submit_list(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                        const void *unused)
{
    (void)unused;
    rd_kafka_ListConsumerGroups(admin->rk, options, admin->queue);
}

rl_err *kafka_admin_groups(kafka_admin *admin, kafka_call *call, rd_kafka_event_t **event)
{
    static const admin_op op = {
        .api = RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, .what = "list groups", .submit = submit_list};
    admin_run run = admin_begin(admin, call);
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
    if (err) {
        rd_kafka_event_destroy(*event);
        *event = NULL;
    }
    return err;
}

/* ---- asked of the group's coordinator, which may be settling ---- */

rl_err *kafka_admin_group(kafka_admin *admin, kafka_call *call, const char *id, wire_group *group)
{
    admin_run run = admin_begin(admin, call);
    rl_err *err;
    do {
        wire_call wire = admin_wire_try(&run);
        err = wire_group_describe(admin->cluster, &wire, id, group);
    } while (admin_settling(&run, &err));
    return err;
}

rl_err *kafka_admin_group_offsets(kafka_admin *admin, kafka_call *call, const char *group,
                                  rd_kafka_topic_partition_list_t *places, bool stable,
                                  rd_kafka_topic_partition_list_t **offsets)
{
    admin_run run = admin_begin(admin, call);
    rl_err *err;
    do {
        wire_call wire = admin_wire_try(&run);
        err = wire_group_offsets(admin->cluster, &wire, group, places, stable, offsets);
    } while (admin_settling(&run, &err));
    return err;
}

typedef rl_err *(*change_offsets)(wire_cluster *cluster, const wire_call *call, const char *group,
                                  rd_kafka_topic_partition_list_t *list);

static rl_err *change_group_offsets(kafka_admin *admin, kafka_call *call, const char *group,
                                    change_offsets how, rd_kafka_topic_partition_list_t *list)
{
    admin_run run = admin_begin(admin, call);
    rl_err *err;
    do {
        wire_call wire = admin_wire_try(&run);
        err = how(admin->cluster, &wire, group, list);
    } while (admin_settling(&run, &err));
    return err;
}

static rl_err *check_once(rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_list_sort(list, NULL, NULL);
    for (int i = 1; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *place = &list->elems[i - 1], *q = &list->elems[i];
        if (place->partition == q->partition && !strcmp(place->topic, q->topic))
            return kafka_err(NULL, RD_KAFKA_RESP_ERR__INVALID_ARG, "%s [%d] is named twice",
                             place->topic, place->partition);
    }
    return NULL;
}

rl_err *kafka_admin_alter_group_offsets(kafka_admin *admin, kafka_call *call, const char *group,
                                        rd_kafka_topic_partition_list_t *list, kafka_items *items)
{
    *items = (kafka_items){0};
    rl_err *err = check_once(list);
    if (!err)
        err = change_group_offsets(admin, call, group, wire_group_commit, list);
    if (!err)
        admin_items_of_list(items, list, "alter the offset of");
    return err;
}

rl_err *kafka_admin_delete_group_offsets(kafka_admin *admin, kafka_call *call, const char *group,
                                         rd_kafka_topic_partition_list_t *list, kafka_items *items)
{
    *items = (kafka_items){0};
    rl_err *err = change_group_offsets(admin, call, group, wire_group_forget, list);
    if (!err)
        admin_items_of_list(items, list, "delete the offset of");
    return err;
}

static rl_err *delete_one(kafka_admin *admin, admin_run *run, const char *group)
{
    rl_err *err;
    run->lost = 0;
    do {
        wire_call wire = admin_wire_try(run);
        err = wire_group_delete(admin->cluster, &wire, group);
    } while (admin_settling(run, &err));
    if (!run->lost || !err_is(err, RL_KAFKA, "GROUP_ID_NOT_FOUND"))
        return err;
    err_free(err); /* deleted by a try whose answer was lost */
    return NULL;
}

rl_err *kafka_admin_delete_groups(kafka_admin *admin, kafka_call *call, const char *const *groups,
                                  int count, kafka_items *items)
{
    admin_run run = admin_begin(admin, call);
    *items = (kafka_items){0};
    for (int i = 0; i < count; i++) {
        rl_err *err = delete_one(admin, &run, groups[i]);
        if (err_is(err, RL_LAB, "CANCELLED")) {
            kafka_items_free(items);
            return err;
        }
        admin_item_add(items, groups[i], -1, 0, err);
    }
    return NULL;
}
