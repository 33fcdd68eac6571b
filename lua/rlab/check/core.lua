-- What every check is made of: an outcome, one plain sentence, up to eight concrete counterexamples, and an
-- expectation.
-- Ids are lists, lists of rows with an id, or bags; a bag of ten million ids is never turned into a list.
local bag = require "rlab.bag"
local json = require "rlab.json"
local options = require "rlab.options"
local tables = require "rlab.tables"

local M = {}
local SHOWN = 8
local LISTED = 10000 -- more ids of a violation are counted and compared, not listed

local Check = {}
Check.__index = Check

-- bag_of(ids) -> bag
function M.bag_of(ids)
  if type(ids) == "userdata" then return ids end
  local b = bag.new {}
  for _, id in ipairs(ids or {}) do b:add(type(id) == "table" and id.id or tostring(id)) end
  return b
end
local bag_of = M.bag_of

-- ordered(rows) -> bag with the columns key and version, in the order of the rows
function M.ordered(rows)
  if type(rows) == "userdata" then return rows end
  local b = bag.new { columns = { "key", "version" } }
  for _, row in ipairs(rows) do b:add(row.id, row.key ~= nil and tostring(row.key) or nil, row.version) end
  return b
end

-- Words that end in s and stand for one; verbs, too.
local ONE = { address = true, always = true, as = true, bus = true, class = true, does = true, has = true,
  its = true, less = true, loss = true, process = true, status = true, this = true, was = true }

local function singular(word)
  if ONE[word] or word:find "[iu]s$" then return nil end
  return word:match "^(.+%a)ies$" and word:gsub("ies$", "y") or word:gsub("s$", "")
end

-- unit_for(1, "records sent again") -> "record sent again": the first word for many; ms or "of 1" stays
function M.unit_for(n, unit)
  if n ~= 1 then return unit end
  for from, word, past in unit:gmatch "%f[%a]()(%a%a+s)()%f[%A]" do
    local one = singular(word)
    if one then return unit:sub(1, from - 1) .. one .. unit:sub(past) end
  end
  return unit
end

function M.plural(n, word)
  return ("%d %s%s"):format(n, word, n == 1 and "" or "s")
end

-- The rows of `details` (records with an id) by id, so that a counterexample can name key, partition and
-- offset.
local function by_id(details)
  if type(details) == "userdata" then
    return setmetatable({}, { __index = function(_, id) return details:row(id) end })
  end
  local map = {}
  for _, row in ipairs(details or {}) do
    if type(row) == "table" and row.id then map[row.id] = map[row.id] or row end
  end
  return map
end

-- How a reader looks the record or the cached value up by hand, in a run that was kept.
local function show_command(row)
  if row.stored_as then return ("echo 'redis \"HGETALL %s\"' | rlab"):format(row.stored_as) end
  if not (row.topic and row.partition and row.offset) then return nil end
  return ("echo 'record(\"%s\", %d, %d)' | rlab"):format(row.topic, row.partition, row.offset)
end

