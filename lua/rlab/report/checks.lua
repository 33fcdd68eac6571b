-- Checks by arm: a grid with a word and a number in each cell, and under it every check with its sentence,
-- what was expected and the counterexamples that a reader can look up by hand.
local html = require "rlab.report.html"

local checks = {}

local WORDS = { holds = "holds", violated = "violated", inconclusive = "inconclusive" }

local function word_of(check)
  return WORDS[check.outcome] or "inconclusive"
end

-- The number of a check: what it measured, else how many counterexamples it has.
local function number_of(check)
  if type(check.value) == "number" then return html.quantity(check.value, check.unit) end
  if word_of(check) == "inconclusive" then return "" end
  return html.number(#(check.counterexamples or {}) + (check.more or 0))
end

-- An inconclusive check has neither met nor missed what was expected of it.
local function surprising(check)
  return check.as_expected == false and word_of(check) ~= "inconclusive"
end

local function names_of(list)
  local names, seen = {}, {}
  for _, c in ipairs(list) do
    if not seen[c.name] then
      seen[c.name] = true
      names[#names + 1] = c.name
    end
  end
  return names
end

local function anchor(i)
  return "check-" .. i
end

local function cell(check, i, arm)
  if not check then
    return '<td class="none" data-arm="' .. html.escape(arm.name)
      .. '"><span aria-label="not checked">·</span></td>'
  end
  local unexpected = surprising(check)
  return html.fill('<td class="{word} {surprise}" data-arm="{arm}"><a href="#{anchor}"><b>{word}</b> \z
    <span class="num">{number}</span>{!note}</a></td>', {
    word = word_of(check), surprise = unexpected and "unexpected" or "expected", arm = arm.name,
    anchor = anchor(i),
    number = number_of(check), note = unexpected and '<small>not as predicted</small>' or "" })
end

local function grid(list, arms)
  local at = {}
  for i, c in ipairs(list) do at[tostring(c.arm) .. "\0" .. tostring(c.name)] = i end
  local head = html.each(arms, function(arm)
    return html.fill('<th scope="col"><span class="cls {class}">{word}</span>{name}</th>', {
      class = html.class_of(arm), word = html.CLASSES[html.class_of(arm)], name = arm.name })
  end)
  local body = html.each(names_of(list), function(name)
    return html.fill('<tr><th scope="row">{name}</th>', { name = name }) .. html.each(arms, function(arm)
      local i = at[arm.name .. "\0" .. tostring(name)]
      return cell(i and list[i], i, arm)
    end) .. "</tr>"
  end)
  return '<div class="scroll wide-only"><table class="grid"><thead><tr><td></td>' .. head
    .. "</tr></thead><tbody>"
    .. body .. "</tbody></table></div>"
end

local COLUMNS = { "id", "key", "partition", "offset", "note" }

local function examples(check)
  local list = check.counterexamples or {}
  if #list == 0 then return "" end
  local used = {}
  for _, x in ipairs(list) do
    for _, column in ipairs(COLUMNS) do used[column] = used[column] or x[column] ~= nil end
    used.show = used.show or x.show ~= nil
  end
  local head, cells = {}, {}
  for _, column in ipairs(COLUMNS) do
    if used[column] then head[#head + 1] = "<th scope=col>" .. column .. "</th>" end
  end
  for i, x in ipairs(list) do
    local row = {}
    for _, column in ipairs(COLUMNS) do
      if used[column] then
        local v = x[column] ~= nil and html.escape(type(x[column]) == "number" and tostring(x[column])
          or x[column]) or ""
        row[#row + 1] = column == "note" and "<td>" .. v .. "</td>" or "<td><code>" .. v .. "</code></td>"
      end
    end
    if used.show then row[#row + 1] = "<td><code class=cmd>" .. html.escape(x.show) .. "</code></td>" end
    cells[i] = "<tr>" .. table.concat(row) .. "</tr>"
  end
  if used.show then head[#head + 1] = "<th scope=col>see it in the live stores (--keep)</th>" end
  local more = (check.more or 0) > 0
    and html.fill("<p class=hint>and {n} more, in result.json</p>", { n = html.number(check.more) }) or ""
  return '<div class="scroll"><table class="examples"><thead><tr>' .. table.concat(head)
    .. "</tr></thead><tbody>"
    .. table.concat(cells) .. "</tbody></table></div>" .. more
end

local function one(check, i)
  local inner = examples(check)
  local head = html.fill(
    '<span class="verdict {word} {surprise}">{word} <span class="num">{number}</span></span> '
    .. '<span class="what"><b>{name}</b> {sentence}</span> <span class="expect">expected: \z
      {expect}{!note}</span>{!reason}', {
    word = word_of(check), surprise = surprising(check) and "unexpected" or "expected",
    number = number_of(check), name = check.name, sentence = check.sentence, expect = check.expect,
    note = surprising(check) and ', <b class="off">not as predicted</b>' or "",
    reason = check.reason and html.fill('<span class="reason">{reason}</span>', check) or "" })
  if inner == "" then return ('<div class="check flat" id="%s">%s</div>'):format(anchor(i), head) end
  return ('<details class="check" id="%s"><summary>%s</summary>%s</details>'):format(anchor(i), head, inner)
end

local function by_arm(list, arms)
  return html.each(arms, function(arm)
    local mine = {}
    for i, c in ipairs(list) do
      if c.arm == arm.name then mine[#mine + 1] = one(c, i) end
    end
    if #mine == 0 then return "" end
    return html.fill(
      '<div class="arm-checks"><h3><span class="cls {class}">{word}</span> {name}</h3>{!list}</div>', {
      class = html.class_of(arm), word = html.CLASSES[html.class_of(arm)], name = arm.name,
      list = table.concat(mine) })
  end)
end

-- A check that names no arm, or one that is not listed, still has to be seen.
local function with_strays(list, arms)
  local known, out = {}, { table.unpack(arms) }
  for _, arm in ipairs(arms) do known[arm.name] = true end
  for _, c in ipairs(list) do
    if not known[c.arm] then
      known[c.arm] = true
      out[#out + 1] = { name = c.arm, class = "observe" }
    end
  end
  return out
end

function checks.render(result)
  local list = result.checks or {}
  if #list == 0 then return "" end
  local arms = with_strays(list, result.arms or {})
  local used = {}
  for _, arm in ipairs(arms) do
    for _, c in ipairs(list) do
      if c.arm == arm.name then
        used[#used + 1] = arm
        break
      end
    end
  end
  return '<section id="checks"><h2>Checks by arm</h2>' .. grid(list, used) .. by_arm(list, used)
    .. "</section>"
end

return checks
