-- What Kafka's nodes share: their command, their settings, formatted directories and the class archive.
local clock = require "rlab.clock"
local defer = require "rlab.defer"
local embedded = require("rlab.core_host").embedded
local err = require "rlab.err"
local fs = require "rlab.fs"
local json = require "rlab.json"
local observe = require "rlab.stack.observe"
local secured = require "rlab.stack.secure.kafka"
local settings = require "rlab.stack.settings"
local tables = require "rlab.tables"
local tools = require "rlab.stack.tools"

local M = { BROKERS = settings.kafka.brokers, CONTROLLER = settings.kafka.controller }

-- One core's worth of JVM, and as little processor time as a start can take, for four of them start at
-- once: the serial collector with a young generation that is filled once or twice until the node is up, the
-- first compiler, inlining little, and a class archive that is mapped where it was made for.
local JVM = { "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:C1MaxInlineSize=12",
  "-XX:C1MaxInlineLevel=3",
  "-Xms96m", "-Xmn48m", "-Xmx256m", "-Xss512k", "-XX:-UsePerfData", "-XX:+UnlockDiagnosticVMOptions",
  "-XX:ArchiveRelocationMode=0" }

-- Of a stack that nobody observes: a tenth of the start is a thousand MBeans that nobody reads; those of the
-- brokers' own registry stay.
local NO_REPORTERS = "metric.reporters="

local LOG4J = [[
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS} %-5p %c{1} %m%n%ex
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
]]

local JMX_RULES = "jmx.yml"
local PLAIN_PROTOCOLS = "INTER:PLAINTEXT,DIRECT:PLAINTEXT,PROX:PLAINTEXT,CONTROLLER:PLAINTEXT"
local OWNER_ONLY <const> = 384 -- 0600

local function listen(name, port)
  return ("%s://127.0.0.1:%d"):format(name, port)
end

-- The proxy reads what it passes on, so a secure stack has no listener for it.
local function broker_listeners(ctx, name)
  local p = ctx.ports
  local direct, inter = listen("DIRECT", p[name]), listen("INTER", p[name .. "-inter"])
  local seen_by_peers = ctx.partitionable and listen("INTER", p[name .. "-inter-proxy"]) or inter
  if ctx.secure then
    local list = { direct, inter, listen("MTLS", p[name .. "-prox"]) }
    return list, list
  end
  return { direct, inter, listen("PROX", p[name .. "-prox"]) },
    { direct, seen_by_peers, listen("PROX", p[name .. "-proxy"]) }
end

local function broker_lines(ctx, id)
  local listeners, advertised = broker_listeners(ctx, "kafka-" .. id)
  return {
    "process.roles=broker",
    "listeners=" .. table.concat(listeners, ","),
    "advertised.listeners=" .. table.concat(advertised, ","),
    "inter.broker.listener.name=INTER",
  }
end

-- partitionable(ctx) -> whether every broker was started to be reached by its peers through the proxy
function M.partitionable(ctx)
  for _, id in ipairs(M.BROKERS) do
    local name = "kafka-" .. id
    local text = fs.read(ctx:server(name).dir .. "/server.properties") or ""
    if not text:find(("INTER://127.0.0.1:%d,PROX"):format(ctx.ports[name .. "-inter-proxy"]), 1, true) then
      return false
    end
  end
  return true
end

local function controller_lines(ctx)
  return { "process.roles=controller", "listeners=" .. listen("CONTROLLER", ctx.ports.controller) }
end

