-- README.md and README.ko.md: what they say of runs is made by `rlab list --readme`, and there is no figure
-- beside it that nobody makes anew.
local fs = require "rlab.fs"
local json = require "rlab.json"
local overview = require "rlab.report.overview"

-- Names, addresses and codes that have a digit, and are no finding.
local NAMES = { "E%-%d+", "Debian 12", "C11", "Apache%-2%.0", "127%.0%.0%.1", "%f[%d]1%d%d%d%d%f[%D]",
  "https?://%S+", "kill %-9", "Exit codes: .*", "종료 코드: .*", "^  65 .*", "^  69 .*",
  "lag가 0", "1213과 1205", "200으로 답하고" }

local function figures(text)
  local list = {}
  text = overview.unmade(text):gsub("```.-```", ""):gsub("`[^`\n]*`", ""):gsub("%]%([^)]*%)", "]")
  for line in text:gmatch "[^\n]+" do
    local rest = line
    for _, name in ipairs(NAMES) do rest = rest:gsub(name, "") end
    if rest:find "%d" then list[#list + 1] = line end
  end
  return list
end

describe("the READMEs", function()
  for _, name in ipairs(overview.READMES) do
    it("have no figure of a run or a measurement but what is made: " .. name, function()
      assert.are.same({}, figures(assert(fs.read(name))))
    end)
  end

  it("are looked through for figures", function()
    assert.are.equal(1, #figures "it takes 9.6 s")
    assert.are.equal(1, #figures "E-012 reads 64 rows of 127.0.0.1:18090")
    assert.are.equal(0, #figures "E-012 asks 127.0.0.1:18090 `--repeat 20`")
  end)

  it("show a stored run as the terminal did", function()
    local runs = assert(fs.tmpdir())
    local exp = { id = "E-900", title = "A title", question = "Why?", page = "E-900.md", needs = { "kafka" },
      arms = { { name = "first" } } }
    local readme = "head\n<!-- E-900: made by rlab list --readme -->\nbefore\n<!-- end of E-900 -->\n"
      .. "<!-- experiments: made by rlab list --readme -->\n<!-- end of experiments -->\ntail\n"
    local none, why = overview.written(readme, runs, { exp })
    assert.is_nil(none)
    assert.matches("run it first: rlab E%-900", why)
    assert(fs.mkdir(runs .. "/E-900/latest"))
    assert(fs.write(runs .. "/E-900/latest/result.json", json.encode { id = "E-900", exit = 0,
      verdict = "pass", sentence = "It broke.", checks = {},
      faults = { { name = "kill", proof = "it is gone" } },
      run = { name = "E-900/1", seed = 7, started = "2026-01-01T00:01:00.000Z", duration = 5 },
      stack = { versions = { kafka = "4.4.0" }, brokers = 3, reused = true, since = 1767225600 },
      setup = { duration = 2, facts = { "one record", "and another" } },
      arms = { { name = "first", class = "wrong", outcome = "fails as predicted",
        sentence = "1 of 2 lost" } } }))
    local text = assert(overview.written(readme, runs, { exp }))
    fs.remove(runs)
    for _, line in ipairs { "\n$ ./rlab E-900\nE-900  A title\n", "kafka 4.4.0, 3 brokers",
      "reused, up 1m00s", "E-900/1  seed 7", "setup   one record", "\n          and another\n",
      "first +1 of 2 lost +fails as predicted\n", "proof   kill: it is gone\n",
      "PASS    1 arm, 0 checks, 5.0 s    report  runs/E%-900/1/report.html", "^head\n", "\ntail\n$",
      "| %[E%-900%]%(E%-900.md%) | A title | %*first%*: 1 of 2 lost |" } do
      assert.is_truthy(text:find(line) or text:find(line, 1, true), line .. "\n" .. text)
    end
    assert.is_nil(text:find("before", 1, true))
    assert.are.equal("head\n\n\ntail\n", overview.unmade(text))
    assert.is_nil((overview.written("no place", runs, {})))
  end)
end)
