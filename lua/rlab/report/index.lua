-- index.write(runs): runs/index.html, the list of experiments with their latest verdict and the runs before
-- it, and the track record of each arm.
local fs = require "rlab.fs"
local html = require "rlab.report.html"
local kept = require "rlab.run.kept"
local page = require "rlab.report.page"
local report = require "rlab.report"
local track_record = require "rlab.run.track_record"

local index = {}

local SHOWN = 24

local function url_part(s)
  return (s:gsub("[^%w%-_.~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function href(id, name)
  return html.escape(url_part(id) .. "/" .. url_part(name) .. "/report.html")
end

local function past(id, list)
  local marks = {}
  for i = #list, 1, -1 do
    local word, tone = page.verdict(list[i].result)
    marks[#marks + 1] = html.fill(
      '<a class="{tone}" href="{!href}" title="{name}: {word}" aria-label="{name}: {word}"></a>', {
      tone = tone, href = href(id, list[i].name), name = list[i].name, word = word })
  end
  return table.concat(marks)
end

local function row(id, list)
  local latest = list[1]
  local result = latest.result
  local word, tone = page.verdict(result)
  local run = type(result.run) == "table" and result.run or {}
  return html.fill([[
<tr><th scope="row"><a href="{!href}">{id}</a></th><td>{title}</td>
<td><b class="call {tone}">{word}</b> {sentence}</td>
<td class="n" data-label="seed">{seed}</td><td class="n" data-label="took">{took}</td>
<td class="when" data-label="started">{started}</td>
<td class="past" data-label="runs">{!past}</td></tr>
]], { href = href(id, latest.name), id = id, title = result.title, tone = tone, word = word,
      sentence = result.sentence, seed = run.seed and tostring(run.seed), took = html.seconds(run.duration),
      started = page.when(run.started), past = past(id, list) })
end

local HEAD = [[
<div class="scroll"><table class="runs"><thead><tr><th scope="col">id</th>
<th scope="col">experiment</th><th scope="col">latest verdict</th><th scope="col" class="n">seed</th>
<th scope="col" class="n">took</th><th scope="col">started</th>
<th scope="col">runs, in order</th></tr></thead><tbody>
]]

local RECORD_HEAD = [[
<div class="scroll"><table class="runs"><thead><tr><th scope="col">id</th><th scope="col">arm</th>
<th scope="col" class="n">runs</th><th scope="col" class="n">as predicted</th>
<th scope="col" class="n">inconclusive</th><th scope="col" class="n">not</th>
<th scope="col">why not as predicted</th></tr></thead><tbody>
]]

local function reasons(list)
  return html.each(list, function(reason)
    return html.fill("<div>{times}: {says}</div>", { times = reason.times .. " x", says = reason.says })
  end)
end

local function arm_row(id, arm)
  return html.fill([[
<tr><th scope="row">{id}</th><td class="who"><span class="cls {class}">{word}</span> {name}</td>
<td class="n" data-label="runs">{runs}</td><td class="n" data-label="as predicted">{predicted}</td>
<td class="n" data-label="inconclusive">{inconclusive}</td><td class="n" data-label="not">{otherwise}</td>
<td>{!why}</td></tr>
]], { id = id, class = html.class_of(arm), word = html.CLASSES[html.class_of(arm)], name = arm.name,
      runs = arm.runs, predicted = arm.predicted, inconclusive = arm.inconclusive,
      otherwise = arm.otherwise, why = reasons(arm.reasons) })
end

local function record(runs)
  local total = track_record.read(runs)
  if total.runs == 0 then return "" end
  return html.fill('<section id="record"><h2>Track record</h2><p class="lead">{says}. A run counts by its \z
    worst arm, also when its folder is gone.</p>', { says = track_record.sums_up(total) })
    .. RECORD_HEAD .. html.each(total.experiments, function(one)
      return html.each(one.arms, function(arm) return arm_row(one.id, arm) end)
    end) .. "</tbody></table></div></section>"
end

function index.render(runs)
  local rows, count = {}, 0
  for _, one in ipairs(kept.experiments(runs, SHOWN)) do
    rows[#rows + 1] = row(one.id, one.runs)
    count = count + 1
  end
  local body = count > 0 and HEAD .. table.concat(rows) .. "</tbody></table></div>" .. record(runs)
    or '<p class="lead">Nothing here yet. Run one: <code>rlab E-012</code></p>'
  return report.shell { title = "rlab: runs", js = "",
    body = '<header><p class="top"><b>rlab</b> runs</p><h1>'
      .. html.escape(html.plural(count, "experiment")) .. "</h1></header>" .. body }
end

-- write(runs) -> path | nil, err
function index.write(runs)
  local path = runs .. "/index.html"
  local ok, err = fs.write(path, index.render(runs))
  if not ok then return nil, err end
  return path
end

return index
