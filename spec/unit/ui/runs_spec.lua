local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local ui = require "rlab.ui"

local function result(verdict, seed, lost)
  return { id = "E-012", title = "t", verdict = verdict,
    run = { seed = seed, duration = 2.04, started = "2026" },
    arms = { { name = "ids", outcome = "holds", numbers = { { name = "lost", value = lost } } } },
    checks = {}, stack = { versions = { kafka = "4.4.0" } } }
end

describe("the runs of the console", function()
  local dir, console
  before_each(function()
    dir = assert(fs.tmpdir())
    for name, one in pairs { ["1"] = result("inconclusive", 7, 0), ["2"] = result("pass", 8, 3) } do
      assert(fs.mkdir(("%s/E-012/%s"):format(dir, name)))
      assert(fs.write(("%s/E-012/%s/result.json"):format(dir, name), json.encode(one)))
    end
    assert(fs.write(dir .. "/E-012/1/report.html", "<p>"))
    console = assert(ui.serve { port = 0, runs = dir })
  end)
  after_each(function()
    console:close()
    fs.remove(dir)
  end)

  local function get(path)
    local answer = assert(http.get(console.url .. path))
    return json.decode(answer.body), answer.status
  end

  it("have a track record, each with its seed and whether there is a report", function()
    local past = get("/api/runs").runs[1].past
    local told = {}
    for i, run in ipairs(past) do
      told[i] = ("%s %s %s %s"):format(run.name, run.tone, run.seed, run.report)
    end
    assert.same({ "1 inconclusive 7 true", "2 right 8 false" }, told)
  end)

  it("are compared fact by fact, and say nothing where they agree", function()
    assert.same({ { what = "ids: lost", a = "0", b = "3" }, { what = "seed", a = "7", b = "8" },
      { what = "verdict", a = "inconclusive", b = "pass" } }, get("/api/runs/E-012/1/2").rows)
    assert.same({}, get("/api/runs/E-012/1/1").rows)
    for _, path in ipairs { "E-012/1/3", "E-012/1/..", "..%2fE-012/1/2", "E-012/1/..%2f2" } do
      assert.equal(404, select(2, get("/api/runs/" .. path)), path)
    end
  end)
end)
