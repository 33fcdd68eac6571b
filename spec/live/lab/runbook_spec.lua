-- The commands of docs/runbook.md, each on the real stack: that they run, and end well.
local fs = require "rlab.fs"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local runbook = require "spec.unit.deploy.support.runbook"
local stacks = require "rlab.stack"
local tools = require "rlab.stack.tools"

local TOPICS = { "orders", "orders.dlq" }

describe("the runbook's commands", function()
  local made, admin, stack = {}, nil, nil

  setup(function()
    stack = must(stacks.open { needs = { "kafka", "mysql", "redis" }, start = true })
    admin = must(kafka.admin { brokers = stack.kafka.brokers, at_most = "60s" })
    for _, topic in ipairs(TOPICS) do
      local ok = admin:create_topic { name = topic, partitions = 1, replication_factor = 3 }
      if ok then made[#made + 1] = topic end
    end
    must(admin:alter_group_offsets("consumer", { { topic = "orders", partition = 0, offset = 0 } }))
    local said, status = tools.output({ fs.self_exe(), "migrate", "--schema", "rlab" }, "3m")
    assert.are.same({ code = 0 }, status, said)
  end)
  teardown(function()
    must(admin:delete_topics(made))
    admin:close()
  end)

  -- those of services need services, those of runs a run; a doctor finds what he finds
  local function runs_here(command)
    return command:find "^rlab %l" and not command:find "rlab check" and not command:find "rlab doctor"
      or command:find "| rlab$"
  end

  local seen = {}
  for _, section in ipairs(runbook.read "en") do
    for _, command in ipairs(section.commands) do
      if runs_here(command) and not seen[command] then
        seen[command] = true
        it("runs " .. command, function()
          local text = command:gsub("%f[%w]rlab%f[%s\0]", fs.self_exe())
          local said, status = tools.output({ "sh", "-c", text }, "3m")
          assert.are.same({ code = 0 }, status, said)
        end)
      end
    end
  end
end)
