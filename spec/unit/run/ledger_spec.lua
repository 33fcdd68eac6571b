-- The ledger: what a run made stays written down until somebody has seen that it is gone.
local fs = require "rlab.fs"
local json = require "rlab.json"
local ledger = require "rlab.run.ledger"

-- An admin of a cluster with these topics and groups; those in `stuck` cannot be deleted.
local function admin_of(topics, groups, stuck)
  local function without(list, names)
    local left = {}
    for _, name in ipairs(list) do
      local gone = false
      for _, one in ipairs(names) do gone = gone or one == name and not (stuck or {})[name] end
      if not gone then left[#left + 1] = name end
    end
    return left
  end
  return {
    topics = function() return topics end,
    groups = function()
      local list = {}
      for i, id in ipairs(groups) do list[i] = { id = id } end
      return list
    end,
    delete_topics = function(_, names) topics = without(topics, names) return {} end,
    delete_groups = function(_, names) groups = without(groups, names) return {} end,
  }
end

describe("the ledger", function()
  local dir

  before_each(function()
    dir = assert(fs.tmpdir "rlab-ledger")
  end)
  after_each(function() fs.remove(dir) end)

  local function path_of(name) return dir .. "/open-runs/" .. name .. ".json" end

  -- f() with RLAB_HOME in the spec's own folder
  local function at_home(f)
    local real = os.getenv
    os.getenv = function(name) return name == "RLAB_HOME" and dir or real(name) end -- luacheck: ignore 122
    local ok, failure = pcall(f)
    os.getenv = real -- luacheck: ignore 122
    assert(ok, failure)
  end

  local function items_of(name)
    local text = fs.read(path_of(name))
    local words = {}
    for i, item in ipairs(text and json.decode(text).items or {}) do
      words[i] = item.kind .. " " .. item.name
    end
    return text and table.concat(words, ", ") or nil
  end

  -- A run that was killed and left these.
  local function dead(name, ...)
    local items = {}
    for i, word in ipairs { ... } do
      items[i] = { kind = word:match "^%S+", name = word:match "%S+$" }
    end
    assert(fs.mkdir(dir .. "/open-runs"))
    assert(fs.write(path_of(name), json.encode { pid = 1, start = 1, items = json.array(items) }))
  end

  it("counts once its file has its name", function()
    at_home(function()
      dead "n1"
      local unnamed = path_of "n2" .. ".tmp.1.a1B2c3"
      assert(fs.write(unnamed, json.encode { pid = 1, start = 1, items = json.array {} }))
      assert.equal(1, ledger.sweep({}, admin_of({}, {})))
      assert.is_true(fs.exists(unnamed))
    end)
  end)

  it("is gone when all is, and before anything is made it says so", function()
    at_home(function()
      local one = ledger.open("n1", {})
      one:add("topic", "n1-a")
      one:add("topic", "n1-a")
      assert.equal("topic n1-a", items_of "n1")
      assert.same({}, one:close({}, admin_of({ "n1-a", "other" }, { "n1-g" })))
      assert.is_nil(items_of "n1")
    end)
  end)

  it("keeps what could not be removed", function()
    at_home(function()
      local one = ledger.open("n2", {})
      for _, word in ipairs { "a", "b" } do one:add("topic", "n2-" .. word) end
      local left = one:close({}, admin_of({ "n2-a", "n2-b" }, { "n2-g", "x" }, { ["n2-b"] = true,
        ["n2-g"] = true }))
      assert.equal(2, #left)
      assert.equal("topic n2-b, group n2-g", items_of "n2")
    end)
  end)

  it("waits for the session of a member that was killed, and for nothing else", function()
    at_home(function()
      local admin, asked = admin_of({}, { "n6-g", "n6-h" }, { ["n6-g"] = true }), 0
      local gone = admin_of({}, { "n6-g" })
      function admin.delete_groups(_, names)
        asked = asked + 1
        if asked == 3 then admin.groups = gone.groups return gone:delete_groups(names) end
        local why = { name = "NON_EMPTY_GROUP" }
        if asked == 1 then return { failed = { { name = "n6-g", err = why } } } end
        why.failed = { { name = "n6-g", err = why } }
        return nil, why
      end
      assert.same({}, ledger.open("n6", {}):close({}, admin))
      assert.equal(3, asked)
      local refuses = admin_of({}, { "n7-g" }, { ["n7-g"] = true })
      function refuses.delete_groups()
        asked = asked + 1
        return nil, { name = "GROUP_AUTHORIZATION_FAILED",
          failed = { { name = "n7-g", err = { name = "GROUP_AUTHORIZATION_FAILED" } } } }
      end
      assert.same({ { kind = "group", name = "n7-g" } }, ledger.open("n7", {}):close({}, refuses))
      assert.equal(4, asked)
    end)
  end)

  it("has what dead runs did to servers undone before the next one asks these anything", function()
    at_home(function()
      local undone, refuses = {}, true
      local function undo(name)
        if refuses then return nil, { name = "NOT_PUT_BACK" } end
        undone[#undone + 1] = name
        return true
      end
      dead("n9", "fault kill-kafka-2", "topic n9-a")
      ledger.open("n10", {}):add("fault", "freeze-redis") -- one that lives undoes its own
      local ok, failure = pcall(ledger.put_back, undo)
      assert.is_false(ok)
      assert.equal("NOT_PUT_BACK", failure.name)
      assert.equal("fault kill-kafka-2, topic n9-a", items_of "n9")
      refuses = false
      ledger.put_back(undo)
      assert.same({ "kill-kafka-2" }, undone)
      assert.equal("topic n9-a", items_of "n9")
    end)
  end)

  it("puts a level of the cluster back as it was first, also when the rest is kept", function()
    at_home(function()
      local admin, set, refuses = admin_of({ "n8-a" }, {}), {}, false
      function admin.set_feature(_, name, level)
        if refuses then return nil, { name = "FEATURE_UPDATE_FAILED" } end
        set[#set + 1] = ("%s %d"):format(name, level)
        return true
      end
      dead("n8", "feature transaction.version=1", "feature transaction.version=2", "feature other=3")
      assert.equal(1, ledger.sweep({}, admin))
      assert.same({ "transaction.version 1", "other 3" }, set)
      local kept = ledger.open("n8", {})
      kept:add("feature", "transaction.version=2")
      kept:add("topic", "n8-a")
      assert.same({}, kept:close({}, admin, true))
      assert.equal("transaction.version 2", set[3])
      assert.same({ "n8-a" }, admin.topics())
      refuses = true
      dead("n8", "feature transaction.version=2")
      assert.equal(0, ledger.sweep({}, admin))
      assert.equal("feature transaction.version=2", items_of "n8")
    end)
  end)

  it("says what is still there, one or several", function()
    local one, two = { kind = "group", name = "a" }, { kind = "topic", name = "b" }
    assert.equal("group a of this run is still there; the next run removes it", ledger.told { one })
    assert.equal("2 things of this run are still there, such as topic b; the next run removes them",
      ledger.told { two, one })
  end)

  it("is not forgotten by a run that has fewer servers", function()
    at_home(function()
      dead("n3", "topic n3-a", "keys n3:", "database n3_db", "cluster-keys n3")
      assert.equal(0, ledger.sweep({}, nil))
      assert.equal("topic n3-a, keys n3:, cluster-keys n3, database n3_db", items_of "n3")
      local admin = admin_of({ "n3-a", "n3-b" }, {})
      assert.equal(0, ledger.sweep({}, admin))
      assert.equal("keys n3:, cluster-keys n3, database n3_db", items_of "n3")
      assert.same({ "n3-b" }, admin.topics())
    end)
  end)

  it("keeps all where nobody says what is still there", function()
    at_home(function()
      dead("n4", "topic n4-a")
      local function late() return nil, "late" end
      local silent = { delete_topics = late, topics = late, groups = late }
      assert.equal(0, ledger.sweep({}, silent))
      assert.equal("topic n4-a", items_of "n4")
      dead("n4", "topic n4-a")
      assert.equal(1, ledger.sweep({}, admin_of({ "n4-a" }, {})))
      assert.is_nil(items_of "n4")
    end)
  end)

  it("that cannot be written down lets nothing be made", function()
    at_home(function()
      local one = ledger.open("n5", {})
      assert(fs.remove(dir .. "/open-runs"))
      assert.is_false(pcall(one.add, one, "topic", "n5-a"))
      assert.is_false(pcall(one.add, one, "topic", "n5-a"))
    end)
  end)
end)
