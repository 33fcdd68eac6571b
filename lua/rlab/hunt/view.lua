-- What a hunt shows: a block of lines for each arm; on a terminal below them, redrawn in place, the last
-- trial and how much of the budget is left.
local exit = require "rlab.exit"
local plural = require("rlab.check.core").plural
local schedule = require "rlab.hunt.schedule"
local term = require "rlab.term"
local units = require "rlab.units"
local words = require "rlab.run.words"

local M = {}

local View = {}
View.__index = View

local INDENT, LABEL, WIDTH = 10, 12, 98

-- new{quiet =} -> view
function M.new(opts)
  return setmetatable({ live = term.live(1), quiet = opts.quiet }, View)
end

local function emit(view, line)
  if not view.quiet then view.live:above(line) end
end

local function row(view, label, text, seconds, class)
  local tail = seconds and units.print_duration(seconds) or ""
  local room = WIDTH - INDENT - LABEL - 9
  for i, line in ipairs(term.wrap(text, room)) do
    local head = i == 1 and term.pad(label, LABEL) or (" "):rep(LABEL)
    local padded = i == 1 and tail ~= "" and term.pad(line, room) .. term.pad(tail, 9, "right") or line
    emit(view, (" "):rep(INDENT) .. term.colour("dim", head)
      .. (class and term.colour(class, padded) or padded))
  end
end

local function head(view, exp, says)
  emit(view, ("%s  %s"):format(term.colour("bold", exp.id), term.colour("bold", exp.title)))
  emit(view, "       hunt: " .. says)
end

-- head(exp, {seed =, budget =, arms = n, shard = "I/N" | nil})
function View:head(exp, opts)
  head(self, exp, ("%s, budget %s, seed %d%s"):format(plural(opts.arms, "arm"),
    units.print_duration(opts.budget), opts.seed, opts.shard and ", shard " .. opts.shard or ""))
end

-- joined(hunt): the hunt of one arm, of what several hunts wrote down
function View:joined(hunt)
  if self.last ~= hunt.base.id then head(self, hunt.base, "its parts joined") end
  self.last = hunt.base.id
  self:begins(hunt)
  row(self, "parts", ("%s of %s"):format(plural(#hunt.record.parts, "hunt"), plural(#hunt.trials, "trial")),
    hunt.seconds)
  self:ends(hunt)
  for _, one in ipairs(hunt.record.findings) do
    row(self, "found by", ("%s: %s"):format(one.of, schedule.words(one.faults)))
    row(self, "", one.says, nil, "wrong")
    if one.scenario then self:written(hunt, one.scenario) end
  end
end

function View:begins(hunt)
  local class = words.classes[hunt.arm.class]
  emit(self, "")
  emit(self, "  " .. term.colour(class, term.pad(class, INDENT - 2)) .. term.colour("bold", hunt.arm.name)
    .. (hunt.arm.says and "  " .. hunt.arm.says or ""))
end

function View:as_is(hunt, result)
  row(self, "as it is", ("%s; the hunt is for %s"):format(result.arms[1].outcome,
    #hunt.promises > 0 and table.concat(hunt.promises, ", ") or "nothing"), result.run.duration)
end

function View:plain(hunt, read)
  if hunt.given then row(self, "promises", table.concat(hunt.promises, ", ")) end
  local says = #read.broken > 0 and "breaks without any fault: " .. read.says or "holds without its faults"
  row(self, "no faults", ("%s; reached: %s, %s"):format(says, plural(#hunt.census.points, "failpoint"),
    plural(#hunt.census.requests, "kind") .. " of request"), read.seconds)
end

-- The line that is redrawn.
local function progress(view, hunt, what)
  local left = math.max(0, hunt.budget - (require("rlab.clock").ns() - hunt.began_ns) / 1e9)
  view.live:update { ("%strial %d, %s left: %s"):format((" "):rep(INDENT), #hunt.trials,
    units.print_duration(left), what) }
end

function View:tried(hunt, faults, read)
  local says = read.judged and (#read.broken > 0 and "broken" or "holds") or "not judged"
  progress(self, hunt, schedule.words(faults) .. "  " .. says)
end

function View:suspects(hunt, faults, read)
  row(self, ("trial %d"):format(#hunt.trials), schedule.words(faults), read.seconds)
  row(self, "", read.says, nil, "wrong")
end

function View:again(_, suspect, again)
  row(self, "again", again and "violated again"
    or "not violated again: no find; the first run is in " .. tostring(suspect.read.dir))
end

function View:shrinks(hunt, faults, broken)
  progress(self, hunt, ("shorter: %s  %s"):format(schedule.words(faults), broken and "broken" or "holds"))
end

-- Why trials could not be judged, the most frequent reason.
local function unjudged(hunt)
  local count, most = {}, nil
  for _, one in ipairs(hunt.trials) do
    if not one.judged then
      local why = tostring(one.says):gsub("%d+%.?%d*", "N")
      count[why] = (count[why] or 0) + 1
      if not most or count[why] > count[most] then most = why end
    end
  end
  return most and ("not judged: %d times %s"):format(count[most], most)
end

function View:ends(hunt)
  self.live:clear()
  if hunt.failure then return row(self, "not hunted", hunt.failure, hunt.seconds, "inconclusive") end
  if hunt.found then
    row(self, "shortest", schedule.words(hunt.found.faults), nil, "wrong")
  else
    row(self, "nothing", "no schedule broke it", hunt.seconds, "right")
  end
  row(self, "covered", hunt.coverage:says())
  if not hunt.found and not self.quiet then emit(self, hunt.coverage:grid(INDENT + LABEL)) end
  local beyond = hunt.coverage.not_reached
  if not hunt.found and #beyond > 0 then row(self, "", "not reached: " .. table.concat(beyond, ", ")) end
  local why = unjudged(hunt)
  if why and not hunt.found then row(self, "", why) end
end

-- written(hunt, path): where the scenario is that was found
function View:written(_, path)
  emit(self, (" "):rep(INDENT) .. term.colour("dim", term.pad("run it", LABEL)) .. "rlab hunt --replay "
    .. path)
end

local VERDICTS = { [exit.ok] = { "AS EXPECTED", "right" },
  [exit.right_violated] = { "A RIGHT ARM WAS BROKEN", "wrong" },
  [exit.wrong_held] = { "A WRONG ARM HELD", "inconclusive" },
  [exit.inconclusive] = { "INCONCLUSIVE", "inconclusive" } }

-- sum_up(hunts, code): the last line
function View:sum_up(hunts, code, dir)
  local found, seconds = 0, 0
  for _, hunt in ipairs(hunts) do
    found, seconds = found + (hunt.found and 1 or 0), seconds + hunt.seconds
  end
  local verdict = VERDICTS[code]
  self.live:above(("\n  %s  %d of %d arms broken, %s    %s"):format(term.colour(verdict[2], verdict[1]),
    found, #hunts, units.print_duration(seconds), dir))
end

return M
