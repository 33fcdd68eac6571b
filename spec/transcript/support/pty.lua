-- Runs a command under a pseudo-terminal of script(1): input by a fifo, output by a file that is followed
-- until it shows what is expected.
local screen = dofile "spec/transcript/support/screen.lua"
local task = require "rlab.task"

local M = {}

local Session = {}
Session.__index = Session

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

local function capture(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  pipe:close()
  return (text:gsub("%s+$", ""))
end

local program
--- the program under test: the one that runs this test
function M.program()
  program = program or capture("readlink /proc/" .. require("rlab.process").self() .. "/exe")
  return program
end

--- a folder of its own for a test's files
function M.folder()
  return capture "mktemp -d"
end

function M.remove(folder)
  os.execute("rm -rf " .. quote(folder))
end

local function environment(folder, opts)
  local env = { HOME = folder, XDG_STATE_HOME = folder .. "/state",
    RLAB_HOME = opts.home or folder .. "/lab", TERM = "xterm",
    LC_ALL = "C.UTF-8", NO_COLOR = "1", RLAB_LUA_PATH = os.getenv "RLAB_LUA_PATH" }
  for name, value in pairs(opts.env or {}) do env[name] = value end
  local words = {}
  for name, value in pairs(env) do words[#words + 1] = name .. "=" .. quote(value) end
  return "env -u COLORTERM " .. table.concat(words, " ") .. " "
end

--- start{args=, env=, home=, columns=, after=} -> session; `after` is a shell command that runs on the same
---   terminal when rlab has ended
function M.start(opts)
  opts = opts or {}
  local folder = M.folder()
  local columns = opts.columns or 80
  local command = ("echo $$ >%s/pid; exec %s%s %s"):format(folder, environment(folder, opts),
    quote(M.program()), opts.args or "")
  local inner = ("stty cols %d rows 50; sh -c %s; code=$?; %s; exit $code"):format(columns, quote(command),
    opts.after or ":")
  assert(os.execute("mkfifo " .. folder .. "/in && : >" .. folder .. "/out"))
  assert(os.execute(("{ script -qefc %s /dev/null <%s/in >%s/out 2>&1; echo $? >%s/code; } &"):format(
    quote(inner), folder, folder, folder)))
  local self = setmetatable({ folder = folder, screen = screen.new(columns, 50), read = 0 }, Session)
  self.input = assert(io.open(folder .. "/in", "w"))
  return self
end

local function refresh(self)
  local file = assert(io.open(self.folder .. "/out", "rb"))
  file:seek("set", self.read)
  local text = file:read "a"
  file:close()
  self.read = self.read + #text
  self.screen:feed(text)
end

--- what is on the screen now
function Session:text()
  refresh(self)
  return self.screen:text()
end

local function last_line(text)
  return text:match "([^\n]*)$"
end

--- waits until the screen ends with this line (plain text); fails with the screen after 20 s
function Session:wait(line)
  local seen
  for _ = 1, 1000 do
    seen = self:text()
    if last_line(seen) == line then return seen end
    task.sleep(0.02)
  end
  error(("waited for the line '%s'; the screen shows:\n%s"):format(line, seen), 2)
end

--- waits until the screen contains this text
function Session:wait_text(text)
  local seen
  for _ = 1, 1000 do
    seen = self:text()
    if seen:find(text, 1, true) then return seen end
    task.sleep(0.02)
  end
  error(("waited for '%s'; the screen shows:\n%s"):format(text, seen), 2)
end

--- waits until the text was echoed, over several rows if it is long
function Session:wait_echo(text)
  local seen
  for _ = 1, 1000 do
    seen = self:text()
    if seen:gsub("\n", ""):sub(-#text) == text:gsub("%s+$", "") then return end
    task.sleep(0.02)
  end
  error(("waited for the echo of '%s'; the screen shows:\n%s"):format(text, seen), 2)
end

--- waits until a line was entered and what it does has begun: the cursor stands at the start of the next row
function Session:wait_running(text)
  for _ = 1, 1000 do
    if last_line(self:text()):sub(-#text) == text and self.screen.column == 1 then return end
    task.sleep(0.02)
  end
  error(("waited for '%s' to run; the screen shows:\n%s"):format(text, self:text()), 2)
end

function Session:send(text)
  self.input:write(text)
  self.input:flush()
end

--- types a line at the prompt and waits for the next prompt
function Session:line(text, prompt)
  self:wait(prompt or "rlab>")
  self:send(text)
  self:wait_echo(text)
  self:send "\r"
end

function Session:pid()
  local file = assert(io.open(self.folder .. "/pid"))
  local pid = file:read "n"
  file:close()
  return pid
end

--- waits for the end: the exit code and the screen
function Session:finish()
  for _ = 1, 1000 do
    local file = io.open(self.folder .. "/code")
    local code = file and file:read "n"
    if file then file:close() end
    if code then
      local text = self:text()
      self:close()
      return code, text
    end
    task.sleep(0.02)
  end
  error("the program did not end; the screen shows:\n" .. self:text(), 2)
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

--- ends what is left and removes the files
function Session:close()
  if self.closed then return end
  self.closed = true
  if not exists(self.folder .. "/code") and exists(self.folder .. "/pid") then
    os.execute("kill -KILL " .. self:pid() .. " 2>/dev/null")
  end
  self.input:close()
  for _ = 1, 100 do
    if exists(self.folder .. "/code") then break end
    task.sleep(0.02)
  end
  M.remove(self.folder)
end

--- run(command, {input=, env=, home=}) -> output (stdout and stderr as they came), exit code; `rlab` in the
---   command is the program under test
function M.run(command, opts)
  opts = opts or {}
  local folder = M.folder()
  local file = assert(io.open(folder .. "/command", "w"))
  file:write("rlab() { ", environment(folder, opts), quote(M.program()), ' "$@"; }\n', command, "\n")
  file:close()
  local text = capture(("cd %s && sh ./command >out 2>&1 </dev/null; echo $? >code; cat out"):format(folder))
  local code_file = assert(io.open(folder .. "/code"))
  local code = code_file:read "n"
  code_file:close()
  M.remove(folder)
  return text, code
end

return M
