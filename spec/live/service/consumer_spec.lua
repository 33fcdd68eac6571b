-- The consumer as a process on the running stack: what each way to commit keeps and loses when it is killed.
local clock = require "rlab.clock"
local fs = require "rlab.fs"
local kafka = require "rlab.kafka"
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
    local done = in_mysql and must(l.db:value "SELECT COALESCE(SUM(next_offset), 0) FROM consumer_offset")
      or l:committed()
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

-- killed(l, settings, point) -> events; a consumer dies at the 40th hit of the point, a second one goes on
--   to the end
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

  for _, point in ipairs { "consumer.handle", "consumer.in_tx", "consumer.before_invalidate",
    "consumer.after_cache" } do
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

  it("leaves out of a batch what is known, and nothing else", function()
    l = ledger.open("kill", { partitions = 1 })
    local events = l:publish(10)
    do
      local first <close> = l:service("consumer", quick { batch = 1 },
        { ["consumer.after_db_commit"] = ("kill if id=%s"):format(events[10].id) })
      assert.equal("KILL", first:await().signal)
    end
    for _, event in ipairs(l:publish(10)) do events[#events + 1] = event end
    local second <close> = l:service("consumer", quick { batch = 25 })
    at_end(l, events)
    assert.equal(0, second:stop().code)
    assert.same({}, lost(l, events))
    assert.same({}, doubled(l))
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
      local first <close> = l:service("consumer", quick { commit = "auto", batch = 1 },
        { ["consumer.before_begin"] = "#40 pause" })
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
    for _, case in ipairs { { commit = "pool-max", missing = { 40 } },
      { commit = "pool-min", missing = {} } } do
      l = ledger.open("kill", { partitions = 2 })
      local events = l:publish(60, { partition = 0 })
      do
        local first <close> = l:service("consumer", quick { commit = case.commit, workers = 4 },
          { ["consumer.before_begin"] = ("pause if id=%s"):format(events[40].id) })
        ledger.until_("all others are applied", function() return l:count "effect_log" == 59 end)
        -- One commit takes what is stored of all partitions: what was stored before this one is in it.
        events[61] = l:publish(1, { partition = 1 })[1]
        ledger.until_("what is stored is committed", function() return l:committed(nil, 1) == 1 end)
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

-- ---- records that fail ----

local function headers_of(record)
  local map = {}
  for _, pair in ipairs(record.headers or {}) do map[pair[1]] = pair[2] end
  return map
end

-- read(l, topic, n) -> list of n records { value, timestamp, map = headers by name }
local function read(l, topic, n)
  local reader <close> = must(kafka.consumer { brokers = l.brokers, group = topic .. "-reader",
    auto_offset_reset = "earliest", enable_auto_commit = false })
  must(reader:subscribe { topic })
  local list = {}
  ledger.until_(("%d records in %s"):format(n, topic), function()
    local batch <close> = must(reader:poll(100, "200ms"))
    for record in batch:each() do
      list[#list + 1] = { value = record.value, timestamp = record.timestamp, map = headers_of(record) }
    end
    return #list >= n
  end)
  return list
end

local RETRY = { "retry.5s", "retry.1m", "dlq" }

local function retry_of(l) return ("5s:%s.retry.5s,1m:%s.retry.1m"):format(l.topic, l.topic) end

describe("the consumer and records that fail", function()
  local l

  before_each(function() l = ledger.open("fail", { partitions = 1, topics = RETRY }) end)
  after_each(function() l:close() end)

  it("are tried again by retry topics, each not before its time, and end in the DLQ with their story",
    function()
    local events = l:publish(40)
    local once, twice, always, late = events[5], events[9], events[13], events[21]
    must(l.producer:send { topic = l.topic, key = "1", value = "no json",
      headers = { { "event-id", ("00000002-0000-7000-8000-%012x"):format(1) } } })
    local service <close> = l:service("consumer",
      quick { batch = 10, retry = retry_of(l), retry_scale = 0.02 }, {
      ["consumer.handle"] = ("error(once) if id=%s and attempt=1 -> error(twice) if id=%s and attempt=1 \z
        -> error(twice) if id=%s and attempt=2 -> error(always) if id=%s"):format(once.id, twice.id,
        twice.id, always.id),
      ["consumer.before_invalidate"] = ("error(late) if id=%s and attempt=1"):format(late.id) })
    ledger.until_("two are parked", function() return service:metric "rlab_consumer_parked_total" == 2 end)
    ledger.until_("the rest is applied", function() return l:count "effect_log" == 39 end)
    assert.same({ 13 }, lost(l, events))
    assert.same({}, doubled(l))
    local parked = {}
    for _, record in ipairs(read(l, l.topic .. ".dlq", 2)) do parked[record.map["event-id"]] = record end
    local story = parked[always.id].map
    assert.same({ l.topic, "0", tostring(always.offset), l.group, "handler", "always", "3", nil },
      { story["rlab-original-topic"], story["rlab-original-partition"],
      story["rlab-original-offset"], story["rlab-original-group"], story["rlab-error-class"],
      story["rlab-error-message"],
      story["rlab-attempt"], story["rlab-due-at"] })
    assert.is_true(tonumber(story["rlab-first-failure"]) >= tonumber(story["rlab-original-timestamp"]))
    assert.equal("undecodable", parked["00000002-0000-7000-8000-000000000001"].map["rlab-error-class"])
    assert.equal("no json", parked["00000002-0000-7000-8000-000000000001"].value)
    local at = {} -- when an attempt failed, in ms
    for _, hit in ipairs(service:hits()) do at[hit.ctx.id .. " " .. hit.ctx.attempt] = hit.time // 1000000 end
    assert.equal(7, #service:hits())
    for _, record in ipairs(read(l, l.topic .. ".retry.5s", 4)) do
      local id, due = record.map["event-id"], tonumber(record.map["rlab-due-at"])
      assert.is_true(due - at[id .. " 1"] >= 100)
      if id == twice.id or id == always.id then assert.is_true(at[id .. " 2"] >= due) end
    end
    assert.is_true(service:metric "rlab_consumer_lateness_seconds_count" >= 6)
    assert.equal(0, service:stop().code)
  end)

  it("are tried again whatever headers their producer has of its own", function()
    local event = l:event(1, 1, 10)
    local record = l:record(event)
    for _, pair in ipairs { { "attempt", "7" }, { "due-at", "4102444800000" }, { "target-group", "others" },
      { "replay-count", "99" } } do
      table.insert(record.headers, pair)
    end
    must(l.producer:send(record))
    local service <close> = l:service("consumer",
      quick { batch = 1, retry = retry_of(l), retry_scale = 0.02 }, { ["consumer.handle"] = "1*error(once)" })
    ledger.until_("it is applied", function() return l:count "effect_log" == 1 end)
    local retried = read(l, l.topic .. ".retry.5s", 1)[1].map
    assert.same({ "1", "7", "others" },
      { retried["rlab-attempt"], retried.attempt, retried["target-group"] })
    assert.equal(0, must(l.admin:offsets(l.topic .. ".dlq", 0)).hw)
    assert.equal(0, service:stop().code)
  end)

  it("do not hold up the records behind them, unless the handler sleeps", function()
    for _, case in ipairs { { wait = "topic", scale = 0.1 },
      { wait = "sleep", scale = 0.02, least = 1.2 } } do
      local events = l:publish(10)
      local began = clock.ns()
      local settings = quick { batch = 1, retry = retry_of(l), retry_scale = case.scale,
        retry_wait = case.wait, group = l.group .. case.wait }
      local service <close> = l:service("consumer", settings,
        { ["consumer.handle"] = (
          "error(fails) if id=%s and attempt=1 -> error(fails) if id=%s and attempt=2"):format(events[2].id,
          events[2].id) })
      ledger.until_("the last one is applied", function() return l:effects()[events[10].id] end)
      local took = (clock.ns() - began) / 1e9
      if case.least then
        assert.is_true(took >= case.least, took)
      else
        assert.is_nil(l:effects()[events[2].id])
      end
      ledger.until_("all are applied", function() return l:effects()[events[2].id] end)
      service:stop()
    end
  end)

  it("are tried on and on where there is no DLQ, and the partition says so", function()
    local events = l:publish(3)
    local service <close> = l:service("consumer", quick { batch = 3, dlq = "-" },
      { ["consumer.handle"] = ("2*error(fails) if id=%s"):format(events[2].id) })
    ledger.until_("all are applied", function() return l:count "effect_log" == 3 end)
    ledger.until_("its log says so", function() return service:text():find('"message":"stuck"', 1, true) end)
    assert.matches("stands still at offset %d+: fails", service:text())
    assert.is_true((service:health()))
    assert.equal(0, service:stop().code)
  end)

  it("are taken out of their batch, whatever MySQL says of them", function()
    l:publish(100)
    local big = l:event(1000, 77, 9223372036854775807)
    must(l.producer:send(l:record(big)))
    must(l.producer:send(l:record(l:event(1001, 77, 1))))
    l.published = 2000
    l:publish(100)
    local service <close> = l:service("consumer", quick { batch = 500 })
    ledger.until_("201 are applied", function() return l:count "effect_log" == 201 end)
    local parked = read(l, l.topic .. ".dlq", 1)[1].map
    assert.equal("database", parked["rlab-error-class"])
    assert.matches("[oO]ut of range", parked["rlab-error-message"])
    assert.is_true(service:metric "rlab_consumer_split_total" >= 1)
    assert.equal(0, service:stop().code)
  end)

  it("of another group's replay are passed over", function()
    local mine, theirs, copy = l:event(1, 1, 10), l:event(2, 1, 20), l:event(3, 1, 30)
    for event, group in pairs { [mine] = l.group, [theirs] = "somebody", [copy] = false } do
      local record = l:record(event)
      if group then table.insert(record.headers, { "rlab-target-group", group }) end
      must(l.producer:send(record))
    end
    local service <close> = l:service("consumer", quick {})
    ledger.until_("the group is at the end", function() return l:committed() >= 3 end)
    assert.same({ 2 }, lost(l, { mine, theirs, copy }))
    assert.equal(1, service:metric "rlab_consumer_skipped_total")
  end)

  local function handler(text)
    local path = os.tmpname()
    must(fs.write(path, text))
    return path
  end

  it("for a handler in Lua are sent on with its words; what it skips is not applied", function()
    local path = handler [[return function(record)
      if record.amount > 400 then return false, "too much: " .. record.amount end
      if record.account == 3 then return "skip" end
      if record.account == 4 then error("no account 4", 0) end
      require "rlab.task".sleep "1ms"
    end]]
    local events = l:publish(60, { accounts = 5 })
    local service <close> = l:service("consumer", quick { handler = path, batch = 20 })
    ledger.until_("the group is at the end", function() return l:committed() == 60 end)
    local words, missing = {}, {}
    for _, event in ipairs(events) do
      if event.amount > 400 or event.account == 3 or event.account == 4 then
        missing[#missing + 1] = event.n
      end
      if event.amount > 400 then words[event.id] = "too much: " .. event.amount end
      if event.amount <= 400 and event.account == 4 then words[event.id] = "no account 4" end
    end
    assert.same(missing, lost(l, events))
    local expected = 0
    for _ in pairs(words) do expected = expected + 1 end
    for _, record in ipairs(read(l, l.topic .. ".dlq", expected)) do
      assert.equal(words[record.map["event-id"] ], record.map["rlab-error-message"])
    end
    assert.equal(0, service:stop().code)
    os.remove(path)
  end)

  it("for a handler of batches are shown together, and gone once they are answered", function()
    local said = os.tmpname()
    local path = handler(([[
      local function later(record)
        local task = require "rlab.task"
        local why = task.wait_until(function()
          local ok, why = pcall(function() return record.id end)
          return not ok and why
        end, { at_most = "20s" })
        require "rlab.fs".write(%q, tostring(why))
      end
      return { batch = function(records)
        local refused, fields = {}, 0
        for _ in pairs(records[#records]) do fields = fields + 1 end
        local _, why = pcall(function() return records[1].acount end)
        require "rlab.task".spawn(later, records[1])
        for i, record in ipairs(records) do
          if record.id:find "7$" then
            refused[i] = ("one of %%d, %%d fields, %%s"):format(#records, fields, why)
          end
        end
        return refused
      end }]]):format(said))
    os.remove(said)
    l:publish(40)
    local service <close> = l:service("consumer", quick { handler = path, batch = 40 })
    ledger.until_("the group is at the end", function() return l:committed() == 40 end)
    assert.equal(37, l:count "effect_log")
    for _, record in ipairs(read(l, l.topic .. ".dlq", 3)) do
      assert.matches("^one of %d+, 13 fields, .*no field 'acount'$", record.map["rlab-error-message"])
    end
    ledger.until_("a record is gone", function() return fs.exists(said) end)
    assert.matches("batch of this record is answered", must(fs.read(said)))
    assert.equal(0, service:stop().code)
    os.remove(path)
    os.remove(said)
  end)

  it("wait for a handler whose result is none, and health says which partition and why", function()
    for _, case in ipairs { { "{ true }", "true for record 1" }, { "{ false }", "false for record 1" },
      { '"skip"', "string, not a table" }, { '{ [99] = "skip" }', "record 99 of" },
      { '{ id = "skip" }', "record id of" } } do
      local flag = os.tmpname()
      local path = handler(([[return { batch = function()
        local f = io.open(%q)
        if not f then return %s end
        f:close()
      end }]]):format(flag, case[1]))
      os.remove(flag)
      local events = l:publish(5)
      local service <close> = l:service("consumer", quick { handler = path, batch = 5 })
      local why
      ledger.until_("its partition is down: " .. case[1], function()
        local ok, body = service:health()
        why = not ok and body:match "stands still.*"
        return why
      end)
      assert.matches("at offset %d+: the handler returned", why)
      assert.matches(case[2], why, 1, true)
      assert(fs.write(flag, ""))
      ledger.until_("all are applied", function() return l:effects()[events[5].id] end)
      ledger.until_("it is up", function() return (service:health()) end)
      assert.equal(0, service:stop().code)
      os.remove(flag)
      os.remove(path)
    end
  end)

  it("by their place in the log are new events when they are tried again", function()
    local events = l:publish(20)
    local late = events[7]
    local service <close> = l:service("consumer",
      quick { dedup = "position", retry = retry_of(l), retry_scale = 0.02 },
      { ["consumer.before_invalidate"] = ("error(late) if id=%s and attempt=1"):format(late.id) })
    ledger.until_("the retry is applied", function() return l:count "effect_log" == 21 end)
    assert.same({ late.id }, doubled(l))
    service:stop()
  end)
end)
