-- What `rlab service exporter` asks for a scrape against the same questions asked with librdkafka's admin
-- client (bench/groups_loop.c): a thousand groups that have committed a hundred partitions each, in turn on
-- one stack. The peer makes no text of the answers, so the whole scrape stands beside it without a judgement.
local clock = require "rlab.clock"
local http = require "rlab.http"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local process = require "rlab.process"
local task = require "rlab.task"
local term = require "rlab.term"

local TARGET, HANDS, LAG = 1.0, 4, 5

local function assignment(partitions)
  local list = {}
  for i = 1, partitions do list[i] = { (i - 1) % 3 + 1 } end
  return list
end

local function fill_topic(admin, brokers, bed)
  must(admin:create_topic { name = bed.topic, assignment = assignment(bed.partitions) })
  local producer <close> = must(kafka.producer { brokers = brokers })
  for p = 0, bed.partitions - 1 do
    for i = 1, LAG do must(producer:post { topic = bed.topic, partition = p, value = tostring(i) }) end
  end
  must(producer:flush "60s")
end

-- Each hand commits for every HANDS-th group.
local function commit_all(brokers, bed)
  local offsets = {}
  for p = 1, bed.partitions do offsets[p] = { topic = bed.topic, partition = p - 1, offset = 1 } end
  task.group(function(group)
    for hand = 1, HANDS do
      group:spawn(function()
        local admin <close> = must(kafka.admin { brokers = brokers, at_most = "60s" })
        for i = hand, #bed.groups, HANDS do must(admin:alter_group_offsets(bed.groups[i], offsets)) end
      end)
    end
  end)
end

local function bed_of(ctx, admin, brokers)
  local bed = { topic = ("rlab-bench-%x"):format(clock.ns()), partitions = ctx.partitions, groups = {} }
  for i = 1, ctx.groups do bed.groups[i] = ("%s-%d"):format(bed.topic, i) end
  fill_topic(admin, brokers, bed)
  commit_all(brokers, bed)
  return bed
end

local function scrape(child, bed)
  local began = clock.ns()
  local answer = must(http.get(child.url .. "/actuator/prometheus", { timeout = "60s", max_body = "1GiB" }))
  local took, body = (clock.ns() - began) / 1e9, answer.body
  if not body:find "\nrlab_exporter_complete 1\n" then error("the exporter did not hear all", 0) end
  local _, lags = body:gsub('\nkafka_consumergroup_lag{consumergroup="' .. bed.topic:gsub("%-", "%%-"), "")
  if lags ~= #bed.groups * bed.partitions then error(("%d lags were told"):format(lags), 0) end
  return { whole = took, asked = tonumber(body:match "\nrlab_exporter_scrape_seconds (%S+)"), bytes = #body }
end

local function peer(ctx, brokers, bed)
  local r = must(json.decode(ctx.run { ctx.peers .. "/groups_loop", bed.topic, tostring(bed.partitions),
    "bootstrap.servers=" .. brokers, "log_level=0" }))
  if r.offsets < #bed.groups * bed.partitions then error(("%d offsets were told"):format(r.offsets), 0) end
  return r.seconds
end

local function exporter(ctx, brokers)
  local child = must(process.spawn { stdout = "capture", stderr = "null",
    cmd = { ctx.rlab, "service", "exporter", "--port", "0", "--brokers", brokers, "--limit", "60s",
      "--die-with-parent", tostring(process.self()) } })
  return { child = child, url = "http://127.0.0.1:" .. must(json.decode(child:lines()())).port }
end

local function rounds_of(ctx, brokers, bed, child)
  local seen = { whole = {}, asked = {}, peer = {}, ratio = {} }
  scrape(child, bed)
  for turn = 1, ctx.few do
    local first = turn % 2 == 1 and peer(ctx, brokers, bed)
    local ours = scrape(child, bed)
    seen.peer[turn] = first or peer(ctx, brokers, bed)
    seen.whole[turn], seen.asked[turn], seen.bytes = ours.whole, ours.asked, ours.bytes
    seen.ratio[turn] = seen.peer[turn] / ours.asked
  end
  return seen
end

local function tell(ctx, bed, seen)
  local ratio = ctx.median(seen.ratio)
  local function took(list) return ("%.2f s"):format(ctx.median(list)) end
  ctx.title("exporter", ("%d groups that have committed %d partitions each; medians of %d rounds"):format(
    #bed.groups, bed.partitions, ctx.few))
  ctx.table({ { name = "", key = "what" }, { name = "took", key = "took", align = "right" },
    { name = "peer / ours", key = "ratio", align = "right" }, { name = "target", key = "target" } }, {
    { what = "librdkafka's admin: groups, offsets, ends", took = took(seen.peer) },
    { what = "the exporter's questions", took = took(seen.asked), ratio = ("%.1f"):format(ratio),
      target = ("%s %.1f"):format(term.symbol "ge", TARGET) },
    { what = ("its whole scrape, %.0f MiB of text"):format(seen.bytes / 2 ^ 20), took = took(seen.whole),
      target = "< 1 s, not judged" },
  })
  return ratio < TARGET
    and { ("exporter: it asks for longer than librdkafka's admin client does, %.2f"):format(ratio) } or {}
end

return function(ctx, stack)
  local brokers = stack:brokers()
  local admin <close> = must(kafka.admin { brokers = brokers, at_most = "60s" })
  local bed = bed_of(ctx, admin, brokers)
  local child = exporter(ctx, brokers)
  local ok, seen = pcall(rounds_of, ctx, brokers, bed, child)
  child.child:kill "TERM"
  child.child:wait "10s"
  child.child:close()
  admin:delete_groups(bed.groups)
  must(admin:delete_topics { bed.topic })
  if not ok then error(seen, 0) end
  return tell(ctx, bed, seen)
end
