-- What a run shows while it goes: a live block on a terminal (the arm's story, watermarks, faults), plain
-- lines elsewhere.
local clock = require "rlab.clock"
local term = require "rlab.term"
local units = require "rlab.units"
local verdict_words = require "rlab.run.words"

local M = {}

local View = {}
View.__index = View

local WIDTH, LABEL, STORY_LINES = 100, 10, 8
local sep = term.utf8() and " · " or " | "

local function width(self)
  return self.tty and math.min(WIDTH, math.max(80, term.width())) or WIDTH
end

-- new{quiet=, silent=, live=}: quiet shows the verdict only, silent nothing (for --json); live: where it
--   goes, as a live block of term has it, else the terminal
function M.new(opts)
  return setmetatable({ live = opts.live or term.live(1), quiet = opts.quiet or opts.silent,
    silent = opts.silent, tty = not opts.live and term.is_tty(1) }, View)
end

local function emit(self, line)
  if not self.quiet then self.live:above(line) end
end

local function label(word, class)
  local colour = class == "setup" and "dim" or verdict_words.classes[class] or class or "dim"
  return "  " .. term.colour(colour, term.pad(word, LABEL - 2))
end

-- -> the class before a name, and the gap behind it: a long word takes a column of the gap
local function class_label(class)
  local word = verdict_words.classes[class] or class
  local long = #word > LABEL - 3
  return label(word, class) .. (long and " " or ""), long and " " or "  "
end

local function seconds(s)
  return units.print_duration(s)
end

function View:header(exp, run)
  self.run = run
  self.names = 12
  for _, arm in ipairs(exp.arms) do self.names = math.max(self.names, term.display_width(arm.name)) end
  emit(self, ("%s  %s"):format(term.colour("bold", exp.id), term.colour("bold", exp.title)))
  for _, line in ipairs(term.wrap(exp.question or exp.claim, width(self) - 7)) do
    emit(self, "       " .. line)
  end
  emit(self, "")
end

function View:say(line)
  emit(self, line:find "^  [%l ]" and line or label "stack" .. line)
end

local function stack_words(stack)
  local list = {}
  if stack.kafka then
    local version = stack.versions.kafka or stack.kind ~= "external" and "?" or nil
    list[1] = ("kafka%s, %d brokers"):format(version and " " .. version or "", #stack.kafka.nodes)
  end
  for _, name in ipairs { "mysql", "redis" } do
    if stack[name] and stack.versions[name] then list[#list + 1] = name .. " " .. stack.versions[name] end
  end
  return table.concat(list, sep)
end

function View:stack_ready(run)
  local stack = run.stack
  local now = run.at or clock.unix_ms() / 1000
  local age = stack.reused and stack.since
    and ("reused, up " .. seconds(math.max(0, now - stack.since))) or "started"
  if stack.kind == "external" then age = "external" end
  if stack.parts and #stack.parts == 0 then age = "none is needed" end
  emit(self, label "stack" .. term.pad(stack_words(stack), width(self) - LABEL - #age - 1) .. " " .. age)
  emit(self, label "run" .. ("%s/%s  seed %d"):format(run.experiment.id, run.dir:match "([^/]+)$", run.seed))
  emit(self, "")
end

-- ---- the live block ----

local function marks(row)
  local words, names = {}, {}
  for key in pairs(row) do
    local where = key:match "^(.*)%.hw$"
    if where then names[#names + 1] = where end
  end
  table.sort(names)
  for i = 1, math.min(#names, 3) do
    local p = names[i]
    words[#words + 1] = ("%s LSO %s HW %s LEO %s"):format(p, row[p .. ".lso"] or "?",
      row[p .. ".hw"] or "?", row[p .. ".leo"] or "?")
  end
  return table.concat(words, sep)
end

local function draw(self)
  if self.quiet or not self.tty or not self.current then return end
  local lines = { (class_label(self.current.class)) .. self.current.title .. "  "
    .. seconds((clock.ns() - self.since) / 1e9) }
  for i = math.max(1, #self.story - STORY_LINES + 1), #self.story do
    lines[#lines + 1] = (" "):rep(LABEL) .. self.story[i]
  end
  if self.bar then lines[#lines + 1] = (" "):rep(LABEL) .. self.bar end
  if self.marks and self.marks ~= "" then
    lines[#lines + 1] = (" "):rep(LABEL) .. term.colour("dim", self.marks)
  end
  self.live:update(lines)
end

local function begin(self, class, title)
  self.current, self.story, self.bar, self.marks, self.since = { class = class, title = title }, {}, nil,
    nil, clock.ns()
  draw(self)
end

-- `of` is the arm it belongs to, where several run side by side.
local function story(self, at, text, class, arm, of)
  if of and self.current and self.current.title ~= of then arm = arm or of end
  local line = ("%s  %s%s"):format(term.pad("+" .. seconds(at), 8), arm and arm .. ": " or "", text)
  if class then line = term.colour(class, line) end
  self.story[#self.story + 1] = line
  if self.tty then return draw(self) end
  local head = (" "):rep(LABEL) .. term.pad(arm or self.current and self.current.title or "", self.names)
    .. "  "
  for i, part in ipairs(term.wrap(text, width(self) - #head - 10)) do
    emit(self, i == 1 and head .. term.pad("+" .. seconds(at), 8) .. "  " .. part
      or (" "):rep(#head + 10) .. part)
  end
end

function View:setup_starts()
  begin(self, "setup", "")
end

function View:arm_starts(arm)
  begin(self, arm.class, arm.name)
end

-- an event of the shared setup may belong to one arm
function View:event(lab, text, arm)
  story(self, lab:now(), text, nil, arm, lab.label)
end

function View:fault(lab, row)
  story(self, row.at, row.name, "wrong", nil, lab.label)
end

function View:sample(_, row)
  self.marks = marks(row)
  draw(self)
end

function View:progress(_, done, total, what)
  self.bar = ("%s %s %d/%d"):format(term.pad(what or "", 34), term.bar(done / total, 20), done, total)
  if done == total then self.last_bar = { what = what, done = done, total = total } end
  draw(self)
end

function View:setup_ends(setup, failure)
  self.current = nil
  self.live:clear()
  local took = seconds(setup.duration)
  local bar = self.last_bar
  local first = table.remove(setup.facts, 1) or ""
  table.insert(setup.facts, 1, first)
  local head = bar and ("%s %s %d/%d"):format(term.pad(first, 34), term.bar(1, 20), bar.done, bar.total)
    or first
  emit(self, label "setup" .. term.pad(head, width(self) - LABEL - #took - 1) .. " " .. took)
  for i = 2, #setup.facts do emit(self, (" "):rep(LABEL) .. setup.facts[i]) end
  if failure then emit(self, (" "):rep(LABEL) .. term.colour("inconclusive", failure)) end
  emit(self, "")
end

local outcome_class = {
  ["fails as predicted"] = "wrong", holds = "right", measured = "observed", inconclusive = "inconclusive",
  violated = "inconclusive",
  ["did not fail"] = "inconclusive",
}

function View:arm_ends(row)
  self.current = nil
  self.live:clear()
  local room = width(self) - LABEL - self.names - 2 - 19
  local lines = row.sentence ~= "" and term.wrap(row.sentence, room) or { "" }
  local class, gap = class_label(row.class)
  for i, line in ipairs(lines) do
    if i == 1 then
      emit(self, class .. term.pad(row.name, self.names) .. gap ..
        term.pad(line, room) .. " " .. term.colour(outcome_class[row.outcome], row.outcome))
    else
      emit(self, (" "):rep(LABEL + self.names + 2) .. line)
    end
  end
  if row.reason and row.reason ~= row.sentence then
    for _, line in ipairs(term.wrap(row.reason, width(self) - LABEL - self.names - 2)) do
      emit(self, (" "):rep(LABEL + self.names + 2) .. term.colour("inconclusive", line))
    end
  end
end

local function proofs(result)
  local list = {}
  for _, fault in ipairs(result.faults) do
    if fault.proof then list[#list + 1] = ("%s: %s"):format(fault.name, fault.proof) end
  end
  if #list > 3 then
    local more = #list - 3
    list = { list[1], list[2], list[3], ("+%d more"):format(more) }
  end
  return table.concat(list, sep)
end

local function count(n, word)
  return ("%d %s%s"):format(n, word, n == 1 and "" or "s")
end

-- finish(result): the proof and the verdict line
function View:finish(result)
  if self.silent then return end
  local word, class = verdict_words.of(result.verdict)
  emit(self, "")
  local proof = proofs(result)
  if proof ~= "" then
    for i, line in ipairs(term.wrap(proof, width(self) - LABEL)) do
      emit(self, (i == 1 and label "proof" or (" "):rep(LABEL)) .. line)
    end
  end
  for i, line in ipairs(term.wrap(result.sentence, width(self) - LABEL)) do
    emit(self, (i == 1 and label "verdict" or (" "):rep(LABEL)) .. line)
  end
  local counts = ("%s, %s, %s"):format(count(#result.arms, "arm"), count(#result.checks, "check"),
    seconds(result.run.duration))
  local tail = self.quiet and result.id .. "  " .. result.sentence
    or "report  " .. result.dir .. "/report.html"
  self.live:above(("  %s%s    %s"):format(term.colour(class,
    term.pad(word, math.max(8, #word + 2))), counts, tail))
end

function View:clear()
  self.live:clear()
end

return M
