-- What the lab offers to every story, where it needs no server.
local picture = require "rlab.lab.picture"
local reads = require "rlab.lab.reads"
local sampler = require "rlab.lab.sampler"

describe("lab:gauge", function()
  it("asks at every nth sample and at the last, and holds in between", function()
    local lab = { gauges = {}, start_sampler = function(self) self.sampler = "on" end }
    local asked = 0
    sampler.gauge(lab, function(row)
      asked = asked + 1
      if asked ~= 2 then row.lag = asked end
    end, 2)
    local seen = {}
    for i = 1, 6 do
      if i == 6 then lab.sampler = nil end
      local row = {}
      lab.gauges[1](row)
      seen[i] = row.lag or "none"
    end
    assert.are.same({ 1, 1, "none", "none", 3, 4 }, seen)
  end)
end)

describe("lab:picture", function()
  local records = {}
  for offset = 0, 9 do
    records[offset + 1] = { partition = offset == 3 and 1 or 0, offset = offset, id = "r" .. offset }
  end

  local function drawn(opts)
    local moment
    opts.title, opts.records = "t", records
    picture.picture({ moment = function(_, what) moment = what end }, opts)
    return moment
  end

  it("has a cell for each record of the partition", function()
    local part = drawn({}).partitions[1]
    assert.are.equal(9, #part.cells)
    assert.are.same({ offset = 0, kind = "plain", id = "r0" }, part.cells[1])
    assert.are.equal("events", part.topic)
    assert.are.equal(1, #drawn({ partition = 1 }).partitions[1].cells)
  end)

  it("leaves out what is far away, and takes kind and note from the story", function()
    local shown = drawn { around = 5, width = 1, link = { offset = 5, store = "s", text = "none" },
      kind = function(record) if record.offset == 5 then return "lost", "gone" end end }
    assert.are.same({ { offset = 4, kind = "plain", id = "r4" },
      { offset = 5, kind = "lost", id = "r5", note = "gone" },
      { offset = 6, kind = "plain", id = "r6" } }, shown.partitions[1].cells)
    assert.are.same({ { partition = 0, offset = 5, store = "s", text = "none" } }, shown.links)
  end)

  it("names an option that is none", function()
    local ok, message = pcall(drawn, { arround = 5 })
    assert.is_false(ok)
    assert.is_truthy(tostring(message):find("did you mean 'around'?", 1, true), tostring(message))
  end)
end)

describe("lab:percentiles", function()
  local function said(values, list)
    local numbers = {}
    reads.percentiles({ number = function(_, name, value, unit)
      numbers[#numbers + 1] = ("%s %s %s"):format(name, value and ("%g"):format(value), unit)
    end }, "wait", values, list, "ms")
    return numbers
  end

  it("are numbers of the sorted values, which stay as they are", function()
    local values = { 30, 10, 20, 40 }
    assert.are.same({ "wait, p50 20 ms", "wait, p99 40 ms" }, said(values, { 50, 99 }))
    assert.are.same({ 30, 10, 20, 40 }, values)
  end)

  it("are not measured of nothing", function()
    assert.are.same({ "wait, p99 nil ms" }, said({}, { 99 }))
  end)
end)
