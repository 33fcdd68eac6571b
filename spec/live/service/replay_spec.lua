-- rlab replay and the replay service on the running stack: what goes back, with which headers, what a crash
-- repeats, and who is refused.
local dlq = require "rlab.dlq"
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local process = require "rlab.process"
local reader = require "rlab.replay.reader"
local replay = require "rlab.replay"
local task = require "rlab.task"

local REFUSAL = 44 -- POLICY_VIOLATION, after which the client goes on with the next record

local brokers = os.getenv "RLAB_TEST_BROKERS"
local admin, producer, topic, count = nil, nil, nil, 0

local function fresh_topic()
  count = count + 1
  topic = ("replay-spec-%d-%d"):format(process.self(), count)
  for _, name in ipairs { topic, dlq.dlq_topic(topic) } do
    must(admin:create_topic { name = name, partitions = 2, replication_factor = 3 })
  end
end

-- n failed records e1.. in the DLQ, key k1 or k2, the last of them replayed three times already
local function park(n)
  local list = {}
  for i = 1, n do
    local headers = { { "event-id", "e" .. i }, { "rlab-original-topic", topic },
      { "rlab-original-group", "billing" }, { "rlab-attempt", "3" },
      { "rlab-error-class", i % 2 == 0 and "handler" or "undecodable" } }
    if i == n then headers[#headers + 1] = { "rlab-replay-count", "3" } end
    list[i] = { topic = dlq.dlq_topic(topic), partition = (i - 1) % 2, key = "k" .. (1 + i % 2),
      value = "v" .. i, headers = headers }
  end
  assert.equal(n, #producer:send_batch(list, "10s"):acked())
end

-- ids in the main topic, with the records by id
local function sent()
  local ids, by_id = {}, {}
  must(reader.each(brokers, must(reader.bounds(admin, topic)), function(record)
    local id = record:header "event-id"
    ids[#ids + 1], by_id[id] = id, { key = record.key, value = record.value, headers = record.headers,
      timestamp = record.timestamp }
  end))
  table.sort(ids)
  return ids, by_id
end

local function options(more)
  local o = { brokers = brokers, topic = topic, dlq = dlq.dlq_topic(topic), group = dlq.replay_group(topic),
    target = "original", max = 3, rate = 1000,
    batch = 1, follow = false }
  for key, value in pairs(more or {}) do o[key] = value end
  return o
end

local function run(more)
  local work = replay.new(options(more))
  must(work:run())
  return work:counts()
end

local function lag() return must(replay.lag(admin, dlq.dlq_topic(topic), dlq.replay_group(topic))) end

local function program(...)
  local child <close> = must(process.spawn { cmd = { fs.self_exe(), ... },
    env = { RLAB_BROKERS = brokers, NO_COLOR = "1" },
    stdout = "capture", stderr = "capture" })
  local code = must(child:wait "60s").code
  local out, errors = child:output()
  return out, errors, code
end

local function rlab(...) return program("replay", ...) end

describe("replay", function()
  setup(function()
    admin = must(kafka.admin { brokers = brokers, at_most = "20s" })
    producer = must(kafka.producer { brokers = brokers, acks = "all", linger_ms = 0 })
  end)

  teardown(function()
    producer:close()
    admin:close()
  end)

  before_each(fresh_topic)
  after_each(function() admin:delete_topics({ topic, dlq.dlq_topic(topic) }) end)

  it("sends each record back once, counts the replay, names the group, and leaves alone who is at the \z
    limit", function()
    park(6)
    assert.equal(6, lag())
    local counts = run()
    assert.same({ 5, 1, "done" }, { counts.replayed, counts.parked, counts.state })
    local ids, by_id = sent()
    assert.same({ "e1", "e2", "e3", "e4", "e5" }, ids)
    assert.same({ { "event-id", "e2" }, { "rlab-original-topic", topic },
      { "rlab-original-group", "billing" }, { "rlab-error-class", "handler" },
      { "rlab-replay-count", "1" }, { "rlab-target-group", "billing" } }, by_id.e2.headers)
    assert.same({ "k1", "v2" }, { by_id.e2.key, by_id.e2.value })
    assert.equal(0, lag())
    assert.equal(0, run().replayed)
  end)

  it("ends at the first copy that failed again, where that is asked", function()
    park(12)
    local failing = task.spawn(function()
      local id
      task.wait_until(function() id = sent()[1] return id end, { at_most = "60s" })
      must(producer:send { topic = dlq.dlq_topic(topic), key = "k", value = "v",
        headers = { { "event-id", id }, { "rlab-replay-count", "1" } } })
      return id
    end)
    local counts = run { rate = 2, stop_on_refailure = true }
    assert.equal(failing:join(), counts.again.id)
    assert.equal("stopped", counts.state)
    assert.is_true(counts.replayed < 11 and lag() > 0)
  end)

  it("tells what can never be sent, and replays what is behind it", function()
    local target, gone = dlq.dlq_topic(topic), topic .. "-gone"
    local function parked(id, to, value, more)
      local headers = { { "event-id", id }, { "rlab-original-topic", to },
        { "rlab-original-group", "billing" } }
      for _, pair in ipairs(more or {}) do headers[#headers + 1] = pair end
      return { topic = target, partition = 0, key = "k", value = value, headers = headers }
    end
    must(admin:alter_configs { topic = topic, set = { ["max.message.bytes"] = "1000050" } })
    local large <close> = must(kafka.producer { brokers = brokers, message_max_bytes = 2000000 })
    local list = { parked("large", topic, ("x"):rep(1000100)), parked("gone", gone, "v"),
      parked("cut", topic, "v", { { "rlab-cut", "2000000" }, { "rlab-original-partition", "3" },
        { "rlab-original-offset", "41" } }), parked("good", topic, "v") }
    assert.equal(#list, #large:send_batch(list, "20s"):acked())
    local told = {}
    local counts = run { notice = function(what, fields)
      if what == "unsendable" then told[fields.id] = fields.reason end
    end }
    assert.same({ 1, 3, "done" }, { counts.replayed, counts.unsendable, counts.state })
    assert.matches("MSG_SIZE_TOO_LARGE", told.large)
    assert.matches(gone, told.gone, 1, true)
    assert.matches("2000000 bytes; the original is " .. topic .. "/3/41", told.cut, 1, true)
    assert.same({ "good" }, (sent()))
    assert.equal(0, lag())
  end)

  it("takes ids, keys, classes and headers, and skips; the backlog of the group stays for what was not \z
    asked for", function()
    park(6)
    assert.equal(1, run({ filter = reader.filter { ids = { "e2" } }, group = topic .. ".one" }).replayed)
    assert.equal(3, run({ filter = reader.filter { class = "undecodable", key = "k2" },
      group = topic .. ".two" }).replayed)
    assert.equal(1, run({ filter = reader.filter { headers = { ["event-id"] = "e4" } },
      group = topic .. ".three" }).replayed)
    assert.equal(6, lag())
    local counts = run { skip = reader.set_of { "e4" } }
    assert.same({ 4, 1, 1 }, { counts.replayed, counts.skipped, counts.parked })
  end)

  it("shows what the wrong settings do: no target group, no count, ended by the budget only", function()
    park(4)
    local counts = run { target = "none", guard = false, budget = 3 }
    assert.same({ 3, "out of budget" }, { counts.replayed, counts.state })
    local _, by_id = sent()
    for _, pair in ipairs(by_id.e1.headers) do
      assert.is_true(pair[1] ~= "rlab-target-group" and pair[1] ~= "rlab-replay-count")
    end
  end)

  it("keeps to its rate", function()
    park(6)
    run { rate = 4 }
    local _, by_id = sent()
    local times = {}
    for _, record in pairs(by_id) do times[#times + 1] = record.timestamp end
    table.sort(times)
    assert.equal(5, #times)
    -- four quarters of a second, less what the first one may come late
    assert.is_true(times[5] - times[1] >= 800, times[5] - times[1])
  end)

  it("sends again what the brokers refused", function()
    local stack <close> = must(require("rlab.stack").open { needs = { "kafka", "proxy" }, start = true })
    local wire = must(require("rlab.proxy").connect(stack.proxy.url))
    local rule = must(wire:add_rule { owner = topic, api = "Produce", topic = topic, nth = 1,
      action = "error", code = REFUSAL })
    park(4)
    local downs = 0
    local counts = run { brokers = stack.proxy.brokers, notice = function(what)
      if what == "down" then downs = downs + 1 end
    end }
    assert.same({ 3, 1, 0, "done" }, { counts.replayed, counts.parked, counts.unsendable, counts.state })
    assert.equal(1, must(wire:rule(rule.id)).fired)
    wire:sweep(topic)
    assert.is_true(downs == 1 and counts.failures == 1)
    local _, by_id = sent()
    for i = 1, 3 do assert.is_truthy(by_id["e" .. i]) end
  end)

  it("leaves alone what comes in meanwhile", function()
    local n, late = 12, false
    local function add(partition, id)
      must(producer:send { topic = dlq.dlq_topic(topic), partition = partition, value = ("x"):rep(2000),
        headers = { { "event-id", id }, { "rlab-original-topic", topic },
          { "rlab-original-group", "billing" } } })
    end
    for i = 1, n do add(1, "e" .. i) end
    -- a small fetch at a time, so that what comes in stands before the last of those
    local counts = run { rate = 100, consumer = { ["max.partition.fetch.bytes"] = 1000,
      ["queued.min.messages"] = 1 },
      notice = function(what)
        if what ~= "replayed" or late then return end
        late = true
        add(0, "late-0")
        add(1, "late-1")
      end }
    assert.same({ n, "done" }, { counts.replayed, counts.state })
    assert.is_true(late)
    local _, by_id = sent()
    assert.same({}, { by_id["late-0"], by_id["late-1"] })
  end)

  it("repeats after a crash what was under way, and nothing else", function()
    park(6)
    local cmd = { fs.self_exe(), "service", "replay", "--topic", topic, "--port", "0", "--brokers", brokers,
      "--rate", "1000/s" }
    local log = os.tmpname()
    local child <close> = must(process.spawn { cmd = cmd, stdout = "capture", stderr = log,
      env = { RLAB_FAILPOINTS = "replay.after_ack=#2 kill" } })
    assert.equal("KILL", must(child:wait "60s").signal)
    assert.equal(5, lag())
    local again <close> = must(process.spawn { cmd = cmd, stdout = "capture", stderr = log })
    must(task.wait_until(function() return lag() == 0 end, { at_most = "60s", every = "50ms" }))
    must(again:kill "TERM")
    assert.equal(0, must(again:wait "60s").code)
    os.remove(log)
    local seen = {}
    for _, id in ipairs((sent())) do seen[id] = (seen[id] or 0) + 1 end
    local twice = 0
    for _, n in pairs(seen) do twice = twice + (n == 2 and 1 or 0) end
    assert.same({ 1, nil }, { twice, seen.e6 })
  end)

  it("as a service lists, shows, pauses and tells its lag", function()
    park(6)
    local child <close> = must(process.spawn { stdout = "capture", stderr = "null",
      cmd = { fs.self_exe(), "service", "replay", "--topic", topic, "--port", "0", "--brokers", brokers,
        "--rate", "1/m" } })
    local ready = json.decode(child:lines()())
    local url = ("http://127.0.0.1:%d"):format(ready.port)
    local function get(path) return json.decode(must(http.get(url .. path)).body) end
    assert.equal(6, get("/dlq").total)
    local one = get("/dlq/e4").records[1]
    assert.equal("v4", one.value)
    assert.equal("v4", get(("/dlq/%d%%2F%d"):format(one.partition, one.offset)).records[1].value)
    assert.equal(404, must(http.get(url .. "/dlq/nobody")).status)
    must(task.wait_until(function() return get("/replay").replayed == 1 end,
      { at_most = "60s", every = "50ms" }))
    assert.equal("paused", json.decode(must(http.post(url .. "/replay/pause", "")).body).state)
    must(task.wait_until(function() return get("/replay").lag == 5 end,
      { at_most = "60s", what = "the commit behind the acknowledgement" }))
    assert.equal(200, must(http.get(url .. "/actuator/health/readiness")).status)
    assert.matches("rlab_replay_lag 5", must(http.get(url .. "/actuator/prometheus")).body)
    must(child:kill "TERM")
    assert.equal(0, must(child:wait "60s").code)
  end)

  it("wants a budget when nothing ends a loop", function()
    local _, errors, code = program("service", "replay", "--topic", "t", "--port", "0", "--no-guard")
    assert.same({ 64, "rlab: service replay: without --guard a record that always fails goes round for \z
      ever: say --budget N, copies in all\n" },
      { code, errors:match "[^\n]*\n$" })
  end)

  it("by hand: list, show, dry run, run", function()
    park(4)
    local out = rlab("list", topic)
    assert.matches("0/0%s+e1%s+k2%s+undecodable%s+3%s+0%s+waiting", out)
    assert.matches("original%-group%s+billing\n", (rlab("show", topic, "e2")))
    out = rlab("run", topic, "--dry-run", "--skip", "e1")
    assert.matches("e2%s+k1%s+" .. topic:gsub("%-", "%%-") .. "%s+billing%s+1\n", out)
    assert.matches("  dry run: 2 would be sent, 1 parked, 1 skipped; nothing was changed\n", out)
    assert.equal(4, lag())
    assert.equal("  3 sent, 1 parked at their limit, 0 skipped\n", (rlab("run", topic, "--rate", "1000/s")))
    local _, errors, code = rlab("show", topic, "nobody")
    assert.same({ 64, (
      "rlab: replay: %s.dlq holds no record nobody; rlab replay list %s shows what is there\n"):format(
      topic, topic) },
      { code, errors })
  end)

  it("moves offsets after a plan, and not under live members", function()
    park(6)
    local group, dead = topic .. "-group", dlq.dlq_topic(topic)
    local out = rlab("offsets", group, dead, "--to", "latest")
    assert.matches("0%s+none%s+3%s+0%.%.3\n", out)
    assert.matches("  dry run: nothing was changed; %-%-execute does it\n", out)
    assert.same({}, must(admin:group_offsets(group)))
    assert.matches("moved", (rlab("offsets", group, dead, "--to", "latest", "--execute")))
    assert.matches("0%s+3%s+1%s+%-2%s+0%.%.3\n", (rlab("offsets", group, dead, "--shift", "-2", "--execute")))
    assert.matches("1%s+1%s+0%s+%-1%s", (rlab("offsets", group, dead, "--shift", "-9", "--partition", "1")))
    assert.matches("0%s+1%s+0%s+%-1%s", (rlab("offsets", group, dead, "--to", "-1h", "--execute")))
    local consumer <close> = must(kafka.consumer { brokers = brokers, group = group })
    must(consumer:subscribe { dead })
    must(task.wait_until(function() consumer:poll(1, "50ms") return #must(admin:group(group)).members > 0
      end, { at_most = "60s" }))
    local _, errors, code = rlab("offsets", group, dead, "--to", "earliest", "--execute")
    assert.equal(69, code)
    assert.matches("^rlab: group '.*' has 1 live member %(.*%); stop them first, their next commit would \z
      undo the move\n$", errors)
    assert.matches("dry run: nothing was changed; it would be refused: group",
      (rlab("offsets", group, dead, "--to", "earliest")))
  end)

  it("says what is wrong with what was typed", function()
    local function complaint(...) return (select(2, rlab(...))) end
    assert.equal("rlab: replay: no 'lst'; did you mean 'list'?\n", complaint "lst")
    assert.equal("rlab: replay: --rate takes a rate such as 50/s, not 'fast'\n",
      complaint("run", topic, "--rate", "fast"))
    assert.equal("rlab: replay: say where: --to earliest, latest, an offset, -5m or a time; or --shift N\n",
      complaint("offsets", "g", topic))
    assert.equal("rlab: replay: --header takes NAME=VALUE, got 'x'\n",
      complaint("list", topic, "--header", "x"))
    assert.matches("Unknown topic or partition\n$", complaint("list", "no-such-topic-here"))
  end)
end)
