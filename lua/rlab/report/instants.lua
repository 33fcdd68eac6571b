-- The tables behind a timeline: for each lane its values at every instant at which something changed, and
-- what happened when.
local axis = require "rlab.report.axis"
local html = require "rlab.report.html"

local M = {}

local TABLE_ROWS = 40

local function happenings(lane)
  local list = {}
  local function add(kind, item, text)
    list[#list + 1] = { kind = kind, at = item.at or 0, till = item["until"], text = text }
  end
  for _, f in ipairs(lane.faults) do add("fault", f, f.text) end
  for _, s in ipairs(lane.spans) do add(s.kind, s, s.text) end
  for _, e in ipairs(lane.events) do add(e.kind == "anomaly" and "first anomaly" or "event", e, e.text) end
  table.sort(list, function(a, b) return a.at < b.at end)
  return html.each(list, function(h)
    return html.fill("<tr><td>{kind}</td><td>{text}</td><td class=n>{at}</td><td class=n>{till}</td></tr>", {
      kind = h.kind, text = h.text, at = html.seconds(h.at), till = h.till and html.seconds(h.till) or "" })
  end)
end

-- The instants at which something changes, evenly thinned when there are very many.
local function instants(list)
  local times, seen = {}, {}
  for _, s in ipairs(list) do
    for _, p in ipairs(s.points) do
      if not seen[p[1]] then
        seen[p[1]] = true
        times[#times + 1] = p[1]
      end
    end
  end
  table.sort(times)
  if #times <= TABLE_ROWS then return times, 1 end
  local out, step = {}, math.ceil(#times / TABLE_ROWS)
  for i = 1, #times, step do out[#out + 1] = times[i] end
  return out, step
end

function M.of(lane)
  local list = axis.all_series(lane)
  local times, step = instants(list)
  local head = html.each(list, function(s) return html.fill("<th scope=col class=n>{key}</th>", s) end)
  local body = html.each(times, function(t)
    return "<tr><td class=n>" .. html.escape(html.seconds(t)) .. "</td>" .. html.each(list, function(s)
      local v = axis.value_at(s, t)
      return "<td class=n>" .. (v and html.escape(html.number(v)) or "–") .. "</td>"
    end) .. "</tr>"
  end)
  local events = happenings(lane)
  local thinned = step > 1 and html.fill(
    "<p class=hint>Every {n}th instant; all of them are in samples.jsonl.</p>", { n = step }) or ""
  return html.fill("<h3>{name}</h3>", { name = axis.lane_name(lane) })
    .. (#list > 0 and '<div class="scroll"><table><thead><tr><th scope=col class=n>time</th>' .. head
      .. "</tr></thead><tbody>" .. body .. "</tbody></table></div>" .. thinned or "")
    .. (events ~= "" and '<div class="scroll"><table><thead><tr><th scope=col>kind</th><th \z
      scope=col>what</th>'
      .. "<th scope=col class=n>from</th><th scope=col class=n>until</th></tr></thead><tbody>" .. events
        .. "</tbody></table></div>" or "")
end

return M
