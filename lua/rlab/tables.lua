-- rlab.tables: what is done to plain tables in many places. Only append changes what it is given.
local M = {}

-- merged(t | nil, ...) -> a new table with the fields of all; the later one wins
function M.merged(...)
  local all = {}
  for i = 1, select("#", ...) do
    for key, value in pairs((select(i, ...)) or {}) do all[key] = value end
  end
  return all
end

-- picked(t, {"a", "b"}) -> a new table with these fields only
function M.picked(t, names)
  local some = {}
  for _, name in ipairs(names) do some[name] = t[name] end
  return some
end

-- sorted_keys(t) -> the keys as a sorted list
function M.sorted_keys(t)
  local list = {}
  for key in pairs(t) do list[#list + 1] = key end
  table.sort(list)
  return list
end

-- set_of(list) -> {[item] = true}
function M.set_of(list)
  local set = {}
  for _, item in ipairs(list) do set[item] = true end
  return set
end

-- contains(list, item) -> boolean
function M.contains(list, item)
  for _, one in ipairs(list) do
    if one == item then return true end
  end
  return false
end

-- names_of(list) -> the field `name` of each row
function M.names_of(list)
  local names = {}
  for i, row in ipairs(list) do names[i] = row.name end
  return names
end

-- ids_of(rows) -> the field `id` of each row
function M.ids_of(rows)
  local ids = {}
  for i, row in ipairs(rows) do ids[i] = row.id end
  return ids
end

-- append(list, more): the items of `more` at the end of the list, which is changed and returned
function M.append(list, more)
  return table.move(more, 1, #more, #list + 1, list)
end

return M
