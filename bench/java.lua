-- The peers in Java (bench/java/*.java): compiled for a run of the bench, and run in processes of their own
-- that print what was seen as lines of JSON.
local err = require "rlab.err"
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local term = require "rlab.term"
local tools = require "rlab.stack.tools"

local M = {}

local SOURCES, AT_MOST = "bench/java", "300s"
local FLAGS = { "-XX:+UseParallelGC", "-Xms512m", "-Xmx1g", "-Xshare:auto" }

-- What cannot be had is one line for the user, not a bug.
local function prepare(ctx, words)
  local ok, why = pcall(ctx.run, words)
  if ok then return end
  why = tostring(why):match "rlab: ([^\n]+)%s*$" or tostring(why)
  error(err.new { domain = "rlab", code = 0, name = "MISSING", message = "bench --java: " .. why }, 0)
end

-- What each runs with: its jars, by make deps or by a script that fetches what is used here only.
local CLASSPATHS = {
  ConsumeBatch = function()
    return must(tools.kafka()).classpath .. ":" .. must(tools.flyway()).root .. "/libs/*"
  end,
  Debezium = function(ctx)
    prepare(ctx, { "deps/debezium.sh" })
    return must(fs.realpath(require("rlab.stack.layout").cache() .. "/debezium")) .. "/libs/*"
  end,
}

-- peer(ctx, class) -> its command up to the arguments. Raises one line that says what is missing.
function M.peer(ctx, class)
  local java = must(tools.java())
  local words, folder = must(tools.javac(java)), ctx.peers .. "/java"
  local classpath = CLASSPATHS[class](ctx)
  must(fs.mkdir(folder))
  for _, word in ipairs { "-d", folder, "-cp", classpath, SOURCES .. "/Peer.java",
    ("%s/%s.java"):format(SOURCES, class) } do
    words[#words + 1] = word
  end
  prepare(ctx, words)
  local cmd = { java.path, table.unpack(FLAGS) }
  return table.move({ "-cp", folder .. ":" .. classpath, class }, 1, 3, #cmd + 1, cmd)
end

local function read(child, on)
  local result
  for line in child:lines() do
    local ok, seen = pcall(json.decode, line)
    for word in pairs(ok and type(seen) == "table" and seen or {}) do
      if on[word] then on[word]() end
      if word == "records" then result = seen end
    end
  end
  return result or {}
end

-- run(peer, arguments, on) -> { records =, failed =, seconds =, cpu = }. on.ready() and on.started() are
--   called when the peer says so.
function M.run(peer, arguments, on)
  local cmd = table.move(peer, 1, #peer, 1, {})
  table.move(arguments, 1, #arguments, #cmd + 1, cmd)
  local child <close> = must(process.spawn { cmd = cmd, stdout = "capture", stderr = "capture" })
  local result = must(require("rlab.task").timeout(AT_MOST, read, child, on))
  must(child:wait "10s")
  if result.records then return result end
  local _, errors = child:output()
  error(("%s: %s"):format(peer[#peer], (errors or ""):match "failed: ([^\n]+)" or errors), 0)
end

-- ---- what was seen ----

local function column(seen, key)
  local list = {}
  for i, one in ipairs(seen) do list[i] = one[key] end
  return list
end

-- The median of the ratios of the rounds, and their span.
local function ratio(ctx, own, peer, key)
  local list = {}
  for i, seen in ipairs(own) do list[i] = seen[key] / peer[i][key] end
  return ctx.median(list), ("%.2f to %.2f"):format(math.min(table.unpack(list)), math.max(table.unpack(list)))
end

local function row_of(ctx, run)
  return { side = run.side, rate = ctx.count_text(ctx.median(column(run.seen, "rate"))),
    cpu = ("%.2f"):format(ctx.median(column(run.seen, "cpu"))),
    server = ("%.2f"):format(ctx.median(column(run.seen, "server"))) }
end

local function compare(ctx, run, peer, missed)
  local row = row_of(ctx, run)
  local faster, faster_span = ratio(ctx, run.seen, peer.seen, "rate")
  local cheaper = ratio(ctx, run.seen, peer.seen, "cpu")
  row.faster, row.faster_span, row.cheaper = ("%.2f"):format(faster), faster_span, ("%.3f"):format(cheaper)
  row.faster_target = run.faster and ("%s %.2f"):format(term.symbol "ge", run.faster) or nil
  row.cheaper_target = run.cheaper and ("%s %.3f"):format(term.symbol "le", run.cheaper) or nil
  if run.faster and faster < run.faster then
    missed[#missed + 1] = ("%s: %.2f of %s in events, target %.2f"):format(run.name, faster, peer.side,
      run.faster)
  end
  if run.cheaper and cheaper > run.cheaper then
    missed[#missed + 1] = ("%s: %.3f of the CPU time of %s, target %.3f"):format(run.name, cheaper,
      peer.side, run.cheaper)
  end
  return row
end

-- table(ctx, peer, runs) -> what was missed. Each has side and seen, a list of { rate =, cpu =, server = }
--   by rounds; runs have a name too, and targets, where they are judged: faster, at least, and cheaper, at
--   most.
function M.table(ctx, peer, runs)
  local rows, missed = { row_of(ctx, peer) }, {}
  for _, run in ipairs(runs) do rows[#rows + 1] = compare(ctx, run, peer, missed) end
  ctx.table({ { name = "", key = "side" }, { name = "events/s", key = "rate", align = "right" },
    { name = "to Java's", key = "faster", align = "right" },
    { name = "in the rounds", key = "faster_span", align = "right" },
    { name = "target", key = "faster_target" },
    { name = "CPU s per 100k", key = "cpu", align = "right" },
    { name = "to Java's", key = "cheaper", align = "right" },
    { name = "target", key = "cheaper_target" }, { name = "mysqld's", key = "server", align = "right" } },
      rows)
  return missed
end

return M
