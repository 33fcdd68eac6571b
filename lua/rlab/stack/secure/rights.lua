-- Which right is missing, told from what a server said when it refused: a line that says what to grant. Words
-- are those of admin calls, of the brokers, of MySQL and of Redis.
local grants = require "rlab.stack.secure.grants"

local M = {}

local PAGE = "docs/bring-your-own/rights.md"

-- Of Kafka, by what was tried as the message says it: the operation on that resource.
local TRIED = {
  topic = { { "create topic", "CREATE" }, { "delete topic", "DELETE" }, { "delete records", "DELETE" },
    { "create partitions", "ALTER" }, { "alter configs", "ALTER_CONFIGS" },
    { "configs of", "DESCRIBE_CONFIGS" }, { "fetch", "READ" }, { "subscribe", "READ" }, { "poll", "READ" },
    { "produce", "WRITE" }, { "send", "WRITE" }, { "", "READ and WRITE" } },
  group = { { "delete group", "DELETE" }, { "describe group", "DESCRIBE" }, { "", "READ" } },
  transactional_id = { { "", "WRITE" } },
  cluster = { { "configs of", "DESCRIBE_CONFIGS" }, { "", "DESCRIBE" } },
}

local ESCAPED = grants.PREFIX:gsub("%p", "%%%0")
local THINGS = { topic = "topics", group = "groups", transactional_id = "transactional ids" }

local function of_kafka(text)
  local resource, tried = text:match "([%u_]+)_AUTHORIZATION_FAILED[^:]*:?(.*)"
  local rows = resource and TRIED[resource:lower()]
  if not rows then return nil end
  tried = tried:lower()
  for _, row in ipairs(rows) do
    if tried:find(row[1], 1, true) then
      local things, dlq = THINGS[resource:lower()], tried:find("%f[%w]dlq%." .. ESCAPED) and "dlq." or ""
      return ("Kafka's ACL %s on %s"):format(row[2],
        things and ("%s that begin with %s%s"):format(things, dlq, grants.PREFIX) or "the cluster")
    end
  end
end

local function of_mysql(text)
  if text:find("log_bin_trust_function_creators", 1, true) then
    return "the server's leave to make triggers, log_bin_trust_function_creators = ON"
  end
  local privileges = text:match "need %(at least one of%) the ([%u_, ]+) privilege"
  if privileges then return ("MySQL's privilege %s on *.*"):format(privileges) end
  local command = text:match "([%u][%u ]*) command denied to user"
  if command then return ("MySQL's privilege %s on `%s`.*"):format(command, grants.SCHEMAS) end
  local schema = text:match "Access denied for user %S+ to database '([^']*)'"
  return schema and ("one of MySQL's privileges on `%s`.*, where %s is"):format(grants.SCHEMAS, schema)
end

local function of_redis(text)
  local command = text:match "no permissions to run the '([^']+)' command"
  if command then return "Redis' ACL +" .. command end
  if text:find("no permissions to access one of the keys", 1, true) then
    return ("Redis' ACL ~%s*"):format(grants.PREFIX)
  end
end

-- missing(text) -> "the user lacks ..." | nil where it was no right that was missing
function M.missing(text)
  local right = of_kafka(text) or of_mysql(text) or of_redis(text)
  return right and ("the user lacks %s: %s lists what rlab needs"):format(right, PAGE) or nil
end

return M
