-- flow.relay while its MySQL, one of the spec's own, is frozen, killed and restarted under load.
local flow_relay = require "rlab.flow_relay"
local must = require "rlab.must"
local mysqld = require "spec.support.mysqld"
local outbox = require "spec.support.outbox"
local task = require "rlab.task"

local await = outbox.await

-- feed(o) -> stop(). A statement that failed may have done its work, and may yet: what comes after it has
--   other ids and other keys.
local function feed(o)
  local feeding, db, failures = true, o:connect(), 0
  local feeder = task.spawn(function()
    while feeding do
      if not pcall(o.add, o, 20, { db = db, prefix = ("k%d-"):format(failures) }) then
        failures = failures + 1
        task.wait_until(function() return db:reconnect() end, { at_most = "60s", every = "50ms" })
      end
      task.sleep "5ms"
    end
    db:close()
  end)
  return function()
    feeding = false
    feeder:join()
  end
end

describe("the relay", function()
  local server, o

  setup(function() server = mysqld.beside(outbox.address().port) end)
  teardown(function() server:stop() end)
  before_each(function()
    o = outbox.open { mysql = { host = "127.0.0.1", port = server.port, user = "app", password = "secret" },
      hasty = { read_timeout = 0.5, connect_timeout = 0.5 } }
  end)
  after_each(function() o:close() end)

  local faults = {
    { "freezes", function(flow)
      must(server.child:stop())
      await("down", function() return not flow:health() end)
      assert.matches("^mysql: ", select(2, flow:health()))
      must(server.child:cont())
    end },
    { "is killed and comes back", function(flow)
      server:kill()
      await("down", function() return not flow:health() end)
      server:start()
    end },
  }

  for _, fault in ipairs(faults) do
    for _, mark in ipairs { "update", "cursor" } do
      it(("loses, doubles and reorders nothing when MySQL %s: %s"):format(fault[1], mark), function()
        local flow <close> = must(flow_relay.open(o:options { mark = mark, batch = 50, in_flight = 3,
          lease = "1s" }))
        local stop_feeding = feed(o)
        await("some marks", function() return flow:stats().marked > 100 end)
        fault[2](flow)
        local before = flow:stats().marked
        await("more marks", function() return flow:stats().marked > before + 100 end)
        stop_feeding()
        must(o.db:reconnect())
        must(o.db:exec("USE " .. o.schema))
        o:drained(mark)
        must(flow:stop())
        local records = o:records()
        outbox.assert_as_table(o, records)
        outbox.assert_ordered(records)
      end)
    end
  end
end)
