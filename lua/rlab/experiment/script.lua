-- What went wrong in a scenario file, said with the file's own lines: the frames of rlab itself are left out.
local err = require "rlab.err"
local usage = require "rlab.usage"

local M = {}

local MOST = 4

-- Lua shortens long file names in its messages
local function short_name(path)
  local chunk = load("", "@" .. path)
  return chunk and debug.getinfo(chunk, "S").short_src or path
end

-- "file:line" and what it was in, of each frame that belongs to the file, innermost first
local function frames_of(trace, name)
  local frames = {}
  for line in trace:gmatch "\n\t([^\n]+)" do
    local number = line:sub(1, #name + 1) == name .. ":" and line:match("^(%d+):", #name + 2)
    local place = number and name .. ":" .. number
    if place and place ~= (frames[#frames] or {}).place then
      frames[#frames + 1] = { place = place, within = line:match "in (.*)$" or "" }
    end
  end
  return frames
end

-- A complaint about an argument is raised where rlab was called; where that is in rlab itself, the script's
-- line says more.
-- What is wrong inside rlab keeps its own place too.
local function with_place(message, frames)
  local inside, text = message:match "^(lua/rlab/[^:\n]+:%d+): (.*)$"
  if not inside or not frames[1] then return message end
  return ("%s: %s"):format(frames[1].place, text:find "^attempt to " and message or text)
end

--- source(text) -> the text as Lua's own loader reads a file: without a byte order mark, and without a first
--- line that begins with # (#!/usr/bin/env rlab); lines keep their numbers
function M.source(text)
  return (text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", ""))
end

local FORMS = { { "^\xFF\xFE", "UTF-16: save it as UTF-8" }, { "^\xFE\xFF", "UTF-16: save it as UTF-8" },
  { "^\27", "compiled Lua, and its source is read here" } }

--- unread(text) -> why a text is no source at all, such as "UTF-16: save it as UTF-8" | nil
function M.unread(text)
  for _, form in ipairs(FORMS) do
    if text:find(form[1]) then return form[2] end
  end
end

--- load(text, path[, env]) -> chunk | nil, what is wrong with the file
function M.load(text, path, env)
  local why = M.unread(text)
  if why then return nil, ("%s: it is %s"):format(path, why) end
  return load(M.source(text), "@" .. path, "t", env or _G)
end

--- message(failure, path): one line, and below it where it was called from when that is another line of the
--- file
function M.message(failure, path)
  local text = tostring(failure)
  local message = text:match "^(.-)\nstack traceback:" or text
  local frames = frames_of(text, short_name(path))
  local lines = { with_place(message, frames) }
  for i = 2, math.min(#frames, MOST) do
    lines[i] = ("  from %s, in %s"):format(frames[i].place, frames[i].within)
  end
  return table.concat(lines, "\n")
end

--- error(failure, path): the value to raise: errors of the world as they are, everything else as the script's
function M.error(failure, path)
  if err.is(failure) then return failure end
  return err.new { domain = "rlab", code = 0, name = "SCRIPT", message = M.message(failure, path) }
end

--- fail(fmt, ...): raises what the command line answers with exit code 65
function M.fail(fmt, ...)
  error(err.new { domain = "rlab", code = 0, name = "SCRIPT", message = fmt:format(...) }, 0)
end

--- bytes(path [, front]) -> what stands in the file; one that cannot be read is a mistake of the command line
--- that names it (exit code 64), whatever stands in it is the file's (65)
function M.bytes(path, front)
  local file, why = io.open(path, "rb")
  local _ <close> = file
  local text
  if file then text, why = file:read "a" end
  if text then return text end
  why = why:gsub("^" .. path:gsub("%W", "%%%0") .. ": ", "")
  usage(front)("%s: %s", path,
    why == "No such file or directory" and "there is no such file" or why)
end

--- run(path [, front]) -> what the file returns; what is wrong in it is raised as the script's
function M.run(path, front)
  local chunk, wrong = M.load(M.bytes(path, front), path)
  if not chunk then M.fail("%s", wrong) end
  local ok, found = xpcall(chunk, M.traced)
  if ok then return found end
  if err.is(found) then error(found, 0) end
  local text = M.message(found, path)
  M.fail("%s", text:find "^[^\n]-:%d+: " and text or path .. ": " .. text)
end

--- traced(failure): for xpcall, when more than the message is wanted later
function M.traced(failure)
  if err.is(failure) then return failure end
  return debug.traceback(tostring(failure), 2)
end

return M
