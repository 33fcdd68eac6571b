-- Slips of the pen that a scenario's text shows before anything starts: words of the lab, checks, arms,
-- roles, services, their options and failpoints that there are not. Only what is written out is looked at;
-- what is put together while the story runs is checked there.
local host = require "rlab.core_host"
local options = require "rlab.options"
local points = require "rlab.failpoint.points"
local tables = require "rlab.tables"
local tokens_of = require("rlab.experiment.tokens").list
local units = require "rlab.units"

local M = {}

local CLASSES = { "wrong", "right", "observe", "setup" }

-- Whether the words from there on are these; false stands for any.
local function reads(tokens, at, ...)
  for i, want in ipairs { ... } do
    local token = tokens[at + i - 1]
    if not token or want and token.text ~= want then return false end
  end
  return true
end

local function is(tokens, at, kind)
  return tokens[at] and tokens[at].kind == kind
end

-- A text that stands alone: one that is joined to something else says nothing yet.
local function is_text(tokens, at)
  return is(tokens, at, "string") and tokens[at + 1] and tokens[at + 1].text:find "^[,;})%]]$" ~= nil
end

local opens = { ["{"] = true, ["("] = true, ["["] = true }
local closes = { ["}"] = true, [")"] = true, ["]"] = true }

-- entries(tokens, at) -> f() -> the key's token and the place of its value, for the table that opens there;
--   keys that are computed are left out
local function entries(tokens, at)
  local i, depth = at, 0
  return function()
    while tokens[i] do
      local here, text = i, tokens[i].kind == "symbol" and tokens[i].text
      i = i + 1
      local starts = depth == 1 and (tokens[here - 1].text == "{" or tokens[here - 1].text == ",")
      if opens[text] then depth = depth + 1 end
      if closes[text] then depth = depth - 1 end
      if depth == 0 then return nil end
      if starts and is(tokens, here, "name") and reads(tokens, here + 1, "=") then
        return tokens[here], here + 2
      end
      if starts and text == "[" and is(tokens, here + 1, "string") and reads(tokens, here + 2, "]", "=") then
        return tokens[here + 1], here + 4
      end
    end
  end
end

-- ---- what there is ----

