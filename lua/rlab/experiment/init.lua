-- The experiment DSL: what a scenario file may say, checked when it is loaded, with the file's own names in
-- every complaint.
local confine = require "rlab.experiment.confine"
local err = require "rlab.err"
local host = require "rlab.core_host"
local prose = require "rlab.experiment.prose"
local options = require "rlab.options"
local script = require "rlab.experiment.script"
local tables = require "rlab.tables"
local units = require "rlab.units"

local M = {}

local Experiment = {}
Experiment.__index = Experiment

local keys = {
  id = "string", title = "string", question = "string", claim = "string", lesson = "string",
  needs = "table", arms = "table",
  roles = "table", options = "table", owes = "table",
  setup = "function", run = "function", checks = "function", verdict = "function", moment = "function",
  limit = "string", why = "table", production = "table",
  references = "table", telling = "table", disrupts = "boolean or table", seconds = "number",
  faults = "table",
  undisturbed = "boolean", abort_if = "table", side_by_side = "boolean or number or string or table",
  own_servers = "table",
}
local required = { "id", "title", "claim", "arms", "run", "checks" }
local known_needs = { "kafka", "mysql", "redis", "redis-cluster", "registry", "proxy", "partition" }

local script_error = script.fail

-- "file:line" of the field in the source, so that a complaint can be clicked
local function place(source, key)
  local line = 1
  for text in (source.text .. "\n"):gmatch "(.-)\n" do
    if text:find("%f[%w_]" .. key:gsub("%W", "%%%0") .. "%f[^%w_]%s*=") then
      return ("%s:%d"):format(source.path, line)
    end
    line = line + 1
  end
  return source.path
end

local function check_keys(def, source)
  for key, value in pairs(def) do
    local want, where = keys[key], place(source, tostring(key))
    if not want then
      script_error("%s: an experiment has no '%s'%s", where, tostring(key),
        options.hint(key, tables.sorted_keys(keys)))
    end
    if not want:find(type(value), 1, true) then
      script_error("%s: '%s' must be a %s, it is a %s", where, key, want, type(value))
    end
  end
  for _, key in ipairs(required) do
    if def[key] == nil then script_error("%s: an experiment needs '%s'", source.path, key) end
  end
end

local settable = { string = true, number = true, boolean = true, table = true }

