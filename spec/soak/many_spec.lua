-- The console at a cluster of many: what it answers stays small, what is narrowed down is found, and what a
-- record holds is text. What it took in Chromium is printed and not judged, as it is the machine's.
-- make soak-console
local browser = require "spec.browser.browser"
local clock = require "rlab.clock"
local http = require "rlab.http"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local stack = require "rlab.stack"
local task = require "rlab.task"
local ui = require "rlab.ui"

local TOPICS, GROUPS, HANDS = 2000, 10000, 4
local LOT = 500 -- groups that are taken away with one call
local RECORDS, MEGABYTE = 50, 1000000
local MOST = 512 * 1024 -- bytes of an answer

local NAME = ("many-%x"):format(clock.unix_ms())
local BIG, GARBAGE = NAME .. "-big", NAME .. "-garbage"

-- f(admin, i) for each i, by several hands, each with a client of its own
local function each(brokers, n, f)
  task.group(function(group)
    for hand = 1, HANDS do
      group:spawn(function()
        local admin <close> = must(kafka.admin { brokers = brokers, at_most = "60s" })
        for i = hand, n, HANDS do f(admin, i) end
      end)
    end
  end)
end

local function topic_of(i) return ("%s-%04d"):format(NAME, i) end
local function group_of(i) return ("%s-g%05d"):format(NAME, i) end

-- all bytes there are, again and again, so that none of it is UTF-8
local function garbage(size)
  local list = {}
  for i = 0, 255 do list[i + 1] = string.char(255 - i) end
  return table.concat(list):rep(size // 256)
end

local function fill(brokers)
  each(brokers, TOPICS, function(admin, i)
    must(admin:create_topic { name = topic_of(i), replication_factor = 1, wait = false })
  end)
  local admin <close> = must(kafka.admin { brokers = brokers, at_most = "60s" })
  for _, name in ipairs { BIG, GARBAGE } do must(admin:create_topic { name = name, wait = true }) end
  each(brokers, GROUPS, function(one, i)
    must(one:alter_group_offsets(group_of(i), { { topic = BIG, partition = 0, offset = 1 } }))
  end)
  local producer <close> = must(kafka.producer { brokers = brokers, ["message.max.bytes"] = 2 * MEGABYTE })
  for i = 1, RECORDS do
    must(producer:send { topic = BIG, key = "k" .. i, value = ('{"n":%d,"text":"<b>%s"}'):format(i,
      ("x"):rep(MEGABYTE - 100)) })
    must(producer:send { topic = GARBAGE, key = garbage(256), value = garbage(MEGABYTE),
      headers = { { "h", garbage(512) } } })
  end
end

local function empty(brokers)
  local admin <close> = must(kafka.admin { brokers = brokers, at_most = "120s" })
  local topics = { BIG, GARBAGE }
  for i = 1, TOPICS do topics[#topics + 1] = topic_of(i) end
  each(brokers, GROUPS // LOT, function(one, lot)
    local groups = {}
    for i = 1, LOT do groups[i] = group_of((lot - 1) * LOT + i) end
    must(one:delete_groups(groups))
  end)
  must(admin:delete_topics(topics, { wait = true }))
end

describe("the console at a cluster of many", function()
  local held, console, b

  setup(function()
    held = must(stack.open { needs = { "kafka" }, start = true })
    local began = clock.ns()
    fill(held.kafka.brokers)
    print(("# filled in %.0f s"):format((clock.ns() - began) / 1e9))
    console = assert(ui.serve { port = 0 })
    b = browser.open(console.url)
    b:size(1280, 900)
  end)

  teardown(function()
    local wrong = b:wrong()
    b:close()
    console:close()
    empty(held.kafka.brokers)
    held:close()
    assert.same({}, wrong)
  end)

  local function answer(path)
    local began = clock.ns()
    local said = assert(http.get(console.url .. path, { timeout = "60s" }))
    print(("# %-52s %7.1f KiB in %4.0f ms"):format(path, #said.body / 1024, (clock.ns() - began) / 1e6))
    assert.equal(200, said.status, said.body)
    assert.is_true(#said.body <= MOST, path .. ": " .. #said.body)
    return json.decode(said.body)
  end

  local function timed(what, f)
    b:slow()
    local began = clock.ns()
    f()
    print(("# %-52s %4.0f ms, the page busy for %3.0f ms at once"):format(what, (clock.ns() - began) / 1e6,
      b:slow()))
  end

  it("answers with few of them, says how many there are, and finds each", function()
    local topics, groups = answer "/api/topics", answer "/api/groups"
    assert.is_true(topics.all >= TOPICS and #topics.rows <= 200)
    assert.is_true(groups.all >= GROUPS and #groups.rows <= 200)
    local found = answer("/api/groups?with=" .. group_of(GROUPS))
    assert.same({ 1, group_of(GROUPS), "Empty" }, { found.found, found.rows[1].group, found.rows[1].state })
    answer("/api/topics?with=" .. topic_of(7))
    answer("/api/groups/" .. group_of(7))
  end)

  it("is narrowed down in the page, key by key", function()
    timed("the list of topics", function()
      b:go "topics"
      b:see("main h1", "topics.")
    end)
    timed("the list of groups", function()
      b:go "groups"
      b:see("main h1", "groups.")
    end)
    b:see("main", "more; narrow it down above")
    timed("a group by its name, typed key by key", function()
      b:click "main input[type=search]"
      b:type(group_of(4711))
      b:see("main tbody tr:only-child", group_of(4711))
    end)
    b:press "ArrowLeft" -- the field has kept the keyboard
    b:type "9"
    b:see("main", "No name has that in it.")
    timed("a group of them", function()
      b:go("groups/" .. group_of(4711))
      b:see("main h1", "to read")
    end)
  end)

  it("shows records of a megabyte and of any bytes as text, cut, with their size", function()
    for _, topic in ipairs { BIG, GARBAGE } do
      local said = answer(("/api/topics/%s/0?n=%d"):format(topic, RECORDS))
      assert.equal(RECORDS, #said.records)
      assert.is_true(said.records[1].value.size > 0.9 * MEGABYTE and said.records[1].value.cut)
    end
    timed("records of a megabyte", function()
      b:go("topics/" .. BIG .. "/0")
      b:see(".records", "<b>xxx")
    end)
    timed("records of any bytes", function()
      b:go("topics/" .. GARBAGE .. "/0")
      b:see(".records", "ff fe fd")
    end)
    timed("one of them", function()
      b:click "tr[data-key=r0]"
      b:see("aside", "ff fe fd")
    end)
  end)
end)
