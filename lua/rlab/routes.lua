-- rlab.routes: which of a list of routes a path is for. A path is split at its slashes before it is decoded,
-- so that a part may have slashes of its own: /dlq/orders%2F17 asks for "orders/17".
local core = require "rlab.core_http"

local M = {}

-- parts("/accounts/{id}") -> {"accounts", {name = "id"}}
function M.parts(path)
  local list = {}
  for part in path:gmatch "/([^/]*)" do
    local name = part:match "^{([%w_]+)}$"
    list[#list + 1] = name and { name = name } or part
  end
  return list
end

-- split(raw_path) -> its parts, decoded
function M.split(raw_path)
  local list = {}
  for part in raw_path:gmatch "/([^/]*)" do list[#list + 1] = core.decode(part) or part end
  return list
end

local function match(parts, given)
  local params = {}
  if #parts ~= #given then return nil end
  for i, part in ipairs(parts) do
    if type(part) == "table" and given[i] ~= "" then
      params[part.name] = given[i]
    elseif part ~= given[i] then
      return nil
    end
  end
  return params
end

-- find(routes {{method=, parts=}, ...}, method, given) -> route, {name = value} | nil, the methods that the
--   path has
function M.find(routes, method, given)
  local allowed, seen = {}, {}
  local function allow(word)
    if not seen[word] then allowed[#allowed + 1] = word end
    seen[word] = true
  end
  for _, route in ipairs(routes) do
    local params = match(route.parts, given)
    if params and (route.method == method or (route.method == "GET" and method == "HEAD")) then
      return route, params
    end
    if params then
      allow(route.method)
      if route.method == "GET" then allow "HEAD" end
    end
  end
  return nil, allowed
end

return M
