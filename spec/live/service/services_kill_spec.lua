-- The pipeline of services on the real stack, killed at each failpoint, and with servers that are slow,
-- frozen, killed or restarted: scenarios of spec/fixtures, run as a user runs them. What they find is read
-- from the stores; the wrong settings among them show that it would be found.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"

local runs = fs.tmpdir() .. "/rlab-kill-runs-" .. process.self()

local function run(name)
  local child <close> = assert(
    process.spawn { cmd = { fs.self_exe(), "spec/fixtures/experiments/" .. name .. ".lua", "--runs", runs },
    env = { RLAB_LUA_PATH = "." }, -- their pipeline is a module of this checkout
    stdout = "capture", stderr = "stdout", max_output = "1MiB" })
  local status = assert(child:wait "1500s")
  local output = child:output()
  assert.are.equal(0, status.code, output)
  return json.decode(assert(fs.read(output:match "report +(%S+)/report.html" .. "/result.json")))
end

-- Every arm had its fault, ten checks each, the debt that all is drained, and so many more in all; the
-- violated ones are these and no other.
local function assert_judged(result, arms, red, more)
  assert.are.equal(arms, #result.arms)
  local proved, found = {}, {}
  for _, fault in ipairs(result.faults) do
    assert.is_true(fault.fired, fault.name)
    proved[fault.arm] = true
  end
  for _, arm in ipairs(result.arms) do assert.is_true(proved[arm.name], arm.name .. " had no fault") end
  assert.are.equal(arms * 11 + (more or 0), #result.checks)
  for _, check in ipairs(result.checks) do
    if check.outcome ~= "holds" then found[#found + 1] = check.arm .. ": " .. check.name end
  end
  table.sort(found)
  assert.are.same(red, found)
end

describe("command, relay and consumer", function()
  teardown(function() fs.remove(runs) end)

  it("lose, double and reorder nothing when killed at any failpoint; wrong settings are caught", function()
    assert_judged(run "kill-matrix", 21,
      { "cache-once: stale-cache", "commit-first: conservation", "commit-first: stale-cache",
      "commit-first: unapplied", "direct-send: conservation", "direct-send: orphan-row",
      "direct-send: stale-cache", "no-dedup: conservation", "no-dedup: duplicate-effect",
      "no-dedup: stale-cache" })
  end)

  it("lose, double and reorder nothing while a server is slow, frozen or killed", function()
    assert_judged(run "ill-servers", 11, { "no-transactions: unapplied" })
  end)

  it("lose, double and reorder nothing, and queries are not stale for ever, when servers are restarted \z
    and the leading broker dies", function()
    assert_judged(run "restarted-servers", 9,
      { "never-told: answers", "never-told: stale-answer", "never-told: stale-cache", "no-acks: conservation",
      "no-acks: orphan-row", "no-acks: stale-cache" }, 10)
  end)
end)
