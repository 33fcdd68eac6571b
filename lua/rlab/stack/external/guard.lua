-- Whether rlab may run on servers that are somebody's own: each store carries a mark that its owner has put
-- there, or the file names the very store. It only reads.
local drivers = require "rlab.stack.external.drivers"
local err = require "rlab.err"
local must = require "rlab.must"
local tables = require "rlab.tables"
local urls = require "rlab.urls"
local usage = require "rlab.usage" ""

local M = {}

M.TOPIC, M.SCHEMA, M.KEY = "rlab-may-run-here", "rlab_may_run_here", "rlab-may-run-here"

local function refuse(fmt, ...)
  error(err.new { domain = "rlab", code = 0, name = "UNMARKED", exit = 64, message = fmt:format(...) }, 0)
end

local HOW = "rlab runs nothing there. Who owns it says yes by %s; or the file by %s.force = \"%s\""

local function unmarked(section, name, mark, force)
  refuse("the %s at %s has no %s: " .. HOW, section == "kafka" and "cluster" or section, name, mark,
    "making it", section, force)
end

-- What topics of that cluster get is what its owner gave the mark.
local function marked(admin, found)
  local first, configs = found.partitions[1], must(admin:configs { topic = M.TOPIC })
  return { replication_factor = #first.replicas,
    min_isr = math.tointeger(tonumber(configs["min.insync.replicas"])) or 1 }
end

local function unsaid(cluster)
  local n = math.min(3, #cluster.brokers)
  return { replication_factor = n, min_isr = math.max(1, n - 1) }
end

-- kafka(admin, section of the file) -> {replication_factor, min_isr} of rlab's topics there
function M.kafka(admin, section)
  local cluster = must(admin:cluster())
  local found, failure = admin:topic(M.TOPIC)
  if found then return marked(admin, found) end
  if section.force == cluster.id then return unsaid(cluster) end
  if failure.name ~= "UNKNOWN_TOPIC_OR_PART" and failure.name ~= "UNKNOWN_TOPIC_OR_PARTITION" then
    error(failure, 0)
  end
  unmarked("kafka", cluster.id, "topic " .. M.TOPIC, cluster.id)
end

-- mysql(db, section)
function M.mysql(db, section)
  local at = urls.address(section.host, section.port)
  local there = must(db:value("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?",
    M.SCHEMA))
  if there == 0 and section.force ~= at then unmarked("mysql", at, "schema " .. M.SCHEMA, at) end
end

-- redis(conn, section)
function M.redis(conn, section)
  local at = urls.address(section.host, section.port)
  if section.force ~= at and must(conn:call("EXISTS", M.KEY)) == 0 then
    unmarked("redis", at, "key " .. M.KEY, at)
  end
end

-- ---- what an experiment wants of it ----

M.OWN_SERVER = "a server of rlab's own would have to copy what is there, with rights on all of it"

local function named(parts)
  return type(parts) == "table" and table.concat(parts, " and ") or "the servers"
end

-- Which faults it needs is known where the experiment says so, and then drivers can do them.
local function unowned(exp, file)
  if not exp.disrupts then return nil end
  local missing = exp.faults and drivers.missing(file.faults or {}, exp.faults)
  if exp.faults and not missing then return nil end
  local why = ("it kills, freezes, fills or reconfigures %s, and of an external stack rlab owns no process")
    :format(named(exp.disrupts))
  return missing and ("%s: %s has no driver %s"):format(why, file.path, missing) or why
end

-- unfit(exp, file) -> why it cannot run on that stack | nil; exp: {needs, disrupts, faults}
function M.unfit(exp, file)
  local why = unowned(exp, file)
  if why then return why end
  for _, need in ipairs(exp.needs or {}) do
    if need == "proxy" or need == "partition" then
      return "its faults are in the network: the servers would have to be reached through rlab's proxy, at \z
        addresses that they advertise"
    end
    if not file[need] then
      return ("it needs %s, of which %s says nothing"):format(need, file.path)
    end
  end
  return nil
end

-- fit(exp, arms) -> those of the arms that can run there, the names of the others; exp: {id, own_servers}.
--   Whether no arm is left is an error of usage.
function M.fit(exp, arms)
  local fit, others = {}, {}
  for _, arm in ipairs(arms) do
    local own = tables.contains(exp.own_servers or {}, arm.name)
    table.insert(own and others or fit, own and arm.name or arm)
  end
  if #fit == 0 then
    usage("%s: %s cannot run on an external stack: %s", exp.id, named(others), M.OWN_SERVER)
  end
  return fit, others
end

return M
