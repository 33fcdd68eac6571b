-- Schemas that change: six changes of one Avro record, what each compatibility mode says to them, and the
-- producer who registers before it writes.
local json = require "rlab.json"
local must = require "rlab.must"

local M = {}

-- ---- the record and its changes ----

local function field(name, of, default)
  return { name = name, type = of, default = default }
end

local ID, VERSION, AMOUNT = field("account_id", "long"), field("version", "long"), field("amount", "long")
local NOTE, CUR = field("note", "string"), field("cur", "string")

local function record(...)
  return { type = "record", name = "Entry", fields = { ID, VERSION, ... } }
end

-- The versions of each change, in their order; the last one is judged.
M.changes = {
  ["add with default"] = { record(AMOUNT, NOTE), record(AMOUNT, NOTE, field("cur", "string", "EUR")) },
  ["add without default"] = { record(AMOUNT, NOTE), record(AMOUNT, NOTE, CUR) },
  ["remove without default"] = { record(AMOUNT, NOTE), record(AMOUNT) },
  ["long to string"] = { record(AMOUNT, NOTE), record(field("amount", "string"), NOTE) },
  ["default came and went"] = { record(AMOUNT), record(AMOUNT, field("cur", "string", "EUR")),
    record(AMOUNT, CUR) },
  ["default, then removed"] = { record(AMOUNT, NOTE), record(AMOUNT, field("note", "string", "-")),
    record(AMOUNT) },
  renamed = { record(AMOUNT, NOTE), record(field("amount_minor", "long"), CUR) },
  ["cents to units"] = { record(AMOUNT, NOTE), record(AMOUNT, NOTE) },
}
M.names = { "add with default", "add without default", "remove without default", "long to string",
  "default came and went", "default, then removed" }
M.modes = { "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL",
  "FULL_TRANSITIVE" }

-- What a mode refuses, of the six.
local refuses = {
  NONE = {},
  BACKWARD = { "add without default", "long to string" },
  BACKWARD_TRANSITIVE = { "add without default", "long to string", "default came and went" },
  FORWARD = { "remove without default", "long to string" },
  FORWARD_TRANSITIVE = { "remove without default", "long to string", "default, then removed" },
  FULL = { "add without default", "remove without default", "long to string" },
  FULL_TRANSITIVE = { "add without default", "remove without default", "long to string",
    "default came and went", "default, then removed" },
}

-- text(change, version) -> the schema in Avro's JSON
function M.text(change, version)
  return json.encode(M.changes[change][version])
end

-- value(change, version, event) -> the event in the fields of that version; as_units: the amount in units
function M.value(change, version, event, as_units)
  local all = { account_id = event.account, version = event.version, note = "-", cur = "EUR",
    amount = as_units and event.amount // 100 or event.amount, amount_minor = event.amount }
  local value = {}
  for _, one in ipairs(M.changes[change][version].fields) do
    value[one.name] = one.type == "string" and tostring(all[one.name]) or all[one.name]
  end
  return value
end

-- ---- registering ----

-- register(registry, subject, text) -> status, id: 200, or the status of the refusal
function M.register(registry, subject, text)
  local id, failure = registry:register(subject, text)
  if id then return 200, id end
  if failure.domain ~= "registry" then error(failure, 0) end
  return failure.code
end

-- propose(registry, subject, mode, change) -> mode as it is read back, list of {status, id} by version: a
--   fresh subject. The mode is set behind the first version: Apicurio knows no NONE of a subject without one.
function M.propose(registry, subject, mode, change)
  local asked, back = {}, nil
  for version = 1, #M.changes[change] do
    local status, id = M.register(registry, subject, M.text(change, version))
    asked[version] = { status = status, id = id }
    back = back or must(registry:mode(subject, mode))
  end
  return back, asked
end

-- grid(lab) -> cells {mode, change, status} of all modes and changes, by 42 subjects of their own
function M.grid(lab)
  local registry, cells = lab:registry(), {}
  for m, mode in ipairs(M.modes) do
    for c, change in ipairs(M.names) do
      local subject = lab:name(("grid-%d-%d"):format(m, c))
      local back, asked = M.propose(registry, subject, mode, change)
      cells[#cells + 1] = { mode = back, change = change, subject = subject, status = asked[#asked].status }
    end
  end
  return cells
end

local function words(mode, change, status)
  return ("%s, %s: %s"):format(mode, change, status)
end

-- seen(cells), wanted() -> "MODE, change: status" of each cell, as it is and as it is to be
function M.seen(cells)
  local list = {}
  for i, one in ipairs(cells) do list[i] = words(one.mode, one.change, one.status) end
  return list
end

function M.wanted()
  local list = {}
  for _, mode in ipairs(M.modes) do
    local no = {}
    for _, change in ipairs(refuses[mode]) do no[change] = true end
    for _, change in ipairs(M.names) do
      list[#list + 1] = words(mode, change, no[change] and 409 or 200)
    end
  end
  return list
end

return M
