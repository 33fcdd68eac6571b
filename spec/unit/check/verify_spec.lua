-- rlab verify: ids of one source against those of another, without a server.
local fs = require "rlab.fs"
local json = require "rlab.json"
local pointer = require "rlab.verify.pointer"
local process = require "rlab.process"
local source = require "rlab.verify.source"
local verify = require "rlab.verify.judge"

local dir

before_each(function() dir = assert(fs.tmpdir "rlab-verify") end)
after_each(function() fs.remove(dir) end)

local function file(name, text)
  assert(fs.write(dir .. "/" .. name, text))
  return source.of("file:" .. dir .. "/" .. name)
end

-- judged(of, in_ [, more]) -> word, {lost = outcome, ...}, {lost = {ids}, ...}
local function judged(of, in_, more)
  local what = { of = file("of", of), in_ = file("in", in_), claims = verify.CLAIMS, at_least = 1,
    within = 0 }
  for key, value in pairs(more or {}) do what[key] = value end
  local word, checks = verify.judge(what)
  local outcomes, ids = {}, {}
  for _, check in ipairs(checks) do outcomes[check.name], ids[check.name] = check.outcome, check.ids end
  return word, outcomes, ids
end

describe("ids of one source against those of another", function()
  it("hold where each is there, as often as it should be", function()
    assert.equal("holds", (judged("a\nb\n", "b\r\na\n\n")))
    assert.equal("holds", (judged("a\na\n", "a\na\n")))
  end)

  it("are lost, there too often, or there without a cause", function()
    local word, _, ids = judged("a\nb\nc\n", "a\nb\nb\nx\nx\n")
    assert.equal("violated", word)
    assert.same({ lost = { "c" }, twice = { "b" }, phantom = { "x" } }, ids)
  end)

  it("are judged by the claims that are asked for", function()
    local word, outcomes = judged("a\n", "a\nx\n", { claims = { "lost", "twice" } })
    assert.same({ "holds", { lost = "holds", twice = "holds" } }, { word, outcomes })
  end)

  it("of which nobody knows whether they happened are neither lost nor without a cause", function()
    assert.equal("violated", (judged("a\nb\n", "a\nx\n")))
    assert.equal("holds", (judged("a\nb\n", "a\nx\n", { unknown = file("unknown", "b\nx\n") })))
  end)

  it("say nothing when they are too few, whatever else is wrong", function()
    assert.equal("inconclusive", (judged("", "x\n")))
    assert.equal("inconclusive", (judged("a\nb\n", "a\nb\n", { at_least = 3 })))
  end)
end)

