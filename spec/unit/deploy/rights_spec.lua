-- What a refused call is told as: the right that is missing. The texts are those that servers gave.
local grants = require "rlab.stack.secure.grants"
local rights = require "rlab.stack.secure.rights"

local TOLD = {
  { "kafka TOPIC_AUTHORIZATION_FAILED (29): create topic rlab-e001-a: Authorization failed.",
    "Kafka's ACL CREATE on topics that begin with rlab-" },
  { "kafka TOPIC_AUTHORIZATION_FAILED (29): alter configs of dlq.rlab-e032-a-events: Topic authorization \z
    failed.", "Kafka's ACL ALTER_CONFIGS on topics that begin with dlq.rlab-" },
  { "kafka TOPIC_AUTHORIZATION_FAILED (29): delete topic rlab-e001-a: Authorization failed.",
    "Kafka's ACL DELETE on topics that begin with rlab-" },
  { "kafka TOPIC_AUTHORIZATION_FAILED (29): configs of rlab-may-run-here",
    "Kafka's ACL DESCRIBE_CONFIGS on topics that begin with rlab-" },
  { "kafka TOPIC_AUTHORIZATION_FAILED (29): Broker: Topic authorization failed",
    "Kafka's ACL READ and WRITE on topics that begin with rlab-" },
  { "kafka GROUP_AUTHORIZATION_FAILED (30): delete group rlab-g",
    "Kafka's ACL DELETE on groups that begin with rlab-" },
  { "kafka GROUP_AUTHORIZATION_FAILED (30): JoinGroup failed: Broker: Group authorization failed",
    "Kafka's ACL READ on groups that begin with rlab-" },
  { "kafka TRANSACTIONAL_ID_AUTHORIZATION_FAILED (53): Broker: Transactional Id authorization failed",
    "Kafka's ACL WRITE on transactional ids that begin with rlab-" },
  { "kafka CLUSTER_AUTHORIZATION_FAILED (31): the quorum", "Kafka's ACL DESCRIBE on the cluster" },
  { "mysql ER_DBACCESS_DENIED_ERROR (1044): Access denied for user 'lab'@'%' to database 'rlab_e001_x'",
    "one of MySQL's privileges on `rlab\\_%`.*, where rlab_e001_x is" },
  { "mysql ER_TABLEACCESS_DENIED_ERROR (1142): INSERT command denied to user 'lab'@'127.0.0.1' for table \z
    'outbox'",
    "MySQL's privilege INSERT on `rlab\\_%`.*" },
  { "consumer-1 ended (exit 65); its log: consumer-1.log; it wrote: rlab: SELECT command denied to user \z
    'lab'@'127.0.0.1' for table 'outbox'", "MySQL's privilege SELECT on `rlab\\_%`.*" },
  { "mysql ER_SPECIFIC_ACCESS_DENIED_ERROR (1227): Access denied; you need (at least one of) the PROCESS \z
    privilege(s) for this operation", "MySQL's privilege PROCESS on *.*" },
  { "mysql ER_1419 (1419): You do not have the SUPER privilege and binary logging is enabled (you *might* \z
    want to use the less safe log_bin_trust_function_creators variable)",
    "the server's leave to make triggers, log_bin_trust_function_creators = ON" },
  { "redis NOPERM: this user has no permissions to run the 'evalsha' command", "Redis' ACL +evalsha" },
  { "desk-3 did not say 'closed' (it ended); its log: desk-3.log; it wrote: rlab: this user has no \z
    permissions to run the 'get' command", "Redis' ACL +get" },
  { "redis NOPERM: this user has no permissions to access one of the keys used as arguments",
    "Redis' ACL ~rlab-*" },
}

describe("a right that is missing", function()
  for _, row in ipairs(TOLD) do
    it("is named: " .. row[2], function()
      assert.equal(("the user lacks %s: docs/bring-your-own/rights.md lists what rlab needs"):format(row[2]),
        rights.missing(row[1]))
    end)
  end

  it("is not seen where something else went wrong", function()
    assert.is_nil(rights.missing "mysql ER_LOCK_DEADLOCK (1213): Deadlock found")
    assert.is_nil(rights.missing "kafka UNKNOWN_TOPIC_OR_PART (3): topic rlab-x")
    assert.is_nil(rights.missing "redis WRONGTYPE: Operation against a key holding the wrong kind of value")
  end)

  it("stands on the page, with all the others", function()
    local page = assert(require("rlab.fs").read "docs/bring-your-own/rights.md")
    for _, acl in ipairs(grants.acls "lab") do
      assert.matches(acl.operation:upper():gsub("-", "_"), page, 1, true)
    end
    for _, statement in ipairs(grants.mysql "'lab'@'%'") do assert.matches(statement, page, 1, true) end
    assert.matches(grants.redis(), page, 1, true)
  end)
end)
