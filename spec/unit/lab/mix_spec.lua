-- The lab is made of many files, and reads the session of its run without changing it.
local fs = require "rlab.fs"
local mix = require "rlab.lab.mix"

local function preload(name, methods)
  package.preload[name] = function() return methods end
  package.loaded[name] = nil
end

describe("a lab's parts", function()
  it("are mixed into one class", function()
    local f, g = function() end, function() end
    preload("spec.part.one", { f = f })
    preload("spec.part.two", { g = g })
    local class = {}
    mix(class, { "spec.part.one", "spec.part.two" })
    assert.same({ f = f, g = g }, class)
  end)

  it("may not have a method of the same name; the error names both files", function()
    preload("spec.part.one", { topic = function() end })
    preload("spec.part.two", { topic = function() end })
    assert.error_matches(function() mix({}, { "spec.part.one", "spec.part.two" }) end,
      "spec%.part%.one and spec%.part%.two both have a method 'topic'")
    assert.error_matches(function() mix({ topic = print }, { "spec.part.one" }) end,
      "the class itself and spec%.part%.one both have a method 'topic'")
  end)

  it("keep nothing where a method is", function()
    local session = { seed = 1, options = {}, rng = require("rlab.rng").new(1) }
    local lab = require("rlab.lab").new(session, { name = "arm" })
    lab.asked_topics = {}
    assert.error_matches(function() lab.topic = "orders" end, "lab%.topic is a method")
    lab.topic = function() return "orders" end
    assert.equal("orders", lab:topic())
    for key, value in pairs(lab) do
      assert.is_true(getmetatable(lab)[key] == nil or type(value) == "function", key)
    end
  end)

  local function assignments(path, found)
    local number = 0
    for line in io.lines(path) do
      number = number + 1
      local target = line:match "run%.[%w_%.%[%]]+%s*=[^=]"
        or line:match "run%.[%w_%.%[%]]+,[%w_%., ]*=[^=]"
      if target then found[#found + 1] = ("%s:%d: %s"):format(path, number, line) end
    end
  end

  it("do not assign to the session", function()
    local found = {}
    for _, folder in ipairs { "lua/rlab/lab/", "lua/rlab/lab/foreign/" } do
      for _, entry in ipairs(assert(fs.list(folder))) do
        local path = folder .. (entry.name or entry)
        if path:find "%.lua$" then assignments(path, found) end
      end
    end
    assert.same({}, found)
  end)
end)
