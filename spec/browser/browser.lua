-- A browser at the console, as a spec drives it: each step is done, or the spec ends with why not.
--   local b <close> = browser.open(url);  b:click("text=Re-drive");  b:see(".said", "begun")
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"

local M = {}

local Browser = {}

function Browser.__index(_, name)
  if Browser[name] then return Browser[name] end
  return function(self, ...) return self:step(name, ...) end
end

local function answer(self)
  local line = self.lines()
  if not line then error("the browser is gone: " .. select(2, self.child:output()), 3) end
  local said = json.decode(line)
  if said.error then error(said.error, 3) end
  return said.ok
end

-- open(url) -> browser on that page; RLAB_NODE_MODULES and RLAB_CHROMIUM say with what (make test-console)
function M.open(url)
  local child = must(process.spawn { cmd = { "node", "spec/browser/drive.mjs", url }, stdin = "pipe",
    stdout = "capture", stderr = "capture" })
  local self = setmetatable({ child = child, lines = child:lines() }, Browser)
  answer(self)
  return self
end

function Browser:step(...)
  must(self.child:write(json.encode { ... } .. "\n"))
  return answer(self)
end

function Browser:close() self.child:close() end

Browser.__close = Browser.close

return M
