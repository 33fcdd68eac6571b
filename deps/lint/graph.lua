-- graph.lua OUT.svg: draws which folder of engine/ includes which, from the #include lines alone.
-- Foundations stand at the bottom: a folder stands one row above the highest of those that it uses. The
-- picture changes only when a folder gains or loses a neighbour, so lint can hold the one in docs/images to
-- the code.
local OUT = assert(arg[1], "usage: lua5.4 deps/lint/graph.lua OUT.svg")
local BOX_W, BOX_H, GAP_X, GAP_Y, MARGIN = 132, 40, 18, 62, 24

-- The folder that stands in the picture for a file: its own, but bind's parts count as one.
local function room(path)
  local folder = path:match "^engine/(.*)/[^/]+$" or "main"
  return (folder:gsub("^bind/.*", "bind"))
end

local function files()
  local list, pipe = {}, assert(io.popen "git ls-files engine | grep '\\.[ch]$'")
  for line in pipe:lines() do list[#list + 1] = line end
  pipe:close()
  return list
end

local function read_edges()
  local uses, rooms = {}, {}
  for _, path in ipairs(files()) do
    local from = room(path)
    if not uses[from] then uses[from], rooms[#rooms + 1] = {}, from end
    for line in io.lines(path) do
      local to = line:match '^#include "([^"]+)"'
      if to and room("engine/" .. to) ~= from then uses[from][room("engine/" .. to)] = true end
    end
  end
  table.sort(rooms)
  return rooms, uses
end

-- A folder that uses one which uses it would have no row: that is an error of the house, not of the picture.
local function rows_of(rooms, uses)
  local row, under_way = {}, {}
  local function visit(name)
    if row[name] then return row[name] end
    if under_way[name] then error(("engine/%s uses itself by way of another folder"):format(name), 0) end
    under_way[name] = true
    local highest = -1
    for other in pairs(uses[name] or {}) do highest = math.max(highest, visit(other)) end
    row[name] = highest + 1
    return row[name]
  end
  for _, name in ipairs(rooms) do visit(name) end
  return row
end

-- Only what no path over others says as well is drawn, or the picture would be a thicket.
local function direct(uses)
  local function reaches(from, to, first)
    for other in pairs(uses[from] or {}) do
      if not (first and other == to) and (other == to or reaches(other, to)) then return true end
    end
    return false
  end
  local list = {}
  for from, others in pairs(uses) do
    for to in pairs(others) do
      if not reaches(from, to, true) then list[#list + 1] = { from, to } end
    end
  end
  table.sort(list, function(a, b) return a[1] .. " " .. a[2] < b[1] .. " " .. b[2] end)
  return list
end

-- From the bottom up, each folder as near to the middle of what it uses as its neighbours allow.
local function place_row(names, wish)
  table.sort(names, function(a, b)
    if wish[a] ~= wish[b] then return wish[a] < wish[b] end
    return a < b
  end)
  local x, centre = {}, 0
  for i, name in ipairs(names) do
    x[name] = math.max(wish[name], i > 1 and x[names[i - 1]] + BOX_W + GAP_X or -math.huge)
    centre = centre + (x[name] - wish[name]) / #names
  end
  for _, name in ipairs(names) do x[name] = x[name] - centre end
  return x
end

local function wish_of(name, uses, at)
  local sum, n = 0, 0
  for other in pairs(uses[name]) do
    if at[other] then sum, n = sum + at[other].x, n + 1 end
  end
  return n > 0 and sum / n or 0
end

local function shifted(at, height)
  local left, right = math.huge, -math.huge
  for _, p in pairs(at) do left, right = math.min(left, p.x), math.max(right, p.x + BOX_W) end
  for _, p in pairs(at) do p.x = p.x - left + MARGIN end
  return at, right - left + 2 * MARGIN, 2 * MARGIN + (height + 1) * (BOX_H + GAP_Y) - GAP_Y
end

local function layout(rooms, row, edges)
  local by_row, height, at, drawn = {}, 0, {}, {}
  for _, name in ipairs(rooms) do
    by_row[row[name]] = by_row[row[name]] or {}
    table.insert(by_row[row[name]], name)
    height, drawn[name] = math.max(height, row[name]), {}
  end
  for _, edge in ipairs(edges) do drawn[edge[1]][edge[2]] = true end
  for r = 0, height do
    local wish = {}
    for i, name in ipairs(by_row[r]) do
      wish[name] = r == 1 and (i - (#by_row[r] + 1) / 2) * (BOX_W + GAP_X) or wish_of(name, drawn, at)
    end
    for name, x in pairs(place_row(by_row[r], wish)) do
      at[name] = { x = x, y = MARGIN + (height - r) * (BOX_H + GAP_Y) }
    end
  end
  return shifted(at, height)
end

local HEAD = [[
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" role="img" aria-labelledby="t">
<title id="t">Folders of engine/ and what each includes</title>
<style>
  rect { fill: #f8fafc; stroke: #475569; } text { font: 13px system-ui, sans-serif; fill: #0f172a; }
  path { fill: none; stroke: #94a3b8; } .bg { fill: #ffffff; stroke: none; }
  @media (prefers-color-scheme: dark) {
    .bg { fill: #0b1220; } rect { fill: #1e293b; stroke: #94a3b8; }
    text { fill: #e2e8f0; } path { stroke: #64748b; } }
</style>
<rect class="bg" width="%.0f" height="%.0f"/>
]]

local function draw(rooms, uses, row)
  local edges = direct(uses)
  local at, width, height = layout(rooms, row, edges)
  local out = { HEAD:format(width, height, width, height) }
  for _, edge in ipairs(edges) do
    local a, b = at[edge[1]], at[edge[2]]
    local x1, y1, x2, y2 = a.x + BOX_W / 2, a.y + BOX_H, b.x + BOX_W / 2, b.y
    out[#out + 1] = ('<path d="M%.0f %.0f C%.0f %.0f %.0f %.0f %.0f %.0f"/>\n'):format(x1, y1, x1, y1 + 30,
      x2,
      y2 - 30, x2, y2)
  end
  for _, name in ipairs(rooms) do
    local p = at[name]
    out[#out + 1] = ('<rect x="%.0f" y="%.0f" width="%d" height="%d" rx="4"/>'):format(p.x, p.y, BOX_W, BOX_H)
    out[#out + 1] = ('<text x="%.0f" y="%.0f" text-anchor="middle">%s</text>\n'):format(p.x + BOX_W / 2,
      p.y + BOX_H / 2 + 5, name)
  end
  out[#out + 1] = "</svg>\n"
  return table.concat(out)
end

local rooms, uses = read_edges()
local file = assert(io.open(OUT, "w"))
file:write(draw(rooms, uses, rows_of(rooms, uses)))
file:close()
