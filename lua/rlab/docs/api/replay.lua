-- rlab.dlq: what replays are made of
return {
  module = "dlq", kind = "module", doc = "The headers of records that failed, and their topics: \z
    docs/dlq.md as code.",
  fields = { "headers: table, their names in the order in which they are written" },
  functions = {
    { "read", "dlq.read(headers) -> story",
      "What the headers of a failed record tell, by name with underscores; numbers as numbers.",
      params = { "headers: table, list of { name, value }" },
      returns = "{ original_topic, original_offset, error_class, attempt, ..., replay_count }; the count \z
        is 0 without a header",
      example = 'local story = dlq.read(record.headers)\nprint(story.error_class, story.replay_count)' },
    { "for_replay", "dlq.for_replay(headers [, {count =, target_group =}]) -> list",
      "The headers of the copy that goes back: its attempts forgotten, the two of a replay set.",
      params = { "headers: table, list of { name, value }",
        "count: integer, rlab-replay-count; none without it",
        "target_group: string, the only group that processes it; every one without it" } },
    { "dlq_topic", "dlq.dlq_topic(topic) -> string", "orders.dlq", params = { "topic: string" } },
    { "retry_topic", "dlq.retry_topic(topic, delay) -> string", "orders.retry.5s",
      params = { "topic: string", "delay: string" } },
    { "replay_group", "dlq.replay_group(group) -> string",
      "billing.replay: the group whose lag is what is still to be replayed.",
      params = { "group: string" } },
  },
}
