-- Checks by arm: a grid with a word and a number in each cell, and under it every check with its sentence,
-- what was expected and the counterexamples that a reader can look up by hand.
local html = require "rlab.report.html"
local tables = require "rlab.tables"

local checks = {}

local WORDS = { holds = "holds", violated = "violated", inconclusive = "inconclusive" }

local function word_of(check)
  return WORDS[check.outcome] or "inconclusive"
end

-- What a check counts when it measures nothing: its counterexamples. A bound that measured nothing has itself
-- as the only one, which is no count.
local function count_of(check)
  local list = check.counterexamples or {}
  if #list == 1 and list[1].id == check.name then return nil end
  return #list + (check.more or 0)
end

-- The number of a check with its unit; nothing where none was found.
local function number_of(check)
  if type(check.value) == "number" then return html.quantity(check.value, check.unit) end
  local count = word_of(check) == "violated" and count_of(check)
  return count and count > 0 and html.plural(count, "id") or ""
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

-- A violation that a right or an observed arm expects is no alarm; nor is it in the wrong arms then.
local function as_expected(check, arm)
  return word_of(check) == "violated" and not surprising(check) and (arm.class ~= "wrong" or check.everywhere)
end

-- A copy of the list whose checks know whether a right arm is violated by theirs as expected.
local function with_everywhere(list, arms)
  local class, everywhere, out = {}, {}, {}
  for _, arm in ipairs(arms) do class[arm.name] = arm.class end
  for _, c in ipairs(list) do
    if class[c.arm] == "right" and word_of(c) == "violated" and not surprising(c) then
      everywhere[c.name] = true
    end
  end
  for i, c in ipairs(list) do out[i] = tables.merged(c, { everywhere = everywhere[c.name] }) end
  return out
end

-- What a check is told by: its word and number, or "10 ids" and "as expected"; and the class of both.
local function told(check, arm)
  local word, number = word_of(check), number_of(check)
  if not as_expected(check, arm) then return word, number, word end
  return number ~= "" and number or word, "as expected", "calm"
end

local function cell(check, i, arm)
  if not check then return '<td class="none"><span aria-label="not asked">·</span></td>' end
  local unexpected = surprising(check)
  local said, number, class = told(check, arm)
  return html.fill('<td class="{class} {surprise}"><a href="#{anchor}"><b>{said}</b> \z
    <span class="num">{number}</span>{!note}</a></td>', {
    class = class, surprise = unexpected and "unexpected" or "expected", anchor = anchor(i), said = said,
    number = number,
    note = unexpected and '<small>not as predicted</small>' or "" })
end

local function body_of(names, list, at, arms)
  return html.each(names, function(name)
    return html.fill('<tr><th scope="row">{name}</th>', { name = name }) .. html.each(arms, function(arm)
      local i = at[arm.name .. "\0" .. tostring(name)]
      return cell(i and list[i], i, arm)
    end) .. "</tr>"
  end)
end

local ABREAST = 6

