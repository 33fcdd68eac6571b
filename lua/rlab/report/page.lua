-- The parts of the page that are words and tables: the verdict on top, then numbers, why, settings, how to
-- reproduce.
local html = require "rlab.report.html"
local sequence = require "rlab.report.sequence"
local tables = require "rlab.tables"

local page = {}

local VERDICTS = {
  pass = { "as predicted", "good" },
  ["right-violated"] = { "a right arm was violated", "bad" },
  ["wrong-did-not-fail"] = { "a wrong arm did not fail", "bad" },
  inconclusive = { "inconclusive", "unsure" },
}
local OUTCOMES = {
  ["fails as predicted"] = "wrong", holds = "right", violated = "bad", ["did not fail"] = "bad",
  inconclusive = "unsure", measured = "observe",
}

function page.verdict(result)
  local v = VERDICTS[result.verdict] or { tostring(result.verdict or "no verdict"), "unsure" }
  return v[1], v[2]
end

local function columns_for(n)
  if n <= 5 then return n end
  if n == 6 then return 3 end
  return n <= 8 and 4 or 5
end

local function tiles(arms)
  local list = html.each(arms, function(arm)
    return html.fill('<li class="tile {class}"><p class="cls {class}">{word}</p><h2 class="name">{name}</h2>\z
      {!title}<p class="said">{sentence}</p>'
      .. '<p class="out {out}">{outcome}</p>{!reason}</li>', {
      class = html.class_of(arm), word = html.CLASSES[html.class_of(arm)], name = arm.name,
      sentence = arm.sentence,
      out = OUTCOMES[arm.outcome] or "unsure", outcome = arm.outcome,
      title = arm.title and html.fill('<p class="does">{title}</p>', arm) or "",
      reason = arm.reason and arm.reason ~= arm.sentence
        and html.fill('<p class="reason">{reason}</p>', arm) or "" })
  end)
  return ('<ul class="tiles" style="--cols:%d">%s</ul>'):format(columns_for(#arms), list)
end

local VERSION_ORDER = { "kafka", "mysql", "redis", "proxy", "librdkafka" }

local function versions_of(stack)
  local out, seen = {}, {}
  local versions = stack.versions or {}
  local function add(name)
    if seen[name] or versions[name] == nil then return end
    seen[name] = true
    local text = name .. " " .. tostring(versions[name])
    if name == "kafka" and stack.brokers then text = text .. ", " .. html.plural(stack.brokers, "broker") end
    out[#out + 1] = text
  end
  for _, name in ipairs(VERSION_ORDER) do add(name) end
  for _, name in ipairs(tables.sorted_keys(versions)) do add(name) end
  return out
end

function page.when(started)
  local date, time = tostring(started or ""):match("^(%d+%-%d+%-%d+)[T ](%d+:%d+)")
  return date and date .. " " .. time .. (tostring(started):find("Z$") and " UTC" or "") or started
end

local function facts_of(result)
  local run, stack = result.run or {}, result.stack or {}
  local facts = {}
  local function add(name, value)
    if value ~= nil and value ~= "" then facts[#facts + 1] = { name = name, value = value } end
  end
  add("seed", run.seed and tostring(run.seed))
  add("took", run.duration and html.seconds(run.duration))
  add("judged by", html.plural(#(result.checks or {}), "check") .. " on "
    .. html.plural(#(result.arms or {}), "arm"))
  for i, v in ipairs(versions_of(stack)) do add(i == 1 and "on" or "", v) end
  add("rlab", run.rlab)
  add("started", page.when(run.started))
  return html.each(facts, function(f)
    return html.fill(f.name == "" and "<li>{value}</li>" or "<li><span>{name}</span> {value}</li>", f)
  end)
end

local function numbers(list)
  if not list or #list == 0 then return "" end
  return '<dl class="numbers">' .. html.each(list, function(n)
    return html.fill('<div><dd>{value}{!unit}</dd><dt>{name}</dt></div>',
      { name = n.name, value = html.number(n.value),
      unit = n.unit and n.unit ~= "" and html.fill(" <small>{unit}</small>", n) or "" })
  end) .. "</dl>"
end

function page.head(result)
  local word, tone = page.verdict(result)
  local setup = {}
  for _, fact in ipairs(result.setup and result.setup.facts or {}) do
    if fact ~= "" then setup[#setup + 1] = fact end
  end
  return html.fill([[
<header><p class="top"><b>{id}</b> <span>{title}</span></p>
<p class="call {tone}">{word}</p>
<h1{!long}>{!sentence}</h1>
<p class="question">{!question}</p>
{!tiles}
<ul class="facts">{!facts}</ul>
{!setup}{!numbers}</header>
]], { id = result.id, title = result.title, tone = tone, word = word,
    sentence = html.escape_unbroken(result.sentence or word),
    long = #(result.sentence or "") > 90 and ' class="long"' or "",
    question = html.prose(result.question or ""),
    tiles = tiles(result.arms or {}), facts = facts_of(result), numbers = numbers(result.numbers),
    setup = #setup > 0 and html.fill('<p class="setup"><span>setup</span> {facts}</p>',
      { facts = table.concat(setup, " · ") }) or "" })
end

-- ---- why ----

local function paragraphs(text)
  local out = {}
  for part in (tostring(text or "") .. "\n\n"):gmatch("(.-)\n%s*\n") do
    if part:find("%S") then out[#out + 1] = "<p>" .. html.prose(part) .. "</p>" end
  end
  return table.concat(out)
end

local function where_of(ref)
  local where = tostring(ref.where or "")
  if where:find("^https?://[^%s]+$") then
    return html.fill('<a href="{where}" rel="noreferrer">{where}</a>', { where = where })
  end
  return html.fill('<span class="where">{where}</span>', { where = where })
end

function page.why(result)
  local why = result.why or {}
  if not (why.text or why.sequence or result.production or result.lesson) then return "" end
  local advice, sources = result.production or why.production or {}, result.references or why.references or {}
  local production = #advice > 0 and '<h3>In production</h3><ul class="advice">'
    .. html.each(advice, function(s)
    return "<li>" .. html.prose(s) .. "</li>"
  end) .. "</ul>" or ""
  local references = #sources > 0 and '<h3>References</h3><ul class="refs">' .. html.each(sources, function(r)
      return "<li>" .. html.escape(r.text) .. " " .. where_of(r) .. "</li>"
    end) .. "</ul>" or ""
  local lesson = result.lesson and '<h3>The lesson</h3><p class="lesson">' .. html.prose(result.lesson)
    .. "</p>" or ""
  return '<section id="why"><h2>Why it happened</h2><div class="columns"><div class="prose">'
    .. paragraphs(why.text) .. lesson
    .. "</div><div>" .. production .. "</div></div>" .. sequence.render(why.sequence) .. references
      .. "</section>"
end

-- ---- settings ----

local function flatten(settings, prefix, out)
  for key, v in pairs(settings or {}) do
    local name = prefix .. tostring(key)
    if type(v) == "table" and next(v) ~= nil and v[1] == nil then
      flatten(v, name .. " ", out)
    elseif type(v) == "table" then
      local items = {}
      for i, item in ipairs(v) do items[i] = type(item) == "table" and "{…}" or tostring(item) end
      out[name] = table.concat(items, ", ")
    else
      out[name] = tostring(v)
    end
  end
  return out
end

local function base_arm(arms)
  for i, arm in ipairs(arms) do
    if arm.class == "right" then return i end
  end
  return 1
end

local function pairs_text(settings)
  local flat, out = flatten(settings, "", {}), {}
  for i, key in ipairs(tables.sorted_keys(flat)) do out[i] = key .. "=" .. flat[key] end
  return table.concat(out, "\n")
end

-- What every client of an arm was really configured with.
local function clients_of(arms)
  local parts = html.each(arms, function(arm)
    return html.each(arm.clients, function(client)
      return html.fill("<h3>{arm}: {kind}</h3><pre>{text}</pre>",
        { arm = arm.name, kind = client.kind, text = pairs_text(client.settings) })
    end)
  end)
  if parts == "" then return "" end
  return '<details class="data"><summary>The settings of every client, as used</summary><div \z
    class="clients">' .. parts .. "</div></details>"
end

local MANY = 9 -- arms; beside each other they need short lines

-- Settings as a difference: rows where any arm departs from the first right one; the rest in one fold.
function page.settings(result)
  local arms = result.arms or {}
  local flat, keys, seen = {}, {}, {}
  for i, arm in ipairs(arms) do
    flat[i] = flatten(arm.settings, "", {})
    for key in pairs(flat[i]) do
      if not seen[key] then
        seen[key] = true
        keys[#keys + 1] = key
      end
    end
  end
  if #keys == 0 and clients_of(arms) == "" then return "" end
  table.sort(keys)
  local base = base_arm(arms)
  local order = { base }
  for i in ipairs(arms) do
    if i ~= base then order[#order + 1] = i end
  end
  local rows, same = {}, {}
  for _, key in ipairs(keys) do
    local expected, differs = flat[base][key], false
    for i in ipairs(arms) do differs = differs or flat[i][key] ~= expected end
    if differs then
      rows[#rows + 1] = html.fill("<tr><th scope=row><code>{key}</code></th>", { key = key })
        .. html.each(order, function(i)
        local v, departs = flat[i][key], flat[i][key] ~= expected
        return html.fill('<td class="{class}" data-label="{arm}"><code>{v}</code></td>', { arm = arms[i].name,
          class = i == base and "base" or departs and "differs" or "same", v = v or "not set" })
      end) .. "</tr>"
    else
      same[#same + 1] = html.fill("<li><code>{key}</code> <code>{v}</code></li>", { key = key, v = expected })
    end
  end
  local head = html.each(order, function(i)
    return html.fill('<th scope=col><span class="cls {class}">{word}</span>{name}</th>', {
      class = html.class_of(arms[i]), word = html.CLASSES[html.class_of(arms[i])], name = arms[i].name })
  end)
  local many = #arms > MANY and " many" or ""
  local diff = #rows > 0 and '<div class="scroll"><table class="settings cards' .. many
    .. '"><thead><tr><td></td>' .. head .. "</tr></thead><tbody>" .. table.concat(rows)
    .. "</tbody></table></div>" or ""
  local fold = #same > 0 and html.fill('<details class="data"><summary>{n} the same in every \z
    arm</summary><ul class="same">{!list}</ul></details>', {
    n = html.plural(#same, "setting"), list = table.concat(same) }) or ""
  return html.fill('<section id="settings"><h2>Settings</h2><p class="lead">What each arm changes, \z
    against <b>{name}</b>.</p>', arms[base])
    .. diff .. fold .. clients_of(arms) .. "</section>"
end

-- ---- operations, how to reproduce ----

function page.operations(history)
  if #history == 0 then return "" end
  local counts, order = {}, {}
  for _, h in ipairs(history) do
    local f = tostring(h.f or "?")
    if not counts[f] then
      counts[f] = { f = f, invoke = 0, ok = 0, fail = 0, info = 0 }
      order[#order + 1] = counts[f]
    end
    if counts[f][h.type] then counts[f][h.type] = counts[f][h.type] + 1 end
  end
  return '<details class="data"><summary>' .. html.plural(#history, "line")
    .. ' of history, by operation</summary><div class="scroll">'
    .. "<table><thead><tr><th scope=col>operation</th><th scope=col class=n>invoked</th><th scope=col \z
      class=n>ok</th><th scope=col class=n>failed</th><th scope=col class=n>unknown</th></tr></thead><tbody>"
    .. html.each(order, function(c)
      return html.fill("<tr><th scope=row>{f}</th><td class=n>{invoke}</td><td class=n>{ok}</td><td \z
        class=n>{fail}</td><td class=n>{info}</td></tr>", c)
    end) .. "</tbody></table></div></details>"
end

function page.reproduce(result, history)
  local run, host = result.run or {}, (result.run or {}).host or {}
  local options = flatten(run.options, "", {})
  local names = tables.sorted_keys(options)
  local given = #names > 0 and "<p>Options: " .. html.each(names, function(name)
    return html.fill("<code>{name} = {value}</code> ", { name = name, value = options[name] })
  end) .. "</p>" or ""
  return html.fill([[
<section id="reproduce"><h2>Reproduce</h2><pre class="command"><code>{command}</code></pre>{!given}
<p class="hint">The seed pins ids, amounts, keys, the order of commands and which hit of a fault fires.
It does not pin thread timing, broker timers or how packets are cut; no check depends on those.
Run {name}{!host}, stack {stack}{reused}.</p>
{!operations}</section>
]], { command = run.command or ("rlab " .. tostring(result.id)), given = given, name = run.name,
    host = host.os and html.fill(" on {os}, {cpus} CPUs", { os = host.os, cpus = host.cpus }) or "",
    stack = (result.stack or {}).kind or "unknown", reused = (result.stack or {}).reused and ", reused" or "",
    operations = page.operations(history) })
end

return page
