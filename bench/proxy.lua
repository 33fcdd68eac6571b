-- What the proxy costs: bytes a second through it, its processor time for them, and the time of a round
-- trip, beside a direct connection. The ends are bench/wire_pipe.c; with "kafka" every frame is looked at,
-- although no rule wants it; "rule" has one that counts every request.
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local proxy = require "rlab.proxy"
local schema = require "bench.schema"

local MIB, FRAME, PINGS = 2000, 65536, 20000

local function start_ends(peers)
  local ends = must(process.spawn { cmd = { peers .. "/wire_pipe", "serve" }, stdin = "pipe",
    stdout = "capture" })
  return ends, tonumber(ends:lines()())
end

local function start_proxy(rlab, port)
  local spec = {}
  for i, proto in ipairs { "tcp", "kafka" } do
    spec[i] = ("%s=127.0.0.1:0-127.0.0.1:%d,%s"):format(proto, port, proto)
  end
  spec[3] = ("rule=127.0.0.1:0-127.0.0.1:%d,kafka"):format(port)
  local child = must(process.spawn { cmd = { rlab, "proxy", "--port", "0", table.unpack(spec) },
    stdout = "capture" })
  local client = must(proxy.connect(("http://127.0.0.1:%d"):format(must(json.decode(child:lines()())).port)))
  must(client:add_rule { proto = "kafka", proxy = "rule", action = "count" })
  return child, must(client:proxies())
end

-- Bytes a second, and the proxy's seconds of processor time for a GiB.
local function pump(ctx, port)
  local before = schema.server_cpu { port = port }
  local took = tonumber((ctx.run { ctx.peers .. "/wire_pipe", "pump", tostring(port), tostring(MIB),
    tostring(FRAME) }))
  return MIB * 1048576 / took, (schema.server_cpu { port = port } - before) * 1024 / MIB
end

return function(ctx)
  local ends <close>, port = start_ends(ctx.peers)
  local child <close>, ways = start_proxy(ctx.rlab, port)
  local list = { { what = "direct", port = port }, { what = "proxy, tcp", port = ways.tcp.port },
    { what = "proxy, kafka", port = ways.kafka.port },
    { what = "proxy, kafka, a rule", port = ways.rule.port } }
  for _, way in ipairs(list) do way.rates, way.cpus, way.pings = {}, {}, {} end
  for round = 1, ctx.few do
    for _, way in ipairs(list) do
      way.rates[round], way.cpus[round] = pump(ctx, way.port)
      way.pings[round] = tonumber(
        (ctx.run { ctx.peers .. "/wire_pipe", "ping", tostring(way.port), tostring(PINGS) }))
    end
  end
  local rows = {}
  for i, way in ipairs(list) do
    local rate, took = ctx.median(way.rates), ctx.median(way.pings)
    rows[i] = { what = way.what, rate = ("%.2f GB/s"):format(rate / 1e9),
      ratio = ("%.2f"):format(rate / ctx.median(list[1].rates)),
      cpu = i > 1 and ("%.2f s"):format(ctx.median(way.cpus)) or "", took = ("%.0f us"):format(took),
      added = i > 1 and ("%.0f us"):format(took - ctx.median(list[1].pings)) or "" }
  end
  child:kill "TERM"
  child:wait "5s"
  ends:kill "TERM"
  ends:wait "5s"
  ctx.title("proxy", ("%d MiB one way in frames of %d bytes, and round trips of 100 bytes; medians of %d \z
    rounds in turn"):format(MIB, FRAME, ctx.few))
  ctx.table({ { name = "", key = "what" }, { name = "rate", key = "rate", align = "right" },
    { name = "ratio", key = "ratio", align = "right" },
    { name = "CPU a GiB", key = "cpu", align = "right" },
    { name = "round trip", key = "took", align = "right" },
    { name = "added", key = "added", align = "right" } }, rows)
end
