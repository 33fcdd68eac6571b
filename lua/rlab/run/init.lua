-- The runner: a session on the stack, a story for the setup and for each arm in its own namespace, and a
-- result that judges them and leaves a folder that can be judged again.
local company_of = require "rlab.run.company"
local defer = require "rlab.defer"
local err = require "rlab.err"
local guard = require "rlab.stack.external.guard"
local options = require "rlab.options"
local result_of = require "rlab.run.result"
local session_of = require "rlab.run.session"
local stacks = require "rlab.stack"
local stories = require "rlab.run.story"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local function chosen_arms(exp, names)
  if not names or #names == 0 then return exp.arms end
  local list, known = {}, tables.names_of(exp.arms)
  for _, name in ipairs(names) do
    local arm = exp:arm(name)
    if not arm then
      error(err.new { domain = "rlab", code = 0, name = "USAGE", message = ("%s has no arm '%s'; %s"):format(
        exp.id, name, options.advice(name, known, "it has " .. table.concat(known, ", "))) }, 0)
    end
    list[#list + 1] = arm
  end
  return list
end

local function conclude(session, result, story)
  session:keep_cache()
  local malformed = session:malformed()
  if malformed then story.failure = malformed elseif story.seen then stories.judge(session, story) end
  session.view:arm_ends(result:add_arm(story), result:checks_of(story))
end

-- The number of the group that names the arm | nil.
local function group_of(groups, arm)
  for n, names in ipairs(groups) do
    if tables.contains(names, arm.name) then return -n end
  end
end

-- Which arms run at the same time: all of them, so many at a time, those that agree in a setting, or those of
-- a group; else each by itself.
local function batches_of(arms, beside)
  local list, by_value = {}, {}
  for i, arm in ipairs(arms) do
    local value = i
    if beside == true then value = 1 end
    if math.type(beside) then value = (i - 1) // math.max(1, beside) end
    if type(beside) == "string" then value = arm.settings[beside] end
    if type(beside) == "table" then value = group_of(beside, arm) or i end
    if not by_value[value] then
      by_value[value] = {}
      list[#list + 1] = by_value[value]
    end
    table.insert(by_value[value], arm)
  end
  return list
end

-- Arms that run side by side share nothing but the servers; they are judged in their order.
local function run_arms(session, result, arms, shared)
  for _, batch in ipairs(batches_of(arms, not session.step and session.experiment.side_by_side)) do
    local given, ended = { shared = shared, company = company_of.new(#batch),
      closed = session:gate "before the arm" }, {}
    task.group(function(group)
      for i, arm in ipairs(batch) do
        group:spawn(function() ended[i] = stories.arm(session, arm, given) end)
      end
    end)
    for _, story in ipairs(ended) do conclude(session, result, story) end
  end
end

-- -> why no arm can be run, or nil and what the setup saw
local function run_setup(session, result)
  if not session.experiment.setup then return nil end
  local story = stories.setup(session)
  result:add_setup(story)
  session.view:setup_ends(result.setup, story.failure)
  return story.failure, story.seen
end

local function at_once(close) close() end

-- execute(exp, {seed=, arms=, keep=, view=, step=, options=, runs=, folder=, words=, unrecorded=,
--   abort_if=, rate_cap=, close_later=}) -> result table, with `aborted` where an abort condition was met;
--   unrecorded: it is no run of the track record; close_later(f): is given what removes its topics, groups
--   and schemas, to be called beside other work
function M.execute(exp, opts)
  local arms, left_out = stacks.fit(exp, chosen_arms(exp, opts.arms))
  local session, finished = session_of.new(exp, opts), false
  local close = opts.close_later or at_once
  local _ <close> = defer(function() close(function() session:close(finished) end) end)
  session.view:header(exp, session)
  for _, name in ipairs(left_out) do
    session.view:say(("%s is left out: %s"):format(name, guard.OWN_SERVER))
  end
  session:open()
  local result = result_of.new(session, opts.words)
  local failure, shared = run_setup(session, result)
  if failure then
    for _, arm in ipairs(arms) do session.view:arm_ends(result:add_void(arm, failure)) end
  else
    run_arms(session, result, arms, shared)
  end
  local formed = result:form()
  result:write(formed)
  formed.dir, formed.aborted = session.dir, session.guard and session.guard.tripped
  finished = true
  return formed
end

return M
