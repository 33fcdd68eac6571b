local fs = require "rlab.fs"
local json = require "rlab.json"
local report = require "rlab.report"
local html = require "rlab.report.html"
local junit = require "rlab.report.junit"
local series = require "rlab.report.series"
local schema = require "spec.support.json_schema"
local xml = require "spec.support.xml"

local FIXTURES = "spec/fixtures/report/"
local NAMES = { "fixture-E-007", "fixture-E-009", "fixture-E-012" }
local HOSTILE = [[<script>alert("1")</script>&'</title>]]

local function load(name)
  return assert(report.load(FIXTURES .. name))
end

local function render(data)
  return report.render(data.result, data.samples, data.history)
end

local function count(text, what)
  local n, at = 0, 1
  while true do
    local from, to = text:find(what, at, true)
    if not from then return n end
    n, at = n + 1, to + 1
  end
end

-- Every string in a table becomes a hostile one, except the words that mean something to the reader of the
-- file.
local MEANING = { class = true, outcome = true, kind = true, verdict = true, expect = false, arm = true,
  name = true }
local function poisoned(v, key)
  if type(v) == "string" then return MEANING[key] and v or HOSTILE end
  if type(v) ~= "table" then return v end
  local copy = {}
  for k, item in pairs(v) do copy[k] = poisoned(item, k) end
  return copy
end

-- Start and end tags must pair up; void and self-closed elements have no end.
local VOID = { meta = true, br = true, link = true, img = true, hr = true, input = true }
local function unbalanced(text)
  text = text:gsub("<script.->.-</script>", ""):gsub("<style>.-</style>", ""):gsub("<!doctype html>", "")
  local stack = {}
  for slash, name, rest in text:gmatch "<(/?)(%a[%w]*)([^>]*)>" do
    if slash == "/" then
      if stack[#stack] ~= name then return ("</%s> closes <%s>"):format(name, tostring(stack[#stack])) end
      stack[#stack] = nil
    elseif not VOID[name] and not rest:find "/$" then
      stack[#stack + 1] = name
    end
  end
  return stack[1] and "<" .. stack[#stack] .. "> is never closed" or nil
end

describe("result.json", function()
  local described = assert(json.decode(assert(fs.read "docs/result.schema.json")))
  local function stored(name)
    return assert(json.decode(assert(fs.read(FIXTURES .. name .. "/result.json"))))
  end

  for _, name in ipairs(NAMES) do
    it(name .. " is as docs/result.schema.json describes it", function()
      assert.are.same({}, schema.problems(described, stored(name)))
    end)
  end

  it("names what does not fit the schema", function()
    local result = stored "fixture-E-012"
    result.verdict, result.arms[1].class, result.checks[2].outcome, result.run.seed = "fine", nil, 7, "x"
    local found = table.concat(schema.problems(described, result), "\n")
    assert.truthy(found:find("result.verdict", 1, true))
    assert.truthy(found:find("result.arms[1]: 'class' is missing", 1, true))
    assert.truthy(found:find("result.checks[2].outcome", 1, true))
    assert.truthy(found:find("result.run.seed: must be of type integer", 1, true))
  end)
end)

describe("the schemas of a run's files", function()
  local function described(name)
    return assert(json.decode(assert(fs.read(("docs/%s.schema.json"):format(name)))))
  end

  local function problem(name, text)
    return schema.problems(described(name), assert(json.decode(text)), name)[1]
  end

  it("know a list from a map, and an empty one of each", function()
    assert.is_nil(problem("evidence", '{"seed":7,"arms":{"a":{"ids":[],"n":null,"rows":[{"id":"x"}]}}}'))
    assert.matches("none of the allowed forms", problem("evidence", '{"seed":7,"arms":{"a":{"ids":{}}}}'))
    assert.are.equal("evidence: 'seed' is missing", problem("evidence", '{"arms":{}}'))
  end)

  it("hold samples and operations", function()
    assert.is_nil(problem("samples", '{"t":0.1,"arm":"a","p0.hw":4}'))
    assert.matches("samples.p0.hw: must be of type number", problem("samples", '{"t":0,"p0.hw":"4"}'))
    assert.matches("samples.t: is below 0", problem("samples", '{"t":-1}'))
    assert.matches("'note' is not described", problem("history",
      '{"index":0,"time":0,"process":0,"type":"ok","f":"x","value":1,"actor":"a","note":1}'))
  end)

  it("hold JUnit files as a tree", function()
    local text = junit.text { load("fixture-E-012").result, load("fixture-E-009").result }
    assert.are.same({}, schema.problems(described "junit", xml.decode(text), "junit"))
    for what, bad in pairs { ["'classname' is missing"] = text:gsub(' classname="[^"]*"', "", 1),
      ["does not fit"] = text:gsub('tests="%d+"', 'tests="many"', 1),
      ["is not one of"] = text:gsub("error message", "fault message", 1):gsub("</error>", "</fault>", 1) } do
      local found = schema.problems(described "junit", xml.decode(bad), "junit")
      assert.is_truthy(found[1], what)
    end
    assert.error_matches(function() xml.decode((text:gsub("</testsuites>", ""))) end, "not one element")
    assert.error_matches(function() xml.decode((text:gsub("</testsuite>", "</x>", 1))) end, "closes")
    assert.error_matches(function() xml.decode((text:gsub(' name="', ' name="&', 1))) end, "no entity")
  end)
end)

describe("the report", function()
  for _, name in ipairs(NAMES) do
    it(name .. " is one small well-formed page that asks the network for nothing", function()
      local text = render(load(name))
      assert.is_nil(unbalanced(text))
      assert.is_true(#text < 400 * 1000)
      assert.is_nil(text:find "<link")
      assert.is_nil(text:find "%ssrc=")
      assert.is_nil(text:find("url%(http"))
      assert.is_nil(text:find("@import", 1, true))
    end)

    it(name .. " shows each part", function()
      local data = load(name)
      local text = render(data)
      for _, id in ipairs { "timeline", "moment", "checks", "why", "proof", "settings", "reproduce" } do
        assert.truthy(text:find(('<section id="%s">'):format(id), 1, true), id)
      end
      assert.truthy(text:find(html.escape_unbroken(data.result.sentence) .. "</h1>", 1, true))
      for _, arm in ipairs(data.result.arms) do
        assert.truthy(text:find(">" .. arm.name .. "</h", 1, true), arm.name)
      end
      for i in ipairs(data.result.checks) do assert.are.equal(1, count(text, ('id="check-%d"'):format(i))) end
      assert.truthy(text:find(html.escape(data.result.run.command), 1, true))
    end)

    it(name .. " stays harmless when the data is not", function()
      local data = load(name)
      data.result = poisoned(data.result)
      local text = render(data)
      assert.are.equal(count(text, "<script"), count(text, "</script>"))
      assert.is_nil(text:find("alert(\"1\")", 1, true))
      assert.is_nil(text:find("<script>alert", 1, true))
      assert.is_nil(unbalanced(text))
    end)
  end

  it("keeps hostile names of arms, checks and series harmless too", function()
    local data = load "fixture-E-012"
    data.result.arms[1].name, data.result.checks[1].arm, data.result.checks[1].name = HOSTILE, HOSTILE,
      HOSTILE
    data.result.events[1] = { at = 0.1, arm = HOSTILE, kind = "anomaly", text = HOSTILE }
    for _, row in ipairs(data.samples) do
      if row.arm == "offsets-as-count" then
        row.arm = HOSTILE
        row[HOSTILE .. ".hw"] = 3
      end
    end
    local text = render(data)
    assert.are.equal(count(text, "<script"), count(text, "</script>"))
    assert.is_nil(text:find("alert(\"1\")", 1, true))
    assert.is_nil(unbalanced(text))
  end)

  it("is drawn whatever field is missing", function()
    local function keys_in(v, keys)
      for k, item in pairs(v) do
        if type(k) == "string" then keys[k] = true end
        if type(item) == "table" then keys_in(item, keys) end
      end
      return keys
    end
    local function without(v, key)
      local copy = {}
      for k, item in pairs(v) do
        if k ~= key then copy[k] = type(item) == "table" and without(item, key) or item end
      end
      return copy
    end
    local data = load "fixture-E-012"
    local few = table.move(data.samples, 1, 20, 1, {})
    for key in pairs(keys_in(data.result, {})) do
      local ok, failure = pcall(report.render, without(data.result, key), few)
      assert.is_true(ok, ("without '%s': %s"):format(key, tostring(failure)))
      assert.is_true(pcall(junit.text, without(data.result, key)), key)
    end
  end)

  it("is drawn from very little", function()
    local text = report.render({ id = "E-000", verdict = "inconclusive", sentence = "no server",
      arms = { { name = "a", class = "right", outcome = "inconclusive", reason = "no server" } } })
    assert.is_nil(unbalanced(text))
    assert.truthy(text:find("no server", 1, true))
    assert.is_nil(text:find('id="timeline"', 1, true))
  end)

  it("stays small with a very long run", function()
    local data = load "fixture-E-012"
    for i = 1, 4000 do
      for _, arm in ipairs(data.result.arms) do
        data.samples[#data.samples + 1] = { t = i / 10, arm = arm.name, ["p0.hw"] = i * 3,
          ["p0.lso"] = i * 3 - i % 7, ["lag.x"] = i % 11 }
      end
    end
    assert.is_true(#render(data) < 400 * 1000)
  end)

  it("says when a check came out other than predicted", function()
    local data = load "fixture-E-012"
    data.result.checks[7].outcome, data.result.checks[7].as_expected = "violated", false
    data.result.verdict = "right-violated"
    local text = render(data)
    assert.truthy(text:find("not as predicted", 1, true))
    assert.truthy(text:find("a right arm was violated", 1, true))
  end)
end)

describe("the files of a run", function()
  local dir

  before_each(function()
    dir = fs.tmpdir()
    assert(fs.copy(FIXTURES .. "fixture-E-007", dir .. "/run"))
  end)

  after_each(function() fs.remove(dir) end)

  it("become report.html beside them", function()
    local path = assert(report.write(dir .. "/run"))
    assert.are.equal(dir .. "/run/report.html", path)
    assert.truthy(assert(fs.read(path)):find("<!doctype html>", 1, true))
  end)

  it("may lack samples and history", function()
    fs.remove(dir .. "/run/samples.jsonl")
    fs.remove(dir .. "/run/history.jsonl")
    assert.truthy(report.write(dir .. "/run"))
  end)

  it("may end in a line that a crash cut off, but not hold one in the middle", function()
    local whole = assert(fs.read(dir .. "/run/samples.jsonl"))
    fs.write(dir .. "/run/samples.jsonl", whole .. '{"t":1.')
    assert.truthy(report.load(dir .. "/run"))
    fs.write(dir .. "/run/samples.jsonl", '{"t":1.\n' .. whole)
    local nothing, failure = report.load(dir .. "/run")
    assert.is_nil(nothing)
    assert.truthy(tostring(failure):find("samples.jsonl, line 1", 1, true))
  end)

  it("are an error without result.json", function()
    local nothing, failure = report.write(dir)
    assert.is_nil(nothing)
    assert.truthy(failure)
  end)

  it("are listed by runs/index.html, newest verdict first", function()
    local index = require "rlab.report.index"
    fs.mkdir(dir .. "/runs/E-007")
    for _, name in ipairs { "20261123-100000", "20261124-100000" } do
      fs.copy(dir .. "/run", dir .. "/runs/E-007/" .. name)
    end
    fs.symlink("20261124-100000", dir .. "/runs/E-007/latest")
    fs.mkdir(dir .. "/runs/E-000/20261123-000000")
    local text = assert(fs.read(assert(index.write(dir .. "/runs"))))
    assert.is_nil(unbalanced(text))
    assert.truthy(text:find('<th scope="row"><a href="E-007/20261124-100000/report.html">E-007</a>', 1, true))
    assert.are.equal(1, count(text, "20261123-100000/report.html"))
    assert.is_nil(text:find("E-000", 1, true))
    assert.truthy(text:find('data-label="seed">7</td>', 1, true)) -- a phone has no heads of columns
  end)
end)

describe("the timeline's panels", function()
  it("are called by what they count, with its unit", function()
    local samples = { { t = 0.1, arm = "a", lag = 3, ["commit to view, ms.longest"] = 12.5,
      ["table, MiB.size"] = 2.25 } }
    local text = report.render({ arms = { { name = "a", class = "right" } } }, samples, {})
    for _, name in ipairs { "lag, records", "commit to view, ms", "table, MiB" } do
      assert.is_truthy(text:find("<em>" .. name .. "</em>", 1, true), name)
    end
  end)
end)

describe("the timeline's data", function()
  it("knows a series by the last or the first part of its name", function()
    assert.are.equal("LSO", series.parse("p0.lso").label)
    assert.are.equal("p0", series.parse("p0.lso").prefix)
    assert.are.equal("lag (HW - committed)", series.parse("lag.HW - committed").label)
    assert.are.equal("count", series.parse("queue.depth").family)
  end)

  it("gives times a scale of their own, seconds and milliseconds apart", function()
    local rows = { { t = 1, arm = "a", members = 500, ["seconds.still"] = 2, ["slowest, ms.hot"] = 90 },
      { t = 2, arm = "a", members = 500, ["seconds.still"] = 7, ["slowest, ms.hot"] = 60 } }
    local groups = series.groups({ arms = { { name = "a" } } }, rows)
    local high = {}
    for i, panel in ipairs(groups[1].lanes[1].panels) do high[i] = { panel.prefix, panel.hi } end
    assert.are.same({ { "", 500 }, { "seconds", 7 }, { "slowest, ms", 90 } }, high)
  end)

  it("keeps the changes of a series, and where nobody knew", function()
    local rows = {}
    for i, v in ipairs { 1, 1, 2, "?", 2, 2 } do
      rows[i] = { t = i / 10, arm = "a", ["p0.hw"] = type(v) == "number" and v or nil }
    end
    local group = series.groups({ arms = { { name = "a", class = "right" } } }, rows)[1]
    local lanes, last = group.lanes, group.last
    assert.are.same({ { 0.1, 1 }, { 0.3, 2 }, { 0.4, false }, { 0.5, 2 } },
      lanes[1].panels[1].series[1].points)
    assert.are.equal(0.6, last)
  end)

  it("gives the samples of a shared script to the arms that they are named after", function()
    local groups = series.groups({ arms = { { name = "acks-1" }, { name = "acks-all" } },
      faults = { { name = "f", at = 0, fired = true } } },
      { { t = 0, ["acks-1.hw"] = 1, ["acks-all.hw"] = 2 }, { t = 1, ["acks-1.hw"] = 5 } })
    local lanes = groups[1].lanes
    assert.are.equal(1, #groups)
    assert.are.equal(3, #lanes)
    assert.is_nil(lanes[1].arm)
    assert.are.equal("acks-1", lanes[2].arm.name)
    assert.are.equal(5, lanes[2].panels[1].series[1].last)
    assert.are.equal(1, #lanes[2].faults)
  end)

  it("gives the setup an axis of its own, and every arm a lane", function()
    local groups = series.groups({ arms = { { name = "a" }, { name = "b" } } },
      { { t = 0, ["p0.hw"] = 1 }, { t = 9, ["p0.hw"] = 1 },
      { t = 1, arm = "a", ["p0.hw"] = 1 } })
    assert.are.same({ 9, 1 }, { groups[1].last, groups[2].last })
    assert.are.same({ 1, 2 }, { #groups[1].lanes, #groups[2].lanes })
    assert.are.same({}, series.groups({ arms = { { name = "a" } } }, {}))
  end)

  it("finds the first anomaly of an arm", function()
    local lanes = series.groups({ arms = { { name = "a" } },
      events = { { at = 2, arm = "a", kind = "anomaly", text = "late" } },
      checks = { { arm = "a", outcome = "violated", sentence = "early",
        counterexamples = { { at = 1.5 } } } } }, {})[1].lanes
    assert.are.same({ at = 1.5, text = "early" }, lanes[1].anomaly)
  end)

  it("chooses round ticks", function()
    assert.are.same({ 0, 1, 2, 3, 4, 5, 6 }, (series.ticks(6.4, 8)))
    assert.are.equal(0.05, select(2, series.ticks(0.33, 8)))
  end)
end)

describe("the moment", function()
  local moment = require "rlab.report.moment"

  it("folds long runs and keeps what a mark or a link touches", function()
    local text = render(load "fixture-E-012")
    local svg = text:match '<svg class="cells wide".-</svg>'
    assert.truthy(svg:find(">%+8%d<"))
    assert.truthy(svg:find(">tx-049<", 1, true))
    assert.truthy(svg:find("LSO", 1, true))
    assert.truthy(svg:find("7 counted as lag", 1, true))
    assert.is_nil(svg:find(">tx-020<", 1, true))
  end)

  it("names a record whole where there is room for all, else by its end", function()
    local cells = {}
    for i = 0, 5 do cells[i + 1] = { offset = i, kind = "parked", id = "evt-undecodable-" .. i } end
    local text = moment.render { title = "t", partitions = { { topic = "x", partition = 0, cells = cells } } }
    local function drawn(name) return text:match('<svg class="cells ' .. name .. '".-</svg>') end
    local wide, slim = drawn "wide", drawn "slim"
    assert.matches(">evt%-undecodable%-3</text>", wide)
    assert.matches(">…dable%-3</text>", slim)
    assert.is_nil(slim:find ">evt%-undecodable%-3</text>")
  end)

  it("draws any log, even one without rhythm", function()
    local kinds, cells = { "committed", "aborted", "control", "open", "lost", "doubled", "plain",
      "nonsense" }, {}
    for i = 0, 999 do cells[#cells + 1] = { offset = i, kind = kinds[i * i % 7 % 8 + 1], id = "id-" .. i } end
    local text = moment.render { title = "t",
      partitions = { { topic = "x", partition = 0, cells = cells,
      marks = { lso = 500, hw = 1000, leo = 1000 } } } }
    assert.is_true(#text < 250 * 1000)
    assert.is_nil(unbalanced(text))
  end)

  it("is left out when there is none", function()
    assert.are.equal("", moment.render(nil))
    assert.are.equal("", moment.render { title = "t", partitions = {} })
  end)
end)

describe("a text for people", function()
  it("shows what stands between backticks as code, and nothing of it as markup", function()
    assert.are.equal("ask <code>GET &lt;key&gt;</code>, a ` is one", html.prose "ask `GET <key>`, a ` is one")
  end)
end)

describe("numbers in tables", function()
  it("are short and grouped", function()
    assert.are.same({ "0", "999", "1,260", "−1,260", "3.6", "1.06", "12.5", "0.004", "1,234,568", "n/a" }, {
      html.number(0), html.number(999), html.number(1260), html.number(-1260), html.number(3.6),
      html.number(1.06), html.number(12.5),
      html.number(0.004), html.number(1234567.8), html.number "n/a" })
  end)

  it("of any size have words", function()
    assert.are.same({ "2 min 05 s", "16666667 min 19 s" }, { html.seconds(125.9), html.seconds(1000000039) })
    assert.matches("^%d+ min %d+ s$", html.seconds(1e308))
  end)

  it("of less than a tenth of a second are milliseconds", function()
    assert.are.same({ "0 s", "0.1 s", "23.4 ms", "0.00611 ms", "0.02 bytes", "n/a s",
      "0.67 %" }, {
      html.quantity(0, "s"), html.quantity(0.1, "s"), html.quantity(0.0234, "s"), html.quantity(6.11e-6, "s"),
      html.quantity(0.02, "bytes"), html.quantity("n/a", "s"), html.quantity(0.0067, "of 1") })
  end)

  it("survive bytes that are not text", function()
    assert.are.equal("\\xff\\x00&lt;", html.escape "\xff\0<")
    assert.are.equal("\\u{202e}한\\u{9b}\\xff", html.escape "\u{202e}한\u{9b}\xff")
    assert.are.equal("\\u{ffff}", html.escape "\u{ffff}") -- which no XML may hold
  end)
end)

describe("JUnit XML", function()
  local function read(name) return load(name).result end

  it("has a case for each check, and counts", function()
    local text = junit.text { read "fixture-E-012", read "fixture-E-009" }
    assert.is_nil(unbalanced((text:gsub("<%?xml.-%?>", ""))))
    assert.are.equal(2, count(text, "<testsuite "))
    assert.are.equal(#read("fixture-E-012").checks + #read("fixture-E-009").checks, count(text, "<testcase "))
    assert.truthy(text:find('<testsuite name="E-012" tests="11" failures="0" errors="0"', 1, true))
    assert.truthy(text:find('errors="1"', 1, true))
    assert.truthy(text:find("<error message=", 1, true))
  end)

  it("makes failures of what is not as predicted, with the counterexamples", function()
    local result = read "fixture-E-012"
    result.checks[5].as_expected = false
    result.arms[4].outcome, result.arms[4].reason = "violated", HOSTILE
    local text = junit.text(result)
    assert.are.equal(2, count(text, "<failure "))
    assert.truthy(text:find("id=tx-004", 1, true))
    assert.truthy(text:find("and 6 more", 1, true))
    assert.is_nil(text:find("<script", 1, true))
  end)
end)

describe("the colours", function()
  local css = report.asset "palette.css"

  local function luminance(hex)
    local l = 0
    for i, weight in ipairs { 0.2126, 0.7152, 0.0722 } do
      local c = tonumber(hex:sub(2 * i, 2 * i + 1), 16) / 255
      l = l + weight * (c <= 0.03928 and c / 12.92 or ((c + 0.055) / 1.055) ^ 2.4)
    end
    return l
  end

  local function contrast(a, b)
    local x, y = luminance(a), luminance(b)
    return (math.max(x, y) + 0.05) / (math.min(x, y) + 0.05)
  end

  local function palette(block)
    local out = {}
    for name, hex in block:gmatch "%-%-([%w-]+): (#%x%x%x%x%x%x)" do out[name] = hex end
    return out
  end

  it("keep a contrast of 4.5 on their ground, light and dark", function()
    local light, dark = css:match ":root (%b{}).-prefers%-color%-scheme: dark%) (%b{})"
    for scheme, block in pairs { light = light, dark = dark } do
      local colours = palette(block)
      for _, name in ipairs { "text", "muted", "right", "wrong", "observe", "unsure", "leo", "hw", "lso",
        "committed", "backlog", "seen" } do
        for _, ground in ipairs { "ground", "raised" } do
          assert.is_true(contrast(colours[name], colours[ground]) >= 4.5,
            ("%s: %s on %s"):format(scheme, name, ground))
        end
      end
    end
  end)
end)
