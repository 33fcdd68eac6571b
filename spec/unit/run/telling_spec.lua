-- What the report shows first: the quantities in which wrong and right arms differ.
local json = require "rlab.json"
local report = require "rlab.report"
local series = require "rlab.report.series"
local telling = require "rlab.report.telling"

local function result_of(list)
  return {
    telling = list,
    arms = { { name = "bad", class = "wrong", outcome = "fails as predicted", sentence = "3 stale",
      duration = 4, numbers = { { name = "waited", value = 90, unit = "ms" } } },
      { name = "good", class = "right", outcome = "holds", duration = 5 } },
    checks = { { arm = "bad", name = "lost", outcome = "violated", counterexamples = { {}, {} }, more = 1 },
      { arm = "bad", name = "money", outcome = "violated", value = -40, unit = "cents" },
      { arm = "good", name = "lost", outcome = "holds" },
      { arm = "good", name = "money", outcome = "inconclusive" } },
    faults = { { name = "kill", arm = "bad", at = 1.5, fired = true } },
  }
end

local SAMPLES = { { t = 1, arm = "bad", stale = 0, reads = 0 }, { t = 2, arm = "bad", stale = 2, reads = 5 },
  { t = 3, arm = "bad", stale = 3, reads = 5 }, { t = 1, arm = "good", stale = 1 },
  { t = 2, arm = "good", stale = 0 } }

local function group_of(list, samples)
  local result = result_of(list)
  return telling.group(result, series.groups(result, samples or SAMPLES))
end

