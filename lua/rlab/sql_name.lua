-- sql_name(name) -> the name of a schema, table or column as a statement takes it, in backticks. Raises for
-- what cannot be a name in MySQL: nothing, more than 64 characters, a NUL, text that is no UTF-8.
local LONGEST = 64

return function(name)
  local length = utf8.len(name)
  if not length or length < 1 or length > LONGEST or name:find("\0", 1, true) then
    local shown = require("rlab.text").visible(name:sub(1, LONGEST), true)
    error(("'%s' can be no name in MySQL"):format(shown), 2)
  end
  return "`" .. name:gsub("`", "``") .. "`"
end
