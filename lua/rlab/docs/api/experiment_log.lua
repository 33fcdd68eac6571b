-- What a lab can do with transactions and with one partition's log.
return {
  module = "experiment", kind = "dsl",
  types = {
    { name = "lab", methods = {
      { "plan_transactions", "lab:plan_transactions{count =, aborted =, last =, amount_max =} -> list",
        "Transactions {aborts, records}: the seed decides which abort; the last one, with `last` records, \z
          does.",
        params = { "count: integer", "aborted: integer", "last: integer", "amount_max: integer = 90" } },
      { "transactions", "lab:transactions(topic, plan, on_commit) -> seen",
        "Runs the plan to partition 0 and reads the log: { committed, aborted, records, markers, \z
          topic, low, lso, hw, leo, rc, ru }. The aborts are proved by the coordinator and by the log.",
        params = { "topic: string", "plan: list", "on_commit: function, (records)" } },
      { "transactional",
        "lab:transactional(kind, id [, {timeout =, patience =, request =, block =}]) -> \z
          { next, replaced, version }",
        "A transactional producer that goes on in its way: next() is the producer for the next transaction.",
        params = { 'kind: string, "reuse", "fresh", "kafka.transactional"; of other libraries "java", \z
            "franz-go", "franz-go-old", "sarama"', "id: string",
          "timeout: integer = 60000, ms that a transaction may be open",
          "patience: integer, ms that sarama waits for an answer",
          "request: integer = 3000, ms that Java waits for an answer",
          "block: integer = 60000, ms that Java waits for a call to be over" } },
      { "read_to_end", "lab:read_to_end(consumer, on, at_end) -> offset",
        "Reads to the end of the partition.",
        params = { "consumer: consumer", "on: function, (record)", "at_end: function, optional, (event)" } },
      { "apply_log", "lab:apply_log(state, {isolation =, at_end =}) -> consumer",
        "Applies the setup's log to tables of the arm's own; state gets ended, applied, ids and view.",
        params = { "state: table, with ids and applied", "isolation: string",
          "at_end: function, optional, (consumer, event)" } },
      { "watch_observer", "lab:watch_observer(state, with_lag)",
        "Series of what an observer has against the log that the setup wrote, and its lag by three \z
          definitions.",
        params = { "state: table", "with_lag: boolean" } },
      { "reader", "lab:reader{topic =, partitions =, isolation =, name =} -> reader",
        "A reader beside the story: reader:values(partition), reader:all_at(ids) -> seconds | nil, \z
          reader.at[value]; from the beginning until the arm ends.",
        params = { "topic: string", "partitions: integer = 1", 'isolation: string = "read_committed"',
          "name: string, of its group" } },
      { "gaps", "lab:gaps(offsets, low, ended) -> list", "Offsets up to the end that are not among those.",
        params = { "offsets: list", "low: integer", "ended: integer" } },
      { "log_cells", "lab:log_cells{records =, partition =, from =, to =, fate =} -> cells",
        "The offsets of a partition as cells of lab:moment; one without a record is a marker.",
        params = { "records: list, all of the log", "partition: integer = 0", "from: integer = 0",
          "to: integer", 'fate: function, (record) -> "committed", "aborted", "lost"' } },
      { "wire_table", "lab:wire_table(title, rows, id)",
        "What the proxy saw of a transactional.id, as a table of the report.",
        params = { "title: string", "rows: list, of a wire log", "id: string" } },
    } },
  },
}
