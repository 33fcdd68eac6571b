-- rlab up | down | status | logs | env | doctor: the servers of this machine's stack.
local defer = require "rlab.defer"
local exit = require "rlab.exit"
local tables = require "rlab.tables"
local urls = require "rlab.urls"

local function json_flag(parser)
  parser:flag("--json", "print JSON")
end

local function put_json(value)
  print(require("rlab.json").encode(value, { pretty = true }))
  return exit.ok
end

local function array(list)
  return require("rlab.json").array(list)
end

local function must(value, failure)
  if value == nil or value == false then error(failure, 0) end
  return value
end

-- The plain stack's, or the secure one's.
local function context(say, secure)
  local home = secure and require("rlab.stack.secure").home() or nil
  return must(require("rlab.stack.context").new { say = say, home = home })
end

local function secure_flag(parser, help) parser:flag("--secure", help) end

local function part_words(parser, help)
  parser:argument("server", help):args "*"
end

-- without words: `up` means the usual servers, `down` all that may run
local function words_of(args, otherwise)
  return #args.server > 0 and args.server or require("rlab.stack.servers")[otherwise]
end

-- "kafka 4.4.0, 3 brokers · mysql 9.7.4"
local function summary(stack)
  local dot, list = " " .. require("rlab.term").symbol "dot" .. " ", {}
  for _, part in ipairs(stack.parts) do
    list[#list + 1] = part .. " " .. (stack.versions[part] or "") .. (part == "kafka" and ", 3 brokers" or "")
  end
  return table.concat(list, dot)
end

local function note_other_base(ctx, say)
  if ctx.wanted_base ~= ctx.base then
    say(require("rlab.stack.words").line("note", (
      "it keeps its ports; RLAB_PORT_BASE%s counts after rlab down"):format(
      ctx.wanted_base and "=" .. ctx.wanted_base or " (unset)")))
  end
end

-- ---- up ----

local up = { name = "up", help = "start the servers, or only those named: kafka mysql redis proxy" }

function up.args(parser)
  part_words(parser, "kafka, mysql, redis, proxy (these when none is named), redis-cluster, registry, \z
    observe")
  parser:flag("--observe", "and Prometheus with its exporters, which watch them (make observe fetches them)")
  secure_flag(parser, "a second stack instead: kafka, mysql and redis with TLS, passwords and no right \z
    that was not granted; it prints the FILE for --stack external FILE")
  json_flag(parser)
end

-- Of a secure stack a file says the rest, as its secrets are not for a terminal.
local function describe(stack, took, file)
  local told = { reused = stack.reused, seconds = took, since = stack.since, home = stack.home,
    versions = stack.versions }
  if file then return tables.merged(told, { external = file }) end
  return tables.merged(told, { kafka = stack.kafka, mysql = stack.mysql, redis = stack.redis,
    redis_cluster = stack.redis_cluster, proxy = stack.proxy, observe = stack.observe })
end

-- On a terminal one line below the others says who is being waited for; on a pipe there is none.
local function tick(live, parts, began, secure)
  local task, clock, words = require "rlab.task", require "rlab.clock", require "rlab.stack.words"
  local supervisor, ctx = require "rlab.stack.local", context(nil, secure)
  return task.spawn(function()
    while live.tty do
      task.sleep "200ms"
      ctx:reload()
      local waited = table.concat(supervisor.not_serving(ctx, parts), ", ")
      if waited ~= "" then live:update { words.line("wait", waited, words.seconds(clock.ns() - began)) } end
    end
  end)
end

local function open_with_progress(parts, live, began, secure)
  local ticker = tick(live, parts, began, secure)
  local _ <close> = defer(function()
    ticker:cancel()
    ticker:join()
    live:clear()
  end)
  return require("rlab.stack").open { needs = parts, start = true, secure = secure,
    say = function(line) live:above(line) end }
end

-- The FILE by which `--stack external FILE` reaches it.
local function external_file(stack, secure)
  return secure and must(require("rlab.stack.secure.file").write(stack.ctx)) or nil
end

local function parts_to_start(args)
  local wanted = tables.append({}, words_of(args, "usual"))
  if args.observe then wanted[#wanted + 1] = "observe" end
  if args.secure then
    local secure = require "rlab.stack.secure"
    wanted = secure.wanted(#args.server > 0 and wanted or secure.parts)
    must(secure.ensure(secure.home()))
  end
  return require("rlab.stack").parts_of(wanted, true)
end

function up.run(args)
  local clock, words = require "rlab.clock", require "rlab.stack.words"
  local began, parts = clock.ns(), parts_to_start(args)
  if args.json then
    local stack = must(require("rlab.stack").open { needs = parts, start = true, secure = args.secure })
    return put_json(describe(stack, (clock.ns() - began) / 1e9, external_file(stack, args.secure)))
  end
  io.stdout:setvbuf "line"
  local stack = must(open_with_progress(parts, require("rlab.term").live(), began, args.secure))
  note_other_base(stack.ctx, print)
  local right = stack.reused and "up " .. words.age(clock.unix_ms() / 1000 - stack.since)
    or "up after " .. words.seconds(clock.ns() - began)
  print(words.line("stack", summary(stack), right))
  local file = external_file(stack, args.secure)
  if file then
    print(words.line("use", ("rlab --stack external %s run E-001"):format(
      require("rlab.stack.layout").short(file))))
  end
  return exit.ok
end

-- ---- down ----

local down = { name = "down", help = "stop the servers; their data stay (--wipe removes them)" }

function down.args(parser)
  part_words(parser, "kafka, mysql, redis, redis-cluster, registry, proxy, observe (all when none is named)")
  parser:flag("--wipe", "remove the data and logs too")
  parser:flag("--force", "also while another rlab works on the stack")
  secure_flag(parser, "those of the secure stack only; else its servers are stopped too when none is named")
  json_flag(parser)
end

local function refuse_while_used(home)
  local users = require("rlab.stack.users").list(home)
  if #users == 0 then return end
  local err = require "rlab.err"
  error(err.new { domain = "rlab", code = 0, name = "BUSY",
    message = ("pid %d (%s) works on this stack; wait for it, or rlab down --force"):format(users[1].pid,
      users[1].what) }, 0)
end

-- Stops the servers that are meant; adds what it did to the lists.
local function stop(ctx, args, stopped, forced)
  local parts = require("rlab.stack").parts_of(words_of(args, "parts"))
  local done, killed = require("rlab.stack.local").down(ctx, parts, { wipe = args.wipe })
  must(done, killed)
  tables.append(stopped, done)
  tables.append(forced, killed)
  if not args.wipe or not ctx.secure or #args.server > 0 then return end
  must(require("rlab.stack.secure").forget(ctx.home))
end

local function contexts(args)
  local say = not args.json and print or nil
  local list = { context(say, args.secure) }
  local secure = not args.secure and #args.server == 0 and context(say, true)
  if secure and secure.secure then list[2] = secure end
  return list
end

function down.run(args)
  local clock, words = require "rlab.clock", require "rlab.stack.words"
  local began, stopped, forced, all = clock.ns(), {}, {}, contexts(args)
  for _, ctx in ipairs(all) do
    if not args.force then refuse_while_used(ctx.home) end
  end
  for _, ctx in ipairs(all) do stop(ctx, args, stopped, forced) end
  require("rlab.stack.kafka_train").sweep()
  if args.json then
    return put_json { stopped = array(stopped), killed = array(forced), wiped = args.wipe or false,
      seconds = (clock.ns() - began) / 1e9 }
  end
  local text = #stopped > 0 and "stopped " .. table.concat(stopped, ", ") or "nothing was running"
  if #forced > 0 then text = text .. "; had to kill " .. table.concat(forced, ", ") end
  if args.wipe then text = text .. "; data removed" end
  print(words.line("down", text, words.seconds(clock.ns() - began)))
  return exit.ok
end

-- ---- status ----

local status = { name = "status", help = "what runs, where, since when, and how much memory it takes" }

function status.args(parser)
  secure_flag(parser, "of the secure stack")
  json_flag(parser)
end

local function state_class(word)
  if word == "up" then return "right" end
  return word == "down" and "dim" or "wrong"
end

-- awake(rows) -> the rows of the usual parts and of those that do not lie still, the other parts that start
--   by themselves
local function awake(rows, usual)
  local servers = require "rlab.stack.servers"
  local wanted, shown, still = {}, {}, {}
  for _, part in ipairs(usual or servers.usual) do wanted[part] = true end
  for _, row in ipairs(rows) do
    if row.state ~= "down" then wanted[servers.of(row.server).part] = true end
  end
  for _, row in ipairs(rows) do
    if wanted[servers.of(row.server).part] then shown[#shown + 1] = row end
  end
  for _, part in ipairs(servers.parts) do
    if not wanted[part] and part ~= "observe" then still[#still + 1] = part end
  end
  return shown, still
end

-- what is said of the secure stack, where it runs beside the one that is shown
local function beside(ctx)
  local secure = not ctx.secure and context(nil, true)
  if not secure or not secure:any_alive() then return nil end
  return require("rlab.stack.layout").short(secure.home) .. " runs too: rlab status --secure"
end

-- where to look at what Prometheus has seen | nil
local function looks(ctx)
  return ctx:alive "prometheus" and require("rlab.stack.observe").url(ctx) or nil
end

function status.run(args)
  local ctx = context(nil, args.secure)
  local rows = must(require("rlab.stack").status(ctx))
  local columns = rows.columns
  rows.columns = nil
  local kind = require("rlab.stack").use()
  if kind ~= "local" then
    if args.json then return put_json { kind = kind, servers = array(rows) } end
    print(require("rlab.term").grid(columns, rows, { indent = 2 }))
    return exit.ok
  end
  if args.json then
    for _, row in ipairs(rows) do row.up, row.memory = nil, nil end
    return put_json { home = ctx.home, port_base = ctx.base, versions = ctx.state.versions,
      look = looks(ctx), servers = array(rows),
      users = array(require("rlab.stack.users").list(ctx.home)) }
  end
  local term, words = require "rlab.term", require "rlab.stack.words"
  local function painted(word) return term.colour(state_class(word), word) end
  for i, name in ipairs(columns) do
    columns[i] = { name = name, align = i > 2 and "right" or "left",
      format = name == "state" and painted or nil }
  end
  local shown, still = awake(rows, ctx.secure and require("rlab.stack.secure").parts)
  print(term.grid(columns, shown, { indent = 2 }))
  print("\n" .. words.line("home", require("rlab.stack.layout").short(ctx.home)))
  local other = beside(ctx)
  if other then print(words.line("secure", other)) end
  if ctx:any_alive() and not ctx.secure then
    local look = looks(ctx)
    print(words.line("look", look and look .. "  Prometheus: targets, alerts, queries"
      or "rlab up --observe adds Prometheus, which watches them"))
  end
  if #still > 0 and not ctx.secure then
    print(words.line("down", table.concat(still, ", ") .. ", which start where they are needed"))
  end
  if not ctx:any_alive() then
    print(words.line("note", "nothing runs; start it with: rlab up" .. (ctx.secure and " --secure" or "")))
  end
  for _, user in ipairs(require("rlab.stack.users").list(ctx.home)) do
    print(words.line("in use", ("by pid %d (%s)"):format(user.pid, user.what)))
  end
  return exit.ok
end

-- ---- logs ----

local logs = { name = "logs", help = "print a server's log, or the last lines of all" }

function logs.args(parser)
  parser:argument("server", "kafka-1 to kafka-3, controller, mysql, redis ...; kafka, redis-cluster or \z
    observe for all of its servers"):args "*"
  parser:flag("-f --follow", "go on as lines come")
  parser:option("-n --lines", "how many of the last lines", "20"):convert(math.tointeger)
  secure_flag(parser, "of the secure stack")
  parser:flag("--json", "print each line as JSON: server, line")
end

local function servers_of(given)
  local servers, list = require "rlab.stack.servers", {}
  for _, word in ipairs(given) do
    local found = false
    for _, name in ipairs(servers.names()) do
      if name == word or servers.of(name).part == word then
        list[#list + 1], found = name, true
      end
    end
    if not found then
      local names = { "kafka", "redis-cluster", "observe", table.unpack(servers.names()) }
      error(require("rlab.err").new { domain = "rlab", code = 0, name = "USAGE",
        message = ("no server '%s'; %s"):format(word, require("rlab.options").advice(word, names)) }, 0)
    end
  end
  return #list > 0 and list or servers.names()
end

local function form_of(args, several)
  if args.json then
    local json = require "rlab.json"
    return function(name, line) return json.encode { server = name, line = line } end
  end
  local pad, visible = require("rlab.term").pad, require("rlab.text").visible
  return function(name, line) return (several and pad(name, 11) or "") .. visible(line, true) end
end

local function print_lines(name, text, form, limit)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  for i = math.max(1, #lines - (limit or #lines) + 1), #lines do print(form(name, lines[i])) end
  io.stdout:flush()
end

-- A log as it grows. Its file is held open, so that the last lines of one that a restart put aside are read
-- before the new one is begun.
local Log = {}
Log.__index = Log

local function inode_of(path)
  local found = require("rlab.fs").stat(path)
  return found and found.inode
end

-- The inode is that of the opened file: asked before and after, in case the file is put aside in between.
local function open_log(path)
  local log = setmetatable({ path = path, at = 0 }, Log)
  repeat
    if log.file then log.file:close() end
    log.inode = inode_of(path)
    log.file = io.open(path, "rb")
  until inode_of(path) == log.inode
  return log
end

-- The whole lines that were written since the last look.
function Log:rest()
  if not self.file then return "" end
  self.file:seek("set", self.at)
  local whole = (self.file:read "a" or ""):match "^.*\n" or ""
  self.at = self.at + #whole
  return whole
end

function Log:grown()
  local now = inode_of(self.path)
  local text = self:rest()
  if not now or now == self.inode then return text end
  if self.file then self.file:close() end
  local anew = open_log(self.path)
  self.file, self.inode, self.at = anew.file, anew.inode, 0
  return text .. self:rest()
end

function logs.run(args)
  local ctx, names, opened = context(nil, args.secure), servers_of(args.server), {}
  local task, form, empty = require "rlab.task", form_of(args, #names > 1), true
  for _, name in ipairs(names) do
    opened[name] = open_log(ctx:server(name).log)
    local text = opened[name]:rest()
    print_lines(name, text, form, args.lines)
    if text ~= "" then empty = false end
  end
  if empty and not args.follow and not args.json then
    io.stderr:write("rlab: there are no logs yet; rlab up starts the servers\n")
  end
  while args.follow do
    task.sleep "100ms"
    for _, name in ipairs(names) do print_lines(name, opened[name]:grown(), form) end
  end
  return exit.ok
end

-- ---- env ----

local env = { name = "env", help = "shell exports for kcat, mysql and redis-cli: eval \"$(rlab env)\"" }

env.args = json_flag

local function exports(ctx)
  local mysql = require "rlab.stack.servers.mysql"
  local p, who = ctx.ports, { user = mysql.user, password = mysql.password(ctx.home) }
  return {
    { "KAFKA_BROKERS", ctx:brokers() },
    { "MYSQL_HOST", "127.0.0.1" }, { "MYSQL_TCP_PORT", p.mysql }, { "MYSQL_USER", who.user },
    { "MYSQL_PWD", who.password },
    { "MYSQL_URL", urls.write("mysql", who, urls.address("127.0.0.1", p.mysql), "rlab") },
    { "REDIS_HOST", "127.0.0.1" }, { "REDIS_PORT", p.redis },
    { "REDIS_URL", ("redis://127.0.0.1:%d/0"):format(p.redis) },
    { "REDIS_CLUSTER_NODES",
      table.concat(require("rlab.stack.redis_cluster").addresses(ctx), ",") },
    { "SCHEMA_REGISTRY_URL", require("rlab.stack.servers.registry").url(p.registry) },
  }
end

function env.run(args)
  local ctx = context()
  local list = exports(ctx)
  if args.json then
    local map = {}
    for _, pair in ipairs(list) do map[pair[1]] = tostring(pair[2]) end
    return put_json(map)
  end
  for _, pair in ipairs(list) do print(("export %s='%s'"):format(pair[1], pair[2])) end
  local tools = require "rlab.stack.tools"
  local server = tools.mysql()
  local client = tools.which "mysql" or server and server.root and server.root .. "/bin/mysql" or "mysql"
  print(([[
# kcat -b "$KAFKA_BROKERS" -L
# kcat -b "$KAFKA_BROKERS" -C -t TOPIC -o beginning -e -f '%%p/%%o %%k %%s\n'
# %s --host="$MYSQL_HOST" --port="$MYSQL_TCP_PORT" --user="$MYSQL_USER" rlab
# redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT"]]):format(client))
  io.stdout:flush()
  if not ctx:any_alive() then
    io.stderr:write("rlab: nothing runs at these addresses yet; start it with: rlab up\n")
  end
  return exit.ok
end

-- ---- doctor ----

local doctor = { name = "doctor", help =
  "is everything there? versions, ports, memory, disk, java; each failure with its mend" }

doctor.args = json_flag

local SIGN = { ok = { "right", "ok" }, warn = { "inconclusive", "note" }, fail = { "wrong", "missing" } }

function doctor.run(args)
  local findings = must(require("rlab.stack.doctor").examine())
  local failed = 0
  for _, f in ipairs(findings) do
    if f.level == "fail" then failed = failed + 1 end
  end
  local code = failed > 0 and exit.unreachable or exit.ok
  if args.json then
    put_json { ok = failed == 0, findings = array(findings) }
    return code
  end
  local term = require "rlab.term"
  for _, f in ipairs(findings) do
    local sign = SIGN[f.level]
    print(("  %s  %s  %s"):format(term.colour(sign[1], term.pad(sign[2], 7)), term.pad(f.topic, 8), f.text))
    if f.mend then print((" "):rep(21) .. term.colour("dim", f.mend)) end
  end
  print(failed == 0 and "\n  all is there" or ("\n  %d missing"):format(failed))
  return code
end

return { up, down, status, logs, env, doctor }
