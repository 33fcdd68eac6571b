-- The programs that the servers are made of: found, their versions known, or one line that says how to get
-- them.
local err = require "rlab.err"
local fs = require "rlab.fs"
local get = require("rlab.installed").get
local layout = require "rlab.stack.layout"
local process = require "rlab.process"

local M = { JAVA_MIN = "17", REDIS_MIN = "6.2",
  REDIS_CLUSTER_MIN = "7.0" } -- before, the nodes' bus had no port of its own

-- pin(name): a version floor from deps/pins.sh, their one home
function M.pin(name)
  local text = require("rlab.core_host").embedded "deps/pins.sh" or ""
  return ("\n" .. text):match("\n" .. name .. "=(%S+)")
end

-- older("2.0.2", "2.13.2") -> true: compares number by number
function M.older(version, floor)
  local numbers = version:gmatch "%d+"
  for want in floor:gmatch "%d+" do
    local have = tonumber(numbers() or 0)
    if have ~= tonumber(want) then return have < tonumber(want) end
  end
  return false
end

local function missing(message)
  return nil, err.new { domain = "rlab", code = 0, name = "MISSING", message = message }
end

-- How a JVM reads the names of files: elsewhere than in a UTF-8 locale it finds no home with an ö or a 한.
M.JAVA_ENV = { LC_ALL = "C.UTF-8" }

-- output(cmd, at_most[, env[, cwd]]) -> stdout and stderr together, exit status | nil, err
function M.output(cmd, at_most, env, cwd)
  local p <close> = process.spawn { cmd = cmd, env = env, cwd = cwd, stdout = "capture", stderr = "capture" }
  if not p then return missing(cmd[1] .. " cannot be run") end
  local status, failure = p:wait(at_most or "20s")
  if not status then return nil, failure end
  local out, errors = p:output()
  return (out or "") .. (errors or ""), status
end

function M.is_root()
  local self = fs.stat("/proc/" .. process.self())
  return self ~= nil and self.uid == 0
end

-- which(name, more) -> path of the first such program in PATH and the folders `more`
function M.which(name, more)
  for folder in ((os.getenv "PATH" or "") .. ":" .. (more or "")):gmatch "[^:]+" do
    local path = folder .. "/" .. name
    if fs.exists(path) then return path end
  end
  return nil
end

local function release_of(java)
  local text = fs.read(java:gsub("/bin/java$", "") .. "/release")
  return text and text:match 'JAVA_VERSION="([^"]+)"'
end

local function java_at(path)
  local real = path and fs.realpath(path)
  if not real then return nil end
  local version = release_of(real)
  if not version then
    local text = M.output({ real, "-version" }, "20s")
    version = text and text:match 'version "([^"]+)"'
  end
  if not version then return nil end
  return { path = real, version = version }
end

