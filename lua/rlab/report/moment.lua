-- The moment: the records around the first anomaly, one cell an offset, with the watermarks as flags over
-- them and the rows of other stores below. Drawn for three widths; the style sheet shows the one that fits.
local html = require "rlab.report.html"

local moment = {}

local WIDTHS = { { "wide", 1120 }, { "mid", 680 }, { "slim", 340 } }
local CELL, MARKER, FOLD, HEIGHT = 56, 24, 66, 34
local LETTER, SHORT = 6.35, 8 -- of an id, in the type of the cells; as many fit into each
local FLAG, ROOM = 17, 8
local LARGEST = 1.6
local BOLD = 1.2 -- how much wider the words of flags are in a wide font
local RUN = 8 -- a run this long is folded to its ends
local MOST, NEAR = 26, 6 -- more than so many cells left: only those near a mark or a link stay

local WORDS = {
  committed = "committed record", aborted = "aborted record", control = "transaction marker",
  open = "record of an open transaction", lost = "lost record", doubled = "doubled record", plain = "record",
  parked = "parked record", late = "late record",
  ghost = "record of work that was rolled back",
}
local KIND_ORDER = { "plain", "committed", "aborted", "control", "open", "lost", "doubled",
  "parked", "late", "ghost" }
local MARKS = { { "low", "low" }, { "committed", "committed" }, { "lso", "LSO" }, { "hw", "HW" },
  { "leo", "LEO" } }

local function kind_of(cell)
  return WORDS[cell.kind] and cell.kind or "plain"
end

-- ---- folding ----

local function pinned_offsets(partition, links)
  local pins = {}
  for _, m in ipairs(MARKS) do
    local at = (partition.marks or {})[m[1]]
    if at then pins[at], pins[at - 1] = true, true end
  end
  for _, link in ipairs(links) do pins[link.offset] = true end
  return pins
end

local function signature(cell)
  return kind_of(cell) .. (kind_of(cell) == "control" and tostring(cell.label) or "")
end

-- How many cells from i on repeat with the given period and touch nothing that must stay visible.
local function run_length(cells, i, period, pins)
  local n = 0
  while cells[i + n] and not pins[cells[i + n].offset]
    and (n < period or signature(cells[i + n]) == signature(cells[i + n - period])) do
    n = n + 1
  end
  return n
end

local function fold_of(cells, from, to)
  local counts = {}
  for i = from, to do counts[kind_of(cells[i])] = (counts[kind_of(cells[i])] or 0) + 1 end
  return { fold = true, n = to - from + 1, first = cells[from].offset, last = cells[to].offset,
    counts = counts }
end