-- examples(ids, details) -> list for counterexamples, how many more there are
function M.examples(ids, details, total)
  local map, list = by_id(details), {}
  for i = 1, math.min(#ids, SHOWN) do
    local row = map[ids[i]] or {}
    list[i] = { id = ids[i], key = row.key ~= json.null and row.key or nil, partition = row.partition,
      offset = row.offset, note = row.note, stores = row.stores,
      show = show_command(row) }
  end
  return list, math.max(0, (total or #ids) - SHOWN)
end

-- add(lab, name, {outcome=, sentence=, ...}) -> check
function M.add(lab, name, fields)
  fields.name, fields.arm = name, lab.label or "setup"
  fields.counterexamples = fields.counterexamples or {}
  fields.more = fields.more or 0
  local check = setmetatable(fields, Check)
  check.class, check.arm_names = lab.arm and lab.arm.class or "right", lab.arm_names or { lab.label }
  lab.checks[#lab.checks + 1] = check
  return check
end

-- inconclusive(lab, name, fmt, ...) -> check; the reason names it, as it stands for the whole arm
function M.inconclusive(lab, name, fmt, ...)
  local sentence = fmt:format(...)
  return M.add(lab, name, { outcome = "inconclusive", sentence = sentence,
    reason = name .. ": " .. sentence })
end

-- A value that nobody measured proves nothing, whatever it is compared with.
function M.unmeasured(lab, name, what)
  return M.inconclusive(lab, name, "%s was not measured", what or "the value")
end

-- A check over a set of ids that must be empty. `some` is a format with the number of them. Options:
-- details, word = "record", aside = number of ids that were left out because nobody knows how they ended,
-- stores = what each of them holds of one that is as it must be.
function M.empty_set(lab, name, set, none, some, opts)
  opts = opts or {}
  local total = type(set) == "userdata" and #set:distinct() or #set
  local ids = type(set) == "userdata" and set:ids(LISTED) or set
  if #ids < LISTED then table.sort(ids) end
  local shown, more = M.examples(ids, opts.details, total)
  local sentence = total == 0 and none or some:format(M.plural(total, opts.word or "record"))
  if (opts.aside or 0) > 0 then
    sentence = ("%s (%d of unknown outcome left out)"):format(sentence, opts.aside)
  end
  return M.add(lab, name, { outcome = total == 0 and "holds" or "violated", ids = ids,
    set = type(set) == "userdata" and set or nil, stores = opts.stores,
    counterexamples = shown, more = more, sentence = sentence })
end

-- ---- expectations ----

local function expect_words(want)
  if want == "holds" or want == "violated" then return want end
  if type(want) == "number" then return want == 0 and "holds" or ("violated by exactly %s"):format(want) end
  if type(want) == "table" then
    return #want == 0 and "holds" or ("violated by exactly %s"):format(M.plural(#want, "id"))
  end
  error("an expectation is \"holds\", \"violated\", a list of ids or a number", 3)
end

local function same_ids(a, b)
  local x, y = bag_of(a), bag_of(b)
  return #(x - y) == 0 and #(y - x) == 0
end

local function is_map(want)
  return type(want) == "table" and #want == 0 and next(want) ~= nil
end

local function agrees(check, want)
  if type(want) == "number" then return check.outcome ~= "inconclusive" and check.value == want end
  if type(want) == "table" and #want > 0 then
    return check.outcome == "violated" and same_ids(check.set or check.ids or {}, want)
  end
  return check.outcome == (type(want) == "table" and "holds" or want)
end

local CLASSES = { "wrong", "right", "observe", "setup" }

-- What is said to an arm that there is not would leave its own arm unjudged.
local function known_keys(want, arms)
  for key in pairs(want) do
    if not tables.contains(CLASSES, key) and not tables.contains(arms, key) then
      error(("an expectation is for wrong, right, observe or an arm; there is no arm '%s'%s"):format(
        tostring(key), options.hint(key, tables.append(tables.append({}, CLASSES), arms))), 4)
    end
  end
end

-- expect "holds" | "violated" | {ids} | number | { wrong = ..., right = ..., observe = ..., ["arm name"] =
-- ... }
function Check:expect(want)
  if is_map(want) then
    known_keys(want, self.arm_names)
    local own = want[self.arm]
    if own == nil then own = want[self.class] end
    if own == nil then return self end
    want = own
  end
  self.expects = expect_words(want)
  self.as_expected = agrees(self, want)
  return self
end

-- explained_by(window, lost) -> the check. Where it is not as expected, only what was lost within the window
-- {from, to} (seconds of the arm) explains it, by about so many seconds where it is no time itself
-- (rlab.run.disturbance). Without a window nothing is known of what was lost in it.
function Check:explained_by(window, lost)
  self.limit_s, self.over_s, self.window = lost or self.limit_s, lost or self.over_s, window
  if not (tonumber(window and window.from) and tonumber(window.to)) then
    self.outcome, self.as_expected, self.window = "inconclusive", false, nil
    self.sentence = "when it was measured is not known"
    self.reason = ("%s: %s"):format(self.name, self.sentence)
  end
  return self
end

return M
