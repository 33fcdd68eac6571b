-- The failpoints that rlab's own code reaches, by the service (or job) that does: those in C tell of
-- themselves, those in Lua are told of here.
local fail = require "rlab.fail"
local options = require "rlab.options"
local tables = require "rlab.tables"
local usage = require "rlab.usage" "RLAB_FAILPOINTS: "

local M = {}

-- A test holds this against the code.
local in_lua = {
  { name = "backfill.after_chunk", help = "a chunk is written; its checkpoint is not" },
  { name = "backfill.before_write", help = "a chunk was read and is written next" },
  { name = "cmd.after_commit", help = "the command is committed, nobody was answered yet" },
  { name = "cmd.after_reply", help = "the answer is in the socket" },
  { name = "cmd.before_commit", help = "the command's rows are written; its transaction is committed next" },
  { name = "cmd.before_replay", help = "a write that Redis did not take is written next (cache = queued)" },
  { name = "cmd.clock",
    help = "the clock gives a version (versions = clock); return(ms) says how far it is ahead" },
  { name = "exporter.before_survey", help = "the cluster is asked next; an error here is the cluster's" },
  { name = "replay.after_ack", help = "a copy was acknowledged; its original is not committed" },
}

local SERVICE_OF = { cmd = "command", rlab = "every service" }

local function all()
  local list = {}
  for _, points in ipairs { fail.points(), in_lua } do
    for _, point in ipairs(points) do
      local prefix = point.name:match "^[^.]+"
      list[#list + 1] = { name = point.name, service = SERVICE_OF[prefix] or prefix, help = point.help }
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- list([service]) -> {{name, service, help}, ...}, sorted: those that it reaches, or all
function M.list(service)
  local found = {}
  for _, point in ipairs(all()) do
    if not service or point.service == service or point.service == SERVICE_OF.rlab then
      found[#found + 1] = point
    end
  end
  return found
end

-- services() -> sorted names of who reaches some
function M.services()
  local names = {}
  for _, point in ipairs(all()) do names[point.service] = true end
  names[SERVICE_OF.rlab] = nil
  return tables.sorted_keys(names)
end

-- closed(service, config) -> its name where we know all that it reaches, else nil: a service of somebody
--   else's, or a handler of the consumer's, has points of its own
function M.closed(service, config)
  return tables.contains(M.services(), service) and not config.handler and service or nil
end

-- unknown(name [, service [, own]]) -> nil, or why nobody would ever reach it; own: further names
function M.unknown(name, service, own)
  local names = tables.append(tables.names_of(M.list(service)), own or {})
  if tables.contains(names, name) then return nil end
  return ("%s has no failpoint '%s'; %s"):format(service or "rlab", name, options.advice(name, names))
end

-- malformed(name, expr) -> nil, or what is wrong with the expression
function M.malformed(name, expr)
  local text, failure = fail.explain(expr)
  return not text and ("failpoint %s: %s"):format(name, failure.message) or nil
end

-- wrong(name, expr [, service [, own]]) -> nil, or what is wrong with arming it so
function M.wrong(name, expr, service, own)
  return M.unknown(name, service, own) or M.malformed(name, expr)
end

-- check_armed(service): what RLAB_FAILPOINTS has armed and nobody would ever reach is a usage error: the
--   fault would not fire, and none would notice
function M.check_armed(service)
  for _, point in ipairs(fail.list()) do
    local why = M.unknown(point.name, service)
    if why then usage("%s", why) end
  end
end

return M