-- fold(cells, pins) -> cells with long runs ("record, marker, record, marker ...") replaced by one fold each.
local function fold(cells, pins)
  local out, i = {}, 1
  while i <= #cells do
    local n, period = 0, 1
    for p = 1, 2 do
      local length = run_length(cells, i, p, pins)
      if length > n and length >= RUN * p then n, period = length, p end
    end
    if n > 0 then
      local keep = 2 * period
      for k = i, i + keep - 1 do out[#out + 1] = cells[k] end
      out[#out + 1] = fold_of(cells, i + keep, i + n - keep - 1)
      for k = i + n - keep, i + n - 1 do out[#out + 1] = cells[k] end
      i = i + n
      if n == 2 * keep then table.remove(out, #out - keep) end
    else
      out[#out + 1] = cells[i]
      i = i + 1
    end
  end
  return out
end

-- A log without rhythm still has to fit: of what is far from every pin only the sum is shown.
local function fold_far(cells, folded, pins)
  if #folded <= MOST then return folded end
  local near = {}
  for i, c in ipairs(cells) do
    if pins[c.offset] then
      for k = i - NEAR, i + NEAR do near[k] = true end
    end
  end
  local out, i = {}, 1
  while i <= #cells do
    local j = i
    while cells[j] and not near[j] do j = j + 1 end
    if j - i > 2 then
      out[#out + 1] = fold_of(cells, i, j - 1)
      i = j
    else
      out[#out + 1] = cells[i]
      i = i + 1
    end
  end
  return out
end

-- ---- layout ----

local function width_of(cell, record)
  return cell.fold and FOLD or kind_of(cell) == "control" and MARKER or record
end

-- The width of a record's cell: that of the longest id where all of them fit beside each other.
local function record_width(cells, outer)
  local longest, content = 0, 0
  for _, cell in ipairs(cells) do longest = math.max(longest, utf8.len(tostring(cell.id or "")) or 0) end
  if longest <= SHORT then return CELL end
  local record = math.ceil(longest * LETTER) + 12
  for _, cell in ipairs(cells) do content = content + width_of(cell, record) end
  return content <= outer and record or CELL
end

local function rows_of(cells, width, record)
  local rows, row, x = {}, { cells = {} }, 0
  for _, cell in ipairs(cells) do
    local w = width_of(cell, record)
    if x + w > width and #row.cells > 0 then
      rows[#rows + 1] = row
      row, x = { cells = {} }, 0
    end
    row.cells[#row.cells + 1] = { cell = cell, x = x, w = w }
    x = x + w
    row.width = x
  end
  if #row.cells > 0 then rows[#rows + 1] = row end
  return rows
end

local function last_offset(cell)
  return cell.fold and cell.last or cell.offset
end

-- The boundary before an offset: its row and x. After the last cell it is the right edge of the last row.
local function boundary(rows, offset)
  for _, row in ipairs(rows) do
    for _, p in ipairs(row.cells) do
      if last_offset(p.cell) >= offset then return row, p.x end
    end
  end
  local row = rows[#rows]
  return row, row.width
end

local function flags_of(rows, marks)
  local by_offset, order = {}, {}
  for _, m in ipairs(MARKS) do
    local at = marks[m[1]]
    if math.type(at) == "integer" then
      if not by_offset[at] then
        by_offset[at] = {}
        order[#order + 1] = at
      end
      table.insert(by_offset[at], m)
    end
  end
  table.sort(order)
  for _, at in ipairs(order) do
    local row, x = boundary(rows, at)
    row.flags = row.flags or {}
    table.insert(row.flags, { at = at, x = x, marks = by_offset[at] })
  end
end

local function flag_text(flag)
  local names = {}
  for _, m in ipairs(flag.marks) do names[#names + 1] = m[2] end
  return table.concat(names, " = ") .. " " .. html.number(flag.at)
end

-- Flags stand on levels so that their texts do not run into one another.
local function stack_flags(row, width)
  local ends = {}
  for _, f in ipairs(row.flags or {}) do
    local w = BOLD * html.text_width(flag_text(f), 12) + 10
    f.right = f.x + w > width
    local from, to = f.right and f.x - w or f.x, f.right and f.x or f.x + w
    local level = 1
    while ends[level] and ends[level] > from do level = level + 1 end
    for l = 1, level do ends[l] = math.max(ends[l] or 0, l == level and to + 4 or f.x + 4) end
    f.level = level
  end
  row.levels = #ends
end

-- From right to left, so that a line on its way down passes left of the boxes above its own.
local function link_rows(row, links, width)
  local starts = {}
  row.links = {}
  for i = #row.cells, 1, -1 do
    local p = row.cells[i]
    for _, link in ipairs(links) do
      if not p.cell.fold and link.offset == p.cell.offset then
        local w = math.min(html.text_width(link.store .. " " .. link.text, 11.5) + 20, width)
        local from = p.x + p.w / 2
        local x = math.max(0, math.min(from - 14, width - w))
        local level = 1
        while starts[level] and starts[level] < x + w + 8 do level = level + 1 end
        for l = 1, level do starts[l] = math.min(starts[l] or math.huge, l == level and x or from - 4) end
        table.insert(row.links, { link = link, x = x, w = w, level = level, from = from })
      end
    end
  end
  row.link_levels = #starts
end

-- ---- drawing ----

local function text(class, x, y, s, anchor)
  return ('<text class="%s" x="%.1f" y="%.1f"%s>%s</text>'):format(class, x, y,
    anchor and (' text-anchor="' .. anchor .. '"') or "", html.escape(s))
end

local function fold_words(cell)
  local parts = {}
  for _, kind in ipairs(KIND_ORDER) do
    local n = cell.counts[kind]
    if n then
      parts[#parts + 1] = html.number(n) .. " "
        .. (n == 1 and WORDS[kind] or WORDS[kind]:gsub("record", "records"):gsub("marker$", "markers"))
    end
  end
  return table.concat(parts, ", ")
end

local function draw_fold(p, y)
  local cell = p.cell
  return ('<g><title>%s</title><path class="fold" d="M%.1f %.1fh10m%d 0h10"/>'):format(
    html.escape(("offsets %d to %d: %s"):format(cell.first, cell.last, fold_words(cell))), p.x + 5,
    y + HEIGHT / 2, p.w - 30)
    .. text("foldn", p.x + p.w / 2, y + 21, "+" .. html.number(cell.n), "middle")
    .. text("off", p.x + p.w / 2, y + HEIGHT + 13, cell.first .. "–" .. cell.last, "middle") .. "</g>"
end

local function cell_title(cell, partition)
  local words = { WORDS[kind_of(cell)], "offset " .. tostring(cell.offset),
    "partition " .. tostring(partition) }
  if cell.id then words[#words + 1] = "id " .. tostring(cell.id) end
  if cell.key then words[#words + 1] = "key " .. tostring(cell.key) end
  if cell.label then words[#words + 1] = tostring(cell.label) end
  return table.concat(words, ", ")
end

local function draw_cell(p, y, partition)
  local cell = p.cell
  if cell.fold then return draw_fold(p, y) end
  local kind, mid = kind_of(cell), p.x + p.w / 2
  local rect = '<rect class="%s" x="%.1f" y="%.1f" width="%d" height="%d" rx="2"/>'
  local out = { '<g><title>', html.escape(cell_title(cell, partition)), "</title>" }
  if kind == "doubled" then out[#out + 1] = rect:format("c-doubled", p.x + 5.5, y - 3.5, p.w - 6, HEIGHT) end
  out[#out + 1] = rect:format("c-" .. kind, p.x + 2, y, p.w - 4, HEIGHT)
  local inside = kind == "control" and (cell.label and tostring(cell.label):sub(1, 1) or "m")
    or cell.id and html.tail(cell.id, math.max(SHORT, (p.w - 6) // LETTER)) or cell.label
  if inside then out[#out + 1] = text("id i-" .. kind, mid, y + HEIGHT / 2 + 4, inside, "middle") end
  if kind == "lost" then
    out[#out + 1] = ('<path class="cross" d="M%.1f %.1fl%d %d"/>'):format(p.x + 4, y + HEIGHT - 3, p.w - 8,
      6 - HEIGHT)
  end
  out[#out + 1] = text("off", mid, y + HEIGHT + 13, cell.offset, "middle") .. "</g>"
  return table.concat(out)
end

local function draw_flag(f, top, y, levels)
  local line = top + (levels - f.level) * FLAG
  local x = f.x
  local spans = {}
  for i, m in ipairs(f.marks) do
    spans[i] = ('<tspan class="t-%s">%s</tspan>'):format(m[1], m[2])
  end
  return ('<path class="pole s-%s" d="M%.1f %.1fV%.1f"/><text class="flag" x="%.1f" y="%.1f"%s>%s <tspan \z
    class="v">%s</tspan></text>'):format(
    f.marks[#f.marks][1], x, line, y + HEIGHT + 2, f.right and x - 5 or x + 5, line + 11,
    f.right and ' text-anchor="end"' or "", table.concat(spans, " = "), html.escape(html.number(f.at)))
end

-- The stretch between two watermarks, named: what a reader cannot see, what is not replicated, what lag
-- counts.
local STRETCHES = {
  { "lso", "hw", "hidden behind the LSO" },
  { "hw", "leo", "on the leader only, above the HW" },
  { "committed", "hw", "counted as lag" },
}

local function stretches_of(marks)
  local out = {}
  for _, s in ipairs(STRETCHES) do
    local a, b = marks[s[1]], marks[s[2]]
    if math.type(a) == "integer" and math.type(b) == "integer" and b > a then
      out[#out + 1] = { from = a, to = b, class = s[1], text = ("%d %s"):format(b - a, s[3]) }
    end
  end
  return out
end

local function draw_stretch(row, s, y)
  local x1, x2
  for _, p in ipairs(row.cells) do
    if last_offset(p.cell) >= s.from and (p.cell.fold and p.cell.first or p.cell.offset) < s.to then
      x1 = x1 or p.x
      x2 = p.x + p.w
    end
  end
  if not x1 then return nil end
  local out = ('<path class="stretch s-%s" d="M%.1f %.1fv-5M%.1f %.1fv-5M%.1f %.1fH%.1f"/>'):format(s.class,
    x1 + 2.5, y, x2 - 2.5, y, x1 + 2.5, y, x2 - 2.5)
  local fits = x1 + html.text_width(s.text, 12) < row.limit
  if not s.told then
    s.told = true
    out = out .. text("told t-" .. s.class, fits and x1 + 3 or x2 - 3, y + 14, s.text,
      not fits and "end" or nil)
  end
  return out
end

local function draw_links(row, y, bottom)
  local ties = html.each(row.links, function(l)
    return ('<path class="tie" d="M%.1f %.1fV%.1f"/>'):format(l.from, bottom, y + (l.level - 1) * 34)
  end)
  return ties .. html.each(row.links, function(l)
    local top = y + (l.level - 1) * 34
    return ('<rect class="row" x="%.1f" y="%.1f" width="%.1f" height="24" rx="2"/>'):format(l.x + 0.5, top,
      l.w - 1)
      .. ('<text class="rowt" x="%.1f" y="%.1f"><tspan class="store">%s</tspan> %s</text>'):format(
        l.x + 8, top + 16, html.escape(l.link.store), html.escape(l.link.text))
  end)
end

local function draw_row(row, top, partition, stretches)
  local y = top + row.levels * FLAG + (row.levels > 0 and ROOM or 0)
  local out, bottom = {}, y + HEIGHT + 18
  for _, p in ipairs(row.cells) do out[#out + 1] = draw_cell(p, y, partition) end
  for _, f in ipairs(row.flags or {}) do out[#out + 1] = draw_flag(f, top, y, row.levels) end
  for _, s in ipairs(stretches) do
    local d = draw_stretch(row, s, bottom + 8)
    if d then
      out[#out + 1] = d
      bottom = bottom + 26
    end
  end
  if #row.links > 0 then
    out[#out + 1] = draw_links(row, bottom + 14, y + HEIGHT + 17)
    bottom = bottom + 14 + row.link_levels * 34
  end
  return table.concat(out), bottom + 14
end

local function summary_of(partition)
  local counts, marks = {}, {}
  for _, c in ipairs(partition.cells) do counts[kind_of(c)] = (counts[kind_of(c)] or 0) + 1 end
  for _, m in ipairs(MARKS) do
    local at = (partition.marks or {})[m[1]]
    if at then marks[#marks + 1] = m[2] .. " " .. tostring(at) end
  end
  return ("%s, partition %s: %s; %s"):format(tostring(partition.topic), tostring(partition.partition),
    fold_words { counts = counts }, table.concat(marks, ", "))
end

-- A short log is drawn larger: a few cells in the corner of a page are not looked at.
local function scale_for(cells, width, record)
  local content = 0
  for _, cell in ipairs(cells) do content = content + width_of(cell, record) end
  return math.max(1, math.min(LARGEST, width / (1.25 * math.max(content, 1))))
end

local function draw(partition, links, name, outer)
  local pins = pinned_offsets(partition, links)
  local cells = fold_far(partition.cells, fold(partition.cells, pins), pins)
  local record = record_width(cells, outer)
  local width = math.floor(outer / scale_for(cells, outer, record))
  local rows = rows_of(cells, width, record)
  flags_of(rows, partition.marks or {})
  local stretches, out, y = stretches_of(partition.marks or {}), {}, 2
  for _, row in ipairs(rows) do
    row.limit = width
    stack_flags(row, width)
    link_rows(row, links, width)
    local drawn
    drawn, y = draw_row(row, y, partition.partition, stretches)
    out[#out + 1] = drawn
  end
  return ('<svg class="cells %s" role="img" aria-label="%s" viewBox="-1 0 %d %d" \z
    style="max-width:%dpx">%s</svg>'):format(
    name, html.escape(summary_of(partition)), width + 2, math.ceil(y), outer + 2, table.concat(out))
end

local HATCH = '<svg class="defs" aria-hidden="true" focusable="false" width="0" height="0"><defs><pattern \z
  id="hatch" width="6" height="6" '
  .. 'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 \z
    0V6"/></pattern></defs></svg>'

local function key_of(partitions)
  local present, labelled = {}, false
  for _, p in ipairs(partitions) do
    for _, c in ipairs(p.cells) do
      present[kind_of(c)] = true
      labelled = labelled or c.kind == "control" and c.label ~= nil
    end
  end
  return html.each(KIND_ORDER, function(kind)
    if not present[kind] then return "" end
    local cross = kind == "lost" and '<path class="cross" d="M2 13L24 3"/>' or ""
    local back = kind == "doubled" and '<rect class="c-doubled" x="5" y="0.5" width="20" height="12" \z
      rx="2"/>' or ""
    return ('<li><svg viewBox="0 0 27 16" aria-hidden="true">%s<rect class="c-%s" x="1.5" y="3" \z
      width="20" height="12" rx="2"/>%s</svg>%s</li>'):format(
      back, kind, cross, WORDS[kind] .. (kind == "control" and labelled and ": c commit, a abort" or ""))
  end)
end

local function table_of(partition, links)
  local texts = {}
  for _, l in ipairs(links) do
    texts[l.offset] = (texts[l.offset] and texts[l.offset] .. "; " or "") .. l.store .. ": " .. l.text
  end
  local body = html.each(partition.cells, function(c)
    return html.fill("<tr><td class=n>{offset}</td><td>{kind}</td><td><code>{id}</code></td>\z
      <td><code>{key}</code></td><td>{rows}</td></tr>", {
      offset = tostring(c.offset), kind = WORDS[kind_of(c)] .. (c.label and ": " .. tostring(c.label) or ""),
      id = c.id, key = c.key, rows = texts[c.offset] })
  end)
  return html.fill("<h3>{name}</h3>", { name = summary_of(partition) })
    .. '<div class="scroll"><table><thead><tr><th scope=col class=n>offset</th><th scope=col>what</th><th \z
      scope=col>id</th>'
    .. "<th scope=col>key</th><th scope=col>rows of other stores</th></tr></thead><tbody>" .. body
      .. "</tbody></table></div>"
end

local function links_of(m, partition)
  local out = {}
  for _, l in ipairs(m.links or {}) do
    if l.partition == partition.partition and (l.topic == nil or l.topic == partition.topic) and l.offset then
      out[#out + 1] = { offset = l.offset, store = tostring(l.store or ""), text = tostring(l.text or "") }
    end
  end
  return out
end

-- render(moment) -> HTML of the section, or "" when the run has no moment to show.
function moment.render(m)
  local partitions = {}
  for _, p in ipairs(m and m.partitions or {}) do
    if p.cells and #p.cells > 0 then partitions[#partitions + 1] = p end
  end
  if #partitions == 0 then return "" end
  local figures = html.each(partitions, function(p)
    local links = links_of(m, p)
    return html.fill('<figure class="part"><figcaption><code>{topic}</code> partition \z
      {partition}</figcaption>{!drawn}</figure>', {
      topic = p.topic, partition = tostring(p.partition or 0),
      drawn = html.each(WIDTHS, function(w) return draw(p, links, w[1], w[2]) end) })
  end)
  return html.fill([[
<section id="moment"><h2>The moment</h2><h3 class="title">{title}</h3>
<p class="lead">{note}</p>{!hatch}{!figures}
<ul class="key">{!key}</ul>
<details class="data"><summary>The offsets as a table</summary>{!tables}</details></section>
]], { title = m.title, note = m.note, hatch = HATCH, figures = figures, key = key_of(partitions),
    tables = html.each(partitions, function(p) return table_of(p, links_of(m, p)) end) })
end

return moment
