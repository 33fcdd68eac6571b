-- A replica of the stack's MySQL, of an arm's own: it has the read model of the arm's schema, receives each
-- change, and can be told not to apply any. It ends with the arm.
local children = require "rlab.lab.children"
local defer = require "rlab.defer"
local fs = require "rlab.fs"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local process = require "rlab.process"
local server = require "rlab.stack.servers.mysql"
local sql_name = require "rlab.sql_name"
local tables = require "rlab.tables"

local M = {}

local TABLE = "account_view"
local Node = children.class()

local Replica = {}
Replica.__index = Replica

-- As light as it can be; a replica that is killed with its arm needs no log of its own.
local function options_of(port)
  return { "--server-id=" .. port, "--skip-log-bin", "--skip-replica-start", "--relay-log=relay",
    "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0" }
end

local given -- the last port; who was given it may not listen yet

local function free_port()
  given = must(process.free_ports(1, given and given + 1))[1]
  return given
end

local function start(lab, source, port)
  local tag = lab.run:child_name "replica"
  local dir = ("%s/%s"):format(must(fs.realpath(lab.run.dir)), tag) -- it stands in its data
  local command, failure = server.beside { home = lab.stack.home, dir = dir, port = port,
    user = source.user, password = source.password }
  lab:own(defer(function() fs.remove(dir) end))
  if not command then lab:give_up("not run: %s", failure.message) end
  tables.append(command.cmd, options_of(port))
  return children.spawn(lab, Node, tag, command, {})
end

local function connect(lab, child, source, port)
  local at = { host = "127.0.0.1", port = port, user = source.user, password = source.password,
    connect_timeout = "2s", read_timeout = "10s" }
  return lab:own(lab:await("a login at the replica", function()
    if not child:alive() then child:wait_exit { signal = "none" } end
    return (mysql.connect(at))
  end))
end

-- What was there before it follows from here on: an empty table.
local function follow(lab, db, source)
  local schema, from = lab:schema(), must(lab:db():row "SHOW BINARY LOG STATUS")
  local ddl = must(lab:db():row("SHOW CREATE TABLE " .. TABLE))["Create Table"]
  local function text(value) return must(db:value("SELECT QUOTE(?)", value)) end -- it takes no parameters
  for _, sql in ipairs {
    "CREATE DATABASE " .. sql_name(schema), "USE " .. sql_name(schema), ddl,
    ("CHANGE REPLICATION SOURCE TO SOURCE_HOST = %s, SOURCE_PORT = %d, SOURCE_USER = %s, \z
      SOURCE_PASSWORD = %s, SOURCE_LOG_FILE = %s, SOURCE_LOG_POS = %d, GET_SOURCE_PUBLIC_KEY = 1, \z
      SOURCE_CONNECT_RETRY = 1"):format(text(source.host), source.port, text(source.user),
      text(source.password), text(from.File), from.Position),
    ("CHANGE REPLICATION FILTER REPLICATE_DO_TABLE = (%s.%s)"):format(sql_name(schema), sql_name(TABLE)),
    "START REPLICA" } do
    must(db:exec(sql))
  end
end

-- open(lab) -> replica with .address, for lab:service(..., { mysql = replica.address }). Nothing may have
--   been written to the arm's schema yet. Where no MySQL can be started the arm is inconclusive.
function M.open(lab)
  local source, port = lab.stack.mysql, free_port()
  local child = start(lab, source, port)
  local self = setmetatable({ lab = lab, address = "127.0.0.1:" .. port }, Replica)
  self.db = connect(lab, child, source, port)
  follow(lab, self.db, source)
  lab:event("a replica of MySQL follows %s.%s", lab:schema(), TABLE)
  return self
end

local STATE = "SELECT CONCAT_WS(' ', COUNT(*), SUM(balance), SUM(version)) FROM " .. TABLE

-- replica:catch_up(): it has applied all that there is
function Replica:catch_up()
  self.lab:await("the replica to have all that there is", function()
    return must(self.db:value(STATE)) == must(self.lab:db():value(STATE))
  end)
end

local VERSION = "SELECT version FROM account_view WHERE account_id = ?"

-- replica:lag_behind(account, change): change() happens while it receives and does not apply; it returns
--   while the replica is behind, proved by the version that each of the two has of the account, with the
--   fault, of which fault.catch_up() is the end
function Replica:lag_behind(account, change)
  local lab, db = self.lab, self.db
  local fault = lab:fault "STOP REPLICA SQL_THREAD":started()
  local before = must(db:value(VERSION, account))
  must(db:exec "STOP REPLICA SQL_THREAD")
  change()
  fault:fired(lab.proof.rows("the account's version", { sql = VERSION, args = { account }, replica = db,
    want = before }), lab.proof.rows("its version at the source", { sql = VERSION, args = { account },
    want = { at_least = before + 1 } }))
  function fault.catch_up()
    must(db:exec "START REPLICA SQL_THREAD")
    self:catch_up()
    return fault:over()
  end
  return fault
end

return M
