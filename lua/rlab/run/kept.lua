-- The runs that are kept in a folder: runs/E-012/20261123-131502 with its result.json.
local fs = require "rlab.fs"
local json = require "rlab.json"

local M = {}

-- run(runs, id, name) -> {name, result} | nil
function M.run(runs, id, name)
  local text = fs.read(("%s/%s/%s/result.json"):format(runs, id, name))
  if not text then return nil end
  local ok, result = pcall(json.decode, text)
  if not ok or type(result) ~= "table" then return nil end
  return { name = name, result = result }
end

-- runs(runs, id, [most]) -> {{name, result}}, newest first: the names of runs are times, so their order is
--   the order of time; "latest" is a link to one of them
function M.runs(runs, id, most)
  local names = {}
  for _, name in ipairs(fs.list(runs .. "/" .. id) or {}) do
    if name ~= "latest" then names[#names + 1] = name end
  end
  table.sort(names)
  local list = {}
  for i = #names, 1, -1 do
    if #list == most then break end
    list[#list + 1] = M.run(runs, id, names[i])
  end
  return list
end

-- experiments(runs, most) -> { {id =, runs = { {name, result} }} } with the latest runs of each, newest
--   first; without `most` all of them
function M.experiments(runs, most)
  local found = {}
  for _, id in ipairs(fs.list(runs) or {}) do
    local list = M.runs(runs, id, most)
    if list[1] then found[#found + 1] = { id = id, runs = list } end
  end
  return found
end

return M
