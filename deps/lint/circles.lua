-- circles.lua [--all] ALLOW: circles of C files inside a folder of engine/, from the sources and
-- the objects of build/. Prints those that ALLOW does not list and the argued ones that are gone.
--
-- A file uses another of its folder when it includes its header, or names a function or datum that
-- the other defines. Three kinds of use do not count, as by them a parent only gets its children
-- going and knows nothing else of them:
--   the address of a function that is not called: a thread's main, a callback
--   a table of functions: the driver of a protocol, the methods of a Lua type
--   calling a child's *_bind (or, from a module.c, its *_open), which adds what the child offers to a
--   table of its parent
-- A header without a C file of its own (internal.h) holds what several files share: including it
-- says nothing; what is used of it is seen in the objects.
--
-- A line of ALLOW: FOLDER: FILE FILE ... -- reason. The reasons are argued in docs/architecture.md.
local show_all = arg[1] == "--all"
local allow_path = arg[show_all and 2 or 1]

local function lines_of(command)
  local pipe <close> = assert(io.popen(command))
  local list = {}
  for line in pipe:lines() do list[#list + 1] = line end
  return list
end

-- folder -> stem -> set of stems, with what the edge was seen by
local folders = {}

local function split(path) return path:match("^(.*)/([^/]+)%.[cho]$") end

local function edge(folder, from, to, why)
  local used = folders[folder][from]
  if from == to or not folders[folder][to] then return end
  used[to] = used[to] or {}
  table.insert(used[to], why)
end

local sources = lines_of("find engine -name '*.c' | LC_ALL=C sort")
for _, path in ipairs(sources) do
  local folder, stem = split(path)
  folders[folder] = folders[folder] or {}
  folders[folder][stem] = {}
end

local function read_includes(folder, stem, ending)
  local file <close> = io.open(folder .. "/" .. stem .. ending)
  for line in file and file:lines() or function() end do
    local of, name = split("engine/" .. (line:match('^#include "([^"]+)"') or ""))
    if of == folder then edge(folder, stem, name, "includes " .. name .. ".h") end
  end
end

local objects = {}
for i, path in ipairs(sources) do
  local folder, stem = split(path)
  read_includes(folder, stem, ".c")
  read_includes(folder, stem, ".h")
  objects[i] = path:gsub("^engine/(.*)%.c$", "build/obj/%1.o")
end
local all_objects = table.concat(objects, " ")

-- Symbols: where each is defined, and whether it is a function.
local home = {}
for _, line in ipairs(lines_of("nm -A -S -g --defined-only " .. all_objects)) do
  local path, at, size, kind, name = line:match("^build/obj/(.-):(%x+) (%x+) (%a) (.+)$")
  if path then
    local folder, stem = split("engine/" .. path)
    home[name] = {folder = folder, stem = stem, is_function = kind == "T",
                  from = tonumber(at, 16), to = tonumber(at, 16) + tonumber(size, 16)}
  end
end

-- Relocations: what is used where, and of what kind the use is.
local uses = {}
do
  local folder, stem, section
  for _, line in ipairs(lines_of("readelf -rW " .. all_objects)) do
    local path = line:match("^File: build/obj/(.+)$")
    if path then folder, stem = split("engine/" .. path) end
    section = line:match("^Relocation section '%.rela?([^']+)'") or section
    local at, kind, name = line:match("^(%x+) +%x+ (R_%S+) +%x+ ([%w_.]+)")
    if name and not section:find("debug", 1, true) then
      uses[#uses + 1] = {folder = folder, stem = stem, name = name, kind = kind,
                         at = tonumber(at, 16), in_table = section:find("^%.data%.rel%.ro") ~= nil}
    end
  end
end

-- "FOLDER/STEM" -> where its constant tables point to functions
local pointers = {}
for _, use in ipairs(uses) do
  local target = home[use.name]
  if use.in_table and (use.name == ".text" or target and target.is_function) then
    local key = use.folder .. "/" .. use.stem
    pointers[key] = pointers[key] or {}
    table.insert(pointers[key], use.at)
  end
end

local function is_table_of_functions(symbol)
  if symbol.is_function then return false end
  for _, at in ipairs(pointers[symbol.folder .. "/" .. symbol.stem] or {}) do
    if at >= symbol.from and at < symbol.to then return true end
  end
  return false
end

local calls = {R_X86_64_PLT32 = true, R_AARCH64_CALL26 = true, R_AARCH64_JUMP26 = true}
local function only_gets_it_going(use, target)
  if use.name:find("_bind$") or use.stem == "module" and use.name:find("_open$") then return true end
  return target.is_function and not calls[use.kind] or is_table_of_functions(target)
end

for _, use in ipairs(uses) do
  local target = home[use.name]
  if target and target.folder == use.folder and not only_gets_it_going(use, target) then
    edge(use.folder, use.stem, target.stem, use.name)
  end
end

-- Strongly connected components (Tarjan).
local function circles_of(graph)
  local index, low, stack, on_stack, count, found = {}, {}, {}, {}, 0, {}
  local function visit(v)
    count = count + 1
    index[v], low[v] = count, count
    stack[#stack + 1], on_stack[v] = v, true
    for w in pairs(graph[v]) do
      if not index[w] then visit(w) low[v] = math.min(low[v], low[w])
      elseif on_stack[w] then low[v] = math.min(low[v], index[w]) end
    end
    if low[v] ~= index[v] then return end
    local circle = {}
    repeat
      local w = table.remove(stack)
      on_stack[w] = nil
      circle[#circle + 1] = w
    until w == v
    table.sort(circle)
    if #circle > 1 then found[#found + 1] = circle end
  end
  for v in pairs(graph) do if not index[v] then visit(v) end end
  table.sort(found, function(a, b) return a[1] < b[1] end)
  return found
end

local function distinct(list)
  local seen, out = {}, {}
  for _, word in ipairs(list) do
    if not seen[word] then out[#out + 1] = word end
    seen[word] = true
  end
  return table.concat(out, " ", 1, math.min(#out, 8)) .. (#out > 8 and " ..." or "")
end

local function show(where, circle)
  print(where .. ": " .. table.concat(circle, " "))
  for _, from in ipairs(circle) do
    for _, to in ipairs(circle) do
      local why = folders[where][from][to]
      if why then print("    " .. from .. " -> " .. to .. ": " .. distinct(why)) end
    end
  end
end

local allowed = {}
for line in io.lines(allow_path) do
  local where, files = line:match("^(%S+): (.-) %-%- %S")
  if where then
    local set = {}
    for name in files:gmatch("%S+") do set[name] = true end
    allowed[#allowed + 1] = {where = where, set = set, text = line}
  elseif line:find("^[^#]") then
    print(allow_path .. ": not understood: " .. line)
  end
end

local function is_allowed(where, circle)
  for _, one in ipairs(allowed) do
    local inside = one.where == where
    for _, name in ipairs(circle) do inside = inside and one.set[name] end
    if inside then
      one.used = true
      return true
    end
  end
end

local names = {}
for where in pairs(folders) do names[#names + 1] = where end
table.sort(names)
for _, where in ipairs(names) do
  for _, circle in ipairs(circles_of(folders[where])) do
    if not is_allowed(where, circle) or show_all then show(where, circle) end
  end
end
for _, one in ipairs(allowed) do
  if not one.used then print(allow_path .. ": there is no such circle: " .. one.text) end
end
