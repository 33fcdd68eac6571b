-- What a scenario's own code may reach of Lua. This is no sandbox: a scenario is as trusted as its author. It
-- keeps a story from ending rlab without a verdict, and a list of scenarios from running what they say.
local err = require "rlab.err"

local M = {}

local REFUSED = { os = { "exit", "execute" }, io = { "popen" } }

local INSTEAD = { ["os.exit"] = "return from run, or lab:give_up(why)",
  ["os.execute"] = "lab:process{ cmd = }", ["io.popen"] = "lab:process{ cmd = }" }

local function refusal(word)
  return function()
    error(("%s is not a scenario's: it would end or bypass the run; %s"):format(word, INSTEAD[word]), 2)
  end
end

-- words(env) -> {os =, io =, require =, load =, ...}: Lua's own with what would end the program or start
--   others taken out; a chunk that is loaded sees what its loader does
function M.words(env)
  local words = { _G = env }
  for name, list in pairs(REFUSED) do
    words[name] = setmetatable({}, { __index = _G[name] })
    for _, word in ipairs(list) do words[name][word] = refusal(name .. "." .. word) end
  end
  function words.require(name) return REFUSED[name] and words[name] or require(name) end
  function words.load(chunk, name, mode, own) return load(chunk, name, mode, own or env) end
  function words.loadfile(path, mode, own) return loadfile(path, mode, own or env) end
  function words.dofile(path) return assert(loadfile(path, nil, env))() end
  return words
end

-- ---- reading without running ----

local INSTRUCTIONS = 1e7

local inert = {}
local nothing = function() return inert end
setmetatable(inert, { __index = nothing, __call = nothing, __newindex = function() end, __concat = nothing,
  __add = nothing, __sub = nothing, __mul = nothing, __div = nothing, __mod = nothing, __pow = nothing,
  __unm = nothing, __idiv = nothing, __band = nothing, __bor = nothing, __bxor = nothing, __shl = nothing,
  __shr = nothing, __bnot = nothing, __len = function() return 0 end, __lt = function() return false end,
  __le = function() return false end, __tostring = function() return "?" end,
  __pairs = function() return next, {} end, __close = function() end })

local PURE = { "assert", "error", "ipairs", "math", "next", "pairs", "pcall", "rawequal", "rawget", "rawlen",
  "select", "setmetatable", "string", "table", "tonumber", "tostring", "type", "utf8", "xpcall", "_VERSION" }

-- bare(words) -> an environment in which nothing can be done: these words, Lua's pure ones, and all others a
--   value that takes every use and does nothing
function M.bare(words)
  local env = {}
  for _, name in ipairs(PURE) do env[name] = _G[name] end
  for name, value in pairs(words) do env[name] = value end
  return setmetatable(env, { __index = nothing, __newindex = function() end })
end

-- at_most(f, ...) -> f's results; a text that computes without end is not waited for
function M.at_most(f, ...)
  local old, mask, count = debug.gethook()
  debug.sethook(function()
    error(err.new { domain = "rlab", code = 0, name = "SCRIPT",
      message = "it computes too long to be read" }, 0)
  end, "", INSTRUCTIONS)
  local results = table.pack(pcall(f, ...))
  debug.sethook(old, mask, count)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

return M
