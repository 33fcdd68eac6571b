-- A sequence diagram from why.sequence: who told whom what, in order. Three widths, and a list for who
-- cannot see it.
local html = require "rlab.report.html"

local sequence = {}

local SIZE, LINE = 13, 17
local BOLD = 1.12 -- how much wider the names of actors are, and what is done wrong or right
local CLASSES = { wrong = "wrong", right = "right", observe = "observe" }
local WEIGHTS = { wrong = BOLD, right = BOLD }

local function actors_of(steps)
  local list, index = {}, {}
  for _, s in ipairs(steps) do
    for _, name in ipairs { s.from, s.to } do
      if name and not index[name] then
        list[#list + 1] = name
        index[name] = #list
      end
    end
  end
  return list, index
end

local function class_of(step)
  return CLASSES[step.class] or "plain"
end

local function lines(class, x, y, list, anchor)
  return html.each(list, function(line, i)
    return ('<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>'):format(class, x,
      y + (i - 1) * LINE, anchor, html.escape(line))
  end)
end

local function arrow(x1, x2, y)
  local d = x2 > x1 and 1 or -1
  return ('<path class="wire" d="M%.1f %.1fH%.1f"/><path class="head" d="M%.1f %.1fl%d -4v8z"/>'):format(
    x1, y, x2 - 7 * d, x2 - 1 * d, y, -8 * d)
end

-- Where a step's text may stand: over its arrow when it fits there, else from the left one's lifeline on.
local function text_box(x1, x2, width, slim)
  local left, right = math.min(x1, x2), math.max(x1, x2)
  if slim then return 0, width, "start" end
  return left + 10, right - left - 20, "middle"
end

local function draw_step(step, n, xs, index, y, width, slim)
  local x1, x2 = xs[index[step.from]], xs[index[step.to]]
  local own = x1 == x2
  local left, room, anchor = text_box(x1, own and x1 + 170 or x2, width, slim)
  local weight = WEIGHTS[step.class] or 1
  local words = html.wrap(("%d. %s"):format(n, step.text or ""), room / weight, SIZE)
  local notes = step.note and html.wrap(step.note, math.max(room, 200), SIZE - 1) or {}
  local out = { ('<g class="%s">'):format(class_of(step)) }
  local height = #words * LINE
  if own and not slim then
    local w = 0
    for _, l in ipairs(words) do w = math.max(w, weight * html.text_width(l, SIZE)) end
    w = w + 20
    out[#out + 1] = ('<rect class="own" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"/>'):format(
      math.max(0, math.min(x1 - w / 2, width - w)), y, w, height + 10)
    out[#out + 1] = lines("what", math.max(w / 2, math.min(x1, width - w / 2)), y + 17, words, "middle")
    return table.concat(out) .. "</g>", y + height + 28
  end
  local x = anchor == "middle" and left + room / 2 or left
  out[#out + 1] = lines("what", x, y + 12, words, anchor)
  y = y + height + 6
  if own then
    out[#out + 1] = ('<circle class="head" cx="%.1f" cy="%.1f" r="4"/>'):format(x1, y)
  else
    out[#out + 1] = arrow(x1, x2, y)
  end
  out[#out + 1] = lines("note", x, y + 17, notes, anchor)
  return table.concat(out) .. "</g>", y + #notes * LINE + 20
end

local function widest(list)
  local most = 0
  for _, line in ipairs(list) do most = math.max(most, BOLD * html.text_width(line, SIZE)) end
  return most
end

-- The names of the actors, wrapped, each with the row on which it ends: where two that stand beside each
-- other would touch, every second one stands a step lower.
local function heads_of(actors, column)
  local heads, tallest, touch = {}, 1, false
  for i, actor in ipairs(actors) do
    heads[i] = html.wrap(actor, column - 8, SIZE)
    tallest = math.max(tallest, #heads[i])
    touch = touch or i > 1 and (widest(heads[i - 1]) + widest(heads[i])) / 2 + 14 > column
  end
  for i, head in ipairs(heads) do head.row = touch and i % 2 == 0 and 2 * tallest or tallest end
  return heads, touch and 2 * tallest or tallest
end

local function draw_heads(heads, xs, bottom)
  return html.each(heads, function(head, i)
    return lines("actor", xs[i], 13 + (head.row - #head) * LINE, head, "middle")
      .. ('<path class="life" d="M%.1f %.1fV%.1f"/>'):format(xs[i], head.row * LINE + 8, bottom)
  end)
end

local function draw(steps, name, width)
  local slim = name == "slim"
  local actors, index = actors_of(steps)
  local column, xs = width / #actors, {}
  for i = 1, #actors do xs[i] = (i - 0.5) * column end
  local heads, rows = heads_of(actors, column)
  local y, body = rows * LINE + 24, {}
  for n, step in ipairs(steps) do
    body[n], y = draw_step(step, n, xs, index, y, width, slim)
  end
  local frame = draw_heads(heads, xs, y)
  return ('<svg class="seq %s" role="img" aria-label="Sequence diagram; the steps follow as a list" \z
    viewBox="0 0 %d %d" '
    .. 'style="max-width:%dpx">%s%s</svg>'):format(
    name, width, math.ceil(y + 4), width, frame, table.concat(body))
end

local function list_of(steps)
  return html.each(steps, function(s)
    return html.fill("<li>{from} → {to}: {text}{!note}</li>", { from = s.from, to = s.to, text = s.text,
      note = s.note and " (" .. html.escape(s.note) .. ")" or "" })
  end)
end

-- Wide enough for a line of text between two lifelines, no wider than the page.
local function wide_for(steps)
  return math.min(1120, math.max(520, 280 * #actors_of(steps)))
end

function sequence.render(steps)
  local good = {}
  for _, s in ipairs(steps or {}) do
    if s.from and s.to then good[#good + 1] = s end
  end
  if #good == 0 then return "" end
  return '<figure class="sequence">' .. draw(good, "wide", wide_for(good)) .. draw(good, "mid", 680)
    .. draw(good, "slim", 340)
    .. '</figure><details class="data"><summary>The sequence as a list</summary><ol>' .. list_of(good)
      .. "</ol></details>"
end

return sequence
