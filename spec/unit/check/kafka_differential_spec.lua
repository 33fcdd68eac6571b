-- The Kafka checks against a reference that was written from the definitions alone: 2,000 histories from
-- seeds, each broken in at most two known ways, class by class and id by id.
local generator = require "spec.support.history_generator"
local history = require "rlab.check.history"
local json = require "rlab.json"
local reference = require "spec.support.history_reference"

local HISTORIES = 2000

local function lines(cases)
  local list = {}
  for i, one in ipairs(cases) do
    list[i] = ("%s on %s at %s"):format(one.id, tostring(one.key), tostring(one.offset))
  end
  table.sort(list)
  return table.concat(list, "; ")
end

local function compare(seed, ops, used, opts, count)
  local ours, theirs = history.find(ops, opts), reference.find(ops, opts)
  for _, class in ipairs(history.classes) do
    local a, b = lines(ours[class]), lines(theirs[class])
    if a ~= b then
      error(("seed %d (%s), %s:\n  checker    %s\n  reference  %s\n%s"):format(seed,
        table.concat(used, ", "), class, a, b, json.encode(ops)), 0)
    end
    if a ~= "" then count[class] = (count[class] or 0) + 1 end
  end
end

describe("the Kafka checks and the reference", function()
  it("find nothing in good histories", function()
    local count = {}
    for seed = 1, 200 do compare(seed, generator.good(seed), {}, { complete = seed % 2 == 0 }, count) end
    assert.are.same({}, count)
  end)

  it("agree on 2,000 broken ones, in which each class is found often", function()
    local count, tried = {}, {}
    for seed = 1, HISTORIES do
      local ops, used = generator.broken(seed)
      for _, way in ipairs(used) do tried[way] = true end
      compare(seed, ops, used, { complete = seed % 3 == 0 }, count)
    end
    for _, class in ipairs(history.classes) do
      assert.is_true((count[class] or 0) >= 20, ("%s: %d histories"):format(class, count[class] or 0))
    end
    for _, way in ipairs(generator.ways) do assert.is_true(tried[way], way) end
  end)

  it("agree on what a run stored, where keys are text", function()
    local count = {}
    for seed = 1, 100 do
      local ops, used = generator.broken(seed)
      compare(seed, json.decode(json.encode(ops)), used, {}, count)
    end
  end)
end)
