-- The programs that drive client libraries by lines (rlab.lab.foreign.client): Java's is compiled where it is
-- run, those in Go are built by `make clients` of the modules that clients/go.mod and clients/old.mod pin,
-- librdkafka's is a script for the Python that deps/python.sh makes.
local clients = require "rlab.lab.foreign.client"
local tools = require "rlab.stack.tools"

local M = {}

local function go(lab, name, tag)
  local path, failure = tools.client(name)
  if not path then lab:give_up("not run: %s", failure.message) end
  return clients.start(lab, { tag = tag, says = name, cmd = { path } })
end

local function python(lab, name, tag)
  local path, failure = tools.python()
  if not path then lab:give_up("not run: %s", failure.message) end
  return clients.start(lab, { tag = tag, says = name,
    cmd = { path, "-B", ("clients/%s/main.py"):format(name) } })
end

local function java(lab, _, tag) return require("rlab.lab.foreign.java_program").start(lab, tag) end

local STARTS = { java = java, librdkafka = python }

-- start(lab, library[, tag]) -> client, until the arm ends; the tag names it and its log.
-- Inconclusive, with what is missing, where the program is not there.
function M.start(lab, library, tag)
  return (STARTS[library] or go)(lab, library, tag or library)
end

return M
