-- rlab.options: option tables are strict, and an unknown word is answered by the nearest known one.
local tables = require "rlab.tables"
local units = require "rlab.units"

local M = {}

-- advice(word, known[, otherwise]) -> "did you mean 'x'?", or `otherwise` when nothing is near: the list of
--   what there is when not given
function M.advice(word, known, otherwise)
  local near = units.nearest(tostring(word), known)
  if near then return ("did you mean '%s'?"):format(near) end
  return otherwise or "there are " .. table.concat(known, ", ")
end

-- hint(word, known[, before = ", "]) -> ", did you mean 'x'?" or ""
function M.hint(word, known, before)
  local near = units.nearest(tostring(word), known)
  return near and ("%sdid you mean '%s'?"):format(before or ", ", near) or ""
end

-- unparsed(parser, wrong, command) -> what argparse found wrong, with the option that was meant, or where the
--   options are listed
function M.unparsed(parser, wrong, command)
  wrong = wrong:gsub("%s*\nDid you mean .*$", "")
  local word, flags = wrong:match "^unknown option '(%-%-[^']*)'", {}
  for _, option in ipairs(parser._options) do tables.append(flags, option._aliases) end
  local near = word and M.hint(word, flags) or ""
  return wrong .. (near ~= "" and near or (" (%s --help shows the options)"):format(command))
end

local PATHS = { "connections", "copy", "file", "folder", "into", "junit", "replay", "runs" }

-- nowhere(parsed) -> "--runs", an option that was given an empty path, which with a / behind it is the root |
--   nil
function M.nowhere(parsed)
  for _, name in ipairs(PATHS) do
    local value = parsed[name]
    if value == "" or type(value) == "table" and value[1] == "" then return "--" .. name end
  end
end

-- check(call, options, known[, level = 3]) -> options, {} for nil. Another key than the known ones is raised
--   where the function that checks was called.
function M.check(call, options, known, level)
  if options == nil then return {} end
  if type(options) ~= "table" then
    error(call .. ": a table of options expected, got " .. type(options), level or 3)
  end
  for key in pairs(options) do
    if not tables.contains(known, key) then
      local near = M.hint(key, known)
      error(("%s: unknown option '%s'%s"):format(call, tostring(key),
        near ~= "" and near or "; there are " .. table.concat(known, ", ")), level or 3)
    end
  end
  return options
end

return M
