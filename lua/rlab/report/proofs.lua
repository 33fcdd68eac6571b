-- Proof of each fault: what showed that it happened, arm by arm. Of many faults each is shown once, and those
-- that did not fire; the same ones of the other arms are folded.
local html = require "rlab.report.html"

local proofs = {}

local MANY = 12 -- faults, more of which are folded
local FOLDED = 96 -- characters of a name in the fold: the whole of it stands above

-- "a; b; a" -> "a (2 times); b": five who wait for one lock leave five proofs that say the same.
local function counted(proof)
  local parts, times = {}, {}
  for part in (proof .. "; "):gmatch "(.-); " do
    if not times[part] then parts[#parts + 1] = part end
    times[part] = (times[part] or 0) + 1
  end
  return html.each(parts, function(part, i)
    return (i > 1 and "; " or "") .. part .. (times[part] > 1 and (" (%d times)"):format(times[part]) or "")
  end)
end

local function row_of(f, most)
  return html.fill('<tr class="{row}"><th scope=row>{name}</th><td class=who data-label=arm>{arm}</td>\z
    <td class=n data-label=from>{at}</td><td class=n data-label=until>{till}</td>\z
    <td data-label=proof>{proof}</td>\z
    <td class="{class}" data-label="">{fired}</td></tr>', {
    row = f.fired == false and "missing" or "", name = most and html.head(f.name, most) or f.name,
    arm = f.arm or "all arms", at = html.seconds(f.at),
    till = f["until"] and html.seconds(f["until"]) or "",
    proof = f.proof and f.proof ~= "" and counted(tostring(f.proof)) or "no evidence",
    class = f.fired == false and "unsure" or "right",
    fired = f.fired == false and "did not fire" or "fired" })
end

local function table_of(faults, most)
  return '<div class="scroll"><table class="cards"><thead><tr><th scope=col>fault</th>\z
    <th scope=col>arm</th><th scope=col class=n>from</th><th scope=col class=n>until</th>\z
    <th scope=col>proof</th><th scope=col>fired</th></tr></thead><tbody>'
    .. html.each(faults, function(f) return row_of(f, most) end) .. "</tbody></table></div>"
end

-- The first of each name and those that did not fire; the others.
local function parted(faults)
  if #faults <= MANY then return faults, {} end
  local shown, folded, known = {}, {}, {}
  for _, f in ipairs(faults) do
    table.insert((f.fired == false or not known[f.name]) and shown or folded, f)
    known[f.name or ""] = true
  end
  return shown, folded
end

local function failpoints(result)
  local points = result.failpoints or result.why and result.why.failpoints or {}
  if #points == 0 then return "" end
  return '<p class="hint">Failpoints in this story: ' .. html.each(points, function(p, i)
    return (i > 1 and ", " or "") .. "<code>" .. html.escape(type(p) == "table" and (p.name or "") or p)
      .. "</code>"
  end) .. "</p>"
end

function proofs.render(result)
  local shown, folded = parted(result.faults or {})
  if #shown == 0 then return "" end
  local fold = #folded > 0 and html.fill('<details class="data"><summary>{n} of the same, in other arms or \z
    later; all fired</summary>{!rows}</details>', { n = html.plural(#folded, "fault"),
    rows = table_of(folded, FOLDED) }) or ""
  return '<section id="proof"><h2>Proof of each fault</h2>' .. table_of(shown) .. fold .. failpoints(result)
    .. "</section>"
end

return proofs
