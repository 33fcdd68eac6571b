-- Teeth of the checks across stores: a good run of forty events in four accounts is broken in one known
-- way, and that check (only) must name it.
local bag = require "rlab.bag"
local check = require "rlab.check"

local function lab_for(class)
  local lab = { label = "arm", arm = { class = class or "right", name = "arm" }, checks = {} }
  lab.check = check.bind(lab)
  return lab
end

local function copy(list)
  local all = {}
  for i, row in ipairs(list) do
    all[i] = {}
    for key, value in pairs(row) do all[i][key] = value end
  end
  return all
end

-- What commands, ledger, topic, effects and cache hold when all went well; some commands of unknown outcome
-- are in the ledger, some are not.
local function good()
  local run = { acked = {}, unknown = { "e04", "e08", "never-1" }, ledger = {}, aborted = { "x1", "x2" },
    committed = {}, delivered = {}, cache = {},
    views = {}, sum = 0, reads = 40 }
  for i = 1, 40 do
    local id, account = ("e%02d"):format(i), (i - 1) % 4 + 1
    run.ledger[i] = { id = id, key = account, version = (i - 1) // 4 + 1, amount = i }
    if id ~= "e04" and id ~= "e08" then table.insert(run.acked, id) end
    run.delivered[i], run.sum = id, run.sum + i
  end
  run.topic, run.effects = copy(run.ledger), copy(run.ledger)
  for _, row in ipairs(run.topic) do
    row.partition = row.key % 2
    row.offset = run.committed[row.partition] or 0
    run.committed[row.partition] = row.offset + 1
  end
  run.outbox = {}
  for i, row in ipairs(run.topic) do
    row.event, row.topic, run.outbox[i] = row.id, "events", { event = row.id, topic = "events" }
  end
  for account = 1, 4 do
    run.cache[account], run.views[account] = { key = account, version = 10, state = "value" },
      { key = tostring(account), version = 10 }
  end
  run.account_sum, run.view_sum, run.position = run.sum, run.sum, { ["0"] = 20, ["1"] = 20 }
  return run
end

local function judge(run)
  local lab = lab_for()
  local c = lab.check
  c.lost { of = run.acked, in_ = run.topic, unknown = run.unknown }
  c.orphan_row { of = run.ledger, in_ = run.topic }
  c.phantom { of = run.topic, in_ = run.ledger }
  c.stranger { of = run.topic, outbox = run.outbox }
  c.unseen { of = run.acked, seen = run.delivered, log = run.topic }
  c.aborted_read { aborted = run.aborted, of = run.delivered }
  c.duplicate_publish { of = run.topic }
  c.duplicate_effect { of = run.effects }
  c.lost_effect { of = run.topic, committed = run.committed, effects = run.effects, retry = run.retry,
    dlq = run.dlq }
  c.reorder { of = run.topic, what = "publish" }
  c.reorder { of = run.effects, what = "apply" }
  c.gap { of = run.topic, position = run.position, delivered = run.delivered }
  c.stale_cache { cache = run.cache, views = run.views, at_least = 4 }
  c.amplification { operations = run.reads, logical = 40, at_most = 1 }
  c.conservation { ledger = run.sum, account = run.account_sum, view = run.view_sum, unit = "cents" }
  c.bound { name = "bound", value = #run.topic, at_most = 41, unit = "records" }
  local named = {}
  for _, one in ipairs(lab.checks) do
    if one.outcome ~= "holds" then
      named[#named + 1] = one.name .. (one.outcome == "inconclusive" and " inconclusive" or "")
    end
  end
  return named, lab.checks
end

local function named(run, name)
  local _, checks = judge(run)
  for _, one in ipairs(checks) do
    if one.name == name then return one end
  end
end

local function last_of(list, id)
  local row = {}
  for key, value in pairs(list[7]) do row[key] = value end
  row.id = id or row.id
  return row
end

describe("the check of whole transactions", function()
  local function judged(delivered)
    local one = lab_for().check.all_or_nothing { of = delivered,
      transactions = { { { id = "a1", partition = 0 }, { id = "a2", partition = 1 } }, { { id = "b1" } } } }
    return one.outcome, one.ids, one.counterexamples
  end

  it("holds where each is delivered as a whole or not at all", function()
    assert.are.equal("holds", (judged { "a1", "a2", "b1" }))
    assert.are.equal("holds", (judged { "b1" }))
  end)

  it("names each record of one that is torn, and what became of it", function()
    local outcome, ids, shown = judged { "a1", "b1" }
    assert.are.same({ "violated", { "a1", "a2" } }, { outcome, ids })
    assert.are.same({ "delivered", "not delivered" }, { shown[1].note, shown[2].note })
    assert.are.equal("violated", (judged { "a2", "a2" }))
  end)
end)

describe("checks across stores", function()
  it("say nothing of a good run, in which some outcomes are unknown", function()
    assert.are.same({}, (judge(good())))
  end)

  local breaks = {
    lost = function(run) run.acked[#run.acked + 1] = "e99" end,
    ["orphan-row"] = function(run)
      table.insert(run.ledger, { id = "never-1", key = 1, version = 11, amount = 0 })
    end,
    phantom = function(run)
      table.insert(run.topic, { id = "ghost", event = "ghost", topic = "events", key = 9, version = 1,
        partition = 1, offset = 20 })
      table.insert(run.outbox, { event = "ghost", topic = "events" })
    end,
    stranger = function(run) run.topic[7].topic = "payments" end,
    unseen = function(run) table.remove(run.delivered, 40) run.position["0"] = 19 end,
    ["aborted-read"] = function(run) table.insert(run.delivered, "x1") end,
    ["duplicate-publish"] = function(run)
      local again = last_of(run.topic)
      again.offset = 20
      table.insert(run.topic, again)
    end,
    ["duplicate-effect"] = function(run) table.insert(run.effects, last_of(run.effects)) end,
    ["lost-effect"] = function(run) table.remove(run.effects, 7) end,
    ["reorder-publish"] = function(run) run.topic[3], run.topic[7] = run.topic[7], run.topic[3] end,
    ["reorder-apply"] = function(run) run.effects[3], run.effects[7] = run.effects[7], run.effects[3] end,
    gap = function(run)
      table.insert(run.topic, { id = "e41", event = "e07", topic = "events", key = 1, version = 11,
        partition = 1, offset = 20 })
      table.insert(run.ledger, { id = "e41", key = 1, version = 11, amount = 0 })
      run.position["1"] = 21
    end,
    ["stale-cache"] = function(run) run.cache[3].version = 9 end,
    amplification = function(run) run.reads = 41 end,
    conservation = function(run) run.view_sum = run.view_sum - 7 end,
    bound = function(run)
      for i = 1, 2 do
        table.insert(run.topic, { id = "y" .. i, event = "e07", topic = "events", key = 1, version = 10 + i,
          partition = 1, offset = 19 + i })
        table.insert(run.ledger, { id = "y" .. i, key = 1, version = 10 + i, amount = 0 })
      end
    end,
  }
  for name, break_it in pairs(breaks) do
    it("name " .. name .. ", and only that", function()
      local run = good()
      break_it(run)
      assert.are.same({ name }, (judge(run)))
      assert.is_true(#named(run, name).counterexamples > 0)
    end)
  end

  it("find an account that is off while the view is right", function()
    local run = good()
    run.account_sum = run.account_sum + 3
    assert.are.same({ "conservation" }, (judge(run)))
    assert.matches("the accounts are off by %+3 cents", named(run, "conservation").sentence)
  end)

  it("take what waits in a retry topic or the DLQ for not lost, and what is above the committed offset",
    function()
    local run = good()
    table.remove(run.effects, 9)
    table.remove(run.effects, 7)
    table.remove(run.effects)
    run.retry, run.dlq, run.committed[0] = { "e07" }, { { id = "e09" } }, 19
    assert.are.same({}, (judge(run)))
  end)

  it("do not excuse a row or a ghost because a reply was lost", function()
    local run = good()
    table.remove(run.topic, 4)
    assert.are.same({ "orphan-row" }, (judge(run)))
    run = good()
    table.insert(run.topic, { id = "never-1", event = "e07", topic = "events", key = 9, version = 1,
      partition = 1, offset = 20 })
    assert.are.same({ "phantom" }, (judge(run)))
  end)

  it("say of a stranger where its row goes, or that it has none, also of one without an event", function()
    local one = lab_for().check.stranger { outbox = { { event = "a", topic = "t" }, { event = "b",
      topic = "t" } }, of = { { id = "a", event = "a", topic = "t" }, { id = "b", event = "b", topic = "u" },
      { id = "t/0@7", topic = "t" } } }
    assert.are.equal("2 records that no outbox row sent there", one.sentence)
    assert.are.same({ "its outbox row names t", "no outbox row" }, { one.counterexamples[1].note,
      one.counterexamples[2].note })
  end)

  it("leave out what nobody knows and say how many", function()
    local lab = lab_for()
    local one = lab.check.lost { of = { "a", "b", "c" }, in_ = { "a" }, unknown = { "b", "c" } }
    assert.are.equal("holds", one.outcome)
    assert.matches("2 of unknown outcome left out", one.sentence)
    assert.are.equal("violated",
      lab.check.lost({ of = { "a", "b", "c" }, in_ = { "a" }, unknown = { "b" } }).outcome)
    assert.are.equal("holds", lab.check.aborted_read({ aborted = { "a" }, of = { "a" },
      unknown = { "a" } }).outcome)
    assert.are.equal("holds", lab.check.phantom({ of = { "a" }, in_ = { "b" }, unknown = { "a" } }).outcome)
  end)

  it("are inconclusive where nothing was measured", function()
    local c = lab_for().check
    assert.are.equal("inconclusive", c.lost_effect({ of = {}, effects = { "a" } }).outcome)
    assert.are.equal("inconclusive", c.gap({ of = { { id = "a", partition = 0, offset = 1 } } }).outcome)
    assert.are.equal("inconclusive", c.gap({ of = { { id = "a", partition = 0, offset = 1 },
      { id = "b", partition = 1, offset = 1 } }, position = { [0] = 2 }, delivered = { "a" } }).outcome)
    assert.are.equal("inconclusive", c.conservation({ ledger = 1 }).outcome)
    assert.are.equal("inconclusive", c.amplification({ operations = 3 }).outcome)
    assert.are.equal("inconclusive", c.amplification({ operations = 3, logical = 0 }).outcome)
    local vacuous = c.stale_cache {
      cache = { { key = 1, version = 5 }, { key = 2, version = 1, state = "tombstone" } },
      views = { { key = 1, version = 5 } }, at_least = 2 }
    assert.are.equal("inconclusive", vacuous.outcome)
    assert.matches("only 1 account cached, 2 stated", vacuous.reason)
  end)

  it("take an exact number for an expectation", function()
    local c = lab_for("wrong").check
    assert.is_true(c.conservation({ ledger = 10, view = 3 }):expect(-7).as_expected)
    assert.is_false(c.conservation({ ledger = 10, view = 3 }):expect(7).as_expected)
    local held = c.conservation({ ledger = 3, view = 3 }):expect(0)
    assert.is_true(held.as_expected)
    assert.are.equal("holds", held.expects)
    assert.is_false(c.conservation({ ledger = 3 }):expect(0).as_expected)
  end)

  it("work on bags without making lists of them", function()
    local log, acked = bag.new { columns = { "key", "version" } }, bag.new {}
    for i = 1, 20002 do
      acked:add("e" .. i)
      if i % 2 == 0 then log:add("e" .. i, "k" .. i % 7, i) end
    end
    log:add("late", "k0", 1)
    local c = lab_for("wrong").check
    local lost = c.lost { of = acked, in_ = log, details = log }
    assert.are.equal("10001 records acknowledged and gone", lost.sentence)
    assert.are.equal(9993, lost.more) -- one more than is listed
    local missing = bag.new {}
    for i = 1, 20002, 2 do missing:add("e" .. i) end
    assert.is_true(lost:expect(missing:ids()).as_expected)
    assert.is_false(lost:expect({ "e1" }).as_expected)
    local order = c.reorder { of = log, what = "publish" }
    assert.are.same({ "late" }, order.ids)
    assert.matches("version 1 comes after %d+", order.counterexamples[1].note)
  end)
end)
