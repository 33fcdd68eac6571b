-- embed.lua OUT FILE...: writes a C file with every FILE's bytes as a table sorted by name (see
-- engine/base/embed.h).
-- A file outside the tree is embedded under lua/, so that require finds it there.
local out, files = arg[1], { table.unpack(arg, 2) }

local function escaped(line)
  return (line:gsub('[%c"\\?\128-\255]', function(c) return ("\\%03o"):format(c:byte()) end))
end

local entries = {}
for _, path in ipairs(files) do
  local f = assert(io.open(path, "rb"))
  local name = path:match("^/.*/([^/]+)$")
  entries[#entries + 1] = { name = name and "lua/" .. name or path, data = f:read("a") }
  f:close()
end
table.sort(entries, function(a, b) return a.name < b.name end)

local f = assert(io.open(out .. ".new", "wb"))
f:write('#include "base/embed.h"\n\n', "const rl_embed rl_embeds[] = {\n")
for _, e in ipairs(entries) do
  f:write('    {"', e.name, '", (const unsigned char *)\n')
  for line in e.data:gmatch("[^\n]*\n?") do
    for at = 1, #line, 4000 do f:write('     "', escaped(line:sub(at, at + 3999)), '"\n') end
  end
  f:write('     "", ', #e.data, "},\n")
end
f:write("    {0, 0, 0},\n};\n\nconst size_t rl_embed_count = ", #entries, ";\n")
f:close()
assert(os.rename(out .. ".new", out))