local function add_literals(text, list)
  local tokens = tokens_of(text)
  for at in ipairs(tokens) do
    local name_at = reads(tokens, at, "fail", ".", "point", "(") and at + 4
      or reads(tokens, at, "fail", ".", "point") and at + 3
    if name_at and is(tokens, name_at, "string") then list[#list + 1] = tokens[name_at].text end
  end
end

local function text_of(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local _ <close> = file
  return file:read "a"
end

-- points(text) -> the failpoints that this text names where it reaches them: fail.point("name", ...)
function M.points(text)
  local list = {}
  add_literals(text, list)
  return list
end

-- The failpoints that the scenario's own code reaches, that of the files it names and loads too.
local function own_points(tokens, text)
  local list = {}
  add_literals(text, list)
  for _, token in ipairs(tokens) do
    local word = token.kind == "string" and token.text or ""
    local found = word:find "%.lua$" and text_of(word)
      or word:find "^rlab%.[%w_.]+$" and host.embedded("lua/" .. word:gsub("%.", "/") .. ".lua")
    if found then add_literals(found, list) end
  end
  return list
end

-- ---- the rules: f(see, at) looks at the words from there on ----

local rules = {}

function rules.words_of_the_lab(see, at)
  if see.other_lab or not reads(see.tokens, at, "lab", ":") then return end
  local word = see.tokens[at + 2]
  local known = require("rlab.lab").methods
  if word and not known[word.text] then
    see.say(word, "the lab has no '%s'%s", word.text, options.hint(word.text, tables.sorted_keys(known)))
  end
end

local OUTCOMES = { "holds", "violated" }

-- The place behind the table that opens there.
local function behind(tokens, at)
  local depth = 0
  for i = at, #tokens do
    local text = tokens[i].kind == "symbol" and tokens[i].text
    if opens[text] then depth = depth + 1 end
    if closes[text] then depth = depth - 1 end
    if depth == 0 then return i + 1 end
  end
  return #tokens + 1
end

-- What a check is expected to say, of all arms or of some.
local function expected(see, at)
  local function outcome(place)
    local word = see.tokens[place]
    if is(see.tokens, place, "string") and not tables.contains(OUTCOMES, word.text) then
      see.say(word, "a check is expected as holds or violated; there is no outcome '%s'%s", word.text,
        options.hint(word.text, OUTCOMES))
    end
  end
  if reads(see.tokens, at, ")") then at = at + 1 end
  if not reads(see.tokens, at, ":", "expect") then return end
  local first = reads(see.tokens, at + 2, "(") and at + 3 or at + 2
  if not reads(see.tokens, first, "{") then return outcome(first) end
  for _, value in entries(see.tokens, first) do outcome(value) end
end

function rules.checks(see, at)
  if see.other_lab or not reads(see.tokens, at, "lab", ".", "check", ".") then return end
  local word, contracts = see.tokens[at + 4], require "rlab.check.contracts"
  if not word or word.text == "agree" then return end
  local contract = contracts[word.text]
  if not contract then
    local names = tables.append(tables.sorted_keys(contracts), { "agree" })
    return see.say(word, "there is no check '%s'%s", word.text, options.hint(word.text, names))
  end
  local table_at = reads(see.tokens, at + 5, "(") and at + 6 or at + 5
  if not reads(see.tokens, table_at, "{") then return end
  expected(see, behind(see.tokens, table_at))
  for key in entries(see.tokens, table_at) do
    if not tables.contains(contract.names, key.text) then
      see.say(key, "check.%s: unknown argument '%s'; %s", word.text, key.text,
        options.advice(key.text, contract.names))
    end
  end
end

function rules.expectations(see, at)
  local table_at = reads(see.tokens, at, ":", "expect", "{") and at + 2
    or reads(see.tokens, at, ":", "expect", "(", "{") and at + 3
  if not table_at then return end
  local known = tables.append(tables.append({}, CLASSES), tables.names_of(see.def.arms))
  for key in entries(see.tokens, table_at) do
    if not tables.contains(known, key.text) then
      see.say(key, "an expectation is for wrong, right, observe or an arm; there is no arm '%s'%s", key.text,
        options.hint(key.text, known))
    end
  end
end

local function armed(see, point, expr)
  local wrong = points.wrong(point.text, expr.text, nil, see.points)
  if wrong then see.say(expr, "%s", wrong) end
end

function rules.failpoints(see, at)
  local named = reads(see.tokens, at, "must_fire", "=", "{") or reads(see.tokens, at, "failpoints", "=", "{")
  for key, value in entries(see.tokens, named and at + 2 or #see.tokens + 1) do
    if is_text(see.tokens, value) then armed(see, key, see.tokens[value]) end
    if is(see.tokens, value, "number") then
      see.say(key, "failpoint %s: an expression is a text, such as '#1 kill'", key.text)
    end
  end
  if not reads(see.tokens, at, ":", "failpoint", "(") or not is_text(see.tokens, at + 3) then return end
  if reads(see.tokens, at + 4, ",") and is_text(see.tokens, at + 5) then
    local expr = see.tokens[at + 5]
    if expr.text ~= "off" then armed(see, see.tokens[at + 3], expr) end
  end
end

local SIGNALS = { "KILL", "TERM", "INT", "HUP", "QUIT", "ABRT", "SEGV", "BUS", "FPE", "ILL", "TRAP", "PIPE",
  "ALRM", "USR1", "USR2", "none" }

function rules.ends(see, at)
  if not reads(see.tokens, at, ":", "wait_exit") then return end
  local known = require("rlab.lab.children").ENDINGS
  for key, value in entries(see.tokens, reads(see.tokens, at + 2, "(") and at + 3 or at + 2) do
    local word = is_text(see.tokens, value) and see.tokens[value].text
    if not tables.contains(known, key.text) then
      see.say(key, "wait_exit has no '%s'; %s", key.text, options.advice(key.text, known))
    elseif key.text == "signal" and word and not tables.contains(SIGNALS, word) then
      see.say(key, "there is no signal '%s'%s", word, options.hint(word, SIGNALS))
    end
  end
end

-- at_most = "30s", timeout = "5s", role:expect("word", "30s")
function rules.durations(see, at)
  local place = (reads(see.tokens, at, "at_most", "=") or reads(see.tokens, at, "timeout", "=")) and at + 2
    or reads(see.tokens, at, ":", "expect", "(", false, ",") and at + 5
  if place and is_text(see.tokens, place) and not pcall(units.duration, see.tokens[place].text) then
    see.say(see.tokens[place], [['%s' is no duration; write "200ms", "5s" or "1m30s"]],
      see.tokens[place].text)
  end
end

function rules.roles(see, at)
  if see.other_lab or not reads(see.tokens, at, "lab", ":", "start", "(") then return end
  local name = see.tokens[at + 4]
  if not is_text(see.tokens, at + 4) or (see.def.roles or {})[name.text] then return end
  local roles = tables.sorted_keys(see.def.roles or {})
  local advice = options.advice(name.text, roles, not roles[1] and "it declares none" or nil)
  if tables.contains(require("rlab.service").names(), name.text) then
    advice = ('a service is started by lab:service "%s"'):format(name.text)
  end
  see.say(name, "%s has no role '%s'; %s", see.def.id, name.text, advice)
end

-- What lab:service takes besides the service's options.
local BESIDE = { "failpoints", "must_fire", "via_proxy" }

local function service_options(see, name, table_at)
  local known = require("rlab.service.options").all(require("rlab.service").load(name.text))
  for key in entries(see.tokens, table_at) do
    if tables.contains(BESIDE, key.text) then
      see.say(key, 'service %s: \'%s\' stands in the table behind the options: lab:service("%s", { ... }, \z
        { %s = ... })', name.text, key.text, name.text, key.text)
    elseif not known[key.text] then
      see.say(key, "service %s: no option '%s'%s", name.text, key.text,
        options.hint(key.text, tables.names_of(known)))
    end
  end
end

-- What is armed in a service by its start: a point of another one is never reached there.
local function service_points(see, name, call_at)
  local depth, i = 0, call_at
  repeat
    local text = see.tokens[i].kind == "symbol" and see.tokens[i].text
    if opens[text] then depth = depth + 1 end
    if closes[text] then depth = depth - 1 end
    local named = reads(see.tokens, i, "must_fire", "=", "{") or reads(see.tokens, i, "failpoints", "=", "{")
    for key in entries(see.tokens, named and i + 2 or #see.tokens + 1) do
      local wrong = points.unknown(key.text, name.text)
      if wrong and not points.unknown(key.text, nil, see.points) then see.say(key, "%s", wrong) end
    end
    i = i + 1
  until depth == 0 or not see.tokens[i]
end

function rules.services(see, at)
  if see.other_lab or not reads(see.tokens, at, "lab", ":", "service", "(") then return end
  local name = see.tokens[at + 4]
  if not is_text(see.tokens, at + 4) or name.text:find "%.lua$" then return end
  local names = require("rlab.service").names()
  if not tables.contains(names, name.text) then
    return see.say(name, "no service '%s'; %s", name.text, options.advice(name.text, names))
  end
  local handler = false
  if reads(see.tokens, at + 5, ",", "{") then
    service_options(see, name, at + 6)
    for key in entries(see.tokens, at + 6) do handler = handler or key.text == "handler" end
  end
  if not handler then service_points(see, name, at + 3) end
end

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then
  true until while]]):gmatch "%l+" do KEYWORDS[word] = true end

-- The names from there on that stand side by side, up to what is no name, comma or attribute.
local function add_names(tokens, at, set)
  while is(tokens, at, "name") and not KEYWORDS[tokens[at].text] or reads(tokens, at, ",")
    or reads(tokens, at, "<") or reads(tokens, at, ">") do
    if tokens[at].kind == "name" then set[tokens[at].text] = true end
    at = at + 1
  end
end

-- The names that the file makes itself: locals, parameters, loop variables and labels.
local function made_names(tokens)
  local set = { self = true, _ENV = true }
  for at, token in ipairs(tokens) do
    local word = token.kind == "name" and token.text
    if word == "local" then add_names(tokens, reads(tokens, at + 1, "function") and at + 2 or at + 1, set) end
    if word == "for" or word == "goto" then add_names(tokens, at + 1, set) end
    if word == "function" then
      local open = at + 1
      while tokens[open] and tokens[open].text ~= "(" do open = open + 1 end
      add_names(tokens, open + 1, set)
    end
  end
  return set
end

-- A name that is read and stands for itself: no field, no key, no label.
local function is_read(tokens, at)
  if not is(tokens, at, "name") or KEYWORDS[tokens[at].text] then return false end
  local before = tokens[at - 1] and tokens[at - 1].text
  if before == "." or before == ":" then return false end
  return not reads(tokens, at + 1, "=") or reads(tokens, at + 1, "=", "=")
end

function rules.names(see, at)
  if see.env_of_its_own or not is_read(see.tokens, at) then return end
  local word = see.tokens[at]
  if see.made[word.text] then return end
  local ok, wrong = pcall(function() return see.words[word.text] end)
  if not ok then see.say(word, "%s", (wrong:gsub("^.-: ", ""))) end
end

local RULES = tables.sorted_keys(rules)

-- A `lab` of the file's own is not the one that the story is given.
local function has_other_lab(tokens)
  for at in ipairs(tokens) do
    if reads(tokens, at, "local", "lab") then return true end
  end
  return false
end

-- find(def, source) -> list of {line =, text =} in the order of the lines; source: {path =, text =}
function M.find(def, source)
  local found, tokens = {}, tokens_of(source.text)
  local see = { def = def, tokens = tokens, other_lab = has_other_lab(tokens),
    points = own_points(tokens, source.text), made = made_names(tokens),
    words = require("rlab.experiment").environment(source) }
  for _, token in ipairs(tokens) do
    see.env_of_its_own = see.env_of_its_own or token.kind == "name" and token.text == "_ENV"
  end
  function see.say(token, fmt, ...)
    found[#found + 1] = { line = token.line, text = fmt:format(...) }
  end
  for at in ipairs(tokens) do
    for _, name in ipairs(RULES) do rules[name](see, at) end
  end
  table.sort(found, function(a, b) return a.line < b.line end)
  return found
end

return M
