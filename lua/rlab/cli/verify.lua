-- rlab verify: judges what a system did by the ids that its own stores hold; nothing is run.
local exit = require "rlab.exit"
local term = require "rlab.term"
local units = require "rlab.units"
local usage = require "rlab.usage" "verify: "

local verify = { name = "verify", help = "judge what a system did: ids in one of its stores against another" }

local ABOUT = [[
A SOURCE is one of
  %s

Is each id of --of in --in (lost), none there too often (twice), and none there without a cause
(phantom)? Where servers are is read from --connections FILE.json ({"mysql": "mysql://...",
"redis": "redis://...", "kafka": "host:port" or librdkafka's settings}), else from RLAB_MYSQL,
RLAB_REDIS and RLAB_BROKERS, else it is the stack that runs. It ends with 0 when all holds, with 1
when a claim is violated, with 3 when nothing can be said.]]

function verify.args(parser)
  local forms = table.concat(require("rlab.verify.source").FORMS, "\n  ")
  parser:epilog(ABOUT:format(forms))
  parser:option("--of", "SOURCE of the ids that must be there")
  parser:option("--in", "SOURCE that must hold them"):target "in_"
  parser:option("--unknown", "SOURCE of ids of which nobody knows whether they happened")
  parser:option("--claim", "only this: lost, twice or phantom (may be repeated)"):count "*"
  parser:option("--at-least", "fewer ids of --of say nothing", "1")
  parser:option("--within", "look again for so long until all holds", "0s")
  parser:option("--connections", "JSON file of where the servers are")
  parser:flag("--json", "print JSON")
end

local function duration_of(text)
  local ok, seconds = pcall(units.duration, text)
  if not ok then usage("--within takes a duration such as 30s, not '%s'", text) end
  return seconds
end

local function claims_of(given)
  local options, tables = require "rlab.options", require "rlab.tables"
  local claims = require("rlab.verify.judge").CLAIMS
  for _, claim in ipairs(given) do
    if not tables.contains(claims, claim) then
      usage("there is no claim '%s'; %s", claim, options.advice(claim, claims))
    end
  end
  return #given > 0 and given or claims
end

local function asked(args)
  local source = require "rlab.verify.source"
  if not (args.of and args.in_) then usage "--of SOURCE and --in SOURCE are needed (--help shows sources)" end
  local at_least = units.whole(args.at_least)
  if not at_least then usage("--at-least takes a whole number, not '%s'", args.at_least) end
  return { of = source.of(args.of), in_ = source.of(args.in_), unknown = args.unknown
    and source.of(args.unknown), claims = claims_of(args.claim), at_least = at_least,
    within = duration_of(args.within), connections = source.connections(args.connections) }
end

-- A statement or a topic that is wrong is the caller's; a server that does not answer is not.
local function judged(what)
  local err = require "rlab.err"
  local ok, word, checks, seen = pcall(require("rlab.verify.judge").judge, what)
  if ok then return word, checks, seen end
  if err.is(word) and (word.blame == "call" or word.blame == "place") then word.exit = exit.usage end
  error(word, 0)
end

local function put_json(word, checks, seen)
  local json = require "rlab.json"
  local rows = json.array {}
  for i, check in ipairs(checks) do
    rows[i] = { name = check.name, outcome = check.outcome, sentence = check.sentence,
      ids = json.array(check.ids or {}) }
  end
  print(json.encode({ verdict = word, checks = rows, of = #seen.before.ids, ["in"] = #seen.in_.ids },
    { pretty = true }))
end

local COLOURS = { holds = "right", violated = "wrong", inconclusive = "inconclusive" }

local function told_of(source, found)
  local n = require("rlab.check.core").plural(#found.ids, "id")
  return { source.text, n .. (found.about and ", " .. found.about or "") }
end

local function put_examples(check)
  local visible = require("rlab.text").visible
  for _, one in ipairs(check.counterexamples) do print("            " .. visible(tostring(one.id))) end
  if check.more > 0 then print(("            and %d more; --json lists them"):format(check.more)) end
end

local function put(what, word, checks, seen)
  for i, row in ipairs { told_of(what.of, seen.before), told_of(what.in_, seen.in_) } do
    print(("  %-8s  %s"):format(i == 1 and "of" or "in", require("rlab.text").visible(row[1])))
    print("            " .. row[2])
  end
  for _, check in ipairs(checks) do
    print(("  %-8s  %s"):format(check.name, term.colour(COLOURS[check.outcome], check.sentence)))
    put_examples(check)
  end
  print(("  %-8s  %s"):format("verdict", term.colour(COLOURS[word], word)))
end

local codes = { holds = exit.ok, violated = exit.right_violated, inconclusive = exit.inconclusive }

function verify.run(args)
  local what = asked(args)
  local word, checks, seen = judged(what)
  if args.json then put_json(word, checks, seen) else put(what, word, checks, seen) end
  return codes[word]
end

return verify