-- More arms than fit beside each other stand in tables below each other, of about the same width.
local function abreast(arms)
  local groups = math.max(math.ceil(#arms / ABREAST), 1)
  local size, out = math.ceil(#arms / groups), {}
  for i = 1, #arms, size do out[#out + 1] = { table.unpack(arms, i, math.min(i + size - 1, #arms)) } end
  return out, size
end

-- The checks that hold wherever they were asked, and the others.
local function parted(list)
  local loud, rest, calm = {}, {}, {}
  for _, c in ipairs(list) do
    if word_of(c) ~= "holds" or surprising(c) then loud[c.name] = true end
  end
  for _, name in ipairs(names_of(list)) do table.insert(loud[name] and rest or calm, name) end
  return rest, calm
end

local function table_of(names, list, at, arms, size)
  local head = html.each(arms, function(arm)
    return html.fill('<th scope="col"><span class="cls {class}">{word}</span>{name}</th>', {
      class = html.class_of(arm), word = html.CLASSES[html.class_of(arm)], name = arm.name })
  end)
  return ('<table class="grid" style="--n:%d;--of:%d"><thead><tr><td></td>'):format(#arms, size) .. head
    .. "</tr></thead><tbody>" .. body_of(names, list, at, arms) .. "</tbody></table>"
end

local function grid(list, arms)
  local at, rest, calm = {}, parted(list)
  for i, c in ipairs(list) do at[tostring(c.arm) .. "\0" .. tostring(c.name)] = i end
  local groups, size = abreast(arms)
  local function tables_of(names)
    if #names == 0 then return "" end
    return html.each(groups, function(group) return table_of(names, list, at, group, size) end)
  end
  local more = #calm > 0 and html.fill('<details class="data"><summary>{n} wherever asked: \z
    {names}</summary>{!tables}</details>', { n = #calm == 1 and "1 more check holds"
      or #calm .. " more checks hold", names = table.concat(calm, " · "), tables = tables_of(calm) }) or ""
  return '<div class="wide-only">' .. tables_of(rest) .. more .. "</div>"
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
        row[#row + 1] = ('<td data-label="%s">'):format(column) .. (column == "note" and v
          or "<code>" .. v .. "</code>") .. "</td>"
      end
    end
    if used.show then
      row[#row + 1] = html.fill('<td data-label="see it"><code class=cmd>{show}</code></td>', x)
    end
    cells[i] = "<tr>" .. table.concat(row) .. "</tr>"
  end
  if used.show then head[#head + 1] = "<th scope=col>see it in the live stores (--keep)</th>" end
  local more = (check.more or 0) > 0
    and html.fill("<p class=hint>and {n} more, in result.json</p>", { n = html.number(check.more) }) or ""
  return '<div class="scroll"><table class="examples cards"><thead><tr>' .. table.concat(head)
    .. "</tr></thead><tbody>"
    .. table.concat(cells) .. "</tbody></table></div>" .. more
end

local function one(check, i, arm)
  local inner = examples(check)
  local said, number, class = told(check, arm)
  local head = html.fill(
    '<span class="verdict {class} {surprise}">{said} <span class="num">{number}</span></span> '
    .. '<span class="what"><b>{name}</b> {sentence}</span> <span class="expect">expected: \z
      {expect}{!note}</span>{!reason}', {
    class = class, said = said, number = number, surprise = surprising(check) and "unexpected" or "expected",
    name = check.name, sentence = check.sentence, expect = check.expect,
    note = surprising(check) and ', <b class="off">not as predicted</b>' or "",
    reason = check.reason and html.fill('<span class="reason">{reason}</span>', check) or "" })
  if inner == "" then return ('<div class="check flat" id="%s">%s</div>'):format(anchor(i), head) end
  return ('<details class="check" id="%s"><summary>%s</summary>%s</details>'):format(anchor(i), head, inner)
end

-- Each check once more for those who cannot have the grid (a phone, paper), and what its cells unfold to: an
-- arm's own ones first, then, folded, those that hold.
local function by_arm(list, arms)
  return '<div class="each-check">' .. html.each(arms, function(arm)
    local mine, quiet = {}, {}
    for i, c in ipairs(list) do
      if c.arm == arm.name then
        table.insert((word_of(c) == "holds" and not surprising(c)) and quiet or mine, one(c, i, arm))
      end
    end
    if #mine + #quiet == 0 then return "" end
    return html.fill(
      '<div class="arm-checks"><h3><span class="cls {class}">{word}</span> {name}</h3>{!list}{!quiet}\z
      </div>', {
      class = html.class_of(arm), word = html.CLASSES[html.class_of(arm)], name = arm.name,
      list = table.concat(mine), quiet = #quiet > 0 and html.fill('<details class="data \z
        quiet"><summary>{n} hold</summary>{!list}</details>', { n = html.plural(#quiet, "check"),
        list = table.concat(quiet) }) or "" })
  end) .. "</div>"
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
  list = with_everywhere(list, arms)
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
