-- What a set of runs shows: a line for each run that ended beside others, and a table of all at the end.
local clock = require "rlab.clock"
local exit = require "rlab.exit"
local tables = require "rlab.tables"
local term = require "rlab.term"
local units = require "rlab.units"
local words = require "rlab.run.words"

local M = {}

local Show = {}
Show.__index = Show

local WIDTH, VERDICT = 100, 14

-- new{silent=, quiet=, seed=}: seed, when the order was drawn by it
function M.new(opts)
  return setmetatable({ silent = opts.silent, quiet = opts.quiet, seed = opts.seed, live = term.live(1),
    running = {}, began = clock.ns() }, Show)
end

local function redraw(self)
  local names = {}
  for one in pairs(self.running) do names[#names + 1] = one.experiment.id end
  table.sort(names)
  self.live:update(#names > 0 and { term.colour("dim", "  running " .. table.concat(names, ", ")) } or {})
end

local function seconds(result)
  return units.print_duration(result.run and result.run.duration or 0)
end

local function line(result, took, text)
  local _, class, word = words.of(result.verdict)
  local head = ("%s  %s  "):format(term.pad(result.id, 6), term.pad(took, 13, "right"))
  local room = WIDTH - VERDICT - #head
  return "  " .. term.colour(class, term.pad(word, VERDICT)) .. head
    .. term.fit((text:gsub("%s+", " ")), room)
end

-- show:starts(run), show:ends(run, result): beside others
function Show:starts(one)
  self.running[one] = true
  if not self.silent and not self.quiet then redraw(self) end
end

function Show:ends(one, result)
  self.running[one] = nil
  if self.silent then return end
  self.live:above(line(result, seconds(result), result.sentence))
  if not self.quiet then redraw(self) end
end

-- ---- the table ----

local function by_experiment(results)
  local groups = {}
  for _, result in ipairs(results) do
    groups[result.id] = groups[result.id] or {}
    table.insert(groups[result.id], result)
  end
  return groups
end

local function span(list)
  local least, most = math.huge, 0
  for _, result in ipairs(list) do
    local took = result.run and result.run.duration or 0
    least, most = math.min(least, took), math.max(most, took)
  end
  if #list == 1 then return units.print_duration(most) end
  return ("%s-%s"):format(units.print_duration(least), units.print_duration(most))
end

-- The seeds that did not end as predicted, so that each can be run again.
local function others(list)
  local seeds = {}
  for _, result in ipairs(list) do
    if result.exit ~= exit.ok then
      seeds[#seeds + 1] = ("seed %s: %s"):format(result.run and result.run.seed or "?",
        words.of(result.verdict):lower())
    end
  end
  return #seeds > 0 and "  " .. table.concat(seeds, ", ") or ""
end

local function worst_of(list)
  local code, worst = require("rlab.run.set").worst(list), list[1]
  for _, result in ipairs(list) do
    if result.exit == code then worst = result break end
  end
  return worst
end

local function as_predicted(list)
  local good = 0
  for _, result in ipairs(list) do good = good + (result.exit == exit.ok and 1 or 0) end
  return ("%d of %d as predicted"):format(good, #list)
end

local function group_line(list)
  if #list == 1 then return line(list[1], span(list), list[1].sentence) end
  return line(worst_of(list), span(list), as_predicted(list) .. others(list))
end

local function memory_words(bytes) return require("rlab.stack.words").size(bytes) end

local function close(results, took, folder)
  local _, class, word = words.of(worst_of(results).verdict)
  return ("  %s%s%s    %s/index.html"):format(term.colour(class, term.pad(word, VERDICT)),
    as_predicted(results), took, folder)
end

local function cost(self, peak)
  return (", %s, at most %s of memory"):format(units.print_duration((clock.ns() - self.began) / 1e9),
    memory_words(peak))
end

-- show:sum_up(results, peak, folder): peak in bytes, nil where nothing ran; nothing for a run alone
function Show:sum_up(results, peak, folder)
  self.live:clear()
  if self.silent or #results < 2 then return end
  local groups = by_experiment(results)
  if not self.quiet then
    print ""
    if self.seed then print(("  in an order drawn by seed %d"):format(self.seed)) end
    for _, id in ipairs(tables.sorted_keys(groups)) do print(group_line(groups[id])) end
  end
  print(close(results, peak and cost(self, peak) or "", folder))
end

return M
