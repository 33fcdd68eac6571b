-- XML as a tree, as strict as it must be for files that rlab writes: elements, attributes, text, the five
-- entities. Anything else, and what is not closed, is an error.
local json = require "rlab.json"

local M = {}

local ENTITIES = { lt = "<", gt = ">", amp = "&", quot = '"', apos = "'" }

local function plain(text)
  if text:find "[<>]" then error("XML: a bare < or > in: " .. text, 0) end
  return (text:gsub("&([^;]*);?", function(name)
    local number = name:match "^#(%d+)$"
    return ENTITIES[name] or number and utf8.char(tonumber(number))
      or error(("XML: no entity '%s'"):format(name), 0)
  end))
end

local function attributes_of(text)
  local attributes = {}
  local rest = text:gsub('%s+([%w_:-]+)="([^"]*)"', function(name, value)
    if attributes[name] then error(("XML: '%s' twice"):format(name), 0) end
    attributes[name] = plain(value)
    return ""
  end)
  if rest:find "%S" then error("XML: not an attribute: " .. rest, 0) end
  return attributes
end

-- decode(text) -> { name =, attributes = {...}, children = list, text = } of the outermost element
function M.decode(text)
  local open = { { children = json.array {}, text = "" } }
  text = text:gsub("^<%?xml [^>]*%?>%s*", "")
  for before, tag in text:gmatch "([^<]*)<([^>]*)>" do
    local top = open[#open]
    top.text = top.text .. plain(before)
    local closes, name, rest, alone = tag:match "^(/?)([%w_:-]+)(.-)(/?)$"
    if not name then error("XML: not a tag: <" .. tag .. ">", 0) end
    if closes == "/" then
      if top.name ~= name then error(("XML: </%s> closes <%s>"):format(name, top.name or ""), 0) end
      open[#open] = nil
    else
      local element = { name = name, attributes = attributes_of(rest), children = json.array {}, text = "" }
      table.insert(top.children, element)
      if alone == "" then open[#open + 1] = element end
    end
  end
  local root = open[1].children
  if #open ~= 1 or #root ~= 1 then error("XML: not one element that is closed", 0) end
  if (text:match "[^>]*$"):find "%S" then error("XML: text behind the last tag", 0) end
  return root[1]
end

return M