describe("two sources that are read one after the other", function()
  local function bag_of(list) return require("rlab.bag").from(list) end

  local function of(more)
    local lists, n = more, 0
    return { text = "a table", read = function()
      n = n + 1
      return { ids = bag_of(lists[math.min(n, #lists)]), nameless = {} }
    end }
  end

  local function outcome(a, b, more)
    local what = { of = a, in_ = b, claims = verify.CLAIMS, at_least = 1, within = 0 }
    for key, value in pairs(more or {}) do what[key] = value end
    local word, checks = verify.judge(what)
    return word, checks
  end

  it("blame nobody for what was written in between", function()
    assert.equal("holds", (outcome(of { { "a" }, { "a", "b" } }, of { { "a", "b" } })))
    assert.equal("violated", (outcome(of { { "a" }, { "a" } }, of { { "a", "b" } })))
  end)

  it("are read anew until all holds or the time has passed", function()
    local in_ = of { {}, { "a" } }
    assert.equal("violated", (outcome(of { { "a" } }, in_)))
    assert.equal("holds", (outcome(of { { "a" } }, of { {}, { "a" } }, { within = 5 })))
  end)

  it("do not say that something is lost where the log has lost its beginning", function()
    local log = { text = "a log", read = function()
      return { ids = bag_of { "b" }, nameless = {}, removed = true }
    end }
    assert.equal("inconclusive", (outcome(of { { "a", "b" } }, log)))
    assert.equal("holds", (outcome(of { { "b" } }, log)))
  end)

  it("tell of entries without an id", function()
    local log = { text = "a log", read = function()
      return { ids = bag_of { "a" }, nameless = { "orders/0/7" } }
    end }
    local word, checks = outcome(of { { "a" } }, log)
    assert.same({ "violated", { "orders/0/7 (no id)" } }, { word, checks[3].ids })
    assert.equal("inconclusive", (outcome(log, of { { "a" } })))
  end)
end)

describe("a source of ids", function()
  it("is one of the forms, and a mistake is told before anything is read", function()
    for _, text in ipairs { "orders", "kafka:orders", "kafka:#key", "kafka:orders#headers", "mysql:",
      "Mysql:x", "http://x", "kafka:orders#header:" } do
      local ok, failure = pcall(source.of, text)
      assert.is_false(ok, text)
      assert.equal("USAGE", failure.name)
    end
    for _, text in ipairs { "mysql:SELECT 1", "kafka:a#key", "kafka:a#/id", "redis:a:*", "file:x" } do
      assert.equal(text, source.of(text).text)
    end
  end)

  it("finds an id in JSON by a pointer", function()
    local value = assert(json.decode '{"a/b": [{"~": "x"}, 7], "n": null, "0": "zero"}')
    local function at(path) return pointer.at(value, path) end
    assert.same({ "x", 7, "zero" }, { at "/a~1b/0/~0", at "/a~1b/1", at "/0" })
    for _, path in ipairs { "/a~1b/00", "/a~1b/2", "/a~1b/-", "/b", "/n/x", "/a~1b/0/~0/y" } do
      assert.is_nil(at(path), path)
    end
  end)

  it("takes its servers from a file, whose secrets are no arguments", function()
    assert(fs.write(dir .. "/c.json", '{"mysql": "mysql://u:p%20q@h:1/s", "kafka": {"brokers": "b:1"}}'))
    local found = source.connections(dir .. "/c.json")
    assert.same({ "p q", "b:1" }, { found.mysql.password, found.kafka.brokers })
    assert(fs.write(dir .. "/c.json", '{"kafka": "h:99999"}'))
    assert.equal("USAGE", select(2, pcall(source.connections, dir .. "/c.json")).name)
    assert(fs.write(dir .. "/c.json", '{"mysql": "mysql://u:secret@"}'))
    local ok, failure = pcall(source.connections, dir .. "/c.json")
    assert.is_false(ok)
    assert.is_nil(failure.message:find("secret", 1, true))
  end)
end)

describe("rlab verify", function()
  local function ended(...)
    local p <close> = assert(process.spawn { cmd = { fs.self_exe(), "verify", ... }, stdout = "capture",
      stderr = "stdout" })
    local status = assert(p:wait "20s")
    return status.code, p:output()
  end

  it("ends with what the claims say", function()
    file("a", "1\n2\n")
    file("b", "1\n")
    local a, b = "file:" .. dir .. "/a", "file:" .. dir .. "/b"
    assert.equal(0, (ended("--of", b, "--in", b)))
    local code, text = ended("--of", a, "--in", b)
    assert.equal(1, code)
    assert.matches("lost%s+1 id missing\n%s+2\n", text)
    assert.equal(3, (ended("--of", a, "--in", a, "--at-least", "3")))
    code, text = ended("--of", a, "--in", b, "--json")
    assert.equal(1, code)
    assert.same({ "2" }, json.decode(text).checks[1].ids)
    for _, wrong in ipairs { { "--of", a }, { "--of", a, "--in", "x" },
      { "--of", a, "--in", b, "--claim", "los" }, { "--of", a, "--in", b, "--within", "soon" },
      { "--of", a, "--in", b, "--at-least", "-1" },
      { "--of", a, "--in", "file:" .. dir .. "/none" }, { "--of", a, "--in", "file:" .. dir },
      { "--of", a, "--in", b, "--connections", "" } } do
      assert.equal(64, (ended(table.unpack(wrong))), table.concat(wrong, " "))
    end
  end)
end)
