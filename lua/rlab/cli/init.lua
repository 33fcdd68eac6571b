-- The command line: finds the command, prints help, turns errors into one line and a documented exit code.
local complain = require "rlab.note"
local exit = require "rlab.exit"
local host = require "rlab.core_host"
local err = require "rlab.err"
local options = require "rlab.options"

local M = {}

-- Each module in this folder returns one command or a list of them: {name=, help=, hidden=,
-- args=function(argparse_command) end, run=function(args) -> exit code}. A command with `raw = true` gets
-- the remaining words unparsed; its children() are {name=, help=, args=} of the commands behind it.
local function load_commands()
  local commands = {}
  for _, file in ipairs(host.embedded_names "lua/rlab/cli/") do
    local name = file:match "([%w_]+)%.lua$"
    local found = name ~= "init" and require("rlab.cli." .. name) or {}
    if found.name then found = { found } end
    for _, command in ipairs(found) do commands[#commands + 1] = command end
  end
  return commands
end

local function find(commands, name)
  local names = {}
  for _, command in ipairs(commands) do
    if command.name == name then return command end
    if not command.hidden then names[#names + 1] = command.name end
  end
  return nil, options.advice(name, names, "rlab --help lists them")
end

local head = [[
usage: rlab [E-0xx | FILE.lua | COMMAND] [options]

  rlab E-012                 run an experiment
  rlab scenarios/mine.lua    run one of your own
  rlab                       the interactive lab, on the running stack
  rlab --stack compose ...   the same on the containers of docker-compose.yml
  rlab --stack external FILE ...  on servers of your own
]]

-- The exit codes in two columns.
local function print_codes()
  local half = #exit.meanings // 2
  for i = 1, half do
    local left, right = exit.meanings[i], exit.meanings[i + half]
    print(("%3d  %-30s %3d  %s"):format(left[1], left[2], right[1], right[2]))
  end
end

-- What people reach for comes first; what is not named here comes last.
local order = { "run", "list", "explain", "experiments", "new", "check", "diff", "verify", "canary", "record",
  "hunt", "repl", "up", "down", "status", "logs", "env", "doctor", "fetch", "migrate", "service" }

local function in_order(commands)
  local place, list = {}, {}
  for i, name in ipairs(order) do place[name] = i end
  for i, command in ipairs(commands) do
    if not command.hidden then list[#list + 1] = { place[command.name] or #order + i, command } end
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

-- commands() -> those that people are told of, in that order
function M.commands()
  local list = {}
  for i, item in ipairs(in_order(load_commands())) do list[i] = item[2] end
  return list
end

local function print_help(commands)
  print(head)
  print("commands")
  for _, item in ipairs(in_order(commands)) do print(("  %-12s %s"):format(item[2].name, item[2].help)) end
  print "\nrlab COMMAND --help says more.\n\nexit codes"
  print_codes()
  return exit.ok
end

local function parse(command, words)
  local argparse = require "argparse"
  local parser = argparse("rlab " .. command.name, command.help):help_max_width(100)
  if command.args then command.args(parser) end
  for _, word in ipairs(words) do
    if word == "--help" or word == "-h" then
      print(parser:get_help())
      return nil, exit.ok
    end
  end
  local ok, parsed = parser:pparse(words)
  local nowhere = ok and options.nowhere(parsed)
  if nowhere then
    complain(("%s: %s takes a folder or a file, not ''"):format(command.name, nowhere))
    return nil, exit.usage
  end
  if ok then return parsed end
  complain(("%s: %s"):format(command.name, options.unparsed(parser, parsed, "rlab " .. command.name)))
  return nil, exit.usage
end

-- A file that could not be written, as engine/base/files.c and flushes say it.
local function is_unwritten(failure)
  local message = failure.message
  return failure.domain == "system"
    and (message:find "^cannot write " or message:find "^cannot create the folder ") ~= nil
end

-- What a failed command means for the caller: servers that cannot be reached, a wrong script, a full disk,
-- or a bug of ours.
local function code_of(failure)
  if failure == "not enough memory" then return exit.memory end
  if err.is(failure) then
    if is_unwritten(failure) then return exit.output end
    if failure.exit then return failure.exit end
    if failure.name == "USAGE" then return exit.usage end
    if failure.name == "SCRIPT" then return exit.script end
    if failure.name == "INTERRUPTED" or failure.name == "TERMINATED" then return exit.interrupted end
    return exit.unreachable
  end
  return exit.bug
end

-- A child of a run on somebody's own servers is let in there as the run is.
local function adopt_connections()
  local path = os.getenv "RLAB_CONNECTIONS"
  if not path or path == "" then return end
  local file = require "rlab.stack.external.file"
  file.adopt(file.read(path))
end

local function traced(failure)
  if err.is(failure) then return failure end
  return debug.traceback(tostring(failure), 2)
end

local function run(command, args)
  local ok, result = xpcall(function()
    adopt_connections()
    return command.run(args)
  end, traced)
  if ok then return result or exit.ok end
  local code = code_of(result)
  if code == exit.interrupted then
    complain "interrupted"
  elseif code == exit.memory then
    complain "out of memory"
  elseif code == exit.bug then
    complain("a bug in rlab: " .. tostring(result))
  else
    complain(err.is(result) and result.message or tostring(result))
  end
  return code
end

local function rest(args, from)
  return table.move(args, from, #args, 1, {})
end

local function looks_like_experiment(word)
  return word:match "^[Ee]%-%d+$" or word:match "%.lua$"
end

-- What works on servers that rlab did not start.
local ANY_STACK = { run = true, canary = true, repl = true, status = true, help = true, ["--help"] = true,
  ["-h"] = true }

-- "--stack compose", "--stack external FILE", before the command or behind it -> the other words, the kind
local function without_stack(args)
  local words, kind, at = {}, nil, 1
  while at <= #args do
    if args[at] == "--stack" then
      kind = require("rlab.stack").use(args[at + 1] or "", args[at + 2])
      at = at + (kind == "external" and 3 or 2)
    else
      words[#words + 1], at = args[at], at + 1
    end
  end
  return words, kind
end

-- -> the words without those that say which stack | nil, exit code
local function take_stack(args)
  local ok, words, kind = pcall(without_stack, args)
  if not ok then
    complain(words.message)
    return nil, exit.usage
  end
  local word = words[1] or "repl"
  local fits = ANY_STACK[word] or looks_like_experiment(word)
  if (kind == "compose" or kind == "external") and not fits then
    complain(("%s is for the local stack; --stack %s goes with experiments, status and the prompt, and \z
      rlab does not start or stop its servers"):format(word, kind))
    return nil, exit.usage
  end
  return words
end

function M.main(args)
  local refused
  args, refused = take_stack(args)
  if not args then return refused end
  local commands = load_commands()
  local word = args[1]
  if not word then
    return run(find(commands, "repl"), { words = {} })
  end
  if word == "help" and args[2] then word, args = args[2], { args[2], "--help" } end
  if word == "--help" or word == "-h" or word == "help" then return print_help(commands) end
  local words = rest(args, 2)
  if looks_like_experiment(word) then
    words = rest(args, 1)
    word = "run"
  end
  local command, advice = find(commands, word)
  if not command then
    complain(("no command '%s'; %s"):format(word, advice))
    return exit.usage
  end
  if command.raw then return run(command, words) end
  local parsed, code = parse(command, words)
  if not parsed then return code end
  return run(command, parsed)
end

return M
