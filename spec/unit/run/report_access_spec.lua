-- Pages that everybody can use: what axe-core was seen to find in them, as rules over the rendered text.
local index = require "rlab.report.index"
local report = require "rlab.report"
local fs = require "rlab.fs"

local FIXTURES = { "fixture-E-007", "fixture-E-009", "fixture-E-012" }

local rules = {}

function rules.heads_have_words(text)
  for attributes, head in text:gmatch "<th%f[%s>]([^>]*)>(.-)</th>" do
    assert.matches("scope=", attributes, 1, true)
    assert.matches("%S", (head:gsub("<[^>]+>", "")))
  end
end

function rules.links_have_names(text)
  for attributes, inner in text:gmatch "<a ([^>]*)>(.-)</a>" do
    assert.is_true((inner:gsub("<[^>]+>", "")):find "%S" ~= nil or attributes:find 'aria%-label="[^"]' ~= nil,
      attributes)
  end
end

function rules.ids_are_unique_and_links_lead_somewhere(text)
  local ids = {}
  for id in text:gmatch ' id="([^"]+)"' do
    assert.is_nil(ids[id], id)
    ids[id] = true
  end
  for id in text:gmatch ' href="#([^"]+)"' do assert.is_true(ids[id], id) end
end

function rules.headings_leave_no_level_out(text)
  local last, tops = 0, 0
  for level in text:gmatch "<h(%d)[ >]" do
    level = tonumber(level)
    assert.is_true(level <= last + 1, ("h%d below h%d"):format(level, last))
    last, tops = level, tops + (level == 1 and 1 or 0)
  end
  assert.are.equal(1, tops)
end

function rules.drawings_are_named_or_hidden(text)
  for attributes in text:gmatch "<svg([^>]*)>" do
    assert.is_true(attributes:find('aria-hidden="true"', 1, true) ~= nil
      or attributes:find 'role="?img' ~= nil and attributes:find "aria%-label" ~= nil, attributes)
  end
end

function rules.lists_hold_items_only(text)
  for list in text:gmatch "<[uo]l[^>]*>(.-)</[uo]l>" do
    assert.matches("^%s*<li", list)
  end
end

local function hold(text)
  text = text:gsub("<script.-</script>", ""):gsub("<style.-</style>", "")
  for _, rule in pairs(rules) do rule(text) end
end

describe("the rules of access", function()
  for _, name in ipairs(FIXTURES) do
    it("hold in the report of " .. name, function()
      local data = assert(report.load("spec/fixtures/report/" .. name))
      hold(report.render(data.result, data.samples, data.history))
    end)
  end

  it("hold in the list of runs, whose marks are large enough to be hit", function()
    local dir = fs.tmpdir()
    for _, name in ipairs(FIXTURES) do
      local folder = dir .. "/" .. name:match "E%-%d+"
      fs.mkdir(folder)
      fs.copy("spec/fixtures/report/" .. name, folder .. "/20261130-000000")
    end
    local text = index.render(dir)
    fs.remove(dir)
    hold(text)
    local width, height = text:match "%.past a {[^}]-width: (%d+)px; height: (%d+)px"
    assert.are.same({ true, true }, { tonumber(width) >= 24, tonumber(height) >= 24 })
  end)

  -- report.js gives .scroll a name and makes it reachable by Tab where it is wider than the page
  it("let nothing be wider than a phone but what the keyboard can scroll", function()
    local css = report.asset "report.css"
    assert.matches("\nbody {[^}]*overflow%-wrap: break%-word", css)
    for selector in css:gmatch "([^{};]+){[^{}]*overflow%-x: auto" do
      assert.are.equal(".scroll", (selector:gsub("%s", "")))
    end
  end)
end)
