-- The catalogue of mutants (spec/mutants): each can be made, names a judge that is there, and is told apart.
local experiment = require "rlab.experiment"
local fs = require "rlab.fs"

local FIELDS = { "id", "mechanism", "file", "before", "after", "edits", "run", "arms", "exit", "check",
  "or_check", "reason", "spec", "unit", "it", "slow", "waits" }
local known = {}
for _, field in ipairs(FIELDS) do known[field] = true end

local function catalogue()
  local list = {}
  for _, name in ipairs(assert(fs.list "spec/mutants")) do
    for _, m in ipairs(dofile("spec/mutants/" .. name)) do list[#list + 1] = m end
  end
  return list
end

local function times_in(text, part)
  local n, at = 0, 1
  while true do
    local from, to = text:find(part, at, true)
    if not from then return n end
    n, at = n + 1, to + 1
  end
end

local function edits_of(m) return m.edits or { { m.before, m.after } } end

local function arms_of(id)
  local names = {}
  for _, arm in ipairs(experiment.load(experiment.find(id)).arms) do names[arm.name] = true end
  return names
end

local function c_tests_by_name()
  local is = {}
  for _, folder in ipairs(assert(fs.list "spec/unit/c")) do
    for _, name in ipairs(assert(fs.list("spec/unit/c/" .. folder))) do is[name:gsub("%.c$", "")] = true end
  end
  return is
end

describe("mutants", function()
  local list = catalogue()

  it("are at least 95 that do not wait, each with a name of its own", function()
    local seen, ready = {}, 0
    for _, m in ipairs(list) do
      assert.is_nil(seen[m.id], m.id)
      seen[m.id] = true
      ready = ready + (m.waits and 0 or 1)
      for field in pairs(m) do assert.is_true(known[field], ("%s: %s"):format(m.id, field)) end
    end
    assert.is_true(ready >= 95, ready .. " mutants")
  end)

  it("find their text exactly once: who changes it mends the mutant", function()
    for _, m in ipairs(list) do
      local text = assert(fs.read(m.file), m.id)
      for _, edit in ipairs(edits_of(m)) do
        assert.are.equal(1, times_in(text, edit[1]), ("mutant %s in %s: %s"):format(m.id, m.file, edit[1]))
        assert.are_not.equal(edit[1], edit[2], m.id)
      end
    end
  end)

  it("name a judge, and what it must say", function()
    local c_tests = c_tests_by_name()
    local arms = {}
    for _, m in ipairs(list) do
      assert.are.equal(1, (m.run and 1 or 0) + (m.spec and 1 or 0) + (m.unit and 1 or 0), m.id)
      if m.spec then assert.is_true(fs.exists(m.spec), m.id) end
      if m.unit then assert.is_true(c_tests[m.unit], m.id) end
      assert.is_true(not m.run or m.exit ~= nil and (m.exit == 3 and m.reason or m.check) ~= nil, m.id)
      if m.run and not m.waits then
        arms[m.run] = arms[m.run] or arms_of(m.run)
        for _, arm in ipairs(m.arms or {}) do assert.is_true(arms[m.run][arm], m.id .. ": " .. arm) end
      end
    end
  end)
end)
