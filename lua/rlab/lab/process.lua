-- Your own consumer, producer or HTTP service, in any language, as a child of an arm: what it is to work on
-- comes by its environment (RLAB_*), what it did is read from the stores. It needs no code of rlab; faults
-- come from outside: signals, locked rows, the proxy.
local children = require "rlab.lab.children"
local must = require "rlab.must"
local strict = require "rlab.options"
local urls = require "rlab.urls"

local M = {}

local Process = children.class()

local OPTION_KEYS = { "name", "cmd", "env", "cwd", "http", "via_proxy", "at_most" }

local function check_options(opts)
  opts = strict.check("lab:process", opts, OPTION_KEYS, 4)
  if type(opts.cmd) ~= "table" and type(opts.cmd) ~= "string" then
    error('lab:process: cmd is a list such as { "python3", "consumer.py" }, or a line for the shell', 3)
  end
  return opts
end

local function add_kafka(lab, env, wire)
  env.RLAB_BROKERS = wire.brokers or lab.stack.kafka.brokers
  env.RLAB_TOPIC, env.RLAB_GROUP = lab:event_topic(), lab:group()
end

local function add_mysql(lab, env, wire)
  local at = lab.stack.mysql
  local address = wire.mysql or urls.address(at.host, at.port)
  local host, port = urls.split(address)
  env.RLAB_MYSQL = urls.write("mysql", at, address, lab:schema())
  env.RLAB_MYSQL_HOST, env.RLAB_MYSQL_PORT = host, tostring(port)
  env.RLAB_MYSQL_USER, env.RLAB_MYSQL_PASSWORD = at.user, at.password
  env.RLAB_MYSQL_DATABASE = lab:schema()
end

local function add_redis(lab, env, wire)
  local at = lab.stack.redis
  env.RLAB_REDIS = urls.write("redis", at, wire.redis or urls.address(at.host, at.port), at.db or "0")
  env.RLAB_PREFIX = lab:prefix()
  lab.run.ledger:add("keys", lab:prefix())
end

-- The variables; which there are depends on what the experiment needs.
local function environment(lab, opts, tag)
  local env = { RLAB_NAME = tag, RLAB_SEED = tostring(lab.seed), RLAB_ARM = lab.label }
  local wire = opts.via_proxy and lab:wire() or {}
  if lab.stack.kafka then add_kafka(lab, env, wire) end
  if lab.stack.mysql then add_mysql(lab, env, wire) end
  if lab.stack.redis then add_redis(lab, env, wire) end
  for name, value in pairs(opts.env or {}) do env[name] = value end
  return env
end

-- A port that nobody has at the moment.
local function free_port()
  local server <close> = must(require("rlab.http").serve { port = 0, handler = function() return "" end })
  return server.port
end

-- It must not outlive rlab, even when rlab is killed: the kernel sees to that where setpriv can ask for it.
local function command(opts)
  local cmd = type(opts.cmd) == "string" and { "sh", "-c", "exec " .. opts.cmd } or opts.cmd
  local setpriv = require("rlab.stack.tools").which "setpriv"
  if not setpriv then return cmd end
  return table.move(cmd, 1, #cmd, 4, { setpriv, "--pdeathsig", "KILL" })
end

local function spawn(lab, opts, tag)
  local env = environment(lab, opts, tag)
  local port = opts.http and free_port()
  env.RLAB_PORT = port or nil
  local child = children.spawn(lab, Process, tag, { cmd = command(opts), env = env, cwd = opts.cwd }, {})
  child.opts, child.port, child.url = opts, port or nil, port and ("http://127.0.0.1:%d"):format(port) or nil
  return child
end

-- process{name = "consumer", cmd = {...}, env = {...}, cwd =, http = "/health", via_proxy = true} ->
--   Process. With `http` it is told a port (RLAB_PORT), and this returns when that path answers with a
--   status below 500.
function M.process(lab, opts)
  opts = check_options(opts)
  local child = spawn(lab, opts, lab.run:child_name(opts.name or "process"))
  return child:await_ready()
end

-- process:get(path) -> {status=, headers=, body=} | nil, err
function Process:get(path)
  return require("rlab.http").get(self.url .. path, { timeout = "10s" })
end

-- process:await_ready() -> process: it answers, where it serves HTTP; it is alive in any case
function Process:await_ready()
  if self.opts.http then
    self.lab:await(self.name .. " at " .. self.opts.http, function()
      if not self:alive() then self:wait_exit { signal = "none" } end
      local answer = self:get(self.opts.http)
      return answer and answer.status < 500
    end, self.opts.at_most or "30s")
  end
  return self
end

-- process:restart() -> Process: the same command in a new process
function Process:restart()
  if self:alive() then self:wait_exit {} end
  self.lives = (self.lives or 1) + 1
  local again = spawn(self.lab, self.opts, ("%s.%d"):format(self.name:gsub("%.%d+$", ""), self.lives))
  again.lives = self.lives
  return again:await_ready()
end

-- process:stop([at_most]) -> status: SIGTERM; another end than exit 0 makes the arm inconclusive
function Process:stop(at_most)
  children.means(self, "gone")
  must(self.process:kill "TERM")
  return self:wait_exit { code = 0, at_most = at_most or "30s" }
end

-- process:lines() -> list: what it wrote on standard output so far
function Process:lines()
  return table.move(self.other, 1, #self.other, 1, {})
end

-- ---- holding it where it stands ----

local function is_in(db, thread, schema)
  for _, session in ipairs(must(db:sessions())) do
    if session.thread == thread then return session.schema == schema end
  end
  return false
end

-- The thread of a transaction of the schema that waits for a lock | nil. information_schema.innodb_trx would
-- say so too, but it is a copy that is not made anew while somebody reads it more often than ten times a
-- second.
local function waits(db, schema)
  for block in must(db:row "SHOW ENGINE INNODB STATUS").Status:gmatch "%-%-%-TRANSACTION (.-)\n%f[%-]" do
    local thread = tonumber(block:find "\nLOCK WAIT" and block:match "MySQL thread id (%d+)")
    if thread and is_in(db, thread, schema) then return thread end
  end
  return nil
end

-- lock_waiter() -> the thread of a transaction in the arm's schema that waits for a lock | nil
function M.lock_waiter(lab)
  return waits(lab:db(), lab:schema())
end

-- lock_rows(where, sql, ...) -> held: rows of the arm's schema (sql is a SELECT, parameters follow) are
--   locked by a transaction of the lab's, so that whoever writes them stands still in the middle of its
--   own. held:await_waiter() proves that somebody does, held:release() lets them go.
function M.lock_rows(lab, where, sql, ...)
  local db = lab:own(must(require("rlab.mysql").connect(lab.stack:mysql_opts { database = lab:schema() })))
  local held = { fault = lab:fault("a locked row: " .. where):started() }
  must(db:exec "START TRANSACTION")
  must(db:query(sql .. " FOR UPDATE", ...))
  function held:await_waiter(at_most)
    local thread = lab:await("a transaction that waits for " .. where,
      function() return lab:lock_waiter() end, at_most or "60s")
    self.fault:fired(lab.proof.lock_wait(thread))
    return self
  end
  function held:release()
    must(db:exec "ROLLBACK")
    return self.fault:over()
  end
  return held
end

return M
