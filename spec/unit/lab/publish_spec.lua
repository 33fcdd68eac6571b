-- What lab:publish writes: ids of its own each time.
local null = require "rlab.null"
local rng = require "rlab.rng"
local workload = require "rlab.lab.workload"

-- An arm whose MySQL takes every statement and keeps its text.
local function arm()
  local lab, statements = { rng = rng.new(7), run = {} }, {}
  local db = { tx = function(_, f) return f() or true end }
  function db.exec(_, sql)
    statements[#statements + 1] = sql
    return { affected = 1, null = null }
  end
  function lab.db() return db end
  lab.plan = workload.plan
  return lab, statements
end

describe("lab:publish", function()
  it("writes other commands and events each time", function()
    local lab, seen = arm(), {}
    for _ = 1, 3 do
      for _, event in ipairs(workload.publish(lab, { events = 20, outbox = true })) do
        assert.is_nil(seen[event.id], event.id)
        assert.is_nil(seen[event.event], event.event)
        seen[event.id], seen[event.event] = true, true
      end
    end
  end)

  it("names the first as ever, by the seed", function()
    local list = workload.publish(arm(), { events = 2, outbox = true })
    assert.same({ "evt-0001", "evt-0002" }, { list[1].id, list[2].id })
    assert.same(list, workload.publish(arm(), { events = 2, outbox = true }))
  end)

  it("lets the versions of an account go on", function()
    local lab = arm()
    workload.publish(lab, { events = 3, accounts = 1, outbox = true })
    assert.equal(4, workload.publish(lab, { events = 1, accounts = 1, outbox = true })[1].version)
  end)
end)
