-- The stack: the real servers that experiments run on. `local` supervises them on this machine; other kinds
-- join in the table below.
--   stack.open{needs={"kafka","mysql"}, start=true, say=function(line) end, what="E-012"} -> stack | nil, err
--   stack.current() -> the running one | nil
local err = require "rlab.err"
local options = require "rlab.options"

local M = {}

local OPEN_KEYS = { "kind", "needs", "disrupts", "faults", "start", "say", "what", "home", "secure" }

-- What has to be there with a part: Prometheus asks these, and is ready when they answer.
local WATCHED = { observe = { "kafka", "mysql", "redis" } }

-- parts_of(words[, start]) -> parts in their usual order, each once, with what has to be there to start them;
--   raises for a word that is none
local function parts_of(words, start)
  local servers = require "rlab.stack.servers"
  local wanted = {}
  for _, word in ipairs(words) do
    for _, other in ipairs(start and WATCHED[word] or {}) do wanted[other] = true end
    if type(word) ~= "string" then
      error(err.new { domain = "rlab", code = 0, name = "USAGE",
        message = ("a server is named by a word, not by a %s; there are %s"):format(type(word),
          table.concat(servers.parts, ", ")) }, 0)
    end
    if word == "partition" then -- no server, a state of the brokers; the run asks for it
      wanted.kafka, wanted.proxy = true, true
    elseif not servers.is_part(word) then
      error(err.new { domain = "rlab", code = 0, name = "USAGE",
        message = ("no server '%s'; %s"):format(word, options.advice(word, servers.parts)) }, 0)
    end
    wanted[word] = true
  end
  local list = {}
  for _, part in ipairs(servers.parts) do
    if wanted[part] then list[#list + 1] = part end
  end
  return list
end
M.parts_of = parts_of

local kinds = {}

-- That of the secure stack is made ready first.
local function home_of(opts)
  if not opts.secure then return opts.home end
  local secure = require "rlab.stack.secure"
  local home = opts.home or secure.home()
  local ok, failure = secure.ensure(home)
  return home, not ok and failure or nil
end

kinds["local"] = function(opts)
  local servers = require "rlab.stack.servers"
  local supervisor = require "rlab.stack.local"
  local home, unmade = home_of(opts)
  if unmade then return nil, unmade end
  local ctx, failure = require("rlab.stack.context").new { home = home, say = opts.say }
  if not ctx then return nil, failure end
  local parts = parts_of(opts.needs or servers.usual, opts.start)
  local reused = true
  if opts.start then
    local ok
    ok, reused = supervisor.up(ctx, parts, opts.what and "rlab " .. opts.what)
    if not ok then return nil, reused end
  else
    local down = supervisor.not_serving(ctx, parts)
    if #down > 0 then
      return nil, err.new { domain = "rlab", code = 0, name = "NO_STACK",
        message = ("%s does not run; start it with: rlab up %s"):format(down[1], table.concat(parts, " ")) }
    end
  end
  return require("rlab.stack.handle").new(ctx, parts, reused, opts.what)
end

function kinds.compose(opts)
  return require("rlab.stack.compose").open { needs = opts.needs, what = opts.what }
end

local meant, file = "local", nil -- where nobody says it

function kinds.external(opts)
  return require("rlab.stack.external").open { path = file, needs = opts.needs, disrupts = opts.disrupts,
    faults = opts.faults, what = opts.what }
end

local function refuse(fmt, ...)
  error(err.new { domain = "rlab", code = 0, name = "USAGE", message = fmt:format(...) }, 0)
end

-- use([kind[, path]]) -> what kind of stack is meant from here on; path: of an external one's file
function M.use(kind, path)
  if kind == nil then return meant end
  if not kinds[kind] then
    refuse("--stack takes local, compose or external FILE, not '%s'", tostring(kind))
  end
  if kind == "external" then
    if not path then refuse "--stack external takes the FILE that says where the servers are" end
    path = require("rlab.stack.external.file").read(path).path
  end
  meant, file = kind, kind == "external" and path or nil
  return meant
end

-- words() -> the command line's words that mean the same stack
function M.words()
  return { "--stack", meant, file }
end

-- namespace(name) -> what the names of a run on that stack begin with
function M.namespace(name)
  return file and require("rlab.stack.external.file").read(file).prefix .. name or name
end

-- home() -> the folder of what rlab notes of that stack
function M.home()
  if not file then return require("rlab.stack.layout").home() end
  return require("rlab.stack.external").home(require("rlab.stack.external.file").read(file))
end

-- unfit(exp) -> why it cannot run on that stack, as far as that can be said beforehand | nil
function M.unfit(exp)
  if not file then return nil end
  return require("rlab.stack.external.guard").unfit(exp, require("rlab.stack.external.file").read(file))
end

-- undo(text) -> true | nil, err: what a run that died did to a server by a driver, as its ledger has it
function M.undo(text)
  return require("rlab.stack.external").undo(file, text)
end

-- fit(exp, arms) -> those of the arms that can run on that stack, the names of the others
function M.fit(exp, arms)
  if not file then return arms, {} end
  return require("rlab.stack.external.guard").fit(exp, arms)
end

function M.open(opts)
  opts = opts or {}
  options.check("stack.open", opts, OPEN_KEYS)
  local open = kinds[opts.kind or meant]
  if not open then error("stack.open: no kind of stack named '" .. tostring(opts.kind) .. "'", 2) end
  return open(opts)
end

-- current() -> a stack of the parts that serve now | nil
function M.current()
  if meant ~= "local" then return (M.open {}) end
  local servers = require "rlab.stack.servers"
  local supervisor = require "rlab.stack.local"
  local ctx = require("rlab.stack.context").new()
  if not ctx then return nil end
  local parts = {}
  for _, part in ipairs(servers.parts) do
    if #supervisor.not_serving(ctx, { part }) == 0 then parts[#parts + 1] = part end
  end
  if #parts == 0 then return nil end
  return require("rlab.stack.handle").new(ctx, parts, true)
end

-- up("kafka", "redis") -> stack | nil, err: as `rlab up` does; the usual parts when none is named
function M.up(...)
  local words = { ... }
  return M.open { needs = #words > 0 and words or nil, start = true, say = print }
end

-- down("kafka") -> names of the servers that were stopped | nil, err: as `rlab down` does
function M.down(...)
  local servers = require "rlab.stack.servers"
  local ctx, failure = require("rlab.stack.context").new { say = print }
  if not ctx then return nil, failure end
  local words = { ... }
  local stopped, forced = require("rlab.stack.local").down(ctx,
    parts_of(#words > 0 and words or servers.parts))
  if not stopped then return nil, forced end
  return stopped
end

local STATUS_COLUMNS = { "server", "state", "pid", "port", "up", "memory" }

-- status([ctx]) -> rows {server, state, pid, port, since, up_seconds, rss; up and memory as people read
--   them}, rows.columns; | nil, err
function M.status(ctx)
  if meant == "compose" then return require("rlab.stack.compose").status() end
  if meant == "external" then return require("rlab.stack.external").status(file) end
  local process, clock, words = require "rlab.process", require "rlab.clock", require "rlab.stack.words"
  local failure
  if not ctx then
    ctx, failure = require("rlab.stack.context").new()
    if not ctx then return nil, failure end
  end
  local rows = {}
  for _, name in ipairs(require("rlab.stack.servers").names()) do
    local row = { server = name, state = ctx:word(name), port = ctx.ports[name] }
    if row.state ~= "down" and row.state ~= "dead" then
      local entry = ctx.state.servers[name]
      row.pid, row.since, row.rss = entry.pid, entry.since, process.rss(entry.pid)
      row.up_seconds = clock.unix_ms() // 1000 - entry.since
      row.up, row.memory = words.age(row.up_seconds), row.rss and words.size(row.rss)
    end
    rows[#rows + 1] = row
  end
  rows.columns = STATUS_COLUMNS
  return rows
end

return M
