-- One MySQL, from a data directory that is initialised once per version and copied.
local fs = require "rlab.fs"
local lock = require "rlab.stack.lock"
local tools = require "rlab.stack.tools"
local err = require "rlab.err"
local layout = require "rlab.stack.layout"
local secured = require "rlab.stack.secure.mysql"
local settings = require "rlab.stack.settings"
local tables = require "rlab.tables"

local M = {}

local USER, DATABASE = "rlab", "rlab"
local OWNER_ONLY <const> = 384 -- 0600

-- --no-defaults must come first. Paths are relative to the data directory, so that a deep home does not
-- make the socket's name too long.
local SETTINGS = {
  "--bind-address=127.0.0.1", "--socket=mysql.sock", "--pid-file=mysql.pid", "--mysqlx=OFF",
  "--secure-file-priv=NULL", table.unpack(settings.mysql),
}

-- Run at each start. The password is made of letters, digits, - and _.
local INIT = ([[
CREATE USER IF NOT EXISTS '$user'@'%%' IDENTIFIED BY '$password';
ALTER USER '$user'@'%%' IDENTIFIED BY '$password';
GRANT ALL PRIVILEGES ON *.* TO '$user'@'%%' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS %s;
]]):format(DATABASE)

-- mysqld refuses root unless told. Another uid could not read a home or a cache below /root.
local function as_user(cmd)
  if tools.is_root() then table.insert(cmd, "--user=root") end
  return cmd
end

local function template_of(ctx)
  return ("%s/mysql-data-%s"):format(layout.cache(), ctx.versions.mysql)
end

local function initialise(ctx, data)
  local text, status = tools.output(as_user { ctx.mysqld, "--no-defaults", "--initialize-insecure",
    "--datadir=" .. data,
    "--innodb-redo-log-capacity=64M" }, "2m")
  if text and status.code == 0 then return true end
  return nil, err.new { domain = "rlab", code = 0, name = "INITIALISE",
    message = "mysqld --initialize failed: "
      .. (text and (M.cause(text) or text:match "[^\n]+") or tostring(status)) }
end

local function make_template(ctx, template)
  local making = template .. ".new"
  fs.remove(making)
  local done <close> = ctx:step("once", "initialising a MySQL data directory (3 s, kept for the next time)")
  local ok, failure = initialise(ctx, making)
  if not ok then
    fs.remove(making)
    return nil, failure
  end
  done:ok()
  return fs.rename(making, template)
end

-- made once per version
function M.prepare(ctx)
  local path = template_of(ctx)
  if fs.exists(path) then return true end
  local ok, failure = fs.mkdir(layout.cache())
  if not ok then return nil, failure end
  local guard <close>, busy = lock.take(path .. ".lock", "rlab up", { at_most = "60s", say = ctx:waiting() })
  if not guard then return nil, busy end
  if fs.exists(path) then return true end
  return make_template(ctx, path)
end

function M.needs(ctx)
  local found, failure = tools.mysql()
  if not found then return nil, failure end
  ctx.mysqld, ctx.versions.mysql = found.path, found.version
  return true
end

function M.ports(_, server)
  return { server.port }
end

local function password_file(home) return home .. "/mysql/password" end

-- password(home) -> that of this home's MySQL, which nobody else on the machine can read. It comes with the
--   data directory and stays: data that are older than it keep theirs of old, which runs under way know.
function M.password(home)
  local text = fs.read(password_file(home))
  return text and text:match "^[%w_-]+" or "rlab"
end

local function make_password(home)
  if fs.exists(password_file(home)) then return true end
  return fs.write(password_file(home), require("rlab.stack.kafka").uuid() .. "\n", { mode = OWNER_ONLY })
end

-- What a kill -9 leaves behind keeps mysqld from starting.
local function clean_leftovers(data)
  for _, name in ipairs { "mysql.sock", "mysql.sock.lock", "mysql.pid" } do
    fs.remove(data .. "/" .. name)
  end
end

-- An identity is not copied.
local function copy_template(ctx, data)
  return fs.copy(template_of(ctx), data, { except = { "auto.cnf", "binlog.*" } })
end

local function write_init(dir, user, password, more)
  return fs.write(dir .. "/init.sql", INIT:gsub("%$(%l+)", { user = user, password = password })
    .. (more or ""), { mode = OWNER_ONLY })
end

function M.files(ctx, server)
  local data = server.dir .. "/data"
  fs.mkdir(server.dir)
  if not fs.exists(data .. "/mysql.ibd") then
    local making = data .. ".new"
    fs.remove(making)
    local ok, broken = copy_template(ctx, making)
    if not ok then return nil, broken end
    ok, broken = make_password(ctx.home)
    if not ok then return nil, broken end
    fs.remove(data)
    ok, broken = fs.rename(making, data)
    if not ok then return nil, broken end
  end
  clean_leftovers(data)
  return write_init(server.dir, USER, M.password(ctx.home), ctx.secure and secured.users(ctx.secure))
end

function M.command(ctx, server)
  local cmd = { ctx.mysqld, "--no-defaults", "--datadir=" .. server.dir .. "/data", "--port=" .. server.port,
    "--init-file=" .. server.dir .. "/init.sql", table.unpack(SETTINGS) }
  if ctx.secure then tables.append(cmd, secured.options(ctx.secure)) end
  return { cmd = as_user(cmd), cwd = server.dir .. "/data" }
end

-- beside{home =, dir =, port =, user =, password =} -> {cmd =, cwd =} | nil, err: another MySQL of this
--   machine with empty data in dir, to which whoever starts it may add options
function M.beside(opts)
  local ctx, failure = require("rlab.stack.context").new { home = opts.home }
  if not ctx then return nil, failure end
  for _, step in ipairs { M.needs, M.prepare } do
    local ok, broken = step(ctx)
    if not ok then return nil, broken end
  end
  fs.mkdir(opts.dir)
  local ok, broken = copy_template(ctx, opts.dir .. "/data")
  if not ok then return nil, broken end
  ok, broken = write_init(opts.dir, opts.user, opts.password)
  if not ok then return nil, broken end
  return M.command(ctx, opts)
end

function M.connect(ctx)
  return require("rlab.mysql").connect(tables.merged({ host = "127.0.0.1", port = ctx.ports.mysql,
    user = USER, password = M.password(ctx.home), connect_timeout = "2s", read_timeout = "5s" },
    ctx.secure and ctx.secure:stores()))
end

-- TCP accepts before a login works: readiness is a login.
function M.ready(ctx)
  local db = M.connect(ctx)
  if not db then return false end
  db:close()
  return true
end

function M.title(ctx)
  return "127.0.0.1:" .. ctx.ports.mysql .. (ctx.secure and ", TLS" or "")
end

-- "2026-11-23T16:00:00.000000Z 0 [ERROR] [MY-010262] [Server] Can't start server: Bind on TCP/IP port:
-- Address already in use"
function M.cause(text)
  local first
  for line in text:gmatch "[^\n]+" do
    local message = line:match "%[ERROR%] %[MY%-%d+%] %[%w+%] (.+)$"
    if message and not message:find "^Aborting" then first = first or message end
    if line:find("error while loading shared libraries", 1, true) then return line end
  end
  return first
end

M.part = "mysql"
M.names = { "mysql" }
M.disk = 512 << 20
M.stop = { signal = "TERM", rank = 1, at_most = "15s" }
M.user, M.database = USER, DATABASE

return M
