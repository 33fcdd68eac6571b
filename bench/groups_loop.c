/* What an exporter over librdkafka's admin client asks: `groups_loop TOPIC PARTITIONS [property=value]...`
 * lists the groups, then the offsets of all of them (a call each, all under way at once) and the ends
 * of the topic's partitions, and prints seconds, groups and offsets. Nothing is made of the answers. */
#include "peer.h"

enum { WAIT_MS = 60000, UNDER_WAY = 64 };

typedef struct look {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    long groups, offsets;
} look;

static rd_kafka_event_t *answer(look *l)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(l->queue, WAIT_MS);
    if (!event)
        die("answer", "none came in time");
    if (rd_kafka_event_error(event))
        die("answer", rd_kafka_event_error_string(event));
    return event;
}

static void ask_offsets(look *l, const char *group)
{
    rd_kafka_ListConsumerGroupOffsets_t *one = rd_kafka_ListConsumerGroupOffsets_new(group, NULL);
    rd_kafka_ListConsumerGroupOffsets(l->rk, &one, 1, NULL, l->queue);
    rd_kafka_ListConsumerGroupOffsets_destroy(one);
}

static void take_offsets(look *l)
{
    size_t n;
    rd_kafka_event_t *event = answer(l);
    const rd_kafka_group_result_t **results = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event), &n);
    for (size_t i = 0; i < n; i++) {
        const rd_kafka_error_t *error = rd_kafka_group_result_error(results[i]);
        if (error)
            die(rd_kafka_group_result_name(results[i]), rd_kafka_error_string(error));
        l->offsets += rd_kafka_group_result_partitions(results[i])->cnt;
    }
    rd_kafka_event_destroy(event);
}

static void all_groups(look *l)
{
    size_t n, asked = 0, taken = 0;
    rd_kafka_ListConsumerGroups(l->rk, NULL, l->queue);
    rd_kafka_event_t *event = answer(l);
    const rd_kafka_ConsumerGroupListing_t **list = rd_kafka_ListConsumerGroups_result_valid(
        rd_kafka_event_ListConsumerGroups_result(event), &n);
    for (; taken < n; taken++) {
        for (; asked < n && asked < taken + UNDER_WAY; asked++)
            ask_offsets(l, rd_kafka_ConsumerGroupListing_group_id(list[asked]));
        take_offsets(l);
    }
    l->groups = (long)n;
    rd_kafka_event_destroy(event);
}

static void all_ends(look *l, const char *topic, int partitions)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_SPEC_LATEST;
    rd_kafka_ListOffsets(l->rk, list, NULL, l->queue);
    rd_kafka_event_destroy(answer(l));
    rd_kafka_topic_partition_list_destroy(list);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die("usage", "TOPIC PARTITIONS [property=value]...");
    look l = {.rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), argv + 3)};
    l.queue = rd_kafka_queue_new(l.rk);
    all_ends(&l, argv[1], atoi(argv[2])); /* connected, as an exporter is that was asked before */
    double began = now();
    all_groups(&l);
    all_ends(&l, argv[1], atoi(argv[2]));
    printf("{\"seconds\":%.6f,\"groups\":%ld,\"offsets\":%ld}\n", now() - began, l.groups,
           l.offsets);
    fflush(stdout);
    _Exit(0);
}
