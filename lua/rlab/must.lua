-- must(value, err): the value, or raises what the world said. must(pcall-like results...) keeps all of them.
local function must(value, ...)
  if value == nil or value == false then
    local reason = (...)
    error(reason == nil and "must: the call returned nothing" or reason, 2)
  end
  return value, ...
end

return must
