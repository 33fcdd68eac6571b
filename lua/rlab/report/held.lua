-- What the stores held: of each wrong arm the first counterexample that says so, its stores as boxes, joined
-- where they agree and cut where they do not. It stands where the records of the moment stand, or below them.
local html = require "rlab.report.html"

local held = {}

local MOST = 6

local function first_of(result, arm)
  for _, check in ipairs(result.checks or {}) do
    if check.arm == arm.name and check.outcome == "violated" then
      for _, x in ipairs(check.counterexamples or {}) do
        if type(x.stores) == "table" and #x.stores > 1 then return x, check end
      end
    end
  end
end

-- Arms of a practice that is right have nothing to show here unless they were violated against expectation.
local function pictures(result)
  local list = {}
  for _, arm in ipairs(result.arms or {}) do
    local example, check = first_of(result, arm)
    if example and #list < MOST and (arm.class == "wrong" or check.as_expected == false) then
      list[#list + 1] = { arm = arm, stores = example.stores, check = check }
    end
  end
  return list
end

function held.any(result)
  return #pictures(result) > 0
end

local function boxes(stores)
  local first = tostring(stores[1].text)
  return html.each(stores, function(s, i)
    local before = stores[i - 1]
    local differs = tostring(s.text) ~= first
    local join = before and ('<li class="tiebar%s" aria-label="%s"></li>'):format(
      before.text ~= s.text and " cut" or "", before.text ~= s.text and "differs from" or "agrees with") or ""
    return join .. html.fill('<li class="{off}">{store}<code>{text}</code></li>', { store = s.store,
      text = s.text, off = differs and "off" or "" })
  end)
end

-- render(result) -> HTML, or "" when no counterexample says what the stores held
function held.render(result)
  local list = pictures(result)
  if #list == 0 then return "" end
  local figures = html.each(list, function(p)
    return html.fill('<figure class="held {class}"><figcaption><span class="cls {class}">{word}</span> \z
      <b>{name}</b><p>{sentence}</p></figcaption><ol>{!boxes}</ol></figure>', {
      class = html.class_of(p.arm), word = html.CLASSES[html.class_of(p.arm)], name = p.arm.name,
      sentence = p.check.sentence, boxes = boxes(p.stores) })
  end)
  local head = result.moment and { id = "held", name = "What the stores held" }
    or { id = "moment", name = "The moment" }
  return html.fill('<section id="{id}"><h2>{name}</h2><p class="lead">One counterexample of each arm, as \z
    each store has it.</p>', head) .. '<div class="holdings">' .. figures .. "</div></section>\n"
end

return held
