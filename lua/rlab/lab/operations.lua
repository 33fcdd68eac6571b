-- Operations in the run's history: each is invoked before its request leaves, and over when its answer came.
local err = require "rlab.err"
local must = require "rlab.must"

local M = {}

local Operation = {}
Operation.__index = Operation

-- operation:over("ok" | "fail" | "info" [, failure [, value]]): how it ended: fail did certainly not happen,
--   of info nobody knows. Without a value it is the one that was invoked.
function Operation:over(kind, failure, value)
  if value == nil then value = self.value end
  must(self.history[kind](self.history, self.process, value, kind ~= "ok" and failure or nil))
end

-- invoke(actor, f, value) -> operation; an actor may have several at a time
function M.invoke(lab, actor, f, value)
  local history = lab.run.history
  if lab.label then actor = lab.label .. "/" .. actor end
  return setmetatable({ history = history, value = value, process = must(history:invoke(actor, f, value)) },
    Operation)
end

-- How an operation ends whose error says that its work was done, was not, or that nobody knows.
local ENDS = { yes = "ok", no = "fail", unknown = "info" }

-- op(actor, f, value, action) -> action's results; invoke and outcome go to the history: what the error says
--   of the work (err.happened) is how it ended
function M.op(lab, actor, f, value, action)
  local operation = lab:invoke(actor, f, value)
  local results = table.pack(action())
  local failure = results[2]
  if results[1] ~= nil then
    operation:over "ok"
  else
    operation:over(err.is(failure) and ENDS[failure.happened] or "fail", tostring(failure))
  end
  return table.unpack(results, 1, results.n)
end

return M
