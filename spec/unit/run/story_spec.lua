-- What single stories need beside the lab, where it needs no server.
local acks = require "rlab.story.log.acks"
local batch = require "rlab.story.batch"
local retries = require "rlab.story.retries"
local disturbance = require "rlab.run.disturbance"
local stampede = require "rlab.story.stampede"

describe("a batch", function()
  it("is numbered records, whose values are their ids", function()
    assert.are.same({ "tx-01", "tx-02" }, batch.ids("tx-", 2))
    assert.are.same({ { topic = "t", partition = 1, value = "tx-01", key = "k" } },
      batch.of("t", 1, { "tx-01" }, { key = "k" }))
    assert.are.same({ "tx-01" }, batch.with_prefix({ "tx-01", "plain-01" }, "tx"))
  end)
end)

describe("planned failures", function()
  local list = {}
  for i = 1, 4 do list[i] = { id = "e" .. i, event = "uuid" .. i } end

  it("are failpoints by event and attempt, and what must be seen of them", function()
    local plan = retries.plan(list, { attempts = { [2] = 2 }, until_fixed = { 3 }, late = { 1 } })
    assert.are.equal("error(planned) if id=uuid2 and attempt=1 -> error(planned) if id=uuid2 and attempt=2"
      .. " -> error(planned) if id=uuid3", plan.points["consumer.handle"])
    assert.are.equal("error(planned) if id=uuid1 and attempt=1", plan.points["consumer.before_invalidate"])
    assert.are.same({ "e2 attempt 1", "e2 attempt 2", "e3 attempt 1", "e3 attempt 2", "e3 attempt 3",
      "e1 attempt 1" }, plan.hits)
  end)

  it("may wait for one another, and the failpoints understand all of it", function()
    local plan = retries.plan(list, { attempts = { [1] = 1 }, until_fixed = {}, late = {},
      together = { { 3, 1 }, { 4, 2 } } })
    local text = plan.points["consumer.handle"]
    assert.is_truthy(text:find("barrier(behind,2) if id=uuid4 and attempt=2", 1, true), text)
    assert.is_truthy(require("rlab.fail").explain(text))
  end)
end)