describe("the telling quantity", function()
  it("is a series where there is one, on one scale, and marks where it leaves zero for good", function()
    local bad, good = table.unpack(group_of({ { "stale", "stale entries" } }).lanes)
    assert.are.same({ { 1, 0 }, { 2, 2 }, { 3, 3 } }, bad.panels[1].series[1].points)
    for _, panel in ipairs { bad.panels[1], good.panels[1] } do
      assert.are.same({ 0, 3 }, { panel.lo, panel.hi })
    end
    assert.are.same({ at = 2, text = "3 stale" }, bad.anomaly)
    assert.is_nil(good.anomaly)
  end)

  it("is else what a check found, or a number, from where the arm was judged", function()
    local list = { { "lost", "lost" }, { "money", "off" }, { "waited", "waited" } }
    local bad, good = table.unpack(group_of(list).lanes)
    local lost, money, waited = table.unpack(bad.panels)
    assert.are.same({ 3, true, 40, "cents", 90, "ms" }, { lost.shown, lost.found, money.shown, money.unit,
      waited.shown, waited.unit })
    assert.are.same({ 0, false }, lost.series[1].points[1])
    assert.is_true(lost.series[1].points[2][1] < 4)
    assert.are.same({ 0, 1 }, { good.panels[1].shown, #good.panels })
  end)

  it("stands large where a wrong arm fails in it, and quiet where it is as expected", function()
    local result = result_of { { "lost", "lost" }, { "money", "off" } }
    result.checks = { { arm = "bad", name = "lost", outcome = "holds", value = 4 },
      { arm = "bad", name = "money", outcome = "violated", value = -40, unit = "cents" },
      { arm = "good", name = "lost", outcome = "holds" },
      { arm = "good", name = "money", outcome = "holds", value = 3, unit = "cents" } }
    local html = require("rlab.report.timeline").render(result, {}, json.encode)
    assert.matches('<p class="big "><b>40</b> <span>cents · off</span>', html, 1, true)
    assert.matches('<p class="big z"><b data-s="1.1">0</b> <span>lost</span>', html, 1, true)
    assert.matches('<li class=""><i style="width:100%"></i><b>40</b> cents · off</li>', html, 1, true)
    assert.matches("<th scope=row>bad</th><td class=n>4</td><td class=n>40 cents</td>", html, 1, true)
    assert.matches('<li class="calm"><i style="width:7.5%"></i><b>3</b> cents · off</li>', html, 1, true)
  end)

  it("is judged by the check that it names, where it is a series", function()
    local result = result_of { { "lost", "lost" }, { "stale", "stale", "", "most", "too-stale" } }
    result.checks[#result.checks + 1] = { arm = "bad", name = "too-stale", outcome = "violated", value = 3 }
    result.checks[1].outcome = "holds"
    local bad, good = table.unpack(telling.group(result, series.groups(result, SAMPLES)).lanes)
    assert.equal(bad.panels[2], bad.panels[1].large)
    assert.same({ true, nil }, { bad.panels[2].violated, good.panels[2].violated })
    assert.is_nil(good.panels[1].large)
  end)

  it("stands large, too, where it is a number that no check judges", function()
    local result = result_of { { "waited", "waited" }, { "money", "off" } }
    local bad = telling.group(result, series.groups(result, SAMPLES)).lanes[1]
    assert.is_true(bad.panels[2].violated)
    assert.is_nil(bad.panels[1].large)
  end)

  it("has one scale where its unit is known of some arms only", function()
    local result = result_of { { "lost + money", "too many" } }
    result.checks = { { arm = "bad", name = "lost", outcome = "violated", counterexamples = { {}, {} } },
      { arm = "good", name = "money", outcome = "holds", value = 7, unit = "offsets" } }
    local bad, good = table.unpack(telling.group(result, series.groups(result, SAMPLES)).lanes)
    assert.are.same({ 7, 7 }, { bad.panels[1].hi, good.panels[1].hi })
  end)

  it("says where an arm was not asked, for the first and for those below it", function()
    local result = result_of { { "stale", "stale" }, { "lost", "records lost" }, { "money", "off" } }
    result.checks = { { arm = "bad", name = "lost", outcome = "violated", value = 1 },
      { arm = "good", name = "money", outcome = "holds", value = 3 } }
    local samples = { SAMPLES[4], SAMPLES[5] }
    local html = require("rlab.report.timeline").render(result, samples, json.encode)
    local bad = html:match '<h3>bad</h3>.-</ul>'
    assert.matches('<p class="unasked">not asked of this arm</p>', bad, 1, true)
    assert.matches('<b>1</b> record lost</li><li class="none"><b>–</b> off</li>', bad, 1, true)
    assert.matches("</svg>not asked of this arm</li>", html, 1, true)
  end)

  it("may be a sum, a difference or a rate", function()
    local function first(source, samples)
      local panel = group_of({ { source, "x" } }, samples).lanes[1].panels[1]
      return panel.series[1].points, panel.shown
    end
    assert.are.equal(43, select(2, first "lost + money"))
    assert.are.same({ { 1, 0 }, { 2, 3 }, { 3, 2 } }, (first "reads - stale"))
    assert.are.same({ { 1, 0 }, { 2, 1 }, { 3, 0 } }, (first("reads per 100 ms",
      { { t = 1, arm = "bad", reads = 4 }, { t = 2, arm = "bad", reads = 14 },
        { t = 3, arm = "bad", reads = 2 } })))
  end)

  it("is shown by its last value, its largest, or the time above zero", function()
    local samples = { { t = 1, arm = "bad", lag = 0 }, { t = 2, arm = "bad", lag = 9 },
      { t = 4, arm = "bad", lag = 0 } }
    local function shown(word)
      local panel = group_of({ { "lag", "lag", "records", word } }, samples).lanes[1].panels[1]
      return { panel.shown, panel.shown_unit }
    end
    assert.are.same({ 0, "records" }, shown(nil))
    assert.are.same({ 9, "records" }, shown "most")
    assert.are.same({ 2, "s" }, shown "for")
  end)

  it("without a value is a rate, whose scale no single burst squashes", function()
    local samples = {}
    for i = 1, 60 do samples[i] = { t = i, arm = "bad", answers = i == 30 and 900 or 10 + i % 11 } end
    local function panel(word)
      return group_of({ { "answers", "answers", nil, word } }, samples).lanes[1].panels[1]
    end
    assert.are.same({ 23, "answers, drawn to 23" }, { panel("none").hi, panel("none").name })
    assert.are.same({ 900, "answers" }, { panel("most").hi, panel("most").name })
  end)

  it("is none when nothing is known of it, or the experiment names none", function()
    assert.is_nil(group_of { { "nonsense", "x" } })
    assert.is_nil(group_of(nil))
    assert.is_nil(group_of { "not a quantity", { 7, "x" } })
  end)
end)

describe("a name beside a chart", function()
  it("is no longer than the room there", function()
    local samples = { { t = 1, arm = "bad", ["writes answered in 100 ms"] = 2 } }
    local text = report.render(result_of {}, samples, {})
    assert.matches('<i class="t%-[^"]+">writes answered…</i> <b>2</b></span>', text)
  end)
end)

describe("the timeline of what tells the arms apart", function()
  local function text_of(list)
    return report.render(result_of(list), SAMPLES, {})
  end

  it("comes first, with the value, a mark in every wrong arm, and its faults by number", function()
    local text = text_of { { "stale", "stale entries" }, { "money", "money off" } }
    assert.truthy(text:find("<h2>Timeline: stale entries</h2>", 1, true))
    assert.truthy(text:find('<b data-s="0.1">3</b>', 1, true))
    assert.truthy(text:find("<b>40</b> cents · money off", 1, true))
    assert.are.equal(1, select(2, text:gsub('class="dia"', "")))
    assert.truthy(text:find('<span class="chip">1</span> <span title="">kill</span>', 1, true))
    assert.is_true(text:find('class="telling"', 1, true) < text:find("All that was sampled", 1, true))
  end)

  it("has a table for those who do not see it", function()
    local text = text_of { { "stale", "stale entries" }, { "waited", "waited" } }
    assert.truthy(text:find("<tr><th scope=row>bad</th><td class=n>3</td><td class=n>90 ms</td>\z
      <td class=n>2.00 s</td></tr><tr><th scope=row>good</th><td class=n>0</td><td class=n>–</td>\z
      <td class=n>none</td></tr>", 1, true))
  end)

  it("does not stack the faults of an instant deeper than two", function()
    local result = result_of { { "stale", "stale entries" } }
    for i = 1, 9 do result.faults[i] = { name = "kill " .. i, arm = "bad", at = 1.5, fired = true } end
    local text = report.render(result, SAMPLES, {})
    assert.is_nil(text:find('class="chip wide" style="%-%-x:[%d.]+%%;top:36px"'))
    assert.truthy(text:find(">2 3 4 5 6 7 8 9</span>", 1, true))
  end)

  it("gives the same fault one number, whichever process of an arm it hit", function()
    local result = result_of { { "stale", "stale entries" } }
    result.faults = { { name = "SIGKILL consumer-1", arm = "bad", at = 1, fired = true },
      { name = "SIGKILL consumer-12.2", arm = "good", at = 1, fired = true } }
    local text = report.render(result, SAMPLES, {})
    assert.equal(1, select(2, text:gsub('<span title="">SIGKILL consumer</span>', "")))
    assert.is_nil(text:find('<span class="chip">2</span>', 1, true))
  end)

  it("names its unit once", function()
    local text = text_of { { "money", "cents off" }, { "waited", "waited" }, { "lost", "ms of doubt", "ms" } }
    assert.matches("<h2>Timeline: cents off</h2>", text, 1, true)
    assert.matches("Below it: waited, ms; ms of doubt. ", text, 1, true)
    assert.matches("<b>3</b> ms of doubt</li>", text, 1, true)
  end)

  it("has a cursor that holds nothing else that takes the focus", function()
    local text = text_of { { "stale", "stale entries" } }
    local inside = text:match 'role="slider"[^>]*>(.-)</div>'
    assert.matches('class="now"', inside, 1, true)
    assert.is_nil(inside:find "<a[ >]")
    assert.matches('class="dia"', text, 1, true)
    assert.is_nil(text:match('role="slider".*(class="dia")'))
  end)

  it("is left as it was without one", function()
    local text = text_of(nil)
    assert.truthy(text:find("<h2>Timeline</h2>", 1, true))
    assert.is_nil(text:find("All that was sampled", 1, true))
  end)
end)

describe("an experiment's telling", function()
  local experiment = require "rlab.experiment"

  local function loaded(telling_text)
    local source = { path = "x.lua", text = "telling =" }
    return pcall(experiment.environment(source).experiment, { id = "E-900", title = "t", claim = "c",
      arms = { experiment.right "a" {} }, run = print, checks = print, telling = telling_text })
  end

  it("is pairs of words", function()
    assert.is_true((loaded { { "lag", "lag", nil, "most" } }))
    assert.matches("telling, 1: write", tostring(select(2, loaded { "lag" })))
    assert.matches("its fourth word", tostring(select(2, loaded { { "lag", "lag", nil, "least" } })))
    assert.is_true((loaded { { "lag", "lag", nil, nil, "live-lag" } }))
    assert.matches("its fifth word", tostring(select(2, loaded { { "lag", "lag", nil, nil, 5 } })))
  end)

  it("is written into the result, a unit that is left out as an empty word", function()
    local session = { experiment = { id = "E-900", title = "t", path = "x.lua", telling = {
      { "lag", "lag", nil, "most" }, { "lost + phantom", "lost" } } }, dir = "runs/E-900/1", seed = 7,
      started = "2026-11-29T00:00:00Z", options = {}, stack = { kind = "local", versions = {} },
      seconds = function() return 1 end }
    local form = require("rlab.run.result").new(session):form()
    assert.are.equal('[["lag","lag","","most"],["lost + phantom","lost"]]', json.encode(form.telling))
    session.experiment.telling = nil
    assert.is_nil(require("rlab.run.result").new(session):form().telling)
  end)

  it("names what exists, in each that is shipped", function()
    local fs = require "rlab.fs"
    for _, name in ipairs(fs.list "experiments") do
      if name:find "%.lua$" then
        local exp = assert(experiment.load("experiments/" .. name))
        assert.is_true(#(exp.telling or {}) > 0, name)
        assert.truthy(json.encode(exp.telling, { gaps = true }))
      end
    end
  end)
end)

describe("a lane of the timeline", function()
  local function lane_of(events, samples)
    return report.render({ id = "E-900", arms = { { name = "a", class = "wrong", duration = 9 } },
      events = events, telling = samples and { { "lag", "lag", "records" } } or nil },
      samples or { { t = 1, arm = "a", lag = 0 }, { t = 9, arm = "a", lag = 1 } }, {})
  end

  it("numbers its labels where they would stack more than two deep, and lists them", function()
    local events = {}
    for i = 1, 5 do
      events[i] = { at = 4 + i / 100, arm = "a", text = "the relay is killed after its ack, time " .. i }
    end
    local text = lane_of(events)
    assert.is_truthy(text:find("--rw:2;--rn:2", 1, true))
    assert.is_truthy(text:find(">2–5</span>", 1, true))
    assert.is_truthy(text:find("<li><b>5</b> 4.05 s the relay is killed after its ack, time 5</li>", 1, true))
    text = lane_of { events[1], events[2] }
    assert.is_nil(text:find('class="marks"', 1, true))
  end)

  it("is dotted where nobody knew for a while what was known before", function()
    local text = lane_of({}, { { t = 1, arm = "a", lag = 4 }, { t = 3, arm = "a" },
      { t = 9, arm = "a", lag = 4 } })
    assert.is_truthy(text:find('<path class="unknown" d="M333.3 4H1000"/>', 1, true))
    assert.is_truthy(text:find("nobody could measure it", 1, true))
  end)
end)

describe("the time in which arms start up", function()
  local onset = require "rlab.report.onset"
  local function cut(first, arm)
    return onset.cut({ arms = { { name = "a", duration = 20 }, { name = "b", duration = 30 } },
      faults = { { name = "kill", arm = "a", at = 12, ["until"] = 13 }, { name = "of the setup", at = 4 } },
      spans = {}, events = arm and { { arm = arm, at = 0.5, text = "begins" } } or {} },
      { { t = first, arm = "a", lag = 1 }, { t = 25, arm = "b", lag = 2 }, { t = 1, lag = 3 } })
  end

  it("is cut out where it is a good part of the axis, and said", function()
    local result, samples = cut(6.25)
    assert.are.equal(6.2, result.cut)
    assert.are.same({ 5.8, 6.8, 4 }, { result.faults[1].at, result.faults[1]["until"], result.faults[2].at })
    assert.are.same({ 13.8, 23.8 }, { result.arms[1].duration, result.arms[2].duration })
    assert.are.same({ 18.8, 1 }, { samples[2].t, samples[3].t })
    assert.matches("first 6.2 s, of starting up, are cut out", onset.said(result))
  end)

  it("stays where something happens in it, or where it is short", function()
    for _, result in ipairs { (cut(6.25, "b")), (cut(0.9)), (cut(2.5)) } do
      assert.are.same({ nil, 20, "" }, { result.cut, result.arms[1].duration, onset.said(result) })
    end
  end)

  it("is named under the axis", function()
    local text = report.render({ id = "E-900", arms = { { name = "a", class = "wrong", duration = 9 } } },
      { { t = 4, arm = "a", lag = 0 }, { t = 9, arm = "a", lag = 1 } }, {})
    assert.is_truthy(text:find("seconds since 4.0 s after the start of the arm", 1, true))
  end)
end)
