-- Checks: each compares sets or numbers that the census read, and says holds, violated or inconclusive, one plain sentence, and up to eight
-- concrete counterexamples. They work on plain values, so `rlab check DIR` can judge a stored run again.
local bag = require "rlab.bag"
local json = require "rlab.json"

local M = {}
local SHOWN = 8

local Check = {}
Check.__index = Check

local function bag_of(ids)
  if type(ids) == "userdata" then return ids end
  local b = bag.new {}
  for _, id in ipairs(ids) do b:add(type(id) == "table" and id.id or tostring(id)) end
  return b
end

local function plural(n, word)
  return ("%d %s%s"):format(n, word, n == 1 and "" or "s")
end

-- The rows of `details` (records with an id) by id, so that a counterexample can name key, partition and offset.
local function by_id(details)
  local map = {}
  for _, row in ipairs(details or {}) do
    if type(row) == "table" and row.id then map[row.id] = map[row.id] or row end
  end
  return map
end

-- How a reader looks the record up by hand, in a run whose topics were kept.
local function show_command(row)
  if not (row.topic and row.partition and row.offset) then return nil end
  return ("echo 'record(\"%s\", %d, %d)' | rlab"):format(row.topic, row.partition, row.offset)
end

local function examples(ids, details)
  local map, list = by_id(details), {}
  for i = 1, math.min(#ids, SHOWN) do
    local row = map[ids[i]] or {}
    list[i] = { id = ids[i], key = row.key, partition = row.partition, offset = row.offset, note = row.note, show = show_command(row) }
  end
  return list, math.max(0, #ids - SHOWN)
end

local function add(lab, name, fields)
  fields.name, fields.arm = name, lab.label or "setup"
  fields.counterexamples = fields.counterexamples or {}
  fields.more = fields.more or 0
  local check = setmetatable(fields, Check)
  check.class = lab.arm and lab.arm.class or "right"
  lab.checks[#lab.checks + 1] = check
  return check
end

-- A value that nobody measured proves nothing, whatever it is compared with.
local function unmeasured(lab, name, what)
  local sentence = ("%s: %s was not measured"):format(name, what or "the value")
  return add(lab, name, { outcome = "inconclusive", sentence = sentence, reason = sentence })
end

-- A check over a set of ids that must be empty.
local function empty_set(lab, name, set, details, none, some)
  local ids = set:ids()
  table.sort(ids)
  local shown, more = examples(ids, details)
  return add(lab, name, {
    outcome = #ids == 0 and "holds" or "violated", ids = ids, counterexamples = shown, more = more,
    sentence = #ids == 0 and none or some:format(plural(#ids, "record")),
  })
end

local function expect_words(want)
  if want == "holds" or want == "violated" then return want end
  if type(want) == "table" then return #want == 0 and "holds" or ("violated by exactly %d ids"):format(#want) end
  error("an expectation is \"holds\", \"violated\" or a list of ids", 3)
end

local function same_ids(a, b)
  local x, y = bag_of(a), bag_of(b)
  return #(x - y) == 0 and #(y - x) == 0
end

-- expect "holds" | "violated" | {ids} | { wrong = ..., right = ..., observe = ..., ["arm name"] = ... }
function Check:expect(want)
  if type(want) == "table" and (#want == 0 and next(want) ~= nil) then
    want = want[self.arm] or want[self.class]
    if want == nil then return self end
  end
  self.expects = expect_words(want)
  if type(want) == "table" and #want > 0 then
    self.as_expected = self.outcome == "violated" and same_ids(self.ids or {}, want)
  else
    self.as_expected = self.outcome == (type(want) == "table" and "holds" or want)
  end
  return self
end

local checkers = {}

-- lost{of = acked ids, in_ = ids in the log}: of - in_ must be empty
function checkers.lost(lab, a)
  return empty_set(lab, a.name or "lost", bag_of(a.of) - bag_of(a.in_), a.details or a.of, "nothing is lost", "%s acknowledged and gone")
end

-- unseen{of = acked ids, seen = ids returned to this reader}
function checkers.unseen(lab, a)
  return empty_set(lab, a.name or "unseen", bag_of(a.of) - bag_of(a.seen), a.details or a.of, "every acknowledged record was seen",
    "%s in the log, not returned to this reader")
end

-- phantom{of = ids in the log or applied, in_ = ids that the ledger knows}
function checkers.phantom(lab, a)
  return empty_set(lab, a.name or "phantom", bag_of(a.of) - bag_of(a.in_), a.details or a.of, "nothing appears without a cause",
    "%s without a cause")
end

-- aborted_read{aborted = ids of aborted transactions, of = ids delivered or applied}
function checkers.aborted_read(lab, a)
  return empty_set(lab, a.name or "aborted-read", bag_of(a.aborted) & bag_of(a.of), a.details or a.of, "no aborted record was delivered",
    "%s of aborted transactions delivered")
end

-- duplicate{of = ids}: no id more than once
function checkers.duplicate(lab, a)
  local twice = bag.new {}
  for _, id in ipairs(bag_of(a.of):duplicates()) do twice:add(type(id) == "table" and id.id or id) end
  return empty_set(lab, a.name or "duplicate", twice, a.details or a.of, "no id appears twice", "%s more than once")
end

-- gap{offsets = offsets that were passed and never delivered}
function checkers.gap(lab, a)
  local ids = {}
  for i, offset in ipairs(a.offsets) do ids[i] = tostring(offset) end
  local shown = {}
  for i = 1, math.min(#ids, SHOWN) do shown[i] = { id = ids[i], partition = a.partition or 0, offset = a.offsets[i], note = a.note } end
  return add(lab, "gap", {
    outcome = #ids == 0 and "holds" or "violated", ids = ids, counterexamples = shown, more = math.max(0, #ids - SHOWN),
    sentence = #ids == 0 and "every offset was delivered" or ("%d offsets passed without a record"):format(#ids),
  })
end

-- equals{name =, got =, want =, what = "records"}: two numbers or words that must agree
function checkers.equals(lab, a)
  if a.got == nil or a.want == nil then return unmeasured(lab, a.name, a.what) end
  local same, got = a.got == a.want, tostring(a.got) .. (a.what and " " .. a.what or "")
  return add(lab, a.name, {
    value = type(a.got) == "number" and a.got or nil,
    outcome = same and "holds" or "violated",
    sentence = same and got .. ", as it must be" or ("%s, it must be %s"):format(got, tostring(a.want)),
    counterexamples = same and {} or { { id = a.name, note = ("got %s, want %s"):format(tostring(a.got), tostring(a.want)) } },
  })
end

-- conservation{ledger = sum, view = sum, unit = "cents"}
function checkers.conservation(lab, a)
  if a.view == nil or a.ledger == nil then return unmeasured(lab, "conservation", "the sum") end
  local off = a.view - a.ledger
  return add(lab, "conservation", {
    value = off, unit = a.unit,
    outcome = off == 0 and "holds" or "violated",
    sentence = off == 0 and ("ledger and view agree on %s"):format(tostring(a.ledger))
      or ("the view is off by %+d %s"):format(off, a.unit or ""),
    counterexamples = off == 0 and {} or { { id = "sum", note = ("ledger %s, view %s"):format(tostring(a.ledger), tostring(a.view)) } },
  })
end

-- bound{name =, value =, at_least =, at_most =, unit =, what =}
function checkers.bound(lab, a)
  if a.value == nil then return unmeasured(lab, a.name, a.what) end
  local low, high = a.at_least or -math.huge, a.at_most or math.huge
  local limit = a.at_most and ("at most %s"):format(a.at_most) or ("at least %s"):format(tostring(a.at_least))
  local value = math.type(a.value) == "float" and ("%.2f"):format(a.value) or tostring(a.value)
  local inside = a.value >= low and a.value <= high
  return add(lab, a.name, {
    outcome = inside and "holds" or "violated", bound = limit, value = a.value, unit = a.unit,
    sentence = ("%s%s%s, limit %s"):format(a.what and a.what .. " " or "", value, a.unit and " " .. a.unit or "", limit),
    counterexamples = inside and {} or { { id = a.name, note = value } },
  })
end

-- The ids of `a` that `b` has less often, one for each missing copy. A bag's own minus takes all copies away.
local function short_of(a, b)
  local list = {}
  for _, id in ipairs(a:ids()) do
    for _ = 1, a:count(id) - b:count(id) do list[#list + 1] = id end
  end
  return list
end

-- same{name =, got = ids, want = ids}: the two multisets are equal
function checkers.same(lab, a)
  local got, want = bag_of(a.got), bag_of(a.want)
  local missing, extra = short_of(want, got), short_of(got, want)
  local ids = bag_of(missing):ids()
  for _, id in ipairs(extra) do ids[#ids + 1] = id end
  ids = bag_of(ids):ids()
  table.sort(ids)
  local shown, more = examples(ids, a.details)
  return add(lab, a.name, {
    outcome = #ids == 0 and "holds" or "violated", ids = ids, counterexamples = shown, more = more,
    sentence = #ids == 0 and ("exactly the %d %s"):format(#want, a.what or "ids")
      or ("%d missing, %d too many of %d %s"):format(#missing, #extra, #want, a.what or "ids"),
  })
end

-- custom(name, fn): fn() -> ok, sentence, counterexamples; for a scenario's own check. ok = nil means inconclusive.
function checkers.custom(lab, name, fn)
  local ok, sentence, found = fn()
  return add(lab, name, {
    outcome = ok and "holds" or ok == nil and "inconclusive" or "violated", sentence = sentence or name, counterexamples = found,
    reason = ok == nil and sentence or nil,
  })
end

-- bind(lab) -> the table behind lab.check: lab.check.lost{...}:expect{...}
function M.bind(lab)
  return setmetatable({}, {
    __index = function(_, name)
      local checker = checkers[name]
      if not checker then
        local names = {}
        for known in pairs(checkers) do names[#names + 1] = known end
        local near = require("rlab.units").nearest(name, names)
        error(("there is no check '%s'%s"):format(tostring(name), near and (", did you mean '" .. near .. "'?") or ""), 2)
      end
      return function(...) return checker(lab, ...) end
    end,
  })
end

-- plain(check) -> the row that result.json keeps
function M.plain(check)
  return {
    arm = check.arm, name = check.name, outcome = check.outcome, expect = check.expects or "measured", as_expected = check.as_expected,
    sentence = check.sentence, reason = check.reason, value = check.value, unit = check.unit,
    counterexamples = json.array(check.counterexamples), more = check.more,
  }
end

return M
