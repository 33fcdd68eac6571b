-- make bench: our figures beside a peer's, measured in turn on one stack. Each part prints a table and says
-- whether its target was met.
-- Times are never judged, only ratios: this machine may be busy.
local err = require "rlab.err"
local exit = require "rlab.exit"
local term = require "rlab.term"
local strict = require "rlab.options"
local tables = require "rlab.tables"

local PARTS = { "kafka", "relay", "consume", "query", "proxy", "exporter", "bag", "start", "task" }
local MORE = { "flat" } -- only when it is named: minutes, and nothing to compare with

local function usage(fmt, ...)
  error(err.new { domain = "rlab", code = 0, name = "USAGE", message = "bench: " .. fmt:format(...) }, 0)
end

local function parts_of(words)
  if #words == 0 then return PARTS end
  local all = table.move(MORE, 1, #MORE, #PARTS + 1, table.move(PARTS, 1, #PARTS, 1, {}))
  for _, word in ipairs(words) do
    if not tables.contains(all, word) then usage("no part '%s'%s", word, strict.hint(word, all)) end
  end
  return words
end

local function count_of(args, name)
  local n = math.tointeger(tonumber(args[name]))
  if not n or n < 1 then usage("--%s takes a number from 1, not '%s'", name, args[name]) end
  return n
end

-- "host:port user password" -> the options of a connection | nil
local function address_of(text)
  local host, port, user, password = (text or ""):match "^(%S+):(%d+) (%S+) ?(%S*)$"
  if text and not host then usage("--mysql takes 'host:port user password', not '%s'", text) end
  return host and { host = host, port = math.tointeger(port), user = user, password = password }
end

local function load_average()
  local f <close> = assert(io.open "/proc/loadavg")
  return f:read "n"
end

local function cores()
  local n = 0
  for line in io.lines "/proc/cpuinfo" do
    if line:find "^processor" then n = n + 1 end
  end
  return n
end

local ctx = {}

-- ctx.title("kafka", "what is measured"); ctx.table(columns, rows)
function ctx.title(word, text)
  print(("\n%s  %s"):format(term.pad(term.colour("bold", word), 6), text))
end

function ctx.table(columns, rows)
  print(term.grid(columns, rows, { indent = 8, width = 120 }))
  io.stdout:flush()
end

function ctx.median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local middle = (#sorted + 1) // 2
  return #sorted % 2 == 1 and sorted[middle] or (sorted[middle] + sorted[middle + 1]) / 2
end

-- 1234567 -> "1,234,567"
function ctx.count_text(n)
  return (("%.0f"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

-- ctx.run{command...} -> what it printed; raises when it failed. Options go to process.spawn too.
function ctx.run(options)
  local process = require "rlab.process"
  local child <close> = require "rlab.must"(process.spawn { cmd = options, env = options.env,
    stdout = "capture", stderr = "stdout" })
  local status = assert(child:wait "600s", "it did not end within 600 s")
  local output = child:output()
  if status.code ~= 0 then error(("%s: %s"):format(table.concat(options, " "), output), 0) end
  return output
end

return function(args)
  ctx.records, ctx.rounds = count_of(args, "records"), count_of(args, "rounds")
  ctx.ids, ctx.starts = count_of(args, "ids"), count_of(args, "starts")
  ctx.rows, ctx.few, ctx.mysql = count_of(args, "rows"), count_of(args, "few"), address_of(args.mysql)
  ctx.seconds, ctx.warm, ctx.java = count_of(args, "seconds"), count_of(args, "warm"), args.java
  ctx.many, ctx.groups, ctx.partitions = count_of(args, "many"), count_of(args, "groups"),
    count_of(args, "partitions")
  ctx.brokers, ctx.peers, ctx.rlab = args.brokers, args.peers, require("rlab.fs").self_exe()
  print(("rlab %s, %d cores, load %.1f"):format(require "rlab.version", cores(), load_average()))
  local stack <close> = require("bench.stack").new(ctx)
  local missed = {}
  for _, part in ipairs(parts_of(args.part)) do
    for _, text in ipairs(require("bench." .. part)(ctx, stack) or {}) do missed[#missed + 1] = text end
  end
  print(("\nload %.1f at the end"):format(load_average()))
  for _, text in ipairs(missed) do print(term.colour("wrong", "threshold missed") .. "  " .. text) end
  return #missed > 0 and exit.threshold or exit.ok
end