local function java_candidates()
  local list = {}
  local home = os.getenv "JAVA_HOME"
  if home and home ~= "" then list[1] = home .. "/bin/java" end
  list[#list + 1] = M.which "java"
  for _, name in ipairs(fs.list "/usr/lib/jvm" or {}) do
    list[#list + 1] = "/usr/lib/jvm/" .. name .. "/bin/java"
  end
  return list
end

local JAVA_MEND = "install it (apt install openjdk-17-jre-headless) or set JAVA_HOME"

-- java([paths]) -> {path, version} | nil, err. JAVA_HOME, then PATH, then what is installed beside: the
--   first that is new enough.
function M.java(candidates)
  local old
  for _, path in ipairs(candidates or java_candidates()) do
    local java = java_at(path)
    if java and not M.older(java.version, M.JAVA_MIN) then return java end -- Java 8 calls itself 1.8
    old = old or java
  end
  if old then
    return missing(("java is too old: %s at %s; Kafka needs Java %s or newer: %s"):format(old.version,
      old.path, M.JAVA_MIN, JAVA_MEND))
  end
  return missing(("no java found; Kafka needs Java %s or newer: %s"):format(M.JAVA_MIN, JAVA_MEND))
end

-- The jars in `root` are those that this rlab was built to run: true | nil, err
local function verified(root, name)
  local lock = require("rlab.core_host").embedded(("deps/%s.lock"):format(name))
  return require("rlab.stack.verified").jars(root, name, lock or "")
end

-- kafka() -> {root, version, classpath} | nil, err
function M.kafka()
  local root = fs.realpath(layout.cache() .. "/kafka")
  local jars, version = {}, nil
  for _, name in ipairs(root and fs.list(root .. "/libs") or {}) do
    if name:match "%.jar$" then jars[#jars + 1] = root .. "/libs/" .. name end
    version = version or name:match "^kafka_[%d.]+%-([%d.]+)%.jar$"
  end
  if not version then return missing("Kafka's jars are missing; run " .. get "deps") end
  local ok, changed = verified(root, "kafka")
  if not ok then return nil, changed end
  table.sort(jars) -- the class archive is bound to this very list
  return { root = root, version = version, classpath = table.concat(jars, ":") }
end

-- registry() -> {root, jar, version} | nil, err
function M.registry()
  local root = fs.realpath(layout.cache() .. "/registry")
  local version = root and fs.read(root .. "/version")
  version = version and version:match "%S+"
  local jar = version and ("%s/apicurio-registry-app-%s-runner.jar"):format(root, version)
  if jar and fs.exists(jar) then return { root = root, jar = jar, version = version } end
  return missing("the Schema Registry's jars are missing; run " .. get "registry")
end

-- observe() -> {path, programs, agent, version} | nil, err: Prometheus with its exporters, and the agent that
--   tells of a broker
function M.observe()
  local root = fs.realpath(layout.cache() .. "/prometheus")
  local version = root and fs.read(root .. "/version")
  local agent = root and root .. "/jmx_agent.jar"
  if version and fs.exists(agent) then
    return { path = root, programs = root .. "/bin", agent = agent, version = version:match "%S+" }
  end
  return missing("Prometheus and its exporters are missing; run " .. get "observe")
end

-- flyway() -> {root} | nil, err
function M.flyway()
  local root = fs.realpath(layout.cache() .. "/flyway")
  if not root or not fs.exists(root .. "/classes/Migrate.class") then
    return missing("Flyway's jars are missing; run " .. get "deps")
  end
  local ok, changed = verified(root, "flyway")
  if not ok then return nil, changed end
  return { root = root }
end

-- client(name) -> path of a client program, built by clients/build.sh | nil, err
function M.client(name)
  local path = ("%s/clients/%s"):format(layout.cache(), name)
  if fs.exists(path) then return path end
  return missing(("the client %s is not built: run make clients, which needs Go"):format(name))
end

-- python() -> path of the Python that deps/python.sh has made, with confluent-kafka in it | nil, err
function M.python()
  local path = layout.cache() .. "/python/bin/python"
  if fs.exists(path) then return path end
  return missing "the Python environment is not there: run deps/python.sh"
end

-- javac(java) -> a compiler's words up to the sources' names | nil, err
function M.javac(java)
  local javac = M.which("javac", java.path:gsub("/java$", ""))
  if javac then return { javac, "--release", "17" } end
  local flyway = M.flyway()
  for _, name in ipairs(flyway and fs.list(flyway.root .. "/libs") or {}) do
    if name:match "^ecj%-.*%.jar$" then
      return { java.path, "-jar", flyway.root .. "/libs/" .. name, "-17", "-proc:none" }
    end
  end
  return missing(("no Java compiler: run %s (it fetches Eclipse's), or install a JDK"):format(get "deps"))
end

local function own_mysqld()
  local path = M.which("mysqld", "/usr/sbin:/usr/local/sbin:/usr/libexec")
  if not path then return nil end
  local text = M.output({ path, "--no-defaults", "--version" }, "20s") or ""
  local version = text:match "Ver (%d[%d.]*)"
  if not version or text:find "MariaDB" or M.older(version, M.pin "MYSQL_MIN") then return nil end
  return { path = path, version = version }
end

-- mysql() -> {path, version, root} | nil, err: the machine's own where it is new enough, else the private
--   one of make deps
function M.mysql()
  local own = own_mysqld()
  if own then return own end
  local root = fs.realpath(layout.cache() .. "/mysql")
  local version = root and fs.read(root .. "/version")
  if not version or not fs.exists(root .. "/bin/mysqld") then
    return missing(("no mysqld %s or newer found; run %s"):format(M.pin "MYSQL_MIN", get "deps"))
  end
  return { path = root .. "/bin/mysqld", version = version:match "%S+", root = root }
end

-- redis([floor]) -> {path, version} | nil, err
function M.redis(floor)
  floor = floor or M.REDIS_MIN
  local path = M.which("redis-server", "/usr/sbin:/usr/local/bin")
  if not path then
    return missing(("no redis-server found; run %s (or apt install redis-server)"):format(get "deps"))
  end
  local version = (M.output({ path, "--version" }, "10s") or ""):match "v=([%d.]+)"
  if not version then return missing(path .. " does not say its version; reinstall redis-server") end
  if M.older(version, floor) then
    return missing(("redis-server %s at %s is too old; install version %s or newer"):format(version, path,
      floor))
  end
  return { path = path, version = version }
end

local function valkey_at(path, root)
  local version = (M.output({ path, "--version" }, "10s") or ""):match "v=([%d.]+)"
  if not version or M.older(version, M.pin "VALKEY_MIN") then return nil end
  return { path = path, version = version, root = root }
end

-- valkey() -> {path, version, root} | nil, err: as mysql()
function M.valkey()
  local own = M.which("valkey-server", "/usr/sbin:/usr/local/bin")
  local found = own and valkey_at(own)
  local root = fs.realpath(layout.cache() .. "/valkey")
  if not found and root then found = valkey_at(root .. "/bin/valkey-server", root) end
  if found then return found end
  return missing(("no valkey-server %s or newer found; run %s"):format(M.pin "VALKEY_MIN", get "deps"))
end

return M
