-- Compares a transcript with what is expected of it. Placeholders: <ms> a number, <pid> an integer, <time>
-- a time of day, <any> the rest of a word or line; a line of "..." stands for any lines.
local M = {}

local PLACES = { ["<ms>"] = "[%%d%%.]+", ["<pid>"] = "%%d+", ["<n>"] = "%%d+",
  ["<time>"] = "%%d%%d%%d%%d%%-%%d%%d%%-%%d%%dT%%d%%d:%%d%%d:%%d%%d%%.%%d%%d%%dZ", ["<any>"] = ".-" }

local function pattern_of(line)
  local escaped = line:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")
  return "^" .. escaped:gsub("<%a+>",
    function(name) return PLACES[name] and (PLACES[name]:gsub("%%%%", "%%")) end) .. "$"
end

local function split(text)
  local lines = {}
  for line in (text:gsub("%s+$", "") .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

local function match(want, got, i, j)
  while i <= #want do
    if want[i] == "..." then
      for k = j, #got + 1 do
        if match(want, got, i + 1, k) then return true end
      end
      return false
    end
    if not got[j] or not got[j]:find(pattern_of(want[i])) then return false end
    i, j = i + 1, j + 1
  end
  return j == #got + 1
end

--- nil when they agree, else a text that shows both
function M.difference(expected, seen)
  expected = expected:gsub("^\n", "")
  if match(split(expected), split(seen), 1, 1) then return nil end
  return ("expected:\n%s\n--- but it was:\n%s\n---"):format((expected:gsub("%s+$", "")), seen)
end

return M
