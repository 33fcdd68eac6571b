-- The run that is shown as the lines of one screen: what the arms do side by side, their telling quantity on
-- one scale, faults, lags, backlogs, checks, and what happened last.
local html = require "rlab.report.html"
local models = require "rlab.ui.model"
local series = require "rlab.report.series"
local tables = require "rlab.tables"
local term = require "rlab.term"
local units = require "rlab.units"
local visible = require("rlab.text").visible
local words = require "rlab.run.words"

local M = {}

local NARROW, LABEL, LOG = 72, 11, 8
local OUTCOMES = { ["fails as predicted"] = "wrong", holds = "right", measured = "observed" }
local LEVELS = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }
local ASCII_LEVELS = { "_", ".", ":", "-", "=", "+", "*", "#" }

local function clean(text) return visible(tostring(text or "")) end

local function join(parts) return table.concat(parts, (" %s "):format(term.symbol "dot")) end

local function plural(n, word) return ("%d %s%s"):format(n, word, n == 1 and "" or "s") end

-- ---- one arm ----

-- The second up to which the arms are drawn, and the most that any of them reached: one scale for all.
local function scale_of(model)
  local last, top = 0, 0
  for _, arm in ipairs(model.arms) do
    last = math.max(last, models.reached(model, arm) or 0)
    for _, p in ipairs(arm.points[1] or {}) do top = math.max(top, p[2] or 0) end
  end
  return { last = last, top = top }
end

local function level(value, top)
  if not value then return " " end
  local list = term.utf8() and LEVELS or ASCII_LEVELS
  if value <= 0 then return list[1] end
  return list[2 + math.min(6, math.floor(value / top * 7))]
end

local function curve(model, arm, scale, width)
  local now, cells = models.reached(model, arm), {}
  for i = 1, width do
    local t = scale.last * i / width
    local value = now and t - scale.last / width < now and models.value_at(arm.points[1], math.min(t, now))
    cells[i] = level(value, scale.top)
  end
  return table.concat(cells)
end

local function first_shown(arm)
  for _, one in ipairs(arm.shown or {}) do
    if one.q == 1 then return one.text end
  end
end

local function figure(model, arm)
  local quantity = (model.run.quantities or {})[1]
  local value = quantity and models.value_at(arm.points[1], math.huge)
  return clean(first_shown(arm) or value and html.quantity(value, quantity.unit) or "")
end

local function state(model, arm)
  if not arm.from then return term.colour("dim", "not begun") end
  if arm.outcome then return term.colour(OUTCOMES[arm.outcome] or "inconclusive", arm.outcome) end
  return "running, " .. html.seconds(models.reached(model, arm))
end

-- ---- what is beside it ----

