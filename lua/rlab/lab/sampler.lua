-- Samples ten times a second: watermarks of watched partitions and gauges, one JSON line each, for the report's time axis.
local json = require "rlab.json"
local task = require "rlab.task"

local M = {}

-- watch(topic, partition, label): low, lso, hw, leo of the partition become series "<label>.hw" ... `topic` may be a function that
-- returns the name once it is known.
function M.watch(lab, topic, partition, label)
  label = label or ("p" .. partition)
  lab:gauge(function(row)
    local name = type(topic) == "function" and topic() or topic
    local now = name and type(name) == "string" and lab.run:watcher():offsets(name, partition)
    if not now then return end
    for _, mark in ipairs { "low", "lso", "hw", "leo" } do row[label .. "." .. mark] = now[mark] end
  end)
end

-- gauge(f): f(row) adds fields to each sample
function M.gauge(lab, f)
  lab.gauges[#lab.gauges + 1] = f
  lab:start_sampler()
end

local function sample(lab)
  local row = { t = lab:now(), arm = lab.label }
  for _, gauge in ipairs(lab.gauges) do gauge(row) end
  lab.run.samples:write(json.encode(row), "\n")
  lab.run.view:sample(lab, row)
end

function M.start_sampler(lab)
  if lab.sampler then return end
  lab.sampler = task.spawn(function()
    while true do
      sample(lab)
      task.sleep "100ms"
    end
  end)
  local sampler = lab.sampler
  lab:own(setmetatable({}, { __close = function()
    sampler:cancel()
    sampler:join()
    pcall(sample, lab)
  end }))
end

return M
