-- From samples to something that can be drawn: lanes (an arm, or what all arms share), their panels
-- (one prefix and one family of series) and, for each series, only the points where its value changes.
local series = {}

-- order: which is drawn and named first. family: what may share an axis.
local KINDS = {
  leo = { order = 1, label = "LEO", family = "offset" },
  hw = { order = 2, label = "HW", family = "offset" },
  lso = { order = 3, label = "LSO", family = "offset" },
  committed = { order = 4, label = "committed", family = "offset" },
  position = { order = 5, label = "position", family = "offset" },
  seen = { order = 6, label = "seen", family = "offset" },
  low = { order = 7, label = "low", family = "offset" },
  backlog = { order = 8, label = "backlog", family = "count" },
  lag = { order = 9, label = "lag", family = "count" },
  unseen = { order = 10, label = "unseen", family = "count" },
  duplicates = { order = 11, label = "applied twice", family = "count" },
  stale = { order = 12, label = "stale", family = "count" },
  reads = { order = 13, label = "database reads", family = "count" },
}
local OTHER = { order = 20, family = "count" }
local FAMILIES = { offset = 1, count = 2 } -- then what has a unit

-- What is measured in seconds, milliseconds or MiB says so in its prefix, and shares no axis with anything
-- else.
local function unit_of(prefix)
  local unit = prefix:match "^seconds$" or prefix:match ", (m?s)$" or prefix:match ", (MiB)$"
  return unit and "unit, " .. unit
end

