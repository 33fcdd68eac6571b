-- The lines of earlier sessions: one file that only its owner can read, without lines that look like they
-- hold a secret.
local edit = require "rlab.edit"
local without_comment = require("rlab.repl.line").without_comment

local M = {}
local KEEP, TRIM_AT = 2000, 4000

local function path()
  local state = os.getenv "XDG_STATE_HOME"
  if not state or state == "" then
    local home = os.getenv "HOME"
    if not home or home == "" then return nil end
    state = home .. "/.local/state"
  end
  return state .. "/rlab/history"
end

local SECRET = { "passw", "secret", "token%s*=", "token%s*:", "api_?key", "identified%s+by", "credential",
  "^%s*redis.*auth%s" }

--- true for a line that must not reach a file
function M.is_secret(line)
  line = line:lower()
  for _, pattern in ipairs(SECRET) do
    if line:find(pattern) then return true end
  end
  return false
end

local function trim(file)
  local lines = {}
  for line in io.lines(file) do lines[#lines + 1] = line end
  if #lines > TRIM_AT then
    edit.history_save(file, table.move(lines, #lines - KEEP + 1, #lines, 1, {}), true)
  end
end

function M.load()
  local file = path()
  if not file then return end
  local found = io.open(file)
  if not found then return end
  found:close()
  trim(file)
  edit.history_load(file)
end

-- Several lines become one without their comments, as long as that means the same.
local function one_line(text)
  if not text:find "\n" then return { text } end
  local lines, long = {}, text:find "%[=*%["
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = long and line or without_comment(line) end
  if long then return lines end
  return { (table.concat(lines, "\n"):gsub("%s*\n%s*", " "):gsub("^%s+", ""):gsub("%s+$", "")) }
end

--- remembers what was typed; returns nil, err when the file cannot be written
function M.add(text)
  local lines = one_line(text)
  for _, line in ipairs(lines) do edit.history_add(line) end
  local file = path()
  if not file or M.is_secret(text) then return true end
  return edit.history_save(file, lines)
end

return M
