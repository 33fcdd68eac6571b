-- grafana(board) -> the JSON of one dashboard of deploy/boards.lua, a table for deps/bill/json.lua. Ids
-- are those of the place in the list, so that the same table gives the same bytes.
local json = dofile "deps/bill/json.lua"

local SOURCE = { type = "prometheus", uid = "rlab-prometheus" }
local WIDTH, HEIGHT = 12, 8

local function target(query, i)
  return { datasource = SOURCE, editorMode = "code", expr = query[1], legendFormat = query[2], range = true,
    refId = string.char(64 + i) }
end

-- what stands at the right has an axis of its own
local function overrides(panel)
  local list = {}
  for i = 3, #panel do
    if panel[i].right then
      list[#list + 1] = {
        matcher = { id = "byFrameRefID", options = string.char(64 + i - 2) },
        properties = { { id = "custom.axisPlacement", value = "right" },
          { id = "unit", value = panel[i].right } },
      }
    end
  end
  return json.list(list)
end

local function panel_of(panel, i)
  local targets = {}
  for at = 3, #panel do targets[at - 2] = target(panel[at], at - 2) end
  return {
    id = i, title = panel[1], type = "timeseries", datasource = SOURCE, targets = targets,
    gridPos = { h = HEIGHT, w = WIDTH, x = (i - 1) % 2 * WIDTH, y = (i - 1) // 2 * HEIGHT },
    fieldConfig = {
      defaults = { unit = panel[2], min = 0,
        custom = { lineWidth = 2, fillOpacity = 8, showPoints = "never", spanNulls = false } },
      overrides = overrides(panel),
    },
    options = { legend = { displayMode = "list", placement = "bottom", showLegend = true },
      tooltip = { mode = "multi", sort = "desc" } },
  }
end

local function annotation(row)
  return { datasource = SOURCE, enable = true, name = row[1], iconColor = row[2], expr = row[3],
    titleFormat = row[1], textFormat = row[4], step = "5s" }
end

return function(board)
  local panels, annotations = {}, {}
  for i, panel in ipairs(board.panels) do panels[i] = panel_of(panel, i) end
  for i, row in ipairs(board.annotations or {}) do annotations[i] = annotation(row) end
  return {
    uid = board.uid, title = board.title, tags = { "rlab" }, schemaVersion = 39, version = 1,
    editable = false, refresh = "5s", time = { from = board.from or "now-15m", to = "now" },
    timezone = "browser", panels = panels, annotations = { list = json.list(annotations) },
    templating = { list = json.list {} },
    links = { { type = "dashboards", tags = { "rlab" }, title = "rlab", asDropdown = true,
      includeVars = false, keepTime = true } },
  }
end
