-- shards.lua WHOLE MERGED SHARD...: a row for each arm of the whole with its outcome there and the shard that
-- ran it; what the merged say otherwise, or what is in one of the two only, is told. Exits with 1 then.
local json = require "dkjson"

-- result(dir, id) -> of the experiment's latest run there | nil
local function result(dir, id)
  local file = io.open(("%s/%s/latest/result.json"):format(dir, id))
    or io.popen(("cat %s/%s/*/result.json 2>/dev/null"):format(dir, id))
  local found = json.decode(file:read "a")
  file:close()
  return found
end

local function ids_in(dir)
  local list = {}
  for name in io.popen(("ls -d %s/*/ 2>/dev/null"):format(dir)):lines() do
    local id = name:match "([^/]+)/$"
    if result(dir, id) then list[#list + 1] = id end
  end
  return list
end

-- arms(result) -> names in order, { [name] = "holds; lost holds, drained holds" }
local function arms(one)
  local names, says = {}, {}
  for i, arm in ipairs(one and one.arms or {}) do
    names[i], says[arm.name] = arm.name, arm.outcome
  end
  for _, check in ipairs(one and one.checks or {}) do
    local arm = check.arm
    if says[arm] then says[arm] = ("%s, %s %s"):format(says[arm], check.name, check.outcome) end
  end
  return names, says
end

local function shard_of(id)
  for i = 3, #arg do
    if result(arg[i], id) then return i - 2 end
  end
end

local differ, rows = 0, 0
local function compare(id)
  local names, whole = arms(result(arg[1], id))
  local _, merged = arms(result(arg[2], id))
  for _, name in ipairs(names) do
    local same = whole[name] == merged[name]
    local told = same and "" or ("   DIFFERS: %s / %s"):format(whole[name], merged[name])
    print(("  %-6s %-28s shard %s   %s%s"):format(id, name, shard_of(id) or "none",
      whole[name]:match "^[^,]+", told))
    differ, rows = differ + (same and 0 or 1), rows + 1
  end
end

local whole, merged = ids_in(arg[1]), ids_in(arg[2])
for _, id in ipairs(whole) do compare(id) end
for _, id in ipairs(merged) do
  if not result(arg[1], id) then
    differ = differ + 1
    print(("  %-6s is not in the whole"):format(id))
  end
end
print(("\n  %d arms of %d experiments: %d differ"):format(rows, #whole, differ))
os.exit(differ == 0 and rows > 0)
