-- Fault drivers: commands of who owns the servers, that do to one of them what rlab cannot, as it owns no
-- process there. Offers what the file's section `faults` says, and one call of such a command: an argv and
-- never a line for a shell, with a limit in time, without any secret. Its exit code tells that it gave up,
-- and is no proof that anything happened (rlab.stack.external.server looks for that).
local options = require "rlab.options"
local process = require "rlab.process"
local tables = require "rlab.tables"
local units = require "rlab.units"
local usage = require "rlab.usage" "--stack external: "

local M = {}

-- What puts a server back after a fault.
M.UNDO = { kill = "start", terminate = "start", freeze = "thaw" }
M.FAULTS = tables.sorted_keys(M.UNDO)

local PARTS = { "kafka", "mysql", "redis" }
local KEYS = { "kill", "terminate", "start", "freeze", "thaw", "at_most" }
local PLACES = { "server", "part", "id", "host", "port", "act" } -- what stands in {} in an argument
local AT_MOST, LONGEST = "30s", 600
local LINE_MAX, OUTPUT_MAX = 200, "16KiB"

-- ---- the section ----

local function check_argument(from, where, text)
  if type(text) ~= "string" or text:find "%z" then
    usage("%s: %s is a list of texts, a program and its arguments: no line for a shell", from.path, where)
  end
  for place in text:gmatch "{(%l+)}" do
    if not tables.contains(PLACES, place) then
      usage("%s: %s: nothing is known as {%s}; %s", from.path, where, place, options.advice(place, PLACES))
    end
  end
end

local function argv_of(from, where, given)
  if type(given) ~= "table" or #given == 0 then check_argument(from, where, nil) end
  local argv = {}
  for i, text in ipairs(given) do
    check_argument(from, where, text)
    argv[i] = text
  end
  local program = argv[1]
  if program:find "/" and program:sub(1, 1) ~= "/" then argv[1] = from.folder .. "/" .. program end
  return argv
end

local function limit_of(from, where, text)
  local ok, seconds = pcall(units.duration, text)
  if ok and seconds > 0 and seconds <= LONGEST then return text end
  usage('%s: %s is a duration of at most 10m, such as "30s"', from.path, where)
end

local function of_part(from, part, given)
  local where = "faults." .. part
  if type(given) ~= "table" then usage("%s: %s is an object", from.path, where) end
  local own = { at_most = limit_of(from, where .. ".at_most", given.at_most or AT_MOST) }
  for key, value in pairs(given) do
    if not tables.contains(KEYS, key) then
      usage("%s: %s has no '%s'; %s", from.path, where, tostring(key), options.advice(key, KEYS))
    end
    if key ~= "at_most" then own[key] = argv_of(from, where .. "." .. key, value) end
  end
  for _, fault in ipairs(M.FAULTS) do
    if own[fault] and not own[M.UNDO[fault]] then
      usage("%s: %s has %s and no %s, which puts the server back", from.path, where, fault, M.UNDO[fault])
    end
  end
  return own
end

-- read(from, section) -> {kafka = {kill = argv, start = argv, ..., at_most = duration}, mysql =, redis =};
--   from: {path =, folder =} of the file. What is wrong raises USAGE.
function M.read(from, given)
  local faults = {}
  for part, section in pairs(given) do
    if not tables.contains(PARTS, part) then
      usage("%s: faults has no '%s'; %s", from.path, tostring(part), options.advice(part, PARTS))
    end
    faults[part] = of_part(from, part, section)
  end
  return faults
end

local WHOLE <const> = 8 -- a shorter secret may stand in a word by chance

local function holds(text, secret)
  return text == secret or #secret >= WHOLE and text:find(secret, 1, true) ~= nil
end

-- check(from, faults, secrets): no argument holds a secret, since anybody on the machine can read it there
function M.check(from, faults, secrets)
  for part, section in pairs(faults) do
    for key, argv in pairs(section) do
      for _, text in ipairs(key ~= "at_most" and argv or {}) do
        for _, secret in ipairs(secrets) do
          if holds(text, secret) then
            usage("%s: faults.%s.%s: an argument holds a secret of the file; let the driver read it itself",
              from.path, part, key)
          end
        end
      end
    end
  end
end

-- missing(faults, wanted) -> "faults.kafka.kill, ..." of what an experiment wants, {kafka = {"kill"}} | nil
function M.missing(faults, wanted)
  local list = {}
  for _, part in ipairs(tables.sorted_keys(wanted)) do
    for _, fault in ipairs(wanted[part]) do
      if not (faults[part] and faults[part][fault]) then
        list[#list + 1] = ("faults.%s.%s"):format(part, fault)
      end
    end
  end
  return list[1] and table.concat(list, ", ") or nil
end

-- ---- one call ----

-- filled(argv, about) -> argv with what {server}, {id}, ... stand for
function M.filled(argv, about)
  local own = {}
  for i, text in ipairs(argv) do
    own[i] = text:gsub("{(%l+)}", function(place) return tostring(about[place] or "") end)
  end
  return own
end

-- What the driver said last, as far as it may be told.
local function last_line(text, secrets)
  local line = ""
  for one in text:gmatch "[^\r\n]+" do
    if one:find "%S" then line = one end
  end
  for _, secret in ipairs(secrets) do
    local at, to = line:find(secret, 1, true)
    while at do
      line = line:sub(1, at - 1) .. "***" .. line:sub(to + 1)
      at, to = line:find(secret, at + 3, true)
    end
  end
  return (line:gsub("%c", " "):sub(1, LINE_MAX))
end

local function ended(status)
  return status.signal and "was ended by " .. status.signal or ("exited with %d"):format(status.code)
end

-- run(file, part, act, about) -> true | nil, why: the part's command for act ("kill", "start", ...) has
--   exited with 0. One that is not done in time is killed with all that it started. about: what the
--   placeholders stand for.
function M.run(file, part, act, about)
  local section = file.faults[part]
  local name = ("the driver faults.%s.%s"):format(part, act)
  local child <close>, failure = process.spawn { cmd = M.filled(section[act], about), cwd = file.folder,
    env = file.hidden, stdout = "capture", stderr = "stdout", max_output = OUTPUT_MAX }
  if not child then return nil, ("%s cannot be run: %s"):format(name, failure.message) end
  local status, late = child:wait(section.at_most)
  local line = last_line(child:output(), file.secrets)
  local said = line ~= "" and "; its last line: " .. line or "; it said nothing"
  if not status and late.name ~= "TIMEOUT" then error(late, 0) end
  if not status then return nil, ("%s was not done within %s%s"):format(name, section.at_most, said) end
  if status.code ~= 0 then return nil, ("%s %s%s"):format(name, ended(status), said) end
  return true
end

return M
