-- A set of runs: order, seeds, what is beside what, the worst verdict. With real runs:
-- spec/live/lab/experiments_spec.lua.
local memory = require "rlab.run.memory"
local neighbours = require "rlab.run.neighbours"
local set = require "rlab.run.set"
local task = require "rlab.task"

local A, B, ALONE = { id = "A" }, { id = "B" }, { id = "ALONE", disrupts = true }

local function written(runs, most)
  local list = {}
  for run in runs do
    list[#list + 1] = run.experiment.id .. run.seed
    if #list == most then break end
  end
  return table.concat(list, " ")
end

describe("the runs of a set", function()
  it("come once each, in order", function()
    assert.are.equal("A7 B7", written(set.rounds({ A, B }, { seed = 7 })))
  end)

  it("repeat each with seeds counting up", function()
    assert.are.equal("A7 A8 A9 B7 B8 B9", written(set.rounds({ A, B }, { seed = 7, times = 3 })))
  end)

  it("come round by round, for ever, until one fails", function()
    assert.are.equal("A7 B7 A8 B8 A9", written(set.rounds({ A, B }, { seed = 7, until_fail = true }), 5))
    local twice = { seed = 7, until_fail = true, times = 2 }
    assert.are.equal("A7 B7 A8 B8", written(set.rounds({ A, B }, twice)))
  end)

  it("are shuffled by the seed, anew in each round, and none is left out", function()
    local many = {}
    for i = 1, 9 do many[i] = { id = string.char(96 + i) } end
    local function order(seed)
      return written(set.rounds(many, { seed = seed, times = 2, shuffle = true }))
    end
    assert.are.equal(order(7), order(7))
    assert.are_not.equal(order(7), order(8))
    local first, second = {}, {}
    for id, seed in order(7):gmatch "(%a)(%d+)" do table.insert(seed == "7" and first or second, id) end
    assert.are_not.same(first, second)
    table.sort(first)
    table.sort(second)
    assert.are.equal("abcdefghi", table.concat(first))
    assert.are.same(first, second)
  end)
end)

local function result(id, code) return { id = id, exit = code } end

describe("a set of runs", function()
  it("ends with its worst verdict; one without a verdict is worse than any", function()
    assert.are.equal(0, set.worst { result("A", 0), result("B", 0) })
    assert.are.equal(2, set.worst { result("A", 0), result("B", 2) })
    assert.are.equal(1, set.worst { result("A", 2), result("B", 1) })
    assert.are.equal(3, set.worst { result("A", 3), result("B", 1) })
    assert.are.equal(69, set.worst { result("A", 3), result("B", 69), result("C", 1) })
  end)

  it("stops at the first that is not as predicted when told to", function()
    local ran = {}
    local runs = set.rounds({ A, B }, { seed = 1, times = 5, until_fail = true })
    local results = set.in_turn(runs, function(run)
      ran[#ran + 1] = run.experiment.id .. run.seed
      return result(run.experiment.id, ran[#ran] == "B2" and 3 or 0)
    end, true)
    assert.are.same({ "A1", "B1", "A2", "B2" }, ran)
    assert.are.equal(3, results[#results].exit)
  end)

  it("runs so many at a time, and those that have the stack alone last and one by one", function()
    local now, most, order = 0, 0, {}
    local exps = { ALONE, A, B, { id = "C" }, ALONE }
    local results = set.side_by_side(set.rounds(exps, { seed = 7 }), 2, function(run)
      now = now + 1
      most = math.max(most, now)
      if run.experiment.disrupts then assert.are.equal(1, now) end
      order[#order + 1] = run.experiment.id
      task.sleep "2ms"
      now = now - 1
      return result(run.experiment.id, 0)
    end)
    assert.are.equal(2, most)
    assert.are.equal("A B C ALONE ALONE", table.concat(order, " "))
    assert.are.equal(5, #results)
  end)

  -- -> "A+B": what ran beside what, in the order of their starts
  local function neighbours_of(exps, jobs)
    local now, seen = {}, {}
    set.side_by_side(set.rounds(exps, { seed = 7 }), jobs, function(run)
      local id = run.experiment.id
      for other in pairs(now) do seen[#seen + 1] = other .. "+" .. id end
      now[id] = true
      task.sleep(run.experiment.takes or "4ms")
      now[id] = nil
      return result(id, 0)
    end)
    return table.concat(seen, " ")
  end

  it("runs nobody beside one that hurts what he needs", function()
    local hurts = { id = "H", needs = { "kafka" }, disrupts = { "kafka" } }
    local kafka = { id = "K", needs = { "kafka", "mysql" } }
    local cluster = { id = "C", needs = { "kafka", "redis-cluster" }, disrupts = { "redis-cluster" } }
    local other = { id = "D", needs = { "redis-cluster" }, disrupts = { "redis-cluster" } }
    assert.are.equal("", neighbours_of({ hurts, kafka }, 2))
    assert.are.equal("", neighbours_of({ cluster, other }, 2))
    assert.are.equal("K+C", neighbours_of({ kafka, cluster }, 2))
    assert.are.equal("", neighbours_of({ { id = "A", disrupts = true }, kafka }, 2))
    for _, one in ipairs { hurts, { disrupts = true } } do -- whoever of the two asks
      assert.is_false(neighbours.agree(one, kafka) or neighbours.agree(kafka, one))
      assert.is_false(neighbours.agree(one, {}) or neighbours.agree({}, one)) -- nobody knows what it needs
    end
    assert.is_true(neighbours.agree({}, kafka) and neighbours.agree(other, kafka))
  end)

  it("runs nobody beside one that nobody may disturb, and the others beside one another", function()
    local alone = { id = "U", needs = { "kafka" }, undisturbed = true }
    local calm = { id = "K", needs = { "kafka" } }
    assert.are.equal("K+R", neighbours_of({ alone, calm, { id = "R", needs = { "redis" } } }, 2))
    assert.is_false(neighbours.agree(alone, calm) or neighbours.agree(calm, alone))
  end)

  it("keeps for one that hurts others somebody whom it does not hurt", function()
    local hurts = { id = "H", needs = { "kafka" }, disrupts = { "kafka" } }
    local redis, kafka = { id = "R", needs = { "redis" } }, { id = "K", needs = { "kafka" } }
    assert.are.equal("H+R", neighbours_of({ redis, kafka, hurts }, 2))
  end)

  it("begins with the longest, and with what does not say how long it is", function()
    local exps = { { id = "a", seconds = 1 }, { id = "b", seconds = 9 }, { id = "c" },
      { id = "d", seconds = 9 } }
    local order = {}
    for i, exp in ipairs(set.longest_first(exps)) do order[i] = exp.id end
    assert.are.equal("c b d a", table.concat(order, " "))
    assert.are.equal("a", exps[1].id)
  end)

  it("keeps the exit code and the complaint of a run that printed no result", function()
    local run = { experiment = { id = "A" }, seed = 3 }
    local seen = set.read_result(run, "", { code = 69 }, "rlab: no broker\nmore\n")
    assert.are.equal(69, seen.exit)
    assert.are.equal("rlab: no broker", seen.sentence)
    assert.are.equal("ended by SIGKILL", set.read_result(run, "{", { signal = "KILL" }, "").sentence)
    assert.are.equal(70, set.read_result(run, "{", { signal = "KILL" }, "").exit)
    assert.are.equal(1, set.read_result(run, '{"exit":1,"id":"A"}', { code = 1 }, "").exit)
    assert.are.same({ 70, "not-run" }, { set.read_result(run, "{}", { code = 0 }, "").exit,
      set.read_result(run, "[]", { code = 0 }, "").verdict })
  end)
end)

describe("the memory of a set", function()
  it("is that of a process and of all below it", function()
    local list = memory.descendants(10, { [10] = 1, [11] = 10, [12] = 11, [13] = 1, [14] = 12 })
    table.sort(list)
    assert.are.same({ 10, 11, 12, 14 }, list)
  end)

  it("is its peak, also when there is nobody but us", function()
    local value, peak = memory.during(function()
      task.sleep "5ms"
      return "done"
    end)
    assert.are.equal("done", value)
    assert.is_true(peak > 1 << 20)
  end)
end)
