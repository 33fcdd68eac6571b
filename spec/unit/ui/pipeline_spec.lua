local http = require "rlab.http"
local json = require "rlab.json"
local pipeline = require "rlab.ui.pipeline"
local preview = require "rlab.replay.preview"
local fate = require "rlab.replay.fate"
local refailed = require "rlab.replay.refailed"
local ui = require "rlab.ui"

local A, B = "0190aaaa-0000-7000-8000-00000000000a", "0190aaaa-0000-7000-8000-00000000000b"

local function letter(id, more)
  local row = { id = id, fate = "replay", group = "billing" }
  for name, value in pairs(more or {}) do row[name] = value end
  return row
end

-- processed_event that has these ids of these groups
local function db(applied)
  return { query = function(_, _, group, ...)
    local rows = {}
    for _, id in ipairs { ... } do
      if applied[group .. " " .. id] then rows[#rows + 1] = { id = id, at = "noon" } end
    end
    return rows
  end }
end

local function dedup_of(rows, applied)
  assert(preview.deduped(db(applied or {}), rows))
  local words = {}
  for i, row in ipairs(rows) do words[i] = row.dedup or "-" end
  return words
end

describe("what a re-drive would do", function()
  it("is what the replay itself does, in the same order of reasons", function()
    local o = { skip = { e1 = true }, max = 3, target = "original", topic = "orders" }
    local function of(id, story) return fate.of(o, id, story) end
    assert.equal("skipped", of("e1", { replay_count = 3 }))
    assert.equal("parked", of("e2", { replay_count = 3, cut = 9 }))
    assert.equal("partial", of("e2", { replay_count = 2, cut = 9 }))
    assert.equal("replay", of("e2", { replay_count = 2 }))
    assert.equal("replay", fate.of({ guard = false, max = 3 }, "e2", { replay_count = 9 }))
    assert.same({ "bills", "orders", "billing" }, { fate.topic(o, { original_topic = "bills" }),
      fate.topic(o, {}), fate.group(o, { original_group = "billing" }) })
    assert.is_nil(fate.group({ target = "none" }, { original_group = "billing" }))
    assert.equal("audit", fate.group({ target = "audit" }, { original_group = "billing" }))
  end)

  it("says of each id what dedup makes of it, for its own group", function()
    local rows = { letter(A), letter(B), letter(A, { group = "audit" }) }
    assert.same({ "drops: applied at noon", "applies", "applies" },
      dedup_of(rows, { ["billing " .. A] = true }))
  end)

  it("applies one of two copies, whichever comes first", function()
    assert.same({ "applies", "drops: another copy goes before it" },
      dedup_of { letter(A), letter(A:upper()) })
  end)

  it("does not guess", function()
    local everyone = letter(A)
    everyone.group = nil
    assert.same({ "not known: no event id", "-", "each group's own" },
      dedup_of { letter "0/17", letter(A, { fate = "parked" }), everyone })
    local refused = { query = function() return nil, "no such table" end }
    assert.same({ "no such table" }, { select(2, preview.deduped(refused, { letter(A) })) })
  end)

  it("tells a copy that failed again from others and from what failed before it", function()
    local function record(id, count)
      return { partition = 0, offset = 7, headers = { { "rlab-replay-count", tostring(count) } },
        header = function() return id end }
    end
    assert.equal("e1", refailed.of({ e1 = 2 }, record("e1", 2)).id)
    assert.is_nil(refailed.of({ e1 = 2 }, record("e1", 1)))
    assert.is_nil(refailed.of({ e1 = 2 }, record("e2", 2)))
  end)
end)

describe("a cached account beside its row", function()
  it("is judged by version, never by age", function()
    local function of(state, version, row_version)
      return pipeline.judged { state = state, version = version, row_version = row_version, age = 1e6 }
    end
    assert.same({ "fresh", "stale", "ahead" }, { of("value", 7, 7), of("value", 6, 7), of("value", 8, 7) })
    assert.same({ "fresh", "stale" }, { of("negative"), of("negative", nil, 1) })
    assert.same({ "no value", "no row" }, { of("tombstone", 6, 7), of("value", 1) })
    assert.equal("not known", pipeline.judged { state = "value", version = 1, row_version = 1, note = "?" })
  end)
end)

describe("the pipeline of the console", function()
  it("says of each part what it holds, or why it does not answer", function()
    local console <close> = assert(ui.serve { port = 0 })
    local p = console.pipeline
    p.clients.stack = function() return { mysql = { database = "app" } } end
    p.words.sql = function(text)
      if text:find "information_schema" then return { { name = "old" }, { name = "app" } } end
      return { { waiting = text:find "`app`" and 3 or 1, oldest = "2.5", parked = 0 } }
    end
    local said = json.decode(assert(http.get(console.url .. "/api/pipeline")).body)
    assert.same({ { schema = "app", waiting = 3, oldest = 2.5, parked = 0 },
      { schema = "old", waiting = 1, oldest = 2.5, parked = 0 } }, said.outbox.rows)
    assert.truthy(said.dead.failure:find("rlab up", 1, true))
    assert.truthy(said.cached.failure:find("rlab up", 1, true))
  end)

  it("starts one re-drive at a time, at a rate and up to a cap that mean something", function()
    local console <close> = assert(ui.serve { port = 0 })
    console.pipeline.clients.stack = function() return { kafka = { brokers = "127.0.0.1:1" } } end
    local token = assert(http.get(console.url)).body:match 'name="rlab%-token" content="(%x+)"'
    local function post(body)
      local answer = assert(http.post(console.url .. "/api/redrive", body,
        { headers = { ["x-rlab-token"] = token } }))
      return answer.status, json.decode(answer.body).detail
    end
    for _, body in ipairs { { rate = "5/s" }, { topic = "t" }, { topic = "t", rate = "0/s" },
      { topic = "t", rate = "5/s", cap = 0 }, { topic = "t", rate = "5/s", cap = 1.5 } } do
      assert.equal(400, (post(body)))
    end
    console.redrive.work, console.redrive.topic = { counts = function() return {} end,
      stop = function() end }, "orders"
    assert.same({ 409, "the re-drive of orders goes on; stop it first" },
      { post { topic = "t", rate = "5/s" } })
    console.redrive.work = nil
  end)
end)
