-- E-025: thirty-five commands of a client that repeats. Ten answers are lost behind the service, five repeats
-- come while the first is in flight, five ids are used again for something else, five by another tenant.
local request_ids = require "rlab.story.race.request_ids"
local tables = require "rlab.tables"

local ACCOUNTS, COMMANDS, ATTEMPTS = 5, 35, 50 -- each tenant has so many accounts
local ANSWERED = 20 -- with success, at least: the plain, the other tenant's, those in flight; or the repeats

local names = request_ids.names
local UNHEARD, IN_FLIGHT, REUSED, OTHER = names "unheard", names "in-flight", names "reused",
  names "other-tenant"

local function both(a, b) return tables.append(tables.append({}, a), b) end

-- What each practice does to whom: commands written twice, lost though answered with success, commands that
-- are refused and were right or the other way round, and rows that are missing.
local fate = {
  ["id-of-each-attempt"] = { twice = both(UNHEARD, IN_FLIGHT) },
  ["look-up-then-insert"] = { twice = IN_FLIGHT },
  ["id-without-answer"] = { misjudged = both(UNHEARD, IN_FLIGHT) },
  ["id-without-body"] = { lost = REUSED, misjudged = REUSED },
  ["id-without-tenant"] = { misjudged = OTHER, missing = OTHER },
  ["id-and-answer"] = {},
}

local function sum_of(amounts, ids)
  local sum = 0
  for _, id in ipairs(ids) do sum = sum + amounts[id] end
  return sum
end

-- What people asked for: an id that is used again for another command is nobody's wish, where there are ids.
local function wanted(commands, fresh)
  local amounts, sum = {}, 0
  for part, list in pairs(commands) do
    for _, one in ipairs(list) do
      amounts[one.name] = one.amount
      if part ~= "reused" or fresh then sum = sum + one.amount end
    end
  end
  return amounts, sum
end

local function says(seen)
  local twice, off = #seen.rows - #bag.from(seen.rows):distinct(), seen.account - seen.asked
  if twice > 0 then return ("%d commands written twice, %+d cents"):format(twice, off) end
  local lost = #(bag.from(seen.ok) - bag.from(seen.rows)):distinct()
  if lost > 0 then return ("%d commands answered 201 and never written"):format(lost) end
  local right = #(bag.from(seen.refused) - bag.from(REUSED)):distinct()
  if right > 0 then return ("%d commands refused that were right, %+d cents"):format(right, off) end
  return ("%d commands written once, %d mistakes refused"):format(#seen.rows, #seen.refused)
end

local function run(lab, arm)
  lab:accounts(2 * ACCOUNTS)
  local commands = request_ids.plan(lab, ACCOUNTS)
  local client = request_ids.open(lab, arm.settings)
  request_ids.once(client, commands.plain)
  request_ids.unheard(client, commands.unheard)
  request_ids.in_flight(client, commands["in-flight"])
  request_ids.once(client, commands.reused)
  request_ids.once(client, commands["other-tenant"])
  lab:issued("attempts", client.issued, ATTEMPTS)
  local seen = request_ids.look(client, commands)
  seen.amounts, seen.asked = wanted(commands, client.fresh)
  seen.says = says(seen)
  lab:number("rows", #seen.rows)
  lab:number("attempts refused", #seen.refused)
  lab:number("money off", seen.account - seen.asked, "cents")
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

return experiment {
  id = "E-025", title = "Request-id idempotency",
  question = "A client heard no answer and repeats its command. What must the service keep to do it once?",
  claim = "An id that is looked up first does not stop a repeat that comes while the first is in flight; \z
    one without its answer, its body or its tenant refuses or swallows what was meant.",
  lesson = "The client makes one id for a command. The service writes it under a unique key of (tenant, id) \z
    in the command's transaction, with what it needs to give the same answer and to tell another body.",
  needs = { "mysql", "proxy" }, seconds = 4,
  side_by_side = true,
  telling = { { "double-rows + refused", "commands written twice or answered wrongly" },
    { "money", "money off" } },
  arms = {
    wrong "id-of-each-attempt" { says = "the client makes a new id for each attempt", ids = "of-attempt",
      repeats = "answered", scope = "account" },
    wrong "look-up-then-insert" { says = "SELECT the id; not there: the transaction", repeats = "looked-up",
      scope = "account" },
    wrong "id-without-answer" { says = "a unique id; a repeat gets 409", repeats = "refused",
      scope = "account" },
    wrong "id-without-body" { says = "a unique id; a repeat gets the stored answer, whatever it says",
      repeats = "unread", scope = "account" },
    wrong "id-without-tenant" { says = "one unique id for the callers of all tenants", repeats = "answered",
      scope = "all" },
    right "id-and-answer" { says = "unique (account, id) in the transaction; a repeat gets the stored \z
      answer, another body 422", repeats = "answered", scope = "account" },
  },

  run = run,

  moment = require "rlab.story.moment.request_ids",
  checks = function(lab, seen, arm)
    local due, mistakes = fate[arm.name], arm.settings.ids and {} or REUSED
    local missing = due.missing or {}
    lab.check.duplicate { name = "double-rows", of = seen.rows, at_least = COMMANDS - #REUSED - #missing }
      :expect(due.twice or "holds")
    lab.check.lost { name = "answered-and-gone", of = seen.ok, in_ = seen.rows, at_least = ANSWERED }
      :expect(due.lost or "holds")
    lab.check.same { name = "refused", got = seen.refused, want = mistakes, control = #seen.ok,
      what = "mistakes refused, and nothing else" }:expect(due.misjudged or "holds")
    lab.check.same { name = "unlike", got = seen.unlike, want = {}, control = #seen.ok,
      what = "answers that tell of another row than the first one's" }:expect(due.twice or "holds")
    lab.check.conservation { name = "money", ledger = seen.asked, account = seen.account, unit = "cents" }
      :expect(sum_of(seen.amounts, due.twice or {}) - sum_of(seen.amounts, missing))
  end,

  verdict = function(arms)
    local attempt, look, right = arms["id-of-each-attempt"], arms["look-up-then-insert"],
      arms["id-and-answer"]
    if not (attempt and look and right) then return nil end
    local function twice(seen) return #seen.rows - #bag.from(seen.rows):distinct() end
    return ("Of %d repeats an id for each attempt writes %d twice, a look-up %d, a unique key with the \z
      stored answer %d."):format(#UNHEARD + #IN_FLIGHT, twice(attempt), twice(look), twice(right))
  end,
}
