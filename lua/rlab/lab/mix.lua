-- One lab of many files: each returns methods, and no two may return one of the same name.

-- mix(class, {"rlab.lab.clients", ...}): their functions as methods of the class; raises an error that names
--   both files when a name is taken
return function(class, parts)
  local from = {}
  for name in pairs(class) do from[name] = "the class itself" end
  for _, part in ipairs(parts) do
    for name, method in pairs(require(part)) do
      if from[name] then
        error(("%s and %s both have a method '%s'"):format(from[name], part, name), 2)
      end
      class[name], from[name] = method, part
    end
  end
end
