-- What rlab itself tells Prometheus: the runs of a folder, counted once each.
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local promlint = dofile "spec/support/formats/promlint.lua"
local told = require "rlab.ui.metrics"
local ui = require "rlab.ui"

local function put(runs, name, result, hits)
  local dir = runs .. "/" .. name
  assert(fs.mkdir(dir))
  assert(fs.write(dir .. "/result.json", type(result) == "table" and json.encode(result) or result))
  local lines = {}
  for i, hit in ipairs(hits or {}) do lines[i] = json.encode(hit) end
  assert(fs.write(dir .. "/failpoints-relay-1.jsonl", table.concat(lines, "\n") .. "\n"))
end

local function result(verdict, duration)
  return { id = "E-900", verdict = verdict, run = { duration = duration },
    arms = { { name = "first", class = "wrong" }, { name = "last", class = "right" } },
    checks = { { arm = "first", outcome = "violated" }, { arm = "last", outcome = "holds" },
      { outcome = "holds" } } }
end

local function has(text, line) assert(("\n" .. text):find("\n" .. line .. "\n", 1, true), line) end

describe("the console's metrics", function()
  local runs
  before_each(function() runs = assert(fs.tmpdir()) end)
  after_each(function() fs.remove(runs) end)
  local function none() return nil end

  it("count runs, verdicts, checks, seconds and hits of failpoints, and promtool is content", function()
    put(runs, "E-900/20260101-000000", result("pass", 1.5), { { name = "relay.after_send", action = "kill" },
      { name = "relay.after_send", action = "off" }, { name = "relay.after_send", expr = "kill" } })
    put(runs, "E-900/20260101-000001", result("inconclusive", 40))
    put(runs, "E-900/20260101-000002", "{ not whole")
    local text = told.new(runs, none):text()
    has(text, 'rlab_runs_total{experiment="E-900",verdict="pass"} 1')
    has(text, 'rlab_runs_total{experiment="E-900",verdict="inconclusive"} 1')
    has(text, 'rlab_checks_total{class="wrong",experiment="E-900",outcome="violated"} 2')
    has(text, 'rlab_checks_total{class="right",experiment="E-900",outcome="holds"} 2')
    has(text, 'rlab_checks_total{class="none",experiment="E-900",outcome="holds"} 2')
    has(text, 'rlab_failpoint_hits_total{point="relay.after_send"} 1')
    has(text, 'rlab_run_seconds_bucket{experiment="E-900",le="2.5"} 1')
    has(text, 'rlab_run_seconds_bucket{experiment="E-900",le="60"} 2')
    has(text, 'rlab_run_seconds_count{experiment="E-900"} 2')
    has(text, "rlab_run_under_way 0")
    assert.same({}, promlint.problems(text))
    assert.equal("", promlint.promtool(text) or "")
  end)

  it("are of runs alone, or of the cluster alone, where they are asked so", function()
    put(runs, "E-900/20260101-000000", result("pass", 1))
    local asked = 0
    local one = told.new(runs, function() asked = asked + 1 end)
    has(one:text "runs", 'rlab_runs_total{experiment="E-900",verdict="pass"} 1')
    assert.equal(0, asked)
    assert.equal("", told.new(runs, none):text "kafka")
  end)

  it("never fall when a run is removed, and rise by those that come", function()
    put(runs, "E-900/20260101-000000", result("pass", 1))
    local one = told.new(runs, none)
    has(one:text(), 'rlab_runs_total{experiment="E-900",verdict="pass"} 1')
    has(one:text(), 'rlab_runs_total{experiment="E-900",verdict="pass"} 1')
    fs.remove(runs .. "/E-900/20260101-000000")
    has(one:text(), 'rlab_runs_total{experiment="E-900",verdict="pass"} 1')
    put(runs, "E-900/20260101-000001", result("pass", 1))
    has(one:text(), 'rlab_runs_total{experiment="E-900",verdict="pass"} 2')
  end)

  it("are served by rlab ui, to this machine only", function()
    put(runs, "E-900/20260101-000000", result("pass", 1))
    local console <close> = assert(ui.serve { port = 0, runs = runs })
    local answer = assert(http.get(console.url .. "/metrics"))
    assert.equal(200, answer.status)
    assert.matches("^text/plain; version=0%.0%.4", answer.headers["content-type"])
    has(answer.body, 'rlab_runs_total{experiment="E-900",verdict="pass"} 1')
    local some = assert(http.get(console.url .. "/metrics?collect%5B%5D=runs"))
    has(some.body, 'rlab_runs_total{experiment="E-900",verdict="pass"} 1')
    assert.equal(400, assert(http.get(console.url .. "/metrics?collect[]=all")).status)
    assert.equal(403, assert(http.get(console.url .. "/metrics",
      { headers = { host = "evil.example" } })).status)
  end)
end)
