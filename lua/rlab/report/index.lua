-- index.write(runs): runs/index.html, the list of experiments with their latest verdict and the runs before
-- it.
local fs = require "rlab.fs"
local html = require "rlab.report.html"
local json = require "rlab.json"
local page = require "rlab.report.page"
local report = require "rlab.report"

local index = {}

local SHOWN = 24

local function url_part(s)
  return (s:gsub("[^%w%-_.~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function read_run(runs, id, name)
  local text = fs.read(("%s/%s/%s/result.json"):format(runs, id, name))
  if not text then return nil end
  local ok, result = pcall(json.decode, text)
  if not ok or type(result) ~= "table" then return nil end
  return { name = name, href = url_part(id) .. "/" .. url_part(name) .. "/report.html", result = result }
end

-- The names of runs are times, so their order is the order of time; "latest" is a link to one of them.
local function runs_of(runs, id, most)
  local names = {}
  for _, name in ipairs(fs.list(runs .. "/" .. id) or {}) do
    if name ~= "latest" then names[#names + 1] = name end
  end
  table.sort(names)
  local list = {}
  for i = #names, 1, -1 do
    if #list == most then break end
    list[#list + 1] = read_run(runs, id, names[i])
  end
  return list
end

-- experiments(runs, most) -> { {id =, runs = { {name, href, result} }} } with the latest runs of each, newest
--   first
function index.experiments(runs, most)
  local found = {}
  for _, id in ipairs(fs.list(runs) or {}) do
    local list = runs_of(runs, id, most)
    if list[1] then found[#found + 1] = { id = id, runs = list } end
  end
  return found
end

local function past(list)
  local marks = {}
  for i = #list, 1, -1 do
    local word, tone = page.verdict(list[i].result)
    marks[#marks + 1] = html.fill(
      '<a class="{tone}" href="{!href}" title="{name}: {word}" aria-label="{name}: {word}"></a>', {
      tone = tone, href = html.escape(list[i].href), name = list[i].name, word = word })
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
]], { href = html.escape(latest.href), id = id, title = result.title, tone = tone, word = word,
      sentence = result.sentence, seed = run.seed and tostring(run.seed), took = html.seconds(run.duration),
      started = page.when(run.started), past = past(list) })
end

local HEAD = [[
<div class="scroll"><table class="runs"><thead><tr><th scope="col">id</th>
<th scope="col">experiment</th><th scope="col">latest verdict</th><th scope="col" class="n">seed</th>
<th scope="col" class="n">took</th><th scope="col">started</th>
<th scope="col">runs, in order</th></tr></thead><tbody>
]]

function index.render(runs)
  local rows, count = {}, 0
  for _, one in ipairs(index.experiments(runs, SHOWN)) do
    rows[#rows + 1] = row(one.id, one.runs)
    count = count + 1
  end
  local body = count > 0 and HEAD .. table.concat(rows) .. "</tbody></table></div>"
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
