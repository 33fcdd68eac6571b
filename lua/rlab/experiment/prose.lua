-- An experiment's prose: why it happens, what to do in production, where to read on. It stands in the
-- experiment's page, a Markdown file: docs/experiments/E-001.md for experiments/E-001.lua, mine.md beside any
-- other mine.lua. The page begins with "# ID"; these sections of it are read, the rest is written from the
-- Lua file (`rlab explain ID --write`):
--   ## Why it happens   paragraphs; then, if there is a sequence, the table | from | to | message | class |
--   ## In production    - one piece of advice each
--   ## References       - text (where)
local err = require "rlab.err"

local M = {}

local function page_error(path, line, fmt, ...)
  error(err.new { domain = "rlab", code = 0, name = "SCRIPT",
    message = ("%s:%d: %s"):format(path, line, fmt:format(...)) }, 0)
end

-- places(path) -> where the page of the experiment file may be, first choice first
function M.places(path)
  local page = path:gsub("^%./", ""):gsub("%.lua$", "") .. ".md"
  return page:match "^experiments/" and { "docs/" .. page, page } or { page }
end

local function trimmed(text)
  return text:match "^%s*(.-)%s*$"
end

-- "| a | b \| c |" -> { "a", "b | c" }
local function cells_of(line)
  local list = {}
  local row = line:gsub("\\|", "\0"):match "^|(.*)|%s*$"
  for cell in ((row or "") .. "|"):gmatch "(.-)|" do
    list[#list + 1] = trimmed(cell:gsub("\0", "|"))
  end
  return row and list
end

local HEAD = { "from", "to", "message", "class" }
local CLASSES = { [""] = true, wrong = true, right = true }

local function check_head(path, number, cells)
  if not cells or table.concat(cells, ",") ~= table.concat(HEAD, ",") then
    page_error(path, number, "the sequence is a table | %s |", table.concat(HEAD, " | "))
  end
end

local function step_of(path, number, cells)
  if not cells or #cells ~= #HEAD then
    page_error(path, number, "a step of the sequence has %d cells: | %s |", #HEAD, table.concat(HEAD, " | "))
  end
  if not CLASSES[cells[4]] then
    page_error(path, number, "a step's class is wrong, right or empty, not '%s'", cells[4])
  end
  return { from = cells[1], to = cells[2], text = cells[3], class = cells[4] ~= "" and cells[4] or nil }
end

local function sequence_of(path, lines, first)
  local steps = {}
  for i = first, #lines do
    local line = lines[i]
    local cells = cells_of(line.text)
    if i == first then
      check_head(path, line.number, cells)
    elseif i > first + 1 and trimmed(line.text) ~= "" then
      steps[#steps + 1] = step_of(path, line.number, cells)
    end
  end
  return steps
end

local readers = {}

readers["Why it happens"] = function(prose, path, lines)
  local paragraphs, open = {}, false
  local why = {}
  for i, line in ipairs(lines) do
    local text = trimmed(line.text)
    if text:sub(1, 1) == "|" then
      why.sequence = sequence_of(path, lines, i)
      break
    end
    if text == "" then
      open = false
    elseif open then
      paragraphs[#paragraphs] = paragraphs[#paragraphs] .. " " .. text
    else
      paragraphs[#paragraphs + 1], open = text, true
    end
  end
  if #paragraphs == 0 then page_error(path, lines.number, "'## Why it happens' says nothing") end
  why.text = table.concat(paragraphs, "\n\n")
  prose.why = why
end

-- Items that begin with "- "; indented lines go on.
local function items_of(path, lines)
  local list = {}
  for _, line in ipairs(lines) do
    local item = line.text:match "^%- +(.*)$"
    if item then
      list[#list + 1] = trimmed(item)
    elseif line.text:match "^%s+%S" and #list > 0 then
      list[#list] = list[#list] .. " " .. trimmed(line.text)
    elseif trimmed(line.text) ~= "" then
      page_error(path, line.number, "'## %s' is a list: a line begins with '- ', or goes on indented",
        lines.head)
    end
  end
  return list
end

readers["In production"] = function(prose, path, lines)
  prose.production = items_of(path, lines)
end

readers["References"] = function(prose, path, lines)
  prose.references = {}
  for i, item in ipairs(items_of(path, lines)) do
    local text, where = item:match "^(.-)%s+(%b())$"
    prose.references[i] = { text = text or item, where = where and where:sub(2, -2) }
  end
end

readers["Arms"] = function() end -- written from the Lua file

local function known_heads()
  local list = {}
  for head in pairs(readers) do list[#list + 1] = head end
  table.sort(list)
  return list
end

local function section(path, number, head)
  if not readers[head] then
    local near = require("rlab.units").nearest(head, known_heads())
    page_error(path, number, "a page has no section '%s'%s", head,
      near and (", did you mean '" .. near .. "'?") or "; there are " .. table.concat(known_heads(), ", "))
  end
  return { head = head, number = number }
end

local function sections_of(path, text)
  local list, number = {}, 0
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    local head = line:match "^##%s+(.-)%s*$"
    if head then
      list[#list + 1] = section(path, number, head)
    elseif #list > 0 then
      table.insert(list[#list], { text = line, number = number })
    end
  end
  return list
end

-- parse(text, path, id) -> {why = {text, sequence}, production, references} | nil when the file is not the
--   page of that experiment. Raises a SCRIPT error that names file and line.
function M.parse(text, path, id)
  if trimmed(text) == "" then
    page_error(path, 1, "the page is empty: git has the last one, and rlab explain %s --write (not '>') "
      .. "writes it anew", id)
  end
  local head = text:match "^#%s+([^%s:]+)"
  if head ~= id then return nil end
  local prose = {}
  for _, lines in ipairs(sections_of(path, text)) do readers[lines.head](prose, path, lines) end
  return prose
end

return M
