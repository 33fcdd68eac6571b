-- The consumer as a process on the running stack: what each way to commit keeps and loses when it is killed.
local ledger = require "spec.support.ledger"
local must = require "rlab.must"

local function lost(l, events)
  local effects, missing = l:effects(), {}
  for _, event in ipairs(events) do
    if not effects[event.id] then missing[#missing + 1] = event.n end
  end
  return missing
end

local function doubled(l)
  local ids = {}
  for id, n in pairs(l:effects()) do
    if n > 1 then ids[#ids + 1] = id end
  end
  return ids
end

local function at_end(l, events, in_mysql)
  ledger.until_("the group is at the end", function()
    local done = in_mysql and must(l.db:value "SELECT COALESCE(SUM(next_offset), 0) FROM consumer_offset") or l:committed()
    return math.tointeger(tonumber(done)) >= #events
  end)
end

-- A session as short as in the experiments: the partitions of a killed member are free after it.
local function quick(settings)
  settings.consumer = { ["session.timeout.ms"] = "2000", ["heartbeat.interval.ms"] = "300" }
  return settings
end

local function conserved(l)
  return math.tointeger(tonumber(must(l.db:value "SELECT COALESCE(SUM(balance), 0) FROM account_view")))
end

local function sum(events)
  local total = 0
  for _, event in ipairs(events) do total = total + event.amount end
  return total
end

-- killed(l, settings, point) -> events; a consumer dies at the 40th hit of the point, a second one goes on to the end
local function killed(l, settings, point)
  settings = quick(settings)
  local events = l:publish(100)
  do
    local first <close> = l:service("consumer", settings, { [point] = "#40 kill" })
    assert.equal("KILL", first:await().signal)
    assert.equal(1, #first:hits())
  end
  local second <close> = l:service("consumer", settings)
  at_end(l, events, settings.commit == "mysql")
  assert.equal(0, second:stop().code)
  return events
end

describe("the consumer, killed", function()
  local l

  after_each(function() l:close() end)

  for _, commit in ipairs { "after-work", "sync-after-work", "mysql", "pool-min" } do
    for _, point in ipairs { "consumer.before_begin", "consumer.after_db_commit" } do
      it(("commit = %s at %s loses and doubles nothing"):format(commit, point), function()
        l = ledger.open "kill"
        local events = killed(l, { commit = commit, batch = 1 }, point)
        assert.same({}, lost(l, events))
        assert.same({}, doubled(l))
        assert.equal(sum(events), conserved(l))
      end)
    end
  end

  for _, point in ipairs { "consumer.handle", "consumer.in_tx", "consumer.before_invalidate", "consumer.after_cache" } do
    it(("at %s, with a cache, loses and doubles nothing"):format(point), function()
      l = ledger.open "kill"
      local events = killed(l, { batch = 1, cache = "versioned" }, point)
      assert.same({}, lost(l, events))
      assert.same({}, doubled(l))
    end)
  end

  it("in batches loses and doubles nothing either", function()
    l = ledger.open "kill"
    local events = killed(l, { batch = 25 }, "consumer.in_tx")
    assert.same({}, lost(l, events))
    assert.same({}, doubled(l))
    assert.equal(sum(events), conserved(l))
  end)

  it("commit = before-work loses the record under way", function()
    l = ledger.open("kill", { partitions = 1 })
    local events = killed(l, { commit = "before-work", batch = 1 }, "consumer.before_begin")
    assert.same({ 40 }, lost(l, events))
  end)

  it("commit = auto loses the record that was handed over", function()
    l = ledger.open("kill", { partitions = 1 })
    local events = l:publish(100)
    do
      local first <close> = l:service("consumer", quick { commit = "auto", batch = 1 }, { ["consumer.before_begin"] = "#40 pause" })
      ledger.until_("the 40th is committed", function() return l:committed() >= 40 end)
      first.process:kill "KILL"
      first:await()
    end
    local second <close> = l:service("consumer", quick { commit = "auto", batch = 1 })
    at_end(l, events)
    assert.equal(0, second:stop().code)
    assert.same({ 40 }, lost(l, events))
  end)

  it("commit = pool-max loses what is behind the highest; pool-min does not", function()
    for _, case in ipairs { { commit = "pool-max", missing = { 40 } }, { commit = "pool-min", missing = {} } } do
      l = ledger.open("kill", { partitions = 1 })
      local events = l:publish(60)
      do
        local first <close> = l:service("consumer", quick { commit = case.commit, workers = 4 },
          { ["consumer.before_begin"] = ("pause if id=%s"):format(events[40].id) })
        ledger.until_("all others are applied", function() return l:count "effect_log" == 59 end)
        if case.commit == "pool-max" then at_end(l, events) end
        first.process:kill "KILL"
        first:await()
      end
      local second <close> = l:service("consumer", quick { commit = case.commit })
      at_end(l, events)
      assert.equal(0, second:stop().code)
      assert.same(case.missing, lost(l, events))
      assert.same({}, doubled(l))
      if case.commit == "pool-max" then l:close() end
    end
  end)
end)
