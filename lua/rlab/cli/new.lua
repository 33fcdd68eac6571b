-- rlab new E-0xx: writes a commented skeleton that runs as it is. rlab new service --lang go: a consumer of
-- your own in that language, and the experiment that kills it.
local exit = require "rlab.exit"
local usage = require "rlab.usage" ()

local new = { name = "new", help =
  "write a commented skeleton of an experiment, or of a service of your own" }

local skeleton = [=[
-- %s: say in one line what the reader will see happen.
-- Run it with: rlab %s

-- A role runs in a process of its own, so a crash is a real SIGKILL. ctx has args, brokers, mysql, redis,
-- seed, say(word), producer{} and consumer{}.
local function worker(ctx)
  local consumer <close> = ctx.consumer { group = ctx.args.group, enable_auto_commit = false }
  must(consumer:subscribe { ctx.args.topic })
  local done = false
  while not done do
    for record in must(consumer:poll(1, "200ms")):each() do
      if record.eof then
        done = true
      elseif not record.err then
        if ctx.args.commit == "before-work" then must(consumer:commit(record, { sync = true })) end
        fail.point("worker.before_work", { offset = record.offset })
        ctx.say("applied", { id = record.value })
        if ctx.args.commit == "after-work" then must(consumer:commit(record, { sync = true })) end
      end
    end
  end
  ctx.say "caught-up"
end

local RECORDS = 20

return experiment {
  id = "%s",
  title = "Offset committed before or after the work",
  question = "Can a record be lost although Kafka stored it and the consumer read it?",
  claim = "Commit-first loses the record in work when the consumer dies; commit-last repeats it.",
  needs = { "kafka" },
  -- What the report shows first: a check, a number or a sampled series, and what a reader calls it.
  telling = { { "lost-effect", "records lost" } },

  arms = {
    wrong "commit-first" { commit = "before-work" },
    right "commit-last" { commit = "after-work" },
  },

  roles = { worker = worker },

  run = function(lab, arm)
    local topic, group = lab:topic "orders", lab:name "group"
    local producer = lab:producer {}
    local list, ids = {}, {}
    for i = 1, RECORDS do
      ids[i] = ("order-%%02d"):format(i)
      list[i] = { topic = topic, partition = 0, value = ids[i] }
    end
    if #must(producer:send_batch(list)):acked() ~= RECORDS then
      lab:give_up "not every record was acknowledged"
    end

    -- The fault is armed before the process runs, and must leave its hit record: else the arm is
    -- inconclusive.
    local args = { topic = topic, group = group, commit = arm.settings.commit }
    local first = lab:start("worker", args, { must_fire = { ["worker.before_work"] = "#10 kill" } })
    first:wait_exit { signal = "KILL" }
    local second = lab:start("worker", args)
    second:expect("caught-up", "30s")

    local applied = {}
    for _, role in ipairs { first, second } do
      for _, message in ipairs(role:said "applied") do applied[#applied + 1] = message.id end
    end
    return { ids = ids, applied = applied,
      says = ("%%d of %%d records applied, the tenth was in work"):format(#bag.from(applied):distinct(),
        RECORDS) }
  end,

  -- Checks work on what run returned, so `rlab check DIR` can judge a stored run again.
  checks = function(lab, seen)
    lab.check.lost { name = "lost-effect", of = seen.ids, in_ = seen.applied }
      :expect { wrong = { "order-10" }, right = "holds" }
  end,
}
]=]

function new.args(parser)
  parser:argument("id", "its id, such as E-101; or service, for a consumer of your own and its experiment")
  parser:option("--lang", "of the service: go, java, node, python")
  parser:option("--file",
    "where to write it (default scenarios/ID.lua, or the folder scenarios/service-LANG; RLAB_SCENARIOS \z
    names another folder)")
  parser:flag("--json", "print JSON")
end

-- Nothing that is there already is written over, and nothing is written before that is known.
local function write(files, what)
  local fs, must = require "rlab.fs", require "rlab.must"
  for _, file in ipairs(files) do
    if fs.exists(file.path) then usage("%s is there already; choose another %s", file.path, what) end
  end
  for _, file in ipairs(files) do
    local folder = file.path:match "^(.*)/[^/]+$"
    if folder then must(fs.mkdir(folder)) end
    must(fs.write(file.path, file.text))
  end
end

local function report(args, id, path)
  print(args.json and require("rlab.json").encode { id = id, path = path }
    or ("wrote %s; run it: rlab %s"):format(path, path))
  return exit.ok
end

local function write_service(args)
  local template = require "rlab.experiment.template"
  local known = template.languages()
  if not require("rlab.tables").contains(known, args.lang) then
    usage("--lang is one of %s", table.concat(known, ", "))
  end
  local home = require("rlab.experiment").folder()
  local folder = args.file and args.file:gsub("/+$", ""):gsub("%.lua$", "")
    or ("%s/service-%s"):format(home, args.lang)
  local files = template.files(args.lang, folder)
  write(files, "--file")
  return report(args, folder:match "[^/]+$", files[#files].path)
end

local function write_skeleton(args)
  local id = args.id:upper()
  if not id:match "^E%-%d%d%d+$" then usage("an id looks like E-101, not '%s'", args.id) end
  if args.lang then usage "--lang is for `rlab new service`; an experiment is Lua" end
  local experiment = require "rlab.experiment"
  if require("rlab.tables").contains(experiment.names(), "experiments/" .. id .. ".lua") then
    usage("%s is one of rlab's own; choose another id", id)
  end
  local path = args.file or ("%s/%s.lua"):format(experiment.folder(), id)
  write({ { path = path, text = skeleton:format(id, path, id) } }, "id or --file")
  return report(args, id, path)
end

function new.run(args)
  if args.id == "service" then return write_service(args) end
  return write_skeleton(args)
end

return new