-- properties(ctx, server) -> the text of server.properties. The path is relative to the server's folder,
--   where its process runs: in such a file a comma divides, a backslash escapes, and all is Latin-1.
function M.properties(ctx, server)
  local lines = server.id == M.CONTROLLER and controller_lines(ctx) or broker_lines(ctx, server.id)
  for _, line in ipairs {
    "node.id=" .. server.id,
    ("controller.quorum.voters=%d@127.0.0.1:%d"):format(M.CONTROLLER, ctx.ports.controller),
    "controller.listener.names=CONTROLLER",
    "listener.security.protocol.map=" .. (ctx.secure and secured.PROTOCOLS or PLAIN_PROTOCOLS),
    "log.dirs=data",
  } do lines[#lines + 1] = line end
  table.move(settings.kafka.properties, 1, #settings.kafka.properties, #lines + 1, lines)
  if ctx.secure then tables.append(lines, secured.lines(ctx)) end
  if not ctx:observed() then lines[#lines + 1] = NO_REPORTERS end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- formatted directories ----

local CHECKPOINT = "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint"
local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

-- base64url(bytes) -> text without padding
function M.base64url(bytes)
  local out, bits, held = {}, 0, 0
  local function put(six) out[#out + 1] = ALPHABET:sub(six + 1, six + 1) end
  for i = 1, #bytes do
    bits, held = (bits << 8 | bytes:byte(i)) & 0xffff, held + 8
    while held >= 6 do
      held = held - 6
      put(bits >> held & 63)
    end
  end
  if held > 0 then put(bits << (6 - held) & 63) end
  return table.concat(out)
end

-- 16 random bytes as Kafka writes them. The first is no dash, which its tools would take for an option.
function M.uuid()
  local f = assert(io.open("/dev/urandom", "rb"))
  local text = M.base64url(f:read(16))
  f:close()
  return text:sub(1, 1) == "-" and M.uuid() or text
end

local function java_failed(what, text)
  return nil, err.new { domain = "rlab", code = 0, name = "JAVA",
    message = ("%s: %s"):format(what, M.cause(text) or text:match "[^\n]+" or "no output") }
end

-- The controller's bootstrap checkpoint depends on nothing but Kafka's version: formatted once, copied ever
-- after.
local function checkpoint(ctx)
  local path = ctx.kafka.root .. "/bootstrap.checkpoint"
  local text = fs.read(path)
  if text then return text end
  local tmp, failure = fs.tmpdir "rlab-format"
  if not tmp then return nil, failure end
  local _ <close> = defer(function() fs.remove(tmp) end)
  local server = { name = "controller", id = M.CONTROLLER, dir = tmp }
  local plain = setmetatable({ secure = false }, { __index = ctx })
  fs.write(tmp .. "/server.properties", M.properties(plain, server))
  local out, status = tools.output({ ctx.java.path, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
    ctx.kafka.classpath,
    "kafka.tools.StorageTool", "format", "-t", M.uuid(), "-c", "server.properties" }, "60s", tools.JAVA_ENV,
    tmp)
  if not out then return nil, status end
  text = status.code == 0 and fs.read(tmp .. "/data/" .. CHECKPOINT)
  if not text then return java_failed("Kafka's StorageTool failed", out) end
  local ok, broken = fs.write(path, text)
  if not ok then return nil, broken end
  return text
end

-- format(ctx, server): makes the data directory unless it has one
function M.format(ctx, server)
  local data = server.dir .. "/data"
  if fs.exists(data .. "/meta.properties") then return true end
  fs.remove(data)
  if server.id == M.CONTROLLER then
    local text, failure = checkpoint(ctx)
    if not text then return nil, failure end
    local ok, broken = fs.mkdir(data .. "/__cluster_metadata-0")
    if not ok then return nil, broken end
    ok, broken = fs.write(data .. "/" .. CHECKPOINT, text)
    if not ok then return nil, broken end
  end
  local ok, failure = fs.mkdir(data)
  if not ok then return nil, failure end
  return fs.write(data .. "/meta.properties",
    ("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n"):format(
    ctx:cluster_id(), server.id, M.uuid()))
end

-- files(ctx, server): everything a node reads
function M.files(ctx, server)
  local ok, failure = fs.mkdir(server.dir)
  if not ok then return nil, failure end
  ok, failure = fs.write(server.dir .. "/server.properties", M.properties(ctx, server),
    ctx.secure and { mode = OWNER_ONLY } or nil) -- passwords are in it
  if not ok then return nil, failure end
  ok, failure = fs.write(server.dir .. "/log4j2.properties", LOG4J)
  if ok then
    ok, failure = fs.write(server.dir .. "/" .. JMX_RULES, embedded "deploy/kafka/jmx.yml")
  end
  if not ok then return nil, failure end
  return M.format(ctx, server)
end

-- ---- the class archive ----

local function archive_paths(ctx)
  local base = ctx.kafka.root .. "/classes-java" .. ctx.java.version
  return base .. ".jsa", base .. ".json"
end

-- An archive is good for one java and one list of jars, each as it was then.
local function fingerprint(ctx)
  local jvm = fs.stat(ctx.java.path) or {}
  return { java = ctx.java.path, built = jvm.mtime or 0, classpath = ctx.kafka.classpath,
    classes = "of a broker and a controller" }
end

-- archive(ctx) -> path | nil when there is none that fits
function M.archive(ctx)
  local path, note = archive_paths(ctx)
  local text = fs.exists(path) and fs.read(note)
  local made = text and json.decode(text)
  if type(made) ~= "table" then return nil end
  for key, value in pairs(fingerprint(ctx)) do
    if made[key] ~= value then return nil end
  end
  return path
end

-- The first node's list, then what only later ones have loaded. The order is kept: a class follows those it
-- is made of.
local function merged(lists)
  local lines, seen = {}, {}
  for _, path in ipairs(lists) do
    local text, failure = fs.read(path)
    if not text then return nil, failure end
    for line in text:gmatch "[^\n]+" do
      if not seen[line] then
        seen[line] = true
        lines[#lines + 1] = line
      end
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- dump_archive(ctx, lists, made): the classes of the lists, as java takes them down, become the file `made`
function M.dump_archive(ctx, lists, made)
  local all = lists[1] .. ".all"
  local text, failure = merged(lists)
  if not text then return nil, failure end
  local ok, broken = fs.write(all, text)
  if not ok then return nil, broken end
  local out, status = tools.output({ ctx.java.path, "-Xshare:dump", "-XX:SharedClassListFile=" .. all,
    "-XX:SharedArchiveFile=" .. made,
    "-XX:+UseSerialGC", "-cp", ctx.kafka.classpath }, "2m")
  if not out then return nil, status end
  if status.code == 0 and fs.exists(made) then return true end
  return java_failed("java -Xshare:dump failed", out)
end

-- keep_archive(ctx, made): the file `made` becomes the archive
function M.keep_archive(ctx, made)
  local path, note = archive_paths(ctx)
  fs.remove(note)
  local ok, failure = fs.rename(made, path)
  if not ok then return nil, failure end
  local print_of = fingerprint(ctx)
  print_of.made = clock.iso()
  return fs.write(note, json.encode(print_of, { pretty = true }) .. "\n")
end

-- ---- the process ----

function M.needs(ctx)
  if ctx:observed() then
    local found, missing = observe.needs(ctx)
    if not found then return nil, missing end
  end
  if ctx.kafka then return true end
  local java, no_java = tools.java()
  if not java then return nil, no_java end
  local kafka, no_kafka = tools.kafka()
  if not kafka then return nil, no_kafka end
  ctx.java, ctx.kafka, ctx.versions.kafka = java, kafka, kafka.version
  return true
end

local function agent_port(ctx, server) return ctx.ports[server.name .. "-jmx"] end

-- unobserved(ctx, name, listening) -> whether a node runs without the agent that Prometheus is to ask
function M.unobserved(ctx, name, listening)
  return ctx:observed() and ctx:alive(name) and not listening[agent_port(ctx, ctx:server(name))]
end

function M.command(ctx, server)
  local cmd = { ctx.java.path, table.unpack(JVM) }
  local archive = M.archive(ctx)
  if ctx.training and ctx.training[server.name] then
    cmd[#cmd + 1] = "-XX:DumpLoadedClassList=" .. ctx.training[server.name]
  elseif archive then
    cmd[#cmd + 1] = "-XX:SharedArchiveFile=" .. archive
    cmd[#cmd + 1] = "-Xshare:auto"
  end
  if ctx:observed() then
    cmd[#cmd + 1] = ("-javaagent:%s=127.0.0.1:%d:%s"):format(ctx.observe.agent, agent_port(ctx, server),
      JMX_RULES)
  end
  if ctx.secure then tables.append(cmd, secured.java(ctx)) end
  for _, word in ipairs {
    "-Dlog4j2.configurationFile=log4j2.properties", "-Djava.awt.headless=true",
    "-cp", ctx.kafka.classpath, "kafka.Kafka", "server.properties",
  } do cmd[#cmd + 1] = word end
  return { cmd = cmd, cwd = server.dir, env = tables.merged(tools.JAVA_ENV) }
end

-- The innermost reason of a node that gave up: "java.net.BindException: Address already in use",
-- "java.io.IOException: No space left on device".
function M.cause(text)
  local reason, failed
  for line in text:gmatch "[^\n]+" do
    local inner = line:match "^Caused by: (.+)$" or line:match "^([%a_][%w_.]+Exception: .+)$"
      or line:match "^([%a_][%w_.]+Error: .+)$"
    reason = inner or reason
    failed = failed or line:match "^%S+ ERROR %S+ (.+)$" or line:match "^%S+ FATAL %S+ (.+)$"
      or line:match "^Error: (.+)$"
      or line:match "^Error occurred (.+)$"
    if line:find("No space left on device", 1, true) then return "No space left on device" end
  end
  return reason or failed
end

return M