local function check_arms(def, where)
  local seen = {}
  for i, arm in ipairs(def.arms) do
    if type(arm) ~= "table" or not arm.class then
      script_error("%s: arm %d is no arm; write wrong \"name\" { settings }", where, i)
    end
    if seen[arm.name] then script_error("%s: two arms are called '%s'", where, arm.name) end
    seen[arm.name] = true
    for name, value in pairs(arm.settings) do
      if not settable[type(value)] then
        script_error("%s: arm '%s': '%s' is a %s; a setting is written down with the run: a text, a number, \z
          true, false or a table of these", where, arm.name, tostring(name), type(value))
      end
    end
  end
  if #def.arms == 0 then script_error("%s: an experiment needs at least one arm", where) end
end

local function check_needs(def, where)
  for _, need in ipairs(def.needs) do
    if not tables.contains(known_needs, need) then
      script_error("%s: nothing here is called '%s'%s; needs are %s", where, tostring(need),
        options.hint(need, known_needs), table.concat(known_needs, ", "))
    end
  end
end

local function check_limit(def, where)
  if def.limit and not pcall(units.duration, def.limit) then
    script_error("%s: limit: '%s' is no duration; write \"90s\" or \"3m\"", where, def.limit)
  end
end

-- What is disrupted is the run's own.
local function check_disrupts(def, where)
  for _, part in ipairs(type(def.disrupts) == "table" and def.disrupts or {}) do
    if not tables.contains(def.needs, part) then
      script_error("%s: it disrupts '%s' and does not need it%s", where, tostring(part),
        options.hint(part, def.needs))
    end
  end
end

-- The faults are of what it disrupts: on an external stack a driver does each, and nothing else is hurt.
local function check_faults(def, where)
  local known = require("rlab.stack.external.drivers").FAULTS
  for part, list in pairs(def.faults or {}) do
    local whole = def.disrupts == true and tables.contains(def.needs, part)
    if not (whole or tables.contains(type(def.disrupts) == "table" and def.disrupts or {}, part)) then
      script_error("%s: faults of '%s', which it does not disrupt", where, tostring(part))
    end
    for _, fault in ipairs(type(list) == "table" and list or { list }) do
      if not tables.contains(known, fault) then
        script_error("%s: no fault '%s'; %s", where, tostring(fault), options.advice(fault, known))
      end
    end
    if type(list) ~= "table" then
      script_error('%s: write faults = { %s = { "%s" } }', where, tostring(part), tostring(list))
    end
  end
end

local function check_abort_if(def, where)
  local _, wrong = require("rlab.run.abort").all(def.abort_if or {})
  if wrong then script_error("%s: abort_if: %s", where, wrong) end
end

-- Brokers that can be parted are restarted for it: nobody else may work on the stack meanwhile.
local function check_partition(def, where)
  for _, need in ipairs(def.needs) do
    if need == "partition" and def.disrupts ~= true then
      script_error(
        '%s: "partition" restarts the brokers: say disrupts = true, so that the run has the stack alone',
        where)
    end
  end
end

local function check_names_arms(def, list, key, where)
  local names = tables.names_of(def.arms)
  for _, name in ipairs(list) do
    if not tables.contains(names, name) then
      script_error("%s: %s: there is no arm '%s'%s", where, key, tostring(name), options.hint(name, names))
    end
  end
end

-- A setting by which arms run side by side is each arm's; a group names arms.
local function check_side_by_side(def, where)
  for _, group in ipairs(type(def.side_by_side) == "table" and def.side_by_side or {}) do
    check_names_arms(def, group, "side_by_side", where)
  end
  for _, arm in ipairs(type(def.side_by_side) == "string" and def.arms or {}) do
    if arm.settings[def.side_by_side] == nil then
      script_error("%s: arms run beside those of the same '%s', and '%s' has none", where, def.side_by_side,
        arm.name)
    end
  end
end

-- Debts are expected by class or arm, as checks are; there are no ids in them.
local function check_owes(def, where)
  local names = { "wrong", "right", "observe" }
  for _, arm in ipairs(def.arms) do names[#names + 1] = arm.name end
  for name, want in pairs(def.owes) do
    for who, word in pairs(type(want) == "table" and want or { right = want }) do
      if not tables.contains(names, who) then
        script_error("%s: owes.%s: there is no arm '%s'%s", where, name, tostring(who),
          options.hint(who, names))
      end
      if word ~= "holds" and word ~= "violated" then
        script_error('%s: owes.%s: a debt is expected as "holds" or "violated"', where, name)
      end
    end
  end
end

-- What the report shows first: sources of numbers, and what a reader calls them.
local function check_telling(def, where)
  for i, quantity in ipairs(def.telling or {}) do
    if type(quantity) ~= "table" or type(quantity[1]) ~= "string" or type(quantity[2]) ~= "string" then
      script_error('%s: telling, %d: write { "a series, check or number", "what it is called" }', where, i)
    end
    local shown = quantity[4]
    if (shown or "") ~= "" and not tables.contains({ "most", "none", "for", "then" }, shown) then
      script_error('%s: telling, %d: its fourth word is "most", "none", "for" or "then", not %s', where, i,
        tostring(shown))
    end
    if quantity[5] ~= nil and type(quantity[5]) ~= "string" then
      script_error("%s: telling, %d: its fifth word is the name of a check", where, i)
    end
  end
end

-- experiment { ... } -> Experiment; `source` is {path=, text=}
local function make(def, source)
  if type(def) ~= "table" then script_error("%s: experiment takes a table", source.path) end
  check_keys(def, source)
  check_arms(def, place(source, "arms"))
  check_limit(def, place(source, "limit"))
  def.owes = def.owes or {}
  check_owes(def, place(source, "owes"))
  def.needs = def.needs or { "kafka" }
  check_needs(def, place(source, "needs"))
  check_partition(def, place(source, "needs"))
  check_disrupts(def, place(source, "disrupts"))
  check_faults(def, place(source, "faults"))
  check_side_by_side(def, place(source, "side_by_side"))
  check_names_arms(def, def.own_servers or {}, "own_servers", place(source, "own_servers"))
  check_telling(def, place(source, "telling"))
  check_abort_if(def, place(source, "abort_if"))
  return setmetatable(def, Experiment)
end

local function arm_of(class)
  return function(name)
    if type(name) ~= "string" then
      error(class .. " takes a name: " .. class .. ' "commit-first" { settings }', 2)
    end
    return function(settings)
      if type(settings) ~= "table" then error(class .. ' "' .. name .. '" takes its settings: {}', 2) end
      local says = settings.says
      settings.says = nil
      return { class = class, name = name, settings = settings, says = says }
    end
  end
end

M.wrong, M.right, M.observe = arm_of "wrong", arm_of "right", arm_of "observe"

function Experiment:arm(name)
  for _, arm in ipairs(self.arms) do
    if arm.name == name then return arm end
  end
end

local modules = { "bag", "clock", "fail", "fs", "hdr", "http", "json", "kafka", "log", "must", "mysql",
  "null", "process", "redis", "rng",
  "task", "units", "uuid" }

local function known_words(...)
  local words = {}
  for _, set in ipairs { _G, ... } do tables.append(words, tables.sorted_keys(set)) end
  return words
end

-- The names a scenario sees besides Lua's own. Modules are loaded when they are first used; globals cannot
-- be set.
function M.environment(source)
  local own = { experiment = function(def) return make(def, source) end, wrong = M.wrong, right = M.right,
    observe = M.observe }
  local lazy, env = {}, {}
  for _, name in ipairs(modules) do lazy[name] = true end
  local lua = confine.words(env)
  return setmetatable(env, {
    __index = function(_, name)
      if own[name] then return own[name] end
      if lua[name] then return lua[name] end
      if lazy[name] then return require("rlab." .. name) end
      local value = _G[name]
      if value ~= nil then return value end
      error(("'%s' is not known%s"):format(tostring(name), options.hint(name, known_words(own, lazy))), 2)
    end,
    __newindex = function(_, name)
      error(("'%s' would be a global; write 'local %s = ...'"):format(name, name), 2)
    end,
  })
end

-- What is part of rlab is that, whatever lies in the current directory.
local function source_of(path)
  local embedded = host.embedded(path)
  if embedded then return embedded end
  local file = io.open(path, "rb")
  if not file then return nil end
  local _ <close> = file
  return file:read "a"
end

-- The prose is the file's own, or that of the experiment's page (rlab.experiment.prose).
local function add_prose(exp)
  exp.page = prose.places(exp.path)[1]
  if exp.why or exp.production or exp.references then return end
  for _, page in ipairs(prose.places(exp.path)) do
    local text = source_of(page)
    local found = text and prose.parse(text, page, exp.id)
    if found then
      exp.page, exp.why, exp.production, exp.references = page, found.why, found.production,
        found.references
      return
    end
  end
end

-- All of them at once: who mends one does not want to run for the next.
local function tell_slips(exp, source)
  local lines = {}
  for i, slip in ipairs(require("rlab.experiment.slips").find(exp, source)) do
    lines[i] = ("%s:%d: %s"):format(source.path, slip.line, slip.text)
  end
  if #lines > 0 then script_error("%s", table.concat(lines, "\n")) end
end

local function run_chunk(path, text, env)
  local chunk, failure = script.load(text, path, env)
  if not chunk then script_error("%s", failure) end
  local ok, found = xpcall(chunk, script.traced)
  if not ok then error(script.error(found, path), 0) end
  if getmetatable(found) ~= Experiment then
    script_error("%s: the file must return experiment { ... }", path)
  end
  found.path = path
  return found
end

-- text(path) -> of the file, which is rlab's own where it is part of it
function M.text(path) return host.embedded(path) or script.bytes(path) end

-- load(path [, known]) -> Experiment; raises a SCRIPT error that names file and line. known: its text was
--   looked at by the run that this process belongs to.
function M.load(path, known)
  local text = M.text(path)
  local found = run_chunk(path, text, M.environment { path = path, text = text })
  if not known then tell_slips(found, { path = path, text = text }) end
  add_prose(found)
  return found
end

-- peek(path) -> Experiment to be told of, not run: a file that is no part of rlab is read in an environment
--   in which it can do nothing
function M.peek(path)
  if host.embedded(path) then return M.load(path, true) end
  local text = M.text(path)
  local source = { path = path, text = text }
  local found = confine.at_most(run_chunk, path, text, confine.bare {
    experiment = function(def) return make(def, source) end,
    wrong = M.wrong, right = M.right, observe = M.observe })
  add_prose(found)
  return found
end

-- ---- where they are ----

-- folder() -> where the user's own scenarios lie: RLAB_SCENARIOS, or ./scenarios
function M.folder()
  local given = os.getenv "RLAB_SCENARIOS"
  return given and given ~= "" and given or "scenarios"
end

-- names() -> sorted paths of the experiments that are part of rlab
function M.names()
  local list = {}
  for _, name in ipairs(host.embedded_names "experiments/") do list[#list + 1] = name end
  table.sort(list)
  return list
end

-- scenarios() -> sorted paths of the user's own
function M.scenarios()
  local list = {}
  for _, entry in ipairs(require("rlab.fs").list(M.folder()) or {}) do
    local name = type(entry) == "table" and entry.name or entry
    if name:match "%.lua$" then list[#list + 1] = M.folder() .. "/" .. name end
  end
  table.sort(list)
  return list
end

-- word(path) -> what finds it: its name where it is listed, else the path
function M.word(path)
  local name = path:match "([^/]+)%.lua$" or path
  local found, listed = pcall(M.find, name)
  return found and listed == path and name or path
end

-- A path that somebody names is what lies there: "./" keeps an edited file apart from the one of its name
-- that is part of rlab.
local function named(path, say)
  local embedded = host.embedded(path)
  if not embedded or not require("rlab.fs").exists(path) then return path end
  if script.bytes(path) == embedded then return path end
  if say then
    say(("%s of this folder is read; it is not the text of %s in rlab"):format(path,
      path:match "([^/]+)%.lua$"))
  end
  return "./" .. path
end

-- find(word [, say]) -> path: "E-012" or "e-012", where what is part of rlab wins over the user's own, or
--   a path; say(line) is told when a file there is read instead of the one in rlab
function M.find(word, say)
  if word:match "%.lua$" then return named(word, say) end
  local id, known = word:upper(), {}
  for _, list in ipairs { M.names(), M.scenarios() } do
    for _, path in ipairs(list) do
      local name = path:match "([^/]+)%.lua$":upper()
      if name == id then return path end
      known[#known + 1] = name
    end
  end
  local near = units.nearest(id, known)
  error(err.new { domain = "rlab", code = 0, name = "USAGE",
    message = ("there is no experiment %s; %s"):format(word,
      near and "did you mean " .. near .. "?" or "rlab list shows them") }, 0)
end

return M
