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
  local ok, body = pcall(json.decode, req.body, { unique = true })
  if not ok or type(body) ~= "table" then M.refuse "the body is a JSON object" end
  return body
end

-- text(body, name) -> text | nil when it is not there
function M.text(body, name)
  local value = body[name]
  if value ~= nil and value ~= json.null and type(value) ~= "string" then M.refuse("%s is a text", name) end
  return type(value) == "string" and value or nil
end

local function is_header(pair)
  return type(pair) == "table" and #pair == 2 and type(pair[1]) == "string" and pair[1] ~= ""
    and type(pair[2]) == "string"
end

-- headers(body) -> list of {name, value} | nil when there are none
function M.headers(body)
  local list = body.headers
  if list == nil or list == json.null then return nil end
  if type(list) ~= "table" then M.refuse "headers are a list of [name, value]" end
  for _, pair in ipairs(list) do
    if not is_header(pair) then M.refuse "a header is [name, value], two texts" end
  end
  return #list > 0 and list or nil
end

-- whole(text, name) -> integer | nil when it is not there
function M.whole(text, name)
  if text == nil or text == "" then return nil end
  return units.whole(text) or M.refuse("%s is a whole number, not '%s'", name, text)
end

return M
