-- The proxy driven by Toxiproxy's official Go client, built from its module: where there is no Go, or the
-- module cannot be had, this is skipped.
local fs = require "rlab.fs"
local http = require "rlab.http"
local must = require "rlab.must"
local process = require "rlab.process"
local proxy = require "rlab.proxy"

local SOURCE = "spec/fixtures/toxiproxy_client"

-- run{command...} -> status | nil, what it printed
-- The limit only ends a tool that hangs: from an empty cache Go builds its whole library first.
local function run(cmd, cwd)
  local child <close>, failure = process.spawn { cmd = cmd, cwd = cwd, stdout = "capture", stderr = "stdout" }
  if not child then return nil, failure.message end
  local status = must(child:wait "15m")
  return status, child:output()
end

describe("Toxiproxy's Go client", function()
  local dir, backend, served

  setup(function()
    dir = must(fs.tmpdir "rlab-spec-toxiproxy")
    backend = must(http.serve { handler = function(req) return { status = 200, body = req.body } end })
    served = must(proxy.serve { seed = 7 })
  end)
  teardown(function()
    served:close()
    backend:close "100ms"
    fs.remove(dir)
  end)

  it("creates, poisons, disables, populates, resets and deletes proxies", function()
    local status, words = run({ "go", "mod", "download" }, SOURCE)
    if not status or status.code ~= 0 then
      return pending("Go, or the module of the client, is not to be had: " .. words)
    end
    status, words = run({ "go", "build", "-o", dir .. "/client", "." }, SOURCE)
    assert.equal(0, status.code, words)
    status, words = run { dir .. "/client", served.url, "127.0.0.1:" .. backend.port }
    assert.equal(0, status.code, words)
    assert.matches("done\n$", words)
  end)
end)
