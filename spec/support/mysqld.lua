-- A MySQL server that a spec may freeze and kill: a second one beside the server under test, started by
-- that server's own command line on an own data directory and port.
local fs = require "rlab.fs"
local mysql = require "rlab.mysql"
local process = require "rlab.process"
local task = require "rlab.task"

local Server = {}
Server.__index = Server

local function command_of(port)
  local pid = assert(process.port_owner(port), "no server listens on the port of RLAB_TEST_MYSQL")
  local words = {}
  for word in assert(fs.read(("/proc/%d/cmdline"):format(pid))):gmatch "([^\0]*)\0" do
    words[#words + 1] = word
  end
  return words
end

local own = { "datadir", "port", "socket", "pid%-file", "log%-error", "init%-file", "bind%-address",
  "mysqlx" }

-- the words of the command without the options that are the server's own; the first option stays, as
-- --no-defaults must
local function borrowed(port)
  local words = {}
  for _, word in ipairs(command_of(port)) do
    local mine = false
    for _, name in ipairs(own) do mine = mine or word:find("^%-%-" .. name .. "=") end
    if not mine then words[#words + 1] = word end
  end
  return words
end

local function with(words, extra)
  local all = table.move(words, 1, #words, 1, {})
  return table.move(extra, 1, #extra, #all + 1, all)
end

local function initialize(server)
  local cmd = with(server.words,
    { "--initialize-insecure", "--datadir=" .. server.data, "--log-error=" .. server.dir .. "/init.log" })
  local child <close> = assert(process.spawn { cmd = cmd })
  local status = assert(child:wait "60s")
  assert(status.code == 0, "mysqld --initialize-insecure failed; see " .. server.dir .. "/init.log")
end

function Server:start()
  fs.remove(self.data .. "/s.sock")
  fs.remove(self.data .. "/s.sock.lock")
  self.child = assert(process.spawn { stdout = "null", stderr = "null", cmd = with(self.words, {
    "--datadir=" .. self.data, "--port=" .. self.port, "--bind-address=127.0.0.1",
    "--socket=" .. self.data .. "/s.sock", "--mysqlx=OFF",
    "--pid-file=" .. self.data .. "/m.pid", "--log-error=" .. self.dir .. "/err.log",
    "--init-file=" .. self.dir .. "/init.sql" }) })
  assert(task.wait_until(function()
    local db = self:connect {}
    if db then db:close() end
    return db ~= nil
  end, { at_most = "60s", every = "50ms", what = "a login" }))
end

function Server:connect(options)
  local all = { port = self.port, user = "app", password = "secret" }
  for key, value in pairs(options) do all[key] = value end
  return mysql.connect(all)
end

function Server:kill()
  self.child:kill "KILL"
  assert(self.child:wait "60s")
  self.child:close()
end

function Server:stop()
  self.child:cont()
  self:kill()
  fs.remove(self.dir)
end

-- beside(port) -> server, running
local function beside(port)
  local dir = ("%s/rlab-spec-mysqld-%d"):format(fs.tmpdir(), process.self())
  local server = setmetatable({ dir = dir, data = dir .. "/data", words = borrowed(port) }, Server)
  assert(fs.mkdir(dir))
  assert(fs.write(dir .. "/init.sql",
    "CREATE USER IF NOT EXISTS app@'%' IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO app@'%';\n"))
  server.port = assert(process.free_ports(1))[1]
  initialize(server)
  server:start()
  return server
end

return { beside = beside }
