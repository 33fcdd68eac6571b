-- E-024: a hundred coupons, three hundred claims and sixteen workers, who all want the last one at once.
local coupons = require "rlab.story.race.coupons"

local COUPONS, CLAIMS, WORKERS = 100, 300, 16
local AGAIN = { from = 41, count = 10 } -- claims of users who have claimed already: users 1 to 10
local BROKEN = { from = 11, count = 5 } -- claims whose INSERT fails

local function id(word, i) return ("%s-%03d"):format(word, i) end

local function plan()
  local list = {}
  for i = 1, CLAIMS do
    local again = i >= AGAIN.from and i < AGAIN.from + AGAIN.count
    list[i] = { id = id("claim", i), user = id("user", again and i - AGAIN.from + 1 or i),
      broken = i >= BROKEN.from and i < BROKEN.from + BROKEN.count }
  end
  return list
end

local function says(seen)
  local issued, missing = #seen.issued, COUPONS - #bag.from(seen.serials):distinct()
  if missing > 0 then return ("%d issued, none left: %d gone for good"):format(issued, missing) end
  if issued > COUPONS then return ("%d of %d coupons issued"):format(issued, COUPONS) end
  return ("%d coupons issued, one a user, by %d transactions"):format(issued, seen.transactions)
end

local function run(lab, arm)
  local s = arm.settings
  coupons.open(lab, COUPONS, arm.class == "right")
  coupons.watch(lab)
  local desk = lab:start("desk", { take = arm.name, book = s.book, coupons = COUPONS, workers = WORKERS,
    claims = plan(), schema = lab:schema(), key = lab:prefix() .. "coupons" },
    { must_fire = { ["desk.before_take"] = ("barrier(last,%d) if last=yes"):format(WORKERS),
      ["desk.before_insert"] = ("%d*error(the INSERT fails) if broken=yes"):format(BROKEN.count) } })
  local day = lab:invoke("desk", "serve", { claims = CLAIMS, workers = WORKERS })
  local closed = desk:expect("closed", "30s")
  day:over("ok", nil, { served = closed.served })
  desk:wait_exit { code = 0 }
  lab:issued("claims", closed.served, CLAIMS)
  local seen = { transactions = closed.transactions, serials = {}, users = {} }
  seen.issued, seen.left, seen.gate = coupons.look(lab)
  for i, row in ipairs(seen.issued) do
    seen.serials[i], seen.users[i] = id("coupon", row.serial), row.user
  end
  lab:number("issued", #seen.issued, "coupons")
  lab:number("too many", math.max(#seen.issued - COUPONS, 0), "coupons")
  if seen.transactions > 0 then lab:number("transactions", seen.transactions) end
  seen.says = says(seen)
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

-- ids "coupon-011" to "coupon-015"
local function range(word, from, count)
  local list = {}
  for i = 1, count do list[i] = id(word, from + i - 1) end
  return list
end

return experiment {
  id = "E-024", title = "Coupon race: Redis against MySQL",
  question = "A hundred coupons, and everybody wants the last one. Who counts, Redis or MySQL?",
  claim = "What is read first and taken later is taken by all who have read it. What is taken in Redis and \z
    written in MySQL is lost when the second step fails.",
  lesson = "One transaction: UPDATE .. SET remaining = remaining - 1 WHERE remaining > 0, and a row under a \z
    unique key. Redis may refuse early, MySQL decides.",
  needs = { "mysql", "redis" }, seconds = 4,
  side_by_side = true, roles = { desk = coupons.role },
  telling = { { "too many + leaked", "coupons too many or gone for good" } },
  arms = {
    wrong "get-then-decr" { says = "GET; if more than 0, DECR; then the row", book = "redis", sold = 115 },
    wrong "script-then-insert" { says = "a script takes one in Redis, then the row is written",
      book = "redis", sold = 95 },
    wrong "count-then-insert" { says = "SELECT COUNT(*); if less than 100, the row", book = "mysql",
      sold = 115 },
    right "one-transaction" { says = "UPDATE .. WHERE remaining > 0 and the row under a unique key, in one \z
      transaction", book = "mysql", sold = 100 },
    right "gate" { says = "the same, and a script in Redis refuses most before it", book = "mysql",
      sold = 100 },
  },

  run = run,

  moment = require "rlab.story.moment.coupons",
  checks = function(lab, seen, arm)
    local all, wrong = range("coupon", 1, COUPONS), arm.class == "wrong"
    local leaks = arm.name == "script-then-insert"
    local raced = wrong and not leaks
    lab.check.duplicate { name = "coupon-twice", of = seen.serials, at_least = COUPONS - BROKEN.count }
      :expect(raced and { id("coupon", COUPONS) } or "holds")
    lab.check.lost { name = "leaked", of = all, in_ = seen.serials }:expect(
      leaks and range("coupon", BROKEN.from, BROKEN.count) or "holds")
    lab.check.duplicate { name = "one-per-user", of = seen.users, at_least = COUPONS - BROKEN.count }
      :expect(wrong and range("user", 1, AGAIN.count) or "holds")
    lab.check.bound { name = "issued", value = #seen.issued, at_most = COUPONS, unit = "coupons",
      what = "were issued:" }:expect(raced and "violated" or "holds")
    lab.check.agree { { "sold", #seen.issued, arm.settings.sold, "coupons issued" } }
    if wrong then return end
    lab.check.conservation { name = "issued-plus-left", ledger = COUPONS, account = #seen.issued + seen.left,
      unit = "coupons", control = #seen.issued }:expect "holds"
    if arm.name == "gate" then
      lab.check.bound { name = "asked", value = seen.transactions, at_most = CLAIMS // 2,
        unit = "transactions", what = "reached MySQL:", control = #seen.issued }:expect "holds"
    end
  end,

  verdict = function(arms)
    local get, script, count, right = arms["get-then-decr"], arms["script-then-insert"],
      arms["count-then-insert"], arms["one-transaction"]
    if not (get and script and count and right) then return nil end
    return ("Of %d coupons GET and DECR issued %d, COUNT and INSERT %d; a script and a failing INSERT left \z
      %d without a user; one transaction issued %d."):format(COUPONS, #get.issued, #count.issued,
      COUPONS - #script.issued, #right.issued)
  end,
}
