-- What compares the arms by figures: the numbers of each, and the tables of an experiment's own. A column of
-- figures carries bars on one scale from zero, so that the largest is found without reading.
local html = require "rlab.report.html"
local tables = require "rlab.tables"

local compare = {}

local function arm_cell(arm, rows)
  return html.fill('<th scope=row{!span}><span class="cls {class}">{word}</span>{name}</th>', {
    class = html.class_of(arm), word = html.CLASSES[html.class_of(arm)], name = arm.name,
    span = rows and (' rowspan="%d"'):format(rows) or "" })
end

local function bar(value, most)
  if not value or value == 0 or not most or most <= 0 then return "" end
  return ('<i class="share" style="--w:%.1f%%"></i>'):format(100 * math.min(math.abs(value) / most, 1))
end

-- ---- numbers by arm ----

-- The largest of each number, where at least two arms have one: a single figure compares with nothing.
local function scales(arms)
  local most, seen = {}, {}
  for _, arm in ipairs(arms) do
    for _, n in ipairs(arm.numbers or {}) do
      if type(n.value) == "number" and n.value == n.value then
        most[n.name] = math.max(most[n.name] or 0, math.abs(n.value))
        seen[n.name] = (seen[n.name] or 0) + 1
      end
    end
  end
  for name, count in pairs(seen) do
    if count < 2 then most[name] = nil end
  end
  return most
end

local function names_of(arms)
  local names, seen = {}, {}
  for _, arm in ipairs(arms) do
    for _, n in ipairs(arm.numbers or {}) do
      if not seen[n.name] then
        seen[n.name] = true
        names[#names + 1] = n.name
      end
    end
  end
  return names
end

local function row_of(arm, names, most)
  local mine = {}
  for _, n in ipairs(arm.numbers or {}) do mine[n.name] = n end
  return "<tr>" .. arm_cell(arm) .. html.each(names, function(name)
    local n = mine[name]
    if not n then return '<td class="n none">·</td>' end
    return html.fill("<td class=n data-label=\"{name}\">{value}", { name = name,
      value = html.quantity(n.value, n.unit) })
      .. bar(type(n.value) == "number" and n.value, most[name]) .. "</td>"
  end) .. "</tr>"
end

local WIDE = 7

-- More numbers than fit beside each other stand in tables below each other; an arm that has none of a
-- table's is not in it.
function compare.measured(result)
  local names, most = names_of(result.arms or {}), scales(result.arms or {})
  if #names == 0 then return "" end
  local count = math.ceil(#names / WIDE)
  local size, out = math.ceil(#names / count), {}
  for from = 1, #names, size do
    local part, known = { table.unpack(names, from, math.min(from + size - 1, #names)) }, {}
    for _, name in ipairs(part) do known[name] = true end
    out[#out + 1] = '<div class="scroll"><table class="measured cards"><thead><tr><td></td>'
      .. html.each(part, function(name) return "<th scope=col class=n>" .. html.escape(name) .. "</th>" end)
      .. "</tr></thead><tbody>" .. html.each(result.arms, function(arm)
        for _, n in ipairs(arm.numbers or {}) do
          if known[n.name] then return row_of(arm, part, most) end
        end
      end) .. "</tbody></table></div>"
  end
  return '<section id="numbers"><h2>Measured</h2>' .. table.concat(out) .. "</section>"
end

-- ---- tables of an experiment's own ----

local function same_head(a, b)
  if #a.head ~= #b.head then return false end
  for i, word in ipairs(a.head) do
    if b.head[i] ~= word then return false end
  end
  return a.title == b.title and a.note == b.note
end

-- The same table of several arms is one, so that their rows stand below each other.
local function joined(list)
  local out = {}
  for _, t in ipairs(list) do
    local home
    for _, one in ipairs(out) do
      if t.arm and one.arms and same_head(one, t) then home = one end
    end
    if not home then
      home = tables.merged(t)
      home.arms = t.arm and {} or nil
      out[#out + 1] = home
    end
    if home.arms then home.arms[#home.arms + 1] = { name = t.arm, rows = t.rows } end
  end
  return out
end

local function figure(value)
  if type(value) == "number" then return value end
  return tonumber((tostring(value or ""):gsub(",", ""):match "^%-?[%d.]+" or "")) or false
end

-- The largest figure of each column of which every cell is one, or says that there is none.
local function columns_of(t)
  local most, off, figures = {}, {}, {}
  for _, part in ipairs(t.arms or { t }) do
    for _, row in ipairs(part.rows) do
      for i = 1, #t.head do
        local text, v = tostring(row[i] == nil and "" or row[i]), figure(row[i])
        if v and text:find "^%-?[%d.,]+ ?%%?$" then
          most[i], figures[i] = math.max(most[i] or 0, math.abs(v)), (figures[i] or 0) + 1
        elseif text:find "%d" then
          off[i] = true
        end
      end
    end
  end
  for i in pairs(most) do
    if off[i] or figures[i] < 2 then most[i] = nil end
  end
  return most
end

-- What names a thing or an instant is no size, though it be a number.
local NAMES = { s = true, partition = true, offset = true, node = true, account = true, version = true }

local function cells(row, t, most)
  local out = {}
  for i = 1, math.max(#row, #t.head) do
    local text = html.escape(row[i] == nil and "" or row[i])
    local drawn = most[i] and not NAMES[t.head[i]] and bar(figure(row[i]), most[i]) or ""
    out[i] = ("<td%s>%s%s</td>"):format(most[i] and " class=n" or "", text, drawn)
  end
  return table.concat(out)
end

local function body_of(t, most, classes)
  if not t.arms then
    return html.each(t.rows, function(row) return "<tr>" .. cells(row, t, most) .. "</tr>" end)
  end
  return html.each(t.arms, function(part)
    return html.each(part.rows, function(row, i)
      local arm = i == 1 and arm_cell({ name = part.name, class = classes[part.name] }, #part.rows) or ""
      return (i == 1 and '<tr class="group">' or "<tr>") .. arm .. cells(row, t, most) .. "</tr>"
    end)
  end)
end

local OPEN, LONG = 2, 24 -- so many tables are unfolded, and after the first none that is longer

function compare.tables(result)
  if #(result.tables or {}) == 0 then return "" end
  local classes = {}
  for _, arm in ipairs(result.arms or {}) do classes[arm.name] = arm.class end
  return '<section id="tables"><h2>What was seen</h2>' .. html.each(joined(result.tables), function(t, i)
    local most, count = columns_of(t), 0
    for _, part in ipairs(t.arms or { t }) do count = count + #part.rows end
    local one = t.arms and #t.arms == 1 and t.arms[1].name
    return html.fill('<details class="data"{!open}><summary>{arm}{title}, {n}</summary>{!note}\z
      <div class="scroll"><table class="seen"><thead><tr>{!head}</tr></thead>\z
      <tbody>{!body}</tbody></table></div></details>', {
      open = (i == 1 or i <= OPEN and count <= LONG) and " open" or "",
      arm = one and one .. ": " or "", title = t.title,
      n = html.plural(count, "row"), note = t.note and html.fill('<p class="hint">{note}</p>', t) or "",
      head = (t.arms and "<th scope=col>arm</th>" or "") .. html.each(t.head, function(word, k)
        return ("<th scope=col%s>%s</th>"):format(most[k] and " class=n" or "", html.escape(word))
      end), body = body_of(t, most, classes) })
  end) .. "</section>"
end

return compare
