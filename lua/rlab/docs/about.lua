-- What this build is made of and where it runs, for `rlab --version --verbose` and for every result.
local M = {}

function M.lines()
  local lines = {}
  for _, entry in ipairs(require "rlab.libraries") do
    lines[#lines + 1] = ("%-11s %s"):format(entry.name, entry.version)
  end
  return lines
end

local function found_words(found, pin)
  if found then return found.version end
  return pin and ("not here; %s is what make deps or rlab fetch gets"):format(pin) or "not here"
end

-- servers() -> lines: the programs that the stack's servers are, as they are on this machine
function M.servers()
  local tools, lines = require "rlab.stack.tools", {}
  for _, row in ipairs { { "java" }, { "kafka", "KAFKA_VERSION" }, { "mysql" }, { "redis" },
    { "valkey", "VALKEY_VERSION" }, { "registry", "APICURIO_VERSION" }, { "observe" } } do
    local words = found_words(tools[row[1]](), row[2] and tools.pin(row[2]))
    lines[#lines + 1] = ("%-11s %s"):format(row[1], words)
  end
  return lines
end

-- built() -> lines: compiler and flags of this program
function M.built()
  local libraries = require "rlab.libraries"
  return { ("%-11s %s"):format("compiler", libraries.compiler),
    ("%-11s %s"):format("flags", libraries.flags) }
end

-- librdkafka's version, as results record it
function M.librdkafka()
  for _, entry in ipairs(require "rlab.libraries") do
    if entry.name == "librdkafka" then return entry.version end
  end
end

local function first_line(path, pattern)
  local file = io.open(path)
  if not file then return nil end
  local found
  for line in file:lines() do
    found = line:match(pattern)
    if found then break end
  end
  file:close()
  return found
end

local function count_cpus()
  local n = 0
  local file = io.open "/proc/cpuinfo"
  if not file then return nil end
  for line in file:lines() do
    if line:match "^processor%s*:" then n = n + 1 end
  end
  file:close()
  return n
end

function M.host()
  return { cpus = count_cpus(), os = first_line("/etc/os-release", '^PRETTY_NAME="?(.-)"?$'),
    kernel = first_line("/proc/version", "^Linux version (%S+)") }
end

return M
