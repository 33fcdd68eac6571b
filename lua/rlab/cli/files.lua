-- rlab experiments: those that are built in, as files. rlab fetch: what the servers are made of, where there
-- is no checkout whose `make deps` gets it.
local exit = require "rlab.exit"
local usage = require "rlab.usage" ()

local experiments = { name = "experiments", help = "the built-in experiments as files that you can edit" }

function experiments.args(parser)
  parser:mutex(parser:flag("--path", "print the folder where they lie beside rlab, to read them"),
    parser:option("--copy", "write them into a folder (default experiments); run one of them by its path")
      :args("?"):argname "<dir>")
end

local function print_path()
  local path = require("rlab.installed").folder "experiments"
  if not path then
    usage "experiments: no files lie beside this rlab; rlab experiments --copy DIR writes them"
  end
  print(path)
  return exit.ok
end

-- What is there already and is another text is somebody's work.
local function kept(folder, list)
  local fs, host = require "rlab.fs", require "rlab.core_host"
  for _, path in ipairs(list) do
    local mine = folder .. "/" .. path:match "[^/]*$"
    if fs.exists(mine) and fs.read(mine) ~= host.embedded(path) then return mine end
  end
end

local function copy(folder)
  local fs, must, list = require "rlab.fs", require "rlab.must", require("rlab.experiment").names()
  local mine = kept(folder, list)
  if mine then
    usage("experiments: %s is there already and is not rlab's text; name another folder or move it", mine)
  end
  must(fs.mkdir(folder))
  for _, path in ipairs(list) do
    must(fs.write(folder .. "/" .. path:match "[^/]*$", require("rlab.core_host").embedded(path)))
  end
  print(("wrote %d experiments into %s; edit one and run it by its path: rlab %s/%s"):format(#list, folder,
    folder, list[1]:match "[^/]*$"))
  return exit.ok
end

function experiments.run(args)
  if args.path then return print_path() end
  if args.copy then return copy(args.copy[1] and args.copy[1]:gsub("(.)/+$", "%1") or "experiments") end
  usage "experiments: say --path or --copy [DIR]; rlab list shows what there is"
end

-- ---- fetch ----

local fetch = { name = "fetch", help = "fetch what the stack's servers need, without a checkout (make deps)" }

local SCRIPTS = {
  deps = { { "packages.sh", "serve" }, { "kafka.sh" }, { "flyway.sh" }, { "mysql.sh" }, { "valkey.sh" } },
  registry = { { "registry.sh" } },
  observe = { { "prometheus.sh" } },
}

function fetch.args(parser)
  parser:argument("what", "deps: Kafka, MySQL, Flyway, Valkey (when nothing is named), registry, observe")
    :args "?":choices { "deps", "registry", "observe" }
end

function fetch.run(args)
  local process, must = require "rlab.process", require "rlab.must"
  local folder = require("rlab.installed").folder "deps"
  if not folder then usage "fetch: the scripts do not lie beside this rlab: install it with make install" end
  for _, words in ipairs(SCRIPTS[args.what or "deps"]) do
    local cmd = { "bash", folder .. "/" .. words[1], words[2] }
    local p <close> = must(process.spawn { cmd = cmd, stdout = "inherit", stderr = "inherit" })
    local status = must(p:wait())
    if status.code ~= 0 and words[1] ~= "valkey.sh" then return exit.unreachable end -- it has said why
  end
  return exit.ok
end

return { experiments, fetch }
