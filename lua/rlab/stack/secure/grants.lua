-- The least that rlab needs on servers that are not its own, as data: what `rlab up --secure` grants its
-- user, what docs/bring-your-own/ says, and what names a right that is missing.
local M = {}

M.MARK = "rlab-may-run-here" -- of Kafka a topic, of Redis a key
M.SCHEMA_MARK = "rlab_may_run_here" -- of MySQL a schema
M.PREFIX = "rlab-" -- how names begin that rlab makes
M.SCHEMAS = "rlab\\_%" -- those of MySQL, as GRANT writes a pattern

-- Kafka's, one line each: the resource, what stands before the prefix in its names, and the operations. READ,
-- WRITE, DELETE and ALTER mean DESCRIBE too, ALTER_CONFIGS means DESCRIBE_CONFIGS.
M.kafka = {
  { "topic", "", "create", "delete", "alter", "alter-configs", "read", "write" },
  -- to which a share group's coordinator writes (E-032)
  { "topic", "dlq.", "create", "delete", "alter-configs", "read" },
  { "group", "", "read", "delete", "alter-configs" },
  { "transactional-id", "", "write" },
  { "cluster", false, "describe" }, -- who the controller is, how far the quorum is
}

-- MySQL's: on which schemas, and the privileges
M.grants = {
  { "`" .. M.SCHEMAS .. "`.*", "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX",
    "REFERENCES", "TRIGGER" }, -- by triggers E-019 and E-022 note what happens
  { "*.*", "PROCESS" }, -- which transactions still write: the relay waits for them, the lab looks at them
}

-- Redis' commands, as ACL SETUSER takes them, on the keys of the prefix
M.commands = { "ping", "select", "client|setname", "scan", "type", "exists", "get", "mget", "set", "mset",
  "incr", "decr", "rpush", "del", "unlink", "pttl", "pexpire", "persist", "hget", "hset", "hdel", "hexists",
  "hkeys", "hgetall", "hincrby", "eval", "evalsha", "script|load" }

-- mysql("'lab'@'%'") -> statements
function M.mysql(who)
  local list = {}
  for i, row in ipairs(M.grants) do
    list[i] = ("GRANT %s ON %s TO %s;"):format(table.concat(row, ", ", 2), row[1], who)
  end
  return list
end

-- redis() -> the rights of a user in a file of ACLs
function M.redis()
  return ("~%s* +%s"):format(M.PREFIX, table.concat(M.commands, " +"))
end

-- acls(user[, prefix]) -> what admin:create_acls takes, one for each operation
function M.acls(user, prefix)
  local list = {}
  for _, row in ipairs(M.kafka) do
    for i = 3, #row do
      list[#list + 1] = { principal = "User:" .. user, resource = row[1], operation = row[i],
        pattern = row[2] and "prefixed" or nil, name = row[2] and row[2] .. (prefix or M.PREFIX) or nil }
    end
  end
  return list
end

return M
