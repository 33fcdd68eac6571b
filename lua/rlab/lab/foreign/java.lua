-- What a story asks of Kafka's Java client.
local clients = require "rlab.lab.foreign.client"
local programs = require "rlab.lab.foreign.programs"

local M = {}

-- java_version() -> the version of kafka-clients; starts the process, if it does not run yet
function M.java_version(lab)
  lab.java_client = lab.java_client or programs.start(lab, "java")
  return lab.java_client.version
end

-- java_producer{["transactional.id"] =, ["bootstrap.servers"] =, ...} -> a transactional producer of the
--   Java client; .version of kafka-clients.
-- Inconclusive, with what is missing, where it cannot run.
function M.java_producer(lab, settings)
  M.java_version(lab)
  return clients.producer(lab.java_client, settings)
end

return M
