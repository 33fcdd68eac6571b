-- rlab.service: what a service is. A file lua/service/<name>.lua (or any file that `rlab service FILE.lua`
-- is given) returns
--   service { name =, help =, port =, options = {{name=, type=, default=, values=, min=, max=, help=},
--     ...}, uses = {producer = true, consumer = true},
--             start = function(ctx) ... end }
-- start prepares all in the background and returns, or calls ctx:hold(), which returns when the service is
-- to end: then its <close> variables close.
local host = require "rlab.core_host"
local options = require "rlab.options"
local script = require "rlab.experiment.script"
local tables = require "rlab.tables"
local usage = require "rlab.usage" ()

local M = {}

local keys = { "name", "help", "port", "options", "uses", "start" }

local function define(_, description)
  if type(description) ~= "table" then error("service: a table expected", 2) end
  for key in pairs(description) do
    if not tables.contains(keys, key) then
      error(("service: unknown key '%s'%s"):format(tostring(key), options.hint(key, keys)), 2)
    end
  end
  if type(description.name) ~= "string" then error("service: it has no name", 2) end
  if type(description.start) ~= "function" then
    error("service " .. description.name .. ": start is a function(ctx)", 2)
  end
  description.help = description.help or ""
  return description
end

-- names() -> the services that are part of rlab, sorted
function M.names()
  local names = {}
  for _, file in ipairs(host.embedded_names "lua/service/") do
    names[#names + 1] = file:match "^lua/service/([%w_]+)%.lua$"
  end
  return names
end

-- A mistake in a file of the user's is the script's, its options' too.
local function from_file(path)
  local description = script.run(path)
  if type(description) ~= "table" or not description.start then
    script.fail("%s: the file must return service { ... }", path)
  end
  local ok, wrong = pcall(require("rlab.service.options").all, description)
  if not ok then script.fail("%s: %s", path, wrong) end
  description.file = path
  return description
end

-- load(name or path of a Lua file) -> description
function M.load(name)
  if name:find "%.lua$" then return from_file(name) end
  for _, known in ipairs(M.names()) do
    if known == name then return require("service." .. name) end
  end
  usage("no service '%s'; %s", name, options.advice(name, M.names()))
end

return setmetatable(M, { __call = define })
