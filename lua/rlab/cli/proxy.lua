-- rlab proxy: the fault proxy as a process. Toxiproxy's clients can drive it.
local err = require "rlab.err"
local exit = require "rlab.exit"
local usage = require "rlab.usage" ()

local proxy = { name = "proxy", help =
  "a TCP proxy with faults: Toxiproxy's HTTP API, and rules for Kafka, MySQL and Redis" }

function proxy.args(parser)
  parser:argument("proxies", "NAME=LISTEN-UPSTREAM[,PROTO], such as \z
    db=127.0.0.1:13316-127.0.0.1:13306,mysql; PROTO is tcp, kafka, mysql or redis"):args "*"
  parser:option("--host", "where the API listens", "127.0.0.1")
  parser:option("--hosts", "names that the API is asked by, besides localhost and --host: a,b", "")
  parser:flag("--anywhere",
    "proxies may listen beyond this machine; whoever reaches it reaches what is behind them")
  parser:option("--port", "of the API; 0 is any (8474 is Toxiproxy's)", "8474")
  parser:option("--seed", "of toxicity, jitter and chances", "7")
end

local function whole(name, text, most)
  local n = require("rlab.units").whole(text)
  if not n or n < 0 or n > most then
    usage("--%s takes a whole number from 0 to %d, not '%s'", name, most, text)
  end
  return n
end

local function names(text)
  local list = {}
  for name in text:gmatch "[^,%s]+" do list[#list + 1] = name end
  return list
end

local function described(text)
  local name, listen, upstream = text:match "^([^=]+)=([^,]*:%d+)%-([^,]*:%d+)"
  local rest = name and text:sub(#name + #listen + #upstream + 3)
  local proto = rest == "" and "tcp" or rest and rest:match "^,(%a+)$"
  if not proto then
    usage("'%s' is no proxy; write NAME=LISTEN-UPSTREAM[,PROTO], such as \z
      db=127.0.0.1:13316-127.0.0.1:13306,mysql", text)
  end
  if not ({ tcp = 1, kafka = 1, mysql = 1, redis = 1 })[proto] then
    usage("'%s': PROTO is tcp, kafka, mysql or redis", text)
  end
  return { name = name, listen = listen, upstream = upstream, proto = proto }
end

function proxy.run(args)
  local list = {}
  for i, text in ipairs(args.proxies) do list[i] = described(text) end
  local served <close>, failure = require("rlab.proxy").serve { host = args.host,
    hosts = names(args.hosts), anywhere = args.anywhere or false,
    port = whole("port", args.port, 65535),
    seed = whole("seed", args.seed, math.maxinteger), proxies = list }
  if not served then error(failure, 0) end
  io.stdout:write(require("rlab.json").encode { say = "ready", port = served.port,
    pid = require("rlab.process").self(), service = "proxy" }, "\n")
  io.stdout:flush()
  local ok, ended = pcall(function() require("rlab.task").event():wait() end)
  if not ok and not (err.is(ended) and (ended.name == "TERMINATED" or ended.name == "INTERRUPTED")) then
    error(ended, 0)
  end
  return exit.ok
end

return proxy
