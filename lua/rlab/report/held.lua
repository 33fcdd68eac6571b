-- What the stores held of one thing, a wrong arm beside a right one: the stores as boxes from the cause to
-- the effect, joined where they agree and cut where they do not. The experiment tells it, or else a check
-- does: by its first counterexample, and of a right arm by one that is as it must be. It stands where the
-- records of the moment stand, or below them.
local html = require "rlab.report.html"

local held = {}

local MOST, BESIDE = 6, 2 -- pictures of wrong arms, and of right ones that checks tell of

local function first_of(result, arm)
  for _, check in ipairs(result.checks or {}) do
    if check.arm == arm.name and check.outcome == "violated" then
      for _, x in ipairs(check.counterexamples or {}) do
        if type(x.stores) == "table" and #x.stores > 1 then return x.stores, check end
      end
    end
  end
end

local function as_it_must_be(result, arm, names)
  for _, check in ipairs(result.checks or {}) do
    if check.arm == arm.name and check.outcome == "holds" and names[check.name]
      and type(check.stores) == "table" and #check.stores > 1 then
      return check.stores, check
    end
  end
end

local function picture(arm, stores, says)
  return { arm = arm, stores = stores, says = says }
end

-- What is to be seen in a wrong arm is to be seen in a right one beside it, by the same check.
local function by_checks(result)
  local list, names, beside = {}, {}, BESIDE
  for _, arm in ipairs(result.arms or {}) do
    local stores, check = first_of(result, arm)
    if stores and #list < MOST and (arm.class == "wrong" or check.as_expected == false) then
      list[#list + 1], names[check.name] = picture(arm, stores, check.sentence), true
    end
  end
  beside = math.min(beside, #list)
  for _, arm in ipairs(result.arms or {}) do
    local stores, check = as_it_must_be(result, arm, names)
    if stores and arm.class == "right" and beside > 0 then
      list[#list + 1], beside = picture(arm, stores, check.sentence), beside - 1
    end
  end
  return list
end

-- Of an arm without a verdict nobody can say what its stores should hold.
local function as_told(result)
  local list, arms = {}, {}
  for _, arm in ipairs(result.arms or {}) do
    if arm.outcome ~= "inconclusive" then arms[arm.name] = arm end
  end
  for _, row in ipairs(type(result.held) == "table" and result.held or {}) do
    if type(row) == "table" and type(row.stores) == "table" and arms[row.arm] then
      list[#list + 1] = picture(arms[row.arm], row.stores, row.says)
    end
  end
  return list
end

local function take_same(list, says)
  for i, p in ipairs(list) do
    if p.says == says then return table.remove(list, i) end
  end
end

-- A wrong one at the left, at its right the one that tells of the same; then the others by turns.
local function paired(list)
  local wrong, rest, alone, out = {}, {}, {}, {}
  for _, p in ipairs(list) do table.insert(p.arm.class == "wrong" and wrong or rest, p) end
  for _, p in ipairs(wrong) do
    local same = take_same(rest, p.says)
    table.insert(same and out or alone, p)
    out[#out + 1] = same
  end
  for i = 1, math.max(#alone, #rest) do
    out[#out + 1] = alone[i]
    out[#out + 1] = rest[i]
  end
  return out
end

local function pictures(result)
  local told = as_told(result)
  return paired(#told > 0 and told or by_checks(result))
end

function held.any(result)
  return #pictures(result) > 0
end

-- Whether a store says what it should; where nobody said so, whether it says what the first one does.
local function agrees(stores, i)
  local own = stores[i].agrees
  if own ~= nil then return own end
  return tostring(stores[i].text) == tostring(stores[1].text)
end

-- Where it goes wrong: at the first store that says something else.
local function is_cut(stores, i)
  if stores[i].agrees == nil then return tostring(stores[i].text) ~= tostring(stores[i - 1].text) end
  return not agrees(stores, i) and agrees(stores, i - 1)
end

local function boxes(stores)
  return html.each(stores, function(s, i)
    local off, cut = not agrees(stores, i), i > 1 and is_cut(stores, i)
    local join = i > 1 and ('<li class="tiebar%s" aria-label="%s"></li>'):format(
      cut and " cut" or "", cut and "differs from" or "agrees with") or ""
    return join .. html.fill('<li class="{off}">{store}<code>{text}</code></li>', { store = s.store,
      text = s.text, off = off and "off" or "" })
  end)
end

-- render(result) -> HTML, or "" when nobody says what the stores held
function held.render(result)
  local list = pictures(result)
  if #list == 0 then return "" end
  local figures = html.each(list, function(p)
    return html.fill('<figure class="held {class}"><figcaption><span class="cls {class}">{word}</span> \z
      <b>{name}</b><p>{says}</p></figcaption><ol>{!boxes}</ol></figure>', {
      class = html.class_of(p.arm), word = html.CLASSES[html.class_of(p.arm)], name = p.arm.name,
      says = p.says, boxes = boxes(p.stores) })
  end)
  local head = result.moment and { id = "held", name = "What the stores held" }
    or { id = "moment", name = "The moment" }
  return html.fill('<section id="{id}"><h2>{name}</h2><p class="lead">One example of each arm, from \z
    the cause to the effect.</p>', head) .. '<div class="holdings">' .. figures .. "</div></section>\n"
end

return held
