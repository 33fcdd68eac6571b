-- rlab canary: a round of command, outbox, relay, topic and effect again and again, with a verdict on each.
local err = require "rlab.err"
local exit = require "rlab.exit"
local units = require "rlab.units"
local usage = require "rlab.usage" "canary: "

local canary = { name = "canary",
  help = "send one command through the whole pipeline every minute, and say whether it came" }

local ABOUT = [[
A round is held, late (its effect came after --within), lost (it has not come), doubled or inconclusive; one
that is lost and comes after all becomes late. It ends with 0 when all rounds held, with 1 when one is lost or
doubled, with 4 when one was late, with 3 when one cannot be judged. Without --rounds and --for a signal is
its end; with them it ends with 130 then. Metrics are at /metrics.]]

function canary.args(parser)
  parser:epilog(ABOUT)
  parser:option("--every", "from the beginning of a round to that of the next", "1m")
  parser:option("--within", "how long the effect of a command may take", "10s")
  parser:option("--rounds", "end after so many rounds")
  parser:option("--for", "end after this time"):target "lasts"
  parser:option("--host", "where its metrics are", "127.0.0.1")
  parser:option("--port", "of its metrics (18086, or that of RLAB_PORT_BASE); 0 is any")
  parser:flag("--json", "print a JSON line of each round")
  parser:option("--die-with-parent", "end when this process ends"):hidden(true)
end

local function duration(args, name, flag)
  local ok, seconds = pcall(units.duration, args[name])
  if ok and seconds > 0 then return seconds end
  usage("--%s takes a duration such as 30s, not '%s'", flag or name, args[name])
end

local function whole(args, name, least, most)
  local n = units.whole(args[name])
  if n and n >= least and n <= most then return n end
  usage("--%s takes a whole number from %d to %d, not '%s'", name, least, most, args[name])
end

local function own_port()
  local layout = require "rlab.stack.layout"
  return layout.ports((layout.port_base())).canary
end

local function asked(args)
  return { every = duration(args, "every"), within = duration(args, "within"),
    rounds = args.rounds and whole(args, "rounds", 1, math.maxinteger),
    lasts = args.lasts and duration(args, "lasts", "for"),
    port = args.port and whole(args, "port", 0, 65535) or own_port() }
end

local PATHS = { ["/metrics"] = true, ["/actuator/prometheus"] = true }

local function served(host, port, one)
  local http, metrics, must = require "rlab.http", require "rlab.metrics", require "rlab.must"
  return must(http.serve { host = host, port = port, handler = function(req)
    if not PATHS[req.path] then return http.problem(404, "there is nothing at " .. req.path) end
    return { status = 200, headers = { ["content-type"] = metrics.content_type },
      body = metrics.render(one:metrics()) }
  end })
end

local function is_signal(failure)
  return err.is(failure) and (failure.name == "INTERRUPTED" or failure.name == "TERMINATED")
end

-- -> whether it ended by itself
local function lived(one, opts)
  local ok, failure = pcall(one.run, one, opts)
  if not ok and not is_signal(failure) then error(failure, 0) end
  return ok
end

local function die_with(text)
  local pid = units.whole(text)
  return pid and require("rlab.core_host").die_with_parent(pid)
end

-- A pipeline that does not come to its first effect is no verdict on anything.
local function opened(opts, view, silent)
  local ok, one = pcall(require("rlab.canary").open, { within = opts.within, tell = view.round,
    view = require("rlab.run.view").new { silent = silent }, runs = require("rlab.stack.layout").home() })
  if ok then return one end
  if err.is(one) and one.name == "INCONCLUSIVE" then one.exit = exit.inconclusive end
  error(one, 0)
end

function canary.run(args)
  local opts = asked(args)
  if args.die_with_parent and not die_with(args.die_with_parent) then return exit.interrupted end
  local view = require("rlab.canary.view").new(args.json)
  local one <close> = opened(opts, view, args.json)
  local server <close> = served(args.host, opts.port, one)
  view.starts { every = opts.every, within = opts.within, metrics = server.url .. "/metrics",
    port = server.port, pid = require("rlab.process").self() }
  local by_itself = lived(one, opts)
  view.ends(one.tally)
  if not by_itself and (opts.rounds or opts.lasts) then return exit.interrupted end
  return one.tally:code()
end

return canary
