-- rlab replay backfill: a chunked job from a file.
local exit = require "rlab.exit"
local json = require "rlab.json"
local must = require "rlab.must"
local options = require "rlab.options"
local tables = require "rlab.tables"
local usage = require "rlab.usage" "replay: backfill: "

local function mysql_of(args)
  local url = args.mysql or os.getenv "RLAB_MYSQL"
  if url then
    return require("rlab.urls").mysql(url) or usage(
      "--mysql takes mysql://user:password@host:port/schema, not '%s'", url)
  end
  local stack = require("rlab.stack").current()
  if not (stack and stack.mysql) then
    usage "no MySQL: start the stack by rlab up, or say --mysql mysql://user:password@host:port/schema"
  end
  return stack:mysql_opts { database = stack.mysql.database }
end

local keys = { job = "string", table = "string", key = "string", read = "string", write = "string",
  shards = "integer", chunk = "integer" }

local function check_job(path, job)
  for name, value in pairs(job) do
    local want = keys[name]
    if not want then
      usage("%s: a job has no '%s'%s", path, tostring(name),
        options.hint(name, tables.sorted_keys(keys), "; "))
    end
    if (want == "integer" and math.type(value) ~= "integer")
      or (want == "string" and type(value) ~= "string") then
      usage("%s: '%s' is %s %s", path, name, want == "integer" and "an" or "a", want)
    end
  end
  for _, name in ipairs { "job", "table", "key", "read", "write" } do
    if job[name] == nil then usage("%s: a job needs '%s'", path, name) end
  end
  return job
end

local function job_of(path)
  local text, failure = require("rlab.fs").read(path)
  if not text then usage("%s", failure.message) end
  local job, wrong = json.decode(text)
  if type(job) ~= "table" or json.is_array(job) then
    usage("%s: %s", path, wrong and wrong.message or "an object expected")
  end
  return check_job(path, job)
end

local function lag_of(args)
  if not args.topic and not args.group then return nil end
  if not (args.topic and args.group) then
    usage "--topic and --group belong together: whose lag is live traffic's?"
  end
  local brokers = args.brokers or os.getenv "RLAB_BROKERS"
    or must(require("rlab.stack").current()).kafka.brokers
  local admin = must(require("rlab.kafka").admin { brokers = brokers, at_most = "2s" })
  return function() return (require("rlab.replay").lag(admin, args.topic, args.group)) end
end

local function print_status(job, shards)
  local lines = {}
  for i, s in ipairs(shards) do
    lines[i] = { shard = s.shard, position = s.position, upper = s.upper, chunks = s.chunks,
      state = s.position >= s.upper and "done" or "" }
  end
  if #lines == 0 then return print(("  job %s has not begun"):format(job)) end
  print(require("rlab.term").grid({ { name = "shard", key = "shard" },
    { name = "done up to", key = "position" }, { name = "of", key = "upper" },
    { name = "chunks", key = "chunks" }, { name = "", key = "state" } }, lines, { indent = 2 }))
end

local function status(args, at, job)
  local shards = must(require("rlab.replay.backfill").status(at, job.job))
  if args.json then
    print(json.encode(json.array(shards), { pretty = true }))
  else
    print_status(job.job, shards)
  end
  return exit.ok
end

local function report(args, work)
  local counts = work:counts()
  if args.json then
    print(json.encode(counts, { pretty = true }))
  else
    print(("  %d chunks, %d rows read, %d written, %d overtaken by live writes%s"):format(counts.chunks,
      counts.rows, counts.written, counts.guarded,
      counts.throttled > 0 and (", %.1f s paused for live traffic"):format(counts.throttled) or ""))
  end
  return exit.ok
end

local backfill = { name = "backfill", help =
  "run a job over a table in chunks with checkpoints; again after a crash, it goes on" }

function backfill.args(parser)
  parser:argument("file", 'a JSON file: {"job": name, "table": t, "key": its primary key, "read": SELECT \z
    ... of keys above :from up to :upto, ' ..
    '"write": UPDATE ... with the columns read as :names, "shards": 4, "chunk": 500}')
  parser:option("--mysql",
    "mysql://user:password@host:port/schema (default RLAB_MYSQL, or the running stack)")
  parser:option("--topic", "pause while live traffic lags: its topic")
  parser:option("--group", "and its group")
  parser:option("--max-lag", "from so many records on (default 50)")
  parser:option("--brokers", "host:port,... (default RLAB_BROKERS, or the running stack)")
  parser:flag("--status", "only say how far the job is")
  parser:flag("--restart", "forget the checkpoints and begin anew")
  parser:flag("--json", "print JSON")
end

function backfill.run(args)
  local core = require "rlab.replay.backfill"
  require("rlab.failpoint.points").check_armed "backfill"
  local at, job = mysql_of(args), job_of(args.file)
  if args.status then return status(args, at, job) end
  if args.restart then must(core.forget(at, job.job)) end
  job.mysql, job.lag = at, lag_of(args)
  job.max_lag = require("rlab.units").whole(args.max_lag or 50)
    or usage("--max-lag takes a whole number, not '%s'", args.max_lag)
  local work = core.new(job)
  must(work:run())
  return report(args, work)
end

return backfill
