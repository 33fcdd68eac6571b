-- env(properties) -> the text of deploy/kafka/settings.env: properties as Kafka's image takes them.
return function(properties)
  local lines = { "# Made by make deploy from lua/rlab/stack/settings.lua." }
  for i, line in ipairs(properties) do
    local key, value = line:match "^([^=]+)=(.*)$"
    lines[i + 1] = ("KAFKA_%s=%s"):format(key:upper():gsub("%.", "_"), value)
  end
  return table.concat(lines, "\n") .. "\n"
end
