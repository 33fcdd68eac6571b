-- One partition's log in words and cells, and a series of transactions by seed.
local log = require "rlab.lab.log"
local rng = require "rlab.rng"
local workload = require "rlab.lab.workload"
local transactions = require "rlab.lab.transactions"

local function plan(seed)
  local lab = { rng = require("rlab.rng").new(seed) }
  return transactions.plan_transactions(lab, { count = 12, aborted = 4, last = 3 })
end

describe("a partition's log", function()
  it("has gaps where nothing was delivered, the tail included", function()
    assert.are.same({ 6, 8, 9 }, log.gaps(nil, { 5, 7 }, 5, 10))
    assert.are.same({}, log.gaps(nil, { 5, 6 }, 5, 7))
  end)

  it("is drawn with a marker where no record is, which ends as what stands before it", function()
    local fates = { a = "committed", b = "aborted", c = "lost" }
    local records = { { id = "a", partition = 0, offset = 0 }, { id = "b", partition = 0, offset = 2 },
      { id = "c", partition = 0, offset = 4 }, { id = "x", partition = 1, offset = 1 } }
    local cells = log.log_cells(nil, { records = records, to = 6,
      fate = function(record) return fates[record.id] end })
    local words = {}
    for i, cell in ipairs(cells) do words[i] = cell.label or cell.kind end
    assert.are.same({ "committed", "commit", "aborted", "abort", "lost", "abort" }, words)
  end)
end)

describe("planned transactions", function()
  it("abort as often as stated, the last one always, and the same for one seed", function()
    local list, aborts = plan(7), 0
    for _, tx in ipairs(list) do aborts = aborts + (tx.aborts and 1 or 0) end
    assert.are.same({ 12, 4, true, 3 }, { #list, aborts, list[12].aborts, #list[12].records })
    assert.are.same(list, plan(7))
    assert.are_not.same(list, plan(8))
  end)
end)

describe("planned commands", function()
  local function commands(seed) return workload.plan({ rng = rng.new(seed) }, 50, 5) end

  it("are the same for one seed; no amount is 0, and some are withdrawals", function()
    local list, negative = commands(7), 0
    for i, one in ipairs(list) do
      assert.are.equal(("cmd-%04d"):format(i), one.id)
      assert.is_true(one.amount ~= 0 and one.account >= 1 and one.account <= 5)
      negative = negative + (one.amount < 0 and 1 or 0)
    end
    assert.is_true(negative > 0 and negative < 50)
    assert.are.same(list, commands(7))
    assert.are_not.same(list, commands(8))
  end)
end)
