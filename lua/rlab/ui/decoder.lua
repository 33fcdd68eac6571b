-- Values that carry a schema's id, decoded by the stack's registry for the console.
local cell = require "rlab.ui.cell"
local registry = require "rlab.repl.words.registry"

local M = {}

local ASKED = 3 -- values in a row that no schema was found for, until the registry is left alone

-- new(clients) -> decoded(value) -> {schema, text, size, ...} as a cell | nil. It is of one answer: a
--   registry that is away, or knows none of them, is not asked for each of many values.
function M.new(clients)
  local missed = 0
  return function(value)
    if missed >= ASKED or not registry.looks_encoded(value) then return nil end
    local found = registry.decode(clients, { value = value })
    missed = found.schema and 0 or missed + 1
    if not found.schema then return nil end
    local text = cell.of(found.value)
    text.schema = found.schema
    return text
  end
end

return M
