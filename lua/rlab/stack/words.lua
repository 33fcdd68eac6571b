-- How the stack speaks: aligned lines, durations and sizes as a person would say them.
local M = {}

-- line("ready", "mysql 9.7.4", "0.9 s"): the columns of an experiment's page
function M.line(word, text, right)
  local head = ("  %-7s %s"):format(word, text)
  if not right then return head end
  local term = require "rlab.term"
  return term.pad(head, 76 - #right) .. "  " .. right
end

function M.seconds(ns)
  return ("%.1f s"):format(ns / 1e9)
end

-- "4m12s", "2h05m", "3d4h"
function M.age(seconds)
  local s = math.max(0, math.floor(seconds))
  if s < 60 then return s .. "s" end
  if s < 3600 then return ("%dm%02ds"):format(s // 60, s % 60) end
  if s < 86400 then return ("%dh%02dm"):format(s // 3600, s % 3600 // 60) end
  return ("%dd%dh"):format(s // 86400, s % 86400 // 3600)
end

-- "136 MiB"
function M.size(bytes)
  if bytes >= 1 << 30 then return ("%.1f GiB"):format(bytes / (1 << 30)) end
  return ("%d MiB"):format((bytes + (1 << 19)) >> 20)
end

return M
