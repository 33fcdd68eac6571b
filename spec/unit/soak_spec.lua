-- The soak (spec/soak/soak.sh) with a stand-in for rlab, of which each experiment ends with the code in its
-- name: what is counted, what leaves its folder, how the whole ends.
local fs = require "rlab.fs"
local process = require "rlab.process"

local RLAB = [[#!/bin/bash
word=$1 what=$2
case $word in
up | record) echo "$word" ;;
run)
  code=${what##*-}
  [ "$what" != spec/soak/pipeline.lua ] || code=0 what=E-999
  for runs in "$@"; do :; done
  mkdir -p "$runs/$what/1"
  printf '{\n  "sentence": "it said %s",\n  "run": {\n    "name": "%s/1"\n  }\n}\n' "$code" "$what"
  exit "$code" ;;
hunt)
  for runs in "$@"; do :; done
  mkdir -p "$runs"
  echo "  covered     7 trials"
  exit "${4##*-}" ;;
esac
]]

describe("make soak", function()
  local dir
  before_each(function()
    dir = assert(fs.tmpdir "rlab-spec")
    assert(fs.mkdir(dir .. "/spec/soak"))
    assert(fs.copy("spec/soak/soak.sh", dir .. "/spec/soak/soak.sh"))
    assert(fs.write(dir .. "/rlab", RLAB, { mode = tonumber("755", 8) }))
  end)
  after_each(function() fs.remove(dir) end)

  local function soak(env)
    env.LOG, env.COUNT, env.KINDS = dir .. "/log", env.COUNT or "1", "none"
    local child <close> = assert(process.spawn { cmd = { "bash", dir .. "/spec/soak/soak.sh" }, env = env,
      stderr = "stdout" })
    local status = assert(child:wait "120s")
    return status.code, child:output()
  end

  it("goes through all its parts, and leaves no folder where all is as predicted", function()
    local code, said = soak { EXPERIMENTS = "E-0-0 E-1-0", HUNTS = "E-0:arm-0", COUNT = "2" }
    assert.are.equal(0, code, said)
    for _, row in ipairs { "none +4 +4 +0 +0 +0\n", "services +2 +2 ", "hunt +2 +2 ", "all +8 +8 " } do
      assert.matches(row, said)
    end
    assert.is_false(fs.exists(dir .. "/log/runs/E-0-0/1") or fs.exists(dir .. "/log/hunt/E-0-arm-0-1"))
  end)

  it("ends with 1 where a verdict is wrong, and leaves the folder of what was not as predicted", function()
    local code, said = soak { PARTS = "verdicts", EXPERIMENTS = "E-0-0 E-1-1 E-2-3" }
    assert.are.equal(1, code, said)
    assert.matches("all +3 +1 +1 +0 +1\n", said)
    assert.matches("none: it said 1", said)
    assert.are.same({ false, true, true }, { fs.exists(dir .. "/log/runs/E-0-0/1"),
      fs.exists(dir .. "/log/runs/E-1-1/1"), fs.exists(dir .. "/log/runs/E-2-3/1") })
  end)

  it("takes a hunt that found something for wrong", function()
    local code, said = soak { PARTS = "hunts", HUNTS = "E-0:arm-1" }
    assert.are.equal(1, code, said)
    assert.matches("hunt +1 +0 +0 +0 +1\n", said)
    assert.is_true(fs.exists(dir .. "/log/hunt/E-0-arm-1-1/said"))
  end)

  it("knows no other parts", function()
    local code, said = soak { PARTS = "hunt" }
    assert.are.equal(1, code)
    assert.matches("PARTS are verdicts, services and hunts, not 'hunt'", said)
  end)
end)
