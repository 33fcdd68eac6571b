-- The queries that get no data of E-001, each with the reason. `elsewhere`: the experiment, or
-- the service, that has it, of which they must get it; `sometimes`: it is there in some runs of E-001.
local M = {}

local DIRECT = { elsewhere = "E-002",
  why = "E-001 writes an outbox: its command service publishes nothing itself" }
local RETRY = { elsewhere = "E-005", why = "no event of E-001 fails" }
local REPLAY = { elsewhere = "replay", why = "E-001 runs no replay worker" }
local PERCONA = { why = "of Percona's and MariaDB's servers, not of MySQL" }
local QUERY_CACHE = { why = "MySQL has no query cache since 8.0" }

-- by dashboard: what stands in the query, and why it has no data
local known = {
  ["rlab-pipeline.json"] = { ["rlab_replay_replayed_total"] = REPLAY },
  ["rlab-command.json"] = {
    ["rlab_command_reports_total"] = DIRECT,
    ["rlab_command_cache_kept"] = { why = "only a command service that writes the cache itself has it" },
  },
  ["rlab-consumer.json"] = { ["rlab_consumer_lateness_seconds"] = RETRY },
  ["rlab-replay.json"] = { ["rlab_replay_"] = REPLAY, ['service="replay"'] = REPLAY },
  ["rlab-kafka.json"] = {
    ["open_transaction_age_seconds > 0"] = { elsewhere = "E-028",
      why = "no transaction of E-001 stays open" },
  },
  ["rlab-run.json"] = {
    ["ALERTS"] = { sometimes = true, why = "an alert fires where E-001 takes long enough" },
    ["up == 0"] = { sometimes = true,
      why = "a service that was killed does not answer, if it is asked just then" },
    ["rlab_failpoint_fired_total"] = { sometimes = true,
      why = "whom a failpoint kills is asked no more; what it pauses may be asked in time" },
    ["kafka_brokers < 3"] = { sometimes = true,
      why = "E-001 kills no broker, but it may begin within the second in which the last one came up" },
    ["rlab_query_breaker_state == 2"] = { why = "no store of E-001 is away" },
  },
  ["mysqld_mixin.json"] = {
    ["innodb_additional_mem_pool_size"] = { why = "MySQL has no such variable since 5.7" },
    ["innodb_mem_dictionary"] = PERCONA, ["innodb_mem_adaptive_hash"] = PERCONA,
    ["tokudb_cache_size"] = PERCONA, ["query_cache_size"] = QUERY_CACHE, ["qcache_"] = QUERY_CACHE,
  },
  ["redis_mixin.json"] = {
    ["redis_memory_fragmentation_ratio"] = {
      why = "redis_exporter calls it redis_mem_fragmentation_ratio since it asks Redis 4" },
    ["redis_master_last_io_seconds_ago"] = { why = "only a replica has a master, and this Redis is none" },
  },
}

-- of("rlab-run.json", told) -> {why =, elsewhere =, sometimes =} | nil
function M.of(name, told)
  for part, row in pairs(known[name] or {}) do
    if told:find(part, 1, true) then return row end
  end
end

return M
