-- The console in Chromium, with real clicks, on real servers: what the stores hold then.
local browser = require "spec.browser.browser"
local clock = require "rlab.clock"
local dlq = require "rlab.dlq"
local fs = require "rlab.fs"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local reader = require "rlab.replay.reader"
local replay = require "rlab.replay"
local seeds = require "spec.browser.seed"
local stack = require "rlab.stack"
local task = require "rlab.task"
local ui = require "rlab.ui"

local SHOTS = os.getenv "RLAB_SHOTS" or "" -- a folder: pictures of each place are laid there

-- A folder with three runs of E-012, of the seeds 7, 8, 9.
local function kept_runs()
  local dir = assert(fs.tmpdir())
  for i = 1, 3 do
    assert(fs.mkdir(("%s/E-012/run-%d"):format(dir, i)))
    assert(fs.write(("%s/E-012/run-%d/result.json"):format(dir, i), json.encode { id = "E-012", title = "t",
      verdict = "pass", run = { seed = 6 + i, duration = 2 }, arms = {}, checks = {},
      stack = { versions = {} } }))
  end
  return dir
end

describe("the console in a browser", function()
  local held, seed, console, b, runs

  setup(function()
    held = must(stack.open { needs = { "kafka", "mysql", "redis", "proxy" }, start = true })
    seed = seeds.new(held)
    runs = kept_runs()
    console = assert(ui.serve { port = 0, runs = runs })
    b = browser.open(console.url)
  end)

  teardown(function()
    local wrong = {} -- besides the answer to the time that is none
    for _, text in ipairs(b:wrong()) do
      if not text:find "status of 400" then wrong[#wrong + 1] = text end
    end
    assert.same({}, wrong)
    b:close()
    console:close()
    fs.remove(runs)
    seed:close()
    held:close()
  end)

  local function records(topic)
    local list = {}
    must(reader.each(held.kafka.brokers, must(reader.bounds(seed.admin, topic)), function(r)
      list[#list + 1] = { id = r:header "event-id", key = r.key, value = r.value, headers = r.headers }
    end))
    return list
  end

  -- Nothing that axe finds, and nothing wider than the window, narrow and wide, light and dark.
  local function fine(name)
    for _, width in ipairs { 390, 1280, 1920 } do
      for _, scheme in ipairs { "light", "dark" } do
        b:size(width, 900)
        b:scheme(scheme)
        assert.same({}, b:axe(), ("%s at %d, %s"):format(name, width, scheme))
        assert.is_true(b:wide() <= 0, ("%s at %d is wider by %d"):format(name, width, b:wide()))
        if SHOTS ~= "" then b:shot(("%s/%s-%d-%s.png"):format(SHOTS, name, width, scheme)) end
      end
    end
    b:size(1280, 900)
    b:scheme "light"
  end

  it("shows what waits between the stores", function()
    seed:unsent(3)
    seed:account(7, 25, 24)
    seed:account(8, 19, 19)
    b:go "pipeline"
    b:see("main tr", seed.schema .. "3")
    b:see("main tr", seed.prefix .. "account:{7}2425")
    b:click("tr:has-text('account:{7}')")
    b:see("aside h2", "stale")
    fine "pipeline"
  end)

  it("re-drives dead letters after a preview that says what dedup does to each", function()
    local ids = seed:park(4)
    seed:park(1, 3)
    seed:applied(ids[2])
    b:go("pipeline/" .. seed.topic .. "/" .. seed.schema)
    b:see("main tr", ids[1] .. "handler0sentapplies")
    b:see("main tr", ids[2] .. "handler0sentdrops: applied at")
    b:see("main tr", "left, at its limit")
    fine "dead-letters"
    b:fill("aside input[type=number]", "3")
    b:fill("aside input >> nth=0", "50/s")
    b:click("aside .act > button")
    b:see(".ask", "Send 3 records back to " .. seed.topic .. " at 50/s? The dedup drops 1 of the first 3.")
    assert.same({}, records(seed.topic))
    b:click(".ask .grave")
    b:see(".doing", "Its cap is reached: 3 records sent")
    local sent = records(seed.topic)
    assert.same({ ids[1], ids[2], ids[3] }, { sent[1].id, sent[2].id, sent[3].id })
    assert.equal(2, must(replay.lag(seed.admin, dlq.dlq_topic(seed.topic), dlq.replay_group(seed.topic))))
  end)

  it("stops a re-drive at the first copy that fails again", function()
    local before = #records(seed.topic)
    seed:park(20)
    local failing = task.spawn(function()
      task.wait_until(function() return #records(seed.topic) > before end, { at_most = "60s" })
      local copy = records(seed.topic)[before + 1]
      copy.topic, copy.id = dlq.dlq_topic(seed.topic), nil
      must(seed.producer:send(copy))
    end)
    b:fill("aside input[type=number]", "")
    b:fill("aside input >> nth=0", "2/s")
    b:click("aside .act > button")
    b:click(".ask .grave")
    b:see(".doing", "failed again")
    failing:join()
    assert.is_true(#records(seed.topic) < before + 21)
  end)

  it("goes to an offset and to a time, and shows JSON with its numbers as they are", function()
    local began = clock.unix_ms()
    must(seed.producer:send { topic = seed.topic, key = "old", value = "old", timestamp = began - 3600000 })
    local at = must(seed.producer:send { topic = seed.topic, key = "<b>", timestamp = began,
      value = '{"id":12345678901234567890,"list":[1.0,{}],"text":"a,b"}' })
    b:go("topics/" .. seed.topic .. "/0")
    b:see(".records", "<b>")
    b:fill(".jump", "-10m")
    b:press "Enter"
    b:see("main", "UTC on.")
    b:click(("tr[data-key=r%d]"):format(at.offset))
    b:see("aside pre", '"id": 12345678901234567890,')
    assert.matches('"list": %[\n +1.0,\n +{}\n +%]', b:text "aside h2:has-text('Value') + pre")
    b:see(".lua", "admin():list_offsets")
    fine "record"
    b:fill(".jump", "yesterday")
    b:press "Enter"
    b:see("main", "is no offset, and no time")
  end)

  it("writes a record with key, value and headers, and sends one again that was changed", function()
    b:go("topics/" .. seed.topic)
    b:see("aside h2", "Write a record")
    b:fill("aside input >> nth=0", "k-new")
    b:fill("aside textarea >> nth=0", "first")
    b:fill("aside textarea >> nth=1", "a=1\nb=2=3")
    b:see("aside .lua", 'headers = { { "a", "1" }, { "b", "2=3" } }')
    b:click "aside .act > button"
    b:click ".ask .grave"
    b:see("aside .said", "written to partition 0")
    local list = records(seed.topic)
    local first = list[#list]
    assert.same({ "k-new", "first", { { "a", "1" }, { "b", "2=3" } } },
      { first.key, first.value, first.headers })

    b:go("topics/" .. seed.topic .. "/0/" .. #list - 1)
    b:see("aside h2", "Edit and send again")
    b:fill("aside textarea >> nth=0", "second")
    b:click "aside .act > button"
    b:click ".ask .grave"
    b:see("aside .said", "written to partition 0")
    list = records(seed.topic)
    assert.same({ "k-new", "second", { { "a", "1" }, { "b", "2=3" } } },
      { list[#list].key, list[#list].value, list[#list].headers })
  end)

  it("aborts an open transaction, which is fenced, and says how old what is left to read is", function()
    local id, group = seed.topic .. "-tx", seed.topic .. "-group"
    local p <close> = must(kafka.producer { brokers = held.kafka.brokers, transactional_id = id })
    must(p:init_transactions "60s")
    must(p:begin())
    must(p:send { topic = seed.topic, partition = 0, value = "open" })
    b:go "groups"
    b:click(("tr[data-key='txn %s']"):format(id))
    b:see("aside", "It holds back " .. seed.topic .. "-0")
    fine "transactions"
    b:click "aside .act > button"
    b:see(".ask", "Abort the transaction of " .. id)
    b:click ".ask .grave"
    b:see("#log-said", "Ongoing before")
    task.wait_until(function() return must(seed.admin:transaction(id)).state == "CompleteAbort" end,
      { at_most = "20s" })
    assert.is_nil((p:commit "10s"))
    must(seed.admin:alter_group_offsets(group, { { topic = seed.topic, partition = 0, offset = 0 } }))
    b:go("groups/" .. group)
    b:see("main h1", "to read, the oldest")
    fine "group"
    must(seed.admin:delete_groups { group })
  end)

  it("compares any two of the runs that are kept", function()
    b:go "runs/E-012/run-1"
    b:see("main tbody tr", "seed79")
    b:select("main select >> nth=1", "run-2")
    b:see("main tbody tr", "seed78")
    b:see("main .lua", "rlab diff runs/E-012/run-1 runs/E-012/run-2")
    b:select("main select >> nth=0", "run-3")
    b:see("main tbody tr", "seed98")
    fine "compare"
  end)

  it("shows one thing at a time on a phone, and the keyboard goes there and back", function()
    b:size(390, 844)
    b:go "runs"
    b:see("main tr[data-key]", "E-012")
    b:press "j"
    b:press "Enter"
    b:see("aside .back:focus", "Back")
    assert.same({}, b:axe(), "a run on a phone")
    b:press "Enter"
    b:see("main tr[data-key].on:focus", "E-")
    b:size(1280, 900)
  end)

  it("narrows a list down by a part of the name, and the field keeps the keyboard", function()
    local names = {}
    for i = 1, 12 do names[i] = ("%s-n%02d"):format(seed.topic, i) end
    for _, name in ipairs(names) do
      must(seed.admin:create_topic { name = name, partitions = 1, wait = true })
    end
    b:go "topics"
    b:see("main tbody", names[12])
    b:click "main input[type=search]"
    b:type(seed.topic:sub(-12) .. "-n1")
    b:see("main tbody tr:nth-child(3):last-child", names[12])
    b:type "9"
    b:see("main", "No name has that in it.")
    b:press "Backspace"
    b:see("main tbody tr", names[10])
    must(seed.admin:delete_topics(names))
  end)

  it("is reached by keys alone, and every place of it is fit to be read", function()
    b:go "running"
    b:press "?"
    b:see("dialog[open]", "go to a place")
    b:press "Escape"
    b:press "4"
    b:see("main h1", "outbox")
    b:see("main tr[data-key^='dlq ']", seed.topic)
    b:press "j"
    b:see("main h1", "outbox") -- a line that leads elsewhere waits for Enter
    b:press "Enter"
    b:see("main .sub", "dead letters")
    for i, name in ipairs { "running", "topics", "groups", "pipeline", "services", "faults", "runs" } do
      b:press(tostring(i))
      b:see("nav a[aria-current]", name)
      b:see("main h1", ".")
      fine(name)
    end
  end)
end)
