-- The sampler ends when it is told to, whatever it does at that moment.
local clock = require "rlab.clock"
local sampler = require "rlab.lab.sampler"
local task = require "rlab.task"

local function lab_with(gauge)
  return { label = "arm", gauges = { gauge }, now = function() return 0 end, rows = 0,
    run = { samples = { write = function() end },
      view = { sample = function(_, lab) lab.rows = lab.rows + 1 end } } }
end

-- Seconds that the end takes, `after` seconds from the start on.
local function end_takes(gauge, after)
  local lab = lab_with(gauge)
  sampler.start_sampler(lab)
  task.sleep(after)
  local began = clock.ns()
  sampler.stop_sampler(lab)
  return (clock.ns() - began) / 1e9, lab
end

describe("the sampler", function()
  it("ends at once while it waits for its next sample, and takes a last one", function()
    local seconds, lab = end_takes(function() end, 0.05)
    assert.is_true(seconds < 1, seconds)
    assert.equal(2, lab.rows)
  end)

  it("ends with the sample under way, which is let finish", function()
    local finished = 0
    local seconds = end_takes(function()
      task.sleep(0.2)
      finished = finished + 1
    end, 0.05)
    assert.is_true(seconds < 1, seconds)
    assert.equal(2, finished)
  end)

  it("does not wait for one that hangs", function()
    local seconds = end_takes(function() task.sleep(60) end, 0.05)
    assert.is_true(seconds > 1.9 and seconds < 30, seconds)
  end)
end)