-- parse("p0.hw") -> {prefix="p0", kind="hw"}, parse("lag.watermark") -> {prefix="", kind="lag", label="lag
--   (watermark)"}; family: what it may share an axis with
function series.parse(key)
  local prefix, last = key:match("^(.*)%.([^.]+)$")
  last = last or key
  local known = KINDS[last]
  if known then
    return { key = key, prefix = prefix or "", kind = last, label = known.label, family = known.family }
  end
  local first, rest = key:match("^([^.]+)%.(.+)$")
  if first and KINDS[first] then
    return { key = key, prefix = "", kind = first, label = KINDS[first].label .. " (" .. rest .. ")",
      family = KINDS[first].family }
  end
  return { key = key, prefix = prefix or "", kind = "other", label = last,
    family = unit_of(prefix or "") or OTHER.family }
end

local function info(kind)
  return KINDS[kind] or OTHER
end

-- The points {t, value} where a series changes, plus its last; false is "nobody knows" (a sample without it).
local function changes_of(rows, key)
  local points, last, first_at, last_at = {}, nil, nil, nil
  for i, row in ipairs(rows) do
    if type(row[key]) == "number" then
      first_at = first_at or i
      last_at = i
    end
  end
  for i = first_at or 1, last_at or 0 do
    local v = rows[i][key]
    if type(v) ~= "number" then v = false end
    if v ~= last then points[#points + 1] = { rows[i].t, v } end
    last = v
  end
  return points, first_at, last_at
end

-- Long runs keep at most `limit` changes per series: the last of each slice, so that the end stays true.
local function thinned(points, limit)
  if #points <= limit then return points end
  local out, step = { points[1] }, (#points - 1) / (limit - 1)
  for i = 1, limit - 1 do out[#out + 1] = points[math.floor(1 + i * step + 0.5)] end
  return out
end

local function always_zero(points)
  for _, p in ipairs(points) do
    if p[2] and p[2] ~= 0 then return false end
  end
  return true
end

local function panels_of(rows, limit)
  local keys, panels, by_name = {}, {}, {}
  for _, row in ipairs(rows) do
    for key, v in pairs(row) do
      if key ~= "t" and key ~= "arm" and type(v) == "number" then keys[key] = true end
    end
  end
  local list = {}
  for key in pairs(keys) do list[#list + 1] = series.parse(key) end
  table.sort(list, function(a, b)
    local x, y = info(a.kind), info(b.kind)
    local first, second = FAMILIES[a.family] or 3, FAMILIES[b.family] or 3
    if first ~= second then return first < second end
    if a.prefix ~= b.prefix then return a.prefix < b.prefix end
    if x.order ~= y.order then return x.order < y.order end
    return a.key < b.key
  end)
  for _, s in ipairs(list) do
    local points, _, last_at = changes_of(rows, s.key)
    s.points = thinned(points, limit)
    s.until_t = last_at and rows[last_at].t or 0
    s.last = points[#points] and points[#points][2]
    if not (s.kind == "low" and always_zero(points)) then
      local name = s.prefix .. "\0" .. s.family
      local panel = by_name[name]
      if not panel then
        panel = { prefix = s.prefix, family = s.family, series = {} }
        by_name[name] = panel
        panels[#panels + 1] = panel
      end
      panel.series[#panel.series + 1] = s
    end
  end
  return panels
end

local function scale_of(panel)
  local lo, hi
  for _, s in ipairs(panel.series) do
    for _, p in ipairs(s.points) do
      if p[2] then
        lo = math.min(lo or p[2], p[2])
        hi = math.max(hi or p[2], p[2])
      end
    end
  end
  lo, hi = lo or 0, hi or 1
  if lo > 0 and lo < hi * 0.6 or lo == hi and lo > 0 then lo = 0 end
  if lo == hi then hi = lo + 1 end
  return lo, hi
end

-- Panels of one family share one scale, so that arms compare by eye, unless a busy one would be squashed
-- flat.
local function share_scales(lanes)
  local most = {}
  local function each(f)
    for _, lane in ipairs(lanes) do
      for _, panel in ipairs(lane.panels) do f(panel) end
    end
  end
  each(function(panel)
    panel.lo, panel.hi = scale_of(panel)
    local m = most[panel.family] or { lo = panel.lo, hi = panel.hi }
    m.lo, m.hi = math.min(m.lo, panel.lo), math.max(m.hi, panel.hi)
    most[panel.family] = m
  end)
  each(function(panel)
    local m = most[panel.family]
    local span = panel.hi - panel.lo
    if span <= 10 or span >= 0.05 * (m.hi - m.lo) then panel.lo, panel.hi = m.lo, m.hi end
  end)
end

-- split_row(row, known) -> what belongs to no arm | nil, {arm = its row}: in a shared script (a fault that
--   all arms live through) a sample carries the arm as a prefix: "acks-1.hw". known: set of the arms' names.
function series.split_row(row, known)
  local rest, mine, any = { t = row.t }, {}, false
  for key, v in pairs(row) do
    local prefix, tail = key:match("^(.-)%.(.+)$")
    local arm = prefix and known[prefix] and prefix
    if not arm and key ~= "t" then
      local stem, kind = key:match("^(.*)%.([^.]+)$")
      if stem and known[stem] then arm, tail = stem, kind end
    end
    if arm then
      mine[arm] = mine[arm] or { t = row.t }
      mine[arm][tail] = v
    elseif key ~= "t" then
      rest[key], any = v, true
    end
  end
  return any and rest or nil, mine
end

local function split_shared(rows, arms)
  local known, left, of_arm = {}, {}, {}
  for _, arm in ipairs(arms) do known[arm.name] = true end
  for _, row in ipairs(rows) do
    local rest, mine = series.split_row(row, known)
    for arm in pairs(mine) do of_arm[arm] = of_arm[arm] or {} end
    for arm, list in pairs(of_arm) do list[#list + 1] = mine[arm] or { t = row.t } end
    left[#left + 1] = rest
  end
  return left, of_arm
end

-- What happened in a lane, each with a `text`, whatever its kind calls it. Without an instant it cannot be
-- drawn.
local function in_scope(list, arm, shared)
  local out = {}
  for _, item in ipairs(list or {}) do
    if type(item.at) == "number" and (item.arm == arm or (shared and item.arm == nil)) then
      out[#out + 1] = setmetatable(
        { text = tostring(item.text or item.label or item.name or item.kind or "") }, { __index = item })
    end
  end
  return out
end

-- The instant of a lane's first anomaly: an event that says so, or the earliest counterexample with a time.
local function anomaly_of(lane, result)
  local first
  local function offer(at, text)
    if type(at) == "number" and (not first or at < first.at) then first = { at = at, text = text } end
  end
  for _, e in ipairs(lane.events) do
    if e.kind == "anomaly" then offer(e.at, e.text) end
  end
  for _, c in ipairs(result.checks or {}) do
    if lane.arm and c.arm == lane.arm.name and c.outcome == "violated" then
      for _, x in ipairs(c.counterexamples or {}) do offer(x.at, c.sentence or c.name) end
    end
  end
  return first
end

local function end_of(lane)
  local last = lane.duration or 0
  for _, list in ipairs { lane.faults, lane.spans, lane.events } do
    for _, item in ipairs(list) do last = math.max(last, item["until"] or item.at or 0) end
  end
  for _, row in ipairs(lane.rows) do last = math.max(last, row.t) end
  return last
end

local function new_lane(result, arm, rows, shared, limit)
  local name = arm and arm.name
  local lane = {
    arm = arm, shared = shared, rows = rows,
    panels = panels_of(rows, limit),
    faults = in_scope(result.faults, name, shared),
    spans = in_scope(result.spans, name, shared),
    events = in_scope(result.events, name, shared and not arm),
    duration = not shared and arm and arm.duration or shared and result.setup and result.setup.duration,
  }
  lane.anomaly = anomaly_of(lane, result)
  lane.last = end_of(lane)
  return lane
end

local function worth_drawing(lane)
  return #lane.panels + #lane.faults + #lane.spans + #lane.events > 0
end

local function end_of_all(lanes)
  local last = 0
  for _, lane in ipairs(lanes) do last = math.max(last, lane.last) end
  return last > 0 and last or 1
end

-- groups(result, samples) -> list of {lanes=, last=}, one for each time axis: the shared setup's, and the
--   arms'. When the arms were sampled inside the setup they share its axis. Nothing is returned when there
--   is nothing to draw.
function series.groups(result, samples, limit)
  limit = limit or 400
  local shared, own = {}, {}
  for _, row in ipairs(samples) do
    if type(row.t) == "number" then
      local list = shared
      if row.arm ~= nil then
        own[row.arm] = own[row.arm] or {}
        list = own[row.arm]
      end
      list[#list + 1] = row
    end
  end
  local rest, of_arm = split_shared(shared, result.arms or {})
  local lanes, any, split_up = {}, false, next(of_arm) ~= nil
  local setup = new_lane(result, nil, rest, true, limit)
  for _, arm in ipairs(result.arms or {}) do
    local split = split_up and not own[arm.name]
    local lane = new_lane(result, arm, own[arm.name] or of_arm[arm.name] or {}, split, limit)
    any = any or worth_drawing(lane)
    lanes[#lanes + 1] = lane
  end
  local groups = any and { { lanes = lanes } } or {}
  if worth_drawing(setup) then
    if any and split_up then
      table.insert(lanes, 1, setup)
    else
      table.insert(groups, 1, { lanes = { setup } })
    end
  end
  share_scales(any and { setup, table.unpack(lanes) } or { setup })
  for _, group in ipairs(groups) do group.last = end_of_all(group.lanes) end
  return groups
end

-- ticks(6.4, 8) -> {0, 1, 2, ...}, step: round seconds, about `count` of them.
function series.ticks(last, count)
  local step = 10 ^ math.floor(math.log(last / count, 10))
  for _, m in ipairs { 1, 2, 5, 10 } do
    if last / (step * m) <= count then
      step = step * m
      break
    end
  end
  local out, n = {}, 0
  while n * step <= last + 1e-9 do
    out[#out + 1] = n * step
    n = n + 1
  end
  return out, step
end

return series