local function faults_of(list, parts)
  local on, over = {}, 0
  for _, fault in ipairs(list) do
    if fault.over then over = over + 1 else on[#on + 1] = clean(fault.name) end
  end
  if #on > 0 then parts[#parts + 1] = "fault: " .. table.concat(on, ", ") end
  if over > 0 then parts[#parts + 1] = plural(over, "fault") .. " over" end
end

local MARKS = { "lso", "hw", "leo" }

local function marks_of(place, marks, parts)
  local list = { place ~= "" and place or nil }
  for _, kind in ipairs(MARKS) do
    if marks[kind] then list[#list + 1] = ("%s %s"):format(kind:upper(), html.number(marks[kind])) end
  end
  parts[#parts + 1] = clean(table.concat(list, " "))
end

local function gauges_of(arm, parts)
  local places = {}
  for _, name in ipairs(tables.sorted_keys(arm.gauges)) do
    local s, value = series.parse(name), arm.gauges[name]
    if s.family == "offset" then
      places[s.prefix] = places[s.prefix] or {}
      places[s.prefix][s.kind] = value
    else
      local where = s.prefix ~= "" and s.prefix .. " " or ""
      parts[#parts + 1] = clean(("%s%s %s"):format(where, s.label, html.number(value)))
    end
  end
  for _, place in ipairs(tables.sorted_keys(places)) do marks_of(place, places[place], parts) end
end

local function check_word(check, arm)
  if check.outcome ~= "violated" then return check.outcome == "holds" and "hold" or check.outcome end
  return check.as_expected and arm.class ~= "wrong" and "violated as expected" or "violated"
end

local function checks_of(arm, parts)
  local counts = {}
  for _, check in ipairs(arm.checks or {}) do
    local word = check_word(check, arm)
    counts[word] = (counts[word] or 0) + 1
  end
  local list = {}
  for _, word in ipairs(tables.sorted_keys(counts)) do list[#list + 1] = counts[word] .. " " .. word end
  if #list > 0 then parts[#parts + 1] = "checks: " .. table.concat(list, ", ") end
end

local function second_quantity(model, arm, parts)
  local quantity = (model.run.quantities or {})[2]
  local value = quantity and models.value_at(arm.points[2], math.huge)
  if value then
    parts[#parts + 1] = clean(("%s %s"):format(quantity.name, html.quantity(value, quantity.unit)))
  end
end

local function details(model, arm)
  local parts = { arm.outcome == "inconclusive" and arm.reason and clean(arm.reason) or nil }
  checks_of(arm, parts)
  faults_of(arm.faults, parts)
  gauges_of(arm, parts)
  second_quantity(model, arm, parts)
  if #parts == 0 then parts[1] = clean(arm.title) end
  return (" "):rep(LABEL) .. term.colour("dim", join(parts))
end

-- ---- the arms ----

local function label(arm)
  local word = words.classes[arm.class] or arm.class
  return "  " .. term.colour(word, term.pad(word, LABEL - 2))
end

local function wide_arm(model, arm, scale, c, out)
  out[#out + 1] = label(arm) .. term.pad(term.fit(clean(arm.name), c.names), c.names) .. " "
    .. curve(model, arm, scale, c.curve) .. " " .. term.pad(term.fit(figure(model, arm), c.figure), c.figure,
    "right") .. "  " .. state(model, arm)
end

local function narrow_arm(model, arm, scale, c, out)
  out[#out + 1] = label(arm) .. clean(arm.name) .. "  " .. figure(model, arm)
  out[#out + 1] = (" "):rep(LABEL) .. curve(model, arm, scale, c.curve) .. " " .. state(model, arm)
end

local function columns_of(model, width)
  local c = { names = 8, figure = 6 }
  for _, arm in ipairs(model.arms) do
    c.names = math.max(c.names, term.display_width(clean(arm.name)))
    c.figure = math.max(c.figure, term.display_width(figure(model, arm)))
  end
  c.names, c.figure = math.min(c.names, 24), math.min(c.figure, 18)
  c.narrow = width < NARROW
  if c.narrow then
    c.curve = math.max(4, math.min(20, width - LABEL - 22))
  else
    c.curve = math.max(4, math.min(60, width - LABEL - c.names - c.figure - 23))
  end
  return c
end

local function arms_of(model, width, room)
  local scale, c, out = scale_of(model), columns_of(model, width), {}
  local draw, each = c.narrow and narrow_arm or wide_arm, c.narrow and 2 or 1
  local with_details = #model.arms * (each + 1) <= room
  local fits = #model.arms * each <= room
  local shown = fits and #model.arms or math.max(1, (room - 1) // each)
  for i = 1, math.min(shown, #model.arms) do
    draw(model, model.arms[i], scale, c, out)
    if with_details then out[#out + 1] = details(model, model.arms[i]) end
  end
  if #model.arms > shown then
    out[#out + 1] = (" "):rep(LABEL) .. term.colour("dim", ("+%s"):format(plural(#model.arms - shown,
      "more arm")))
  end
  return out
end

-- ---- what happened, the newest first ----

local function happenings(model)
  local list = {}
  local function add(rows, arm)
    for _, row in ipairs(rows) do
      list[#list + 1] = { at = (arm and not arm.shared and arm.from or 0) + row.t, t = row.t, order = #list,
        arm = arm and arm.name, text = row.name or row.text, anomaly = row.anomaly, fault = row.name ~= nil }
    end
  end
  add(model.faults)
  add(model.events)
  for _, arm in ipairs(model.arms) do
    add(arm.faults, arm)
    add(arm.events, arm)
  end
  table.sort(list, function(a, b)
    if a.at ~= b.at then return a.at > b.at end
    return a.order > b.order
  end)
  return list
end

local function log_of(model, room)
  local list, out = happenings(model), {}
  for i = 1, math.min(room, #list) do
    local one = list[i]
    local text = (one.arm and one.arm .. ": " or "") .. (one.fault and "fault: " or "") .. clean(one.text)
    local head = "  " .. term.colour("dim", term.pad("+" .. html.seconds(one.t), LABEL - 2))
    out[#out + 1] = head .. (one.anomaly and term.colour("wrong", text) or text)
  end
  return out
end

-- ---- the screen ----

local function headline(model)
  if model.verdict then return model.verdict.sentence end
  local busy, bad = 0, {}
  for _, arm in ipairs(model.arms) do
    if arm.from and not arm.ended then
      busy = busy + 1
      if arm.class == "wrong" and arm.anomaly then bad[#bad + 1] = arm.name .. ": " .. arm.anomaly.text end
    end
  end
  if busy == 0 then return model.run.question or model.run.title end
  if #bad > 0 then return table.concat(bad, "; ") end
  local are = busy == 1 and "1 arm is" or busy .. " arms are"
  return are .. " running; nothing is wrong so far."
end

local function head_of(model, width)
  local run, verdict = model.run, model.verdict
  local facts = join { ("%s %s"):format(verdict and "took" or "running", units.print_duration(model.now)),
    "seed " .. tostring(run.seed) }
  local indent = "       "
  local out = { term.colour("bold", clean(run.id) .. "  " .. clean(run.title)),
    indent .. term.colour("dim", model.replay and join { "replay", facts } or facts) }
  for i, line in ipairs(term.wrap(clean(headline(model)), width - #indent)) do
    if i <= 3 then out[#out + 1] = indent .. line end
  end
  if verdict then out[#out + 1] = indent .. term.colour(verdict.tone, verdict.word) end
  out[#out + 1] = ""
  return out
end

local function quantity_line(model)
  local quantity = (model.run.quantities or {})[1]
  if not quantity then return "" end
  local unit = quantity.unit and ", " .. quantity.unit or ""
  return (" "):rep(LABEL) .. term.colour("dim", clean(quantity.name .. unit) .. "; one scale for all arms")
end

local NOTHING = { "Nothing is running.", "",
  "Start an experiment in another terminal; it is shown here as it goes:", "  rlab E-012",
  "Or look at a stored run again, at the pace at which it happened:",
  "  rlab top --replay runs/E-012/latest" }

local function append(out, lines)
  return table.move(lines, 1, #lines, #out + 1, out)
end

-- lines(model, {width=, height=, foot=}) -> the lines of a screen, none wider; no height: as many as
--   it takes. foot: the last line.
function M.lines(model, opts)
  local height = opts.height or math.huge
  local out = model.run and head_of(model, opts.width) or table.move(NOTHING, 1, #NOTHING, 1, {})
  local foot = opts.foot and 1 or 0
  if model.run then
    append(out, arms_of(model, opts.width, math.max(1, height - #out - foot - 2)))
    append(out, { quantity_line(model), "" })
    append(out, log_of(model, opts.height and height - #out - foot or LOG))
  end
  while #out > height - foot do out[#out] = nil end
  if opts.foot then
    if opts.height then for _ = #out + 1, height - 1 do out[#out + 1] = "" end end
    out[#out + 1] = term.colour("dim", opts.foot)
  end
  for i, line in ipairs(out) do out[i] = term.fit(line, opts.width) end
  return out
end

return M
