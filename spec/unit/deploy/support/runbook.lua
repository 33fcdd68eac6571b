-- The runbook as its specs read it.
local fs = require "rlab.fs"

local M = { PATHS = { en = "docs/runbook.md", ko = "docs/runbook.ko.md" } }

-- as the pages that show Markdown do: lower case, blanks become dashes, other signs go
local function slug(heading)
  return (heading:lower():gsub("[^%w\x80-\xff%- ]", ""):gsub(" ", "-"))
end

-- read("en") -> its sections {title=, slug=, labels=, commands=}, in order
function M.read(language)
  local list, current = {}, nil
  for line in (assert(fs.read(M.PATHS[language]))):gmatch "([^\n]*)\n" do
    local title = line:match "^### (.+)$"
    if title then
      current = { title = title, slug = slug(title), labels = {}, commands = {} }
      list[#list + 1] = current
    elseif line:find "^## " then
      current = nil
    elseif current then
      current.labels[#current.labels + 1] = line:match "^%*%*(.-)%.%*%*"
      current.commands[#current.commands + 1] = line:match "^    (.+)$"
    end
  end
  return list
end

return M
