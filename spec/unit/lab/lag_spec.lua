-- lab:lag: how many records a group has not finished, over all partitions, or that nobody knows.
local task = require "rlab.task"
local workload = require "rlab.lab.workload"

-- at: what each partition holds, {low, end, committed}; false for what the brokers do not say just now.
local function lab_of(at)
  local admin = {}
  function admin:topic() -- luacheck: ignore 212
    local parts = {}
    for p in ipairs(at) do parts[p] = { partition = p - 1 } end
    return { partitions = parts }
  end
  function admin:list_offsets(list) -- luacheck: ignore 212
    local rows = {}
    for i, one in ipairs(list) do
      local row = at[one.partition + 1]
      rows[i] = { partition = one.partition, offset = row[one.at == "earliest" and 1 or 2] or nil }
    end
    return rows
  end
  function admin:group_offsets() -- luacheck: ignore 212
    local rows = {}
    for p, row in ipairs(at) do
      if row[3] then rows[#rows + 1] = { topic = "t", partition = p - 1, offset = row[3] } end
    end
    return rows
  end
  return { run = { admin = admin }, lag = workload.lag, group = function() return "g" end,
    event_topic = function() return "t" end }
end

describe("lab:lag", function()
  it("counts what is left in every partition", function()
    assert.equal(9, lab_of({ { 0, 10, 4 }, { 0, 5, 5 }, { 0, 3, false } }):lag())
    assert.equal(2, lab_of({ { 0, 10, 8 }, { 0, 5, 5 }, { 0, 3, 3 } }):lag())
    assert.equal(0, lab_of({ { 0, 10, 10 }, { 0, 5, 5 }, { 0, 3, 3 } }):lag())
  end)

  it("begins where the log does, and is never less than nothing", function()
    assert.equal(3, lab_of({ { 7, 10, false } }):lag())
    assert.equal(4, lab_of({ { 0, 5, 9 }, { 2, 6, 1 } }):lag())
  end)

  it("sees that records were removed meanwhile", function()
    local at = { { 0, 10, 4 } }
    local lab = lab_of(at)
    assert.equal(6, lab:lag())
    at[1][1] = 10
    assert(task.wait_until(function() return lab:lag() == 0 end, { at_most = "20s", every = "20ms" }))
  end)

  it("counts the partitions that the arm adds, too", function()
    local at = { { 0, 10, 10 } }
    local lab = lab_of(at)
    assert.equal(0, lab:lag())
    function lab.run.admin:create_partitions(o) -- luacheck: ignore 212
      assert.are.same({ topic = "t", count = 2 }, o)
      at[2] = { 0, 7, false }
      return true
    end
    workload.more_partitions(lab, 2)
    assert.equal(7, lab:lag())
  end)

  it("begins at once where the arm lets the log begin", function()
    local at = { { 0, 10, 4 } }
    local lab = lab_of(at)
    assert.equal(6, lab:lag())
    function lab.run.admin:delete_records(o) -- luacheck: ignore 212
      assert.are.same({ topic = "t", partition = 0, before = 8 }, o)
      at[1][1] = 8
      return 8
    end
    workload.delete_records(lab, 0, 8)
    assert.equal(2, lab:lag())
  end)

  it("is not known while one partition is not", function()
    assert.is_nil(lab_of({ { 0, 10, 10 }, { 0, false, 5 } }):lag())
    assert.is_nil(lab_of({ { false, 10, 10 }, { 0, 5, 5 } }):lag())
  end)
end)
