-- What a request of the console's page asks: its body and the values in it, checked. What is wrong is raised
-- as USAGE and answered as 400.
local err = require "rlab.err"
local json = require "rlab.json"
local units = require "rlab.units"

local M = {}

function M.refuse(fmt, ...)
  error(err.new { domain = "rlab", code = 0, name = "USAGE", message = fmt:format(...) }, 0)
end

-- body(req) -> the object that the body is
function M.body(req)
  local ok, body = pcall(json.decode, req.body)
  if not ok or type(body) ~= "table" then M.refuse "the body is a JSON object" end
  return body
end

-- text(body, name) -> text | nil when it is not there
function M.text(body, name)
  local value = body[name]
  if value ~= nil and value ~= json.null and type(value) ~= "string" then M.refuse("%s is a text", name) end
  return type(value) == "string" and value or nil
end

-- whole(text, name) -> integer | nil when it is not there
function M.whole(text, name)
  if text == nil or text == "" then return nil end
  return units.whole(text) or M.refuse("%s is a whole number, not '%s'", name, text)
end

return M
