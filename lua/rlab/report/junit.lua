-- JUnit XML for build servers: one suite an experiment, one case for each check of each arm. A check that
-- is not as expected is a failure, an inconclusive one an error; so is an arm that came to a bad end
-- without a check saying so.
local html = require "rlab.report.html"
local shape = require "rlab.report.shape"

local junit = {}

local BAD = { violated = "failure", ["did not fail"] = "failure", inconclusive = "error" }

local function attribute_time(seconds)
  return ("%.3f"):format(type(seconds) == "number" and seconds or 0)
end

local function example_lines(check)
  local lines = {}
  for i, x in ipairs(check.counterexamples or {}) do
    local words = {}
    for _, key in ipairs { "id", "key", "partition", "offset", "note" } do
      if x[key] ~= nil then words[#words + 1] = key .. "=" .. tostring(x[key]) end
    end
    lines[i] = table.concat(words, " ")
  end
  if (check.more or 0) > 0 then lines[#lines + 1] = ("and %d more"):format(check.more) end
  return table.concat(lines, "\n")
end

local function problem_of(check)
  if check.outcome == "inconclusive" then return "error", check.reason or check.sentence end
  if check.as_expected == false then
    return "failure", ("%s (expected: %s)"):format(tostring(check.sentence), tostring(check.expect))
  end
end

local function case(list, suite, arm, name, seconds, kind, message, body)
  suite.tests = suite.tests + 1
  if kind then suite[kind] = suite[kind] + 1 end
  list[#list + 1] = html.fill('    <testcase classname="{id}.{arm}" name="{name}" time="{time}"', {
    id = suite.id, arm = arm, name = name, time = attribute_time(seconds) })
    .. (kind and (">\n      <%s message=\"%s\">%s</%s>\n    </testcase>\n"):format(kind,
      html.escape(message), html.escape(body), kind) or "/>\n")
end

local function suite_of(result)
  local suite, list = { id = tostring(result.id), tests = 0, failure = 0, error = 0 }, {}
  local known = {}
  local function add_checks(arm)
    local told = false
    for _, check in ipairs(result.checks or {}) do
      if check.arm == arm.name then
        local kind, message = problem_of(check)
        told = told or kind ~= nil
        case(list, suite, arm.name, check.name, arm.duration, kind, message, kind and example_lines(check))
      end
    end
    return told
  end
  for _, arm in ipairs(result.arms or {}) do
    known[arm.name] = true
    local told = add_checks(arm)
    if BAD[arm.outcome] and not told then
      case(list, suite, arm.name, "outcome", arm.duration, BAD[arm.outcome], arm.reason or arm.outcome,
        arm.reason or "")
    end
  end
  for _, check in ipairs(result.checks or {}) do
    if check.arm and not known[check.arm] then
      known[check.arm] = true
      add_checks { name = check.arm }
    end
  end
  return suite, table.concat(list)
end

-- text(results) -> XML; results is a list of what result.json holds (one table alone is fine too).
function junit.text(results)
  if results.id or results.arms then results = { results } end
  local suites = html.each(results, function(result)
    result = shape.sound(result)
    local suite, cases = suite_of(result)
    local run = result.run or {}
    return html.fill([[
  <testsuite name="{id}" tests="{tests}" failures="{failures}" errors="{errors}" skipped="0"
    time="{time}" timestamp="{started}">
    <properties><property name="seed" value="{seed}"/><property name="verdict" value="{verdict}"/>
      <property name="run" value="{name}"/></properties>
{!cases}  </testsuite>
]], { id = suite.id, tests = tostring(suite.tests), failures = tostring(suite.failure),
      errors = tostring(suite.error), time = attribute_time(run.duration),
      started = (tostring(run.started or ""):gsub("[.%d]*Z$", function(tail)
        return tail:match "^(%d*)"
      end)), seed = run.seed and tostring(run.seed), verdict = result.verdict, name = run.name,
        cases = cases })
  end)
  return '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n' .. suites .. "</testsuites>\n"
end

return junit
