-- mutants.lua [WORDS]: breaks one mechanism at a time and demands that the judge named in the catalogue says
-- so, by the right word. Run by deps/test.sh (`make mutants`), from the project's root, after a build.
--
-- Words: --one ID,ID (or how they begin), --group FILE (of spec/mutants), --only live | still | waiting,
-- --draw N [--seed S] (so many of them; the seed is the commit's unless given), --list (runs nothing),
-- --needs-stack (its status says whether a judge needs servers), --tap.
-- --worker I --workers N --taken DIR: one of many beside each other, with a copy and a stack of its own: what
-- it took is a folder in DIR, its score a file. Whose answer was that the machine is too busy is asked again
-- when the others have ended: a file done.I says that the I-th has, over.I that what it kept for then is
-- over, too. --sum --taken DIR: the score of all of them together. --kept FILE: the answers, a line each;
-- those that are there already (of a run that was cut off) are not asked for again.
--
-- A file of spec/mutants returns a list of
--   { id = "relay-marks-refused", mechanism = "what is marked was acknowledged", file = "engine/...",
--     before = text found exactly once, after = what stands there instead; or edits = { {before, after} },
--     run = "E-002", arms = { "outbox" }, exit = 1, check = "lost"   an experiment is the judge; or
--     spec = "spec/...", it = "part of the test's name"              a spec that must go red; or
--     unit = "test_relay", it = "..."                                a C test that must
--     or_check = "drained"    a debt, as right a word: it ends the story where it is broken before the check
--     reason = "pattern"      for exit = 3: of the arm's reason
--     slow = true             more than half a minute: never drawn
--     waits = "E-026" }       an experiment that will see it once it stands: listed, not run, not counted
-- A mutant whose text is not found exactly once, that does not compile, or whose judge is red by itself
-- fails the run: the catalogue is part of the code.
package.path = arg[0]:match "^(.*)/" .. "/?.lua;" .. package.path
local catalogue = require "mutants.catalogue"
local json = require "dkjson"
local system = require "mutants.system"
local tree = require "mutants.tree"

local capture, exists, read, shell, uptime, write = system.capture, system.exists, system.read, system.shell,
  system.uptime, system.write
local is_live, judge_of = catalogue.is_live, catalogue.judge_of
local PATIENCE = "20s" -- of a spec on servers
local SECONDS = 240 -- a judge that takes longer is stopped, and has not caught anything
local SLACK, FACTOR = 3, 1.5 -- a broken arm ends within that many times what the whole one takes

-- ---- which of the catalogue ----

-- At most three of them need servers, none is slow, and none waits as a spec on servers does
-- before it is red: a draw takes a bounded time.
local function drawn(list, n, seed)
  local some, live = {}, 0
  for _, m in ipairs(catalogue.shuffled(list, seed)) do
    local quick = not (m.waits or m.slow) and not (m.spec and is_live(m))
    if #some < n and quick and not (is_live(m) and live == 3) then
      some[#some + 1] = m
      live = live + (is_live(m) and 1 or 0)
    end
  end
  return some
end

local kinds = {
  live = function(m) return not m.waits and is_live(m) end,
  still = function(m) return not m.waits and not is_live(m) end,
  waiting = function(m) return m.waits ~= nil end,
}

local function is_named(m, ids)
  for id in ids:gmatch "[^,]+" do
    if m.id:find(id, 1, true) == 1 then return true end
  end
  return false
end

local function chosen(words)
  local some = {}
  for _, m in ipairs(catalogue.all()) do
    local fits = not words.one or is_named(m, words.one)
    fits = fits and (not words.group or m.group == words.group)
    if fits and (not words.only or kinds[words.only](m)) then some[#some + 1] = m end
  end
  if words.draw then some = drawn(some, words.draw, words.seed) end
  if not some[1] then error("no mutant is called that", 0) end
  return some
end

-- ---- the judges: (m) -> what was said, code, {checks that are not as expected}, reasons ----

local function names_of(checks)
  local names = {}
  for _, check in ipairs(checks or {}) do
    if check.as_expected == false or check.outcome == "inconclusive" then names[#names + 1] = check.name end
  end
  return names
end

local function reasons_of(arms)
  local list = {}
  for _, arm in ipairs(arms or {}) do list[#list + 1] = arm.reason end
  return table.concat(list, "; ")
end

local function run_experiment(m)
  local arms = {}
  for _, arm in ipairs(m.arms or {}) do arms[#arms + 1] = "--arm " .. arm end
  local command = "cd %s && timeout --foreground -k 10 %d ./rlab run %s %s --json 2>../stderr"
  local text, code = capture(command, tree.path(), SECONDS, m.run, table.concat(arms, " "))
  local ok, result = pcall(json.decode, text)
  if not ok or type(result) ~= "table" then
    local last = read(tree.root() .. "/stderr"):sub(-300)
    return { code = code, names = {}, reasons = "", said = ("exit %d: %s"):format(code, last) }
  end
  local names, reasons = names_of(result.checks), reasons_of(result.arms)
  return { code = code, names = names, reasons = reasons,
    said = ("exit %d, %s"):format(code, code == 3 and reasons or table.concat(names, " ")) }
end

-- The one test of a spec, as a pattern in the shell's quotes.
local function filter_of(m)
  if (m.it or "") == "" then return "" end
  return ("--filter='%s'"):format(m.it:gsub("%W", "%%%0"):gsub("'", "'\\''"))
end

local function run_spec(m)
  local command = m.unit and "build/test/" .. m.unit
    or ("./rlab busted -o TAP %s %s"):format(filter_of(m), m.spec)
  local text, code = capture("cd %s && RLAB_TEST_PATIENCE=%s CMOCKA_MESSAGE_OUTPUT=TAP \z
    timeout --foreground -k 10 %d %s 2>&1", tree.path(), PATIENCE, SECONDS, command)
  local red = {}
  for line in text:gmatch "not ok [^\n]*" do red[#red + 1] = line end
  if text:find "\n?1%.%.0\n" then code = 70 end -- no test of that name
  local said = ("status %d, %s"):format(code, red[1] or text:sub(-120))
  return { code = code, names = red, reasons = "", said = said }
end

local function any(list, f)
  for _, one in ipairs(list) do
    if f(one) then return true end
  end
  return false
end

local busy = { "for a processor", "the machine is too", "stood still", "which nobody had planned" }

-- Where the machine was too busy for an answer there was none.
local function too_busy(heard)
  return heard.code == 3 and any(busy, function(words) return heard.reasons:find(words, 1, true) end)
end

local function ask_once(m)
  local began = uptime()
  local heard = (m.run and run_experiment or run_spec)(m)
  heard.seconds, heard.busy = uptime() - began, too_busy(heard)
  return heard
end

local beside = false -- others are at work on the same processors
local may_skip = false -- for the tests: what gets no answer twice is skipped

local function is_caught(m, heard)
  if not m.run then
    local function is_it(line) return line:find(m.it or "", 1, true) ~= nil end
    return heard.code ~= 0 and any(heard.names, is_it)
  end
  if heard.code ~= m.exit then return false end
  if m.exit == 3 then return heard.reasons:find(m.reason) ~= nil end
  return any(heard.names, function(name) return name == m.check or name == m.or_check end)
end

-- Once more where an experiment came to no verdict, at once or when nobody is beside it.
local function ask(m)
  local heard = ask_once(m)
  local unsure = m.run and heard.code == 3 and not is_caught(m, heard)
  if not unsure or heard.busy and beside then return heard end
  return ask_once(m)
end

-- Whether there was no answer: the tests fail for none that twice came to no verdict, whatever the reason.
local function is_silent(m, heard)
  local unsure = m.run and m.exit ~= 3 and heard.code == 3
  return beside and heard.busy or may_skip and (heard.busy or unsure)
end

local function due(m)
  if not m.run then return "red: " .. (m.it or "") end
  return ("exit %d, %s"):format(m.exit, m.reason or m.check .. (m.or_check and " or " .. m.or_check or ""))
end

-- ---- one mutant ----

local whole = {} -- how long each judge takes when nothing is broken, by what it is asked

local function key_of(m) return table.concat({ judge_of(m), m.it or "", table.unpack(m.arms or {}) }, " ") end

-- A judge that is red by itself catches nothing.
local function whole_time(m)
  local key = key_of(m)
  if not whole[key] then
    local ok, why = tree.build(m)
    if not ok then error("the copy does not compile: " .. why, 0) end
    local heard = ask(m)
    if heard.busy then return { busy = true, said = heard.said } end
    whole[key] = { seconds = heard.seconds, green = heard.code == 0, said = heard.said }
  end
  return whole[key]
end

-- What the whole one takes is asked again where it looks too long: a machine is busy by the minute.
local function is_late(m, seconds)
  local function over()
    local calm = whole_time(m)
    return not calm.busy and seconds > FACTOR * calm.seconds + SLACK
  end
  if not over() then return false end
  whole[key_of(m)] = nil
  return over()
end

local function try(m, compared)
  local calm = compared and whole_time(m)
  if calm and calm.busy then return { word = "busy", said = calm.said } end
  if calm and not calm.green then return { word = "BROKEN", said = "red without it: " .. calm.said } end
  local undo, why = tree.apply(m)
  if not undo then return { word = "BROKEN", said = why } end
  local ok, failure = tree.build(m)
  if not ok then
    undo()
    return { word = "BROKEN", said = "does not compile: " .. failure }
  end
  local heard = ask(m)
  undo()
  if not is_caught(m, heard) then
    local word = is_silent(m, heard) and "busy" or "MISSED"
    return { word = word, said = ("due %s; %s"):format(due(m), heard.said) }
  end
  if not (calm and m.run and is_late(m, heard.seconds)) then return { word = "caught", said = due(m) } end
  return { word = "late", late = true,
    said = ("%s; the whole arm takes %.1f s"):format(due(m), whole_time(m).seconds) }
end

-- ---- the table ----

local function show(words, m, i, n, outcome, seconds)
  local text = outcome.said:gsub("%s+", " ")
  if not words.tap then
    local judge = judge_of(m):gsub("^spec/", ""):gsub("_spec%.lua$", "")
    print(("  %3d/%d  %-7s %-36s %-22s %5.1f s  %s"):format(i, n, outcome.word, m.id, judge, seconds, text))
  elseif m.waits then
    print(("ok %d - # SKIP %s waits for %s"):format(i, m.id, m.waits))
  elseif outcome.word == "busy" then
    print(("ok %d - # SKIP %s: %s"):format(i, m.id, text))
  else
    local good = outcome.word == "caught" or outcome.word == "late"
    print(("%s %d - %s is caught by %s"):format(good and "ok" or "not ok", i, m.id, judge_of(m)))
    if not good then print("# " .. text) end
  end
  io.flush()
end

-- Those that ask the same of the same judge together, in the order in which the judges come.
local function by_judge(list)
  local groups, at = {}, {}
  for i, m in ipairs(list) do
    local key = key_of(m)
    if not at[key] then
      at[key] = #groups + 1
      groups[at[key]] = {}
    end
    table.insert(groups[at[key]], { i = i, mutant = m })
  end
  return groups
end

-- A folder is made by one process only.
local function is_mine(words, n)
  return not words.taken or shell("mkdir %s/%d 2>/dev/null", words.taken, n)
end

local kept = { "caught", "late", "MISSED", "BROKEN", "waits" }

local function score_of(numbers)
  local score = {}
  for i, word in ipairs(kept) do score[word] = numbers and math.tointeger(numbers[i]) or 0 end
  return score
end

local function keep_score(words, score)
  local numbers = {}
  for i, word in ipairs(kept) do numbers[i] = score[word] end
  write(("%s/score.%d"):format(words.taken, words.worker), table.concat(numbers, " "))
end

-- -> whether all were caught; of what a worker left without an answer there is no score.
local function say_score(words, score, n)
  local caught = score.caught + score.late
  local all = caught + score.MISSED + score.BROKEN
  local line = "mutants: %d of %d caught by the right word (%d of them late), %d broken, %d wait"
  print((words.tap and "# " or "\n") .. line:format(caught, all, score.late, score.BROKEN, score.waits))
  local unasked = n - all - score.waits
  if words.tap then return caught == all, 0 end
  if unasked > 0 then print(("%d were not asked: a worker ended before them"):format(unasked)) end
  return caught == all and unasked == 0, unasked
end

-- What a run that was cut off has heard: the outcome by id.
local function read_kept(path)
  local heard = {}
  for id, word, said in (path and exists(path) and read(path) or ""):gmatch "([^\t\n]+)\t(%a+)\t([^\n]*)\n" do
    heard[id] = { word = word, said = said }
  end
  return heard
end

local function answer_of(m, words)
  if words.heard[m.id] then return words.heard[m.id] end
  local outcome = try(m, not words.draw)
  if words.kept and outcome.word ~= "busy" then
    local file <close> = assert(io.open(words.kept, "ab"))
    assert(file:write(("%s\t%s\t%s\n"):format(m.id, outcome.word, (outcome.said:gsub("%s+", " ")))))
  end
  return outcome
end

-- Tries them and adds to the score -> those for which the machine was too busy.
local function go_through(group, words, score, n)
  local later = {}
  for _, one in ipairs(group) do
    local m, began = one.mutant, uptime()
    local outcome = m.waits and { word = "waits", said = "for " .. m.waits } or answer_of(m, words)
    if outcome.word == "busy" then later[#later + 1] = one end
    score[outcome.word] = (score[outcome.word] or 0) + 1
    show(words, m, one.i, n, outcome, uptime() - began)
  end
  return later
end

-- Until all have done what they could beside one another, and those before this one what they kept.
local function wait_for_the_others(words)
  write(("%s/done.%d"):format(words.taken, words.worker), "")
  for i = 1, words.workers do
    local file = ("%s/%s.%d"):format(words.taken, i < words.worker and "over" or "done", i)
    while not exists(file) do shell "sleep 1" end
  end
end

local function go(list, words)
  local score, later = score_of(), {}
  beside, may_skip = (words.workers or 1) > 1, words.tap ~= nil
  if words.tap then print("1.." .. #list) end
  for n, group in ipairs(by_judge(list)) do
    local kept_back = go_through(is_mine(words, n) and group or {}, words, score, #list)
    table.move(kept_back, 1, #kept_back, #later + 1, later)
    if words.taken then keep_score(words, score) end
  end
  if beside then wait_for_the_others(words) end
  beside = false
  if not may_skip then go_through(later, words, score, #list) end
  if words.taken then keep_score(words, score) end
  return words.taken ~= nil or say_score(words, score, #list)
end

local function sum(list, words)
  local total = score_of()
  for path in capture("ls %s/score.* 2>/dev/null", words.taken):gmatch "%S+" do
    local numbers = {}
    for n in read(path):gmatch "%d+" do numbers[#numbers + 1] = n end
    for word, n in pairs(score_of(numbers)) do total[word] = total[word] + n end
  end
  local all, unasked = say_score(words, total, #list)
  if unasked == 0 and words.kept then os.remove(words.kept) end
  return all
end

-- ---- the command line ----

local flags = { list = true, tap = true, sum = true, ["needs-stack"] = true }
local numbers = { draw = true, seed = true, worker = true, workers = true }

local function words_of(args)
  local words, i = {}, 1
  while args[i] do
    local name = args[i]:match "^%-%-([%a-]+)$"
    if flags[name] then
      words[name] = true
    elseif name then
      i = i + 1
      words[name] = numbers[name] and math.tointeger(tonumber(args[i])) or args[i]
      if words[name] == nil then error(("--%s needs a word"):format(name), 0) end
    else
      words.one = args[i]
    end
    i = i + 1
  end
  if words.only and not kinds[words.only] then error("--only takes live, still or waiting", 0) end
  words.seed = words.seed or tonumber(capture("git rev-parse HEAD"):sub(1, 8), 16) or 1
  return words
end

local function main(args)
  local words = words_of(args)
  local list = chosen(words)
  if words["needs-stack"] then return any(list, kinds.live) end
  if words.draw then print(("# %d of the mutants, drawn with --seed %d"):format(#list, words.seed)) end
  if words.list then
    for i, m in ipairs(list) do
      show(words, m, i, #list, { word = m.waits and "waits" or "", said = m.mechanism }, 0)
    end
    return true
  end
  if words.sum then return sum(list, words) end
  tree.choose(words.worker)
  words.heard = read_kept(words.kept)
  tree.copy()
  local ok, result = pcall(go, list, words)
  tree.remove()
  if not ok then error(result, 0) end
  return result
end

local ok, result = pcall(main, arg)
if not ok then io.stderr:write("mutants: ", tostring(result), "\n") end
os.exit(ok and result)