describe("the retries that were seen", function()
  local seen = {
    hits = { { id = "a", attempt = 1, at_ms = 100 } },
    effects = { { id = "late", at_ms = 400 }, { id = "b", at_ms = 300 }, { id = "c", at_ms = 250 } },
    timed = { { id = "long", attempt = 3, sent_ms = 10, due_ms = 900, late_ms = 5, offset = 1 },
      { id = "short", attempt = 2, sent_ms = 20, due_ms = 300, late_ms = 600, offset = 2 } },
  }

  it("say for how long a failing record blocked healthy ones", function()
    assert.are.equal(150, retries.blocked_for(seen, "a", { "b", "c" }))
    assert.is_nil(retries.blocked_for(seen, "nobody", { "b" }))
  end)

  it("say how late a short one came behind a long one", function()
    assert.are.same({ 600, 600 }, { retries.behind_long(seen, "short") })
    assert.are.equal(600, retries.latest(seen))
  end)

  it("are parked when their last copy was replayed as often as it may", function()
    assert.are.same({ "x" }, retries.parked({ { id = "x", replays = 0 }, { id = "x", replays = 3 },
      { id = "y", replays = 2 } }, 3))
  end)

  local function lab_for()
    local lab = { label = "arm", arm = { class = "right", name = "arm" }, class = "right", checks = {} }
    lab.check = require("rlab.check").bind(lab)
    return lab
  end

  it("violate their checks when one came early, and prove nothing when none was timed", function()
    assert.are.equal("holds", retries.check_not_too_early(lab_for(), seen).outcome)
    local early = { timed = { { id = "e", late_ms = -3, offset = 7 } } }
    assert.are.equal("violated", retries.check_not_too_early(lab_for(), early).outcome)
    assert.are.equal("inconclusive", retries.check_not_too_early(lab_for(), { timed = {} }).outcome)
  end)

  it("must say truly where they came from and why they failed", function()
    local function outcome(change, late)
      local row = { id = "a", class = "handler", message = "planned", partition = 0, offset = 0,
        origin = { topic = "main", partition = 0, offset = 3, at_ms = 50 } }
      change(row, row.origin)
      return retries.check_stories(lab_for(), { retries = { row }, parked_rows = { row },
        records = { { id = "a", topic = "main", partition = 0, offset = 3, at_ms = 50 } } },
        { undecodable = "u", late = late or { "b" } }).outcome
    end
    assert.are.equal("holds", outcome(function() end))
    assert.are.equal("inconclusive", outcome(function() end, {}))
    assert.are.equal("violated", outcome(function(_, origin) origin.topic = "main.retry" end))
    assert.are.equal("violated", outcome(function(_, origin) origin.offset = 4 end))
    assert.are.equal("violated", outcome(function(_, origin) origin.at_ms = 51 end))
    assert.are.equal("violated", outcome(function(row) row.class = "database" end))
    assert.are.equal("violated", outcome(function(row) row.message = "" end))
  end)

  it("must each be applied once or parked", function()
    local function outcome(effects, parked)
      return retries.check_exactly_one(lab_for(), { records = { "a", "b" }, effects = effects,
        parked = parked }).outcome
    end
    assert.are.equal("holds", outcome({ "a" }, { "b" }))
    assert.are.equal("violated", outcome({ "a", "b" }, { "b" }))
    assert.are.equal("violated", outcome({ "a" }, {}))
  end)

  it("of a stampede stay within a third, unless the machine stood still", function()
    local function outcome(peak, stall)
      local one = { peak = peak, selects = 60, spread = 600, stall = stall }
      local check = stampede.check_peak(lab_for(), one, 50, 0.1):expect "holds"
      disturbance.judge({ check }, { disturbances = { { what = "the slowest answer", kind = "stall",
        from = 1, seconds = stall } } })
      return check.outcome
    end
    assert.are.equal("holds", outcome(16, 0))
    assert.are.equal("violated", outcome(17, 0))
    assert.are.equal("inconclusive", outcome(20, 0.07))
    assert.are.equal("violated", outcome(30, 0.07))
  end)
end)

describe("the readers of a stampede", function()
  it("have a peak: the most requests in a window, without those before", function()
    local rows = {}
    for i, time in ipairs { 0.1, 5.0, 5.05, 5.09, 9 } do rows[i] = { time = time } end
    local most, at, count = stampede.peak({ rows = function() return rows end }, 1, 0.1)
    assert.are.same({ 3, 5.0, 4 }, { most, at, count })
  end)

  it("are counted by another status", function()
    assert.are.equal(1, stampede.other({ { status = 200 }, { status = 503 } }, 200))
  end)
end)

describe("the matrix of acks", function()
  it("counts what both phases acknowledged, and finds what was refused and is there", function()
    local seen = { in_topic = { "A01", "B02" }, A = { acked = { "A01" }, refused = {} },
      B = { acked = {}, refused = { { id = "B01", status = "NOT_PERSISTED" },
        { id = "B02", status = "NOT_PERSISTED" }, { id = "A01", status = "POSSIBLY_PERSISTED" } } } }
    assert.are.same({ "A01" }, acks.acked(seen))
    assert.are.same({ "B02" }, acks.refused_but_there(seen))
  end)
end)

describe("a rebuild's plan", function()
  it("has the chunks of each shard, and the accounts of the second one, at either scale", function()
    local plan = require("rlab.story.rebuild").plan
    assert.are.same({ accounts = 2500, chunks = 2, second = { 501, 625 } }, plan(2500, 4, 500))
    assert.are.same({ accounts = 5000, chunks = 3, second = { 501, 1000 } }, plan(5000, 4, 500))
  end)
end)
