-- The man page, rlab(1): what --help prints of each command, as man(7) wants it.
local exit = require "rlab.exit"

local M = {}

local environment = {
  { "RLAB_HOME", "where the servers' data and logs lie (./.rlab)" },
  { "RLAB_PORT_BASE", "moves all ports of the servers: the first of a block of 200" },
  { "RLAB_SCENARIOS", "the folder of your own scenarios (./scenarios)" },
  { "RLAB_MIGRATIONS", "a folder of migrations instead of those that rlab brings" },
  { "RLAB_FAILPOINTS", "failpoints that are armed from the start, as name=expression;name=expression; one \z
    that is malformed, or that a service never reaches, ends its start with 64" },
  { "RLAB_FAILPOINT_LOG", "the file in which each hit of an armed failpoint is written before it acts" },
  { "RLAB_FAILPOINT_SEED", "the seed of their chances" },
  { "RLAB_LOG", "the level and the form of messages on standard error" },
  { "RLAB_LUA_PATH", "a checkout whose Lua files go before those that are embedded" },
  { "RLAB_ASCII", "1: no sign beyond ASCII on the terminal" },
  { "NO_COLOR", "no colours" },
  { "DOCKER_HOST", "with --stack compose: the engine's socket, unix:///PATH (unix:///var/run/docker.sock)" },
  { "COMPOSE_PROJECT_NAME", "with --stack compose: whose containers, where two projects share names" },
  { "RLAB_OPTION", "an option of rlab service by its name in capitals, such as RLAB_BROKERS" },
}

local WIDTH = 78

-- Lines that mandoc takes without a word: short, and none that a roff request begins.
local function filled(text)
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    if line ~= "" and #line + 1 + #word > WIDTH then
      lines[#lines + 1], line = line, ""
    end
    line = line == "" and word:gsub("^([.'])", "\\&%1") or line .. " " .. word
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n")
end

local function escaped(text)
  return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("%s+", " "))
end

local function put(out, fmt, ...)
  out[#out + 1] = fmt:format(...)
end

local function section(out, title)
  put(out, '.SH "%s"', title)
end

local function item(out, label, text)
  put(out, ".TP\n\\fB%s\\fR\n%s", escaped(label), filled(escaped(text)))
end

-- What argparse knows of its elements it offers as a help text only: its own fields are read.
local function elements(out, list)
  for _, element in ipairs(list) do
    local label = table.concat(element:_get_label_lines(), " ")
    if not label:find "%-h, %-%-help" then item(out, label, element:_get_description()) end
  end
end

local function command_text(out, parser)
  put(out, '.SS "%s"', escaped(parser:_get_fullname()))
  put(out, "%s", filled(escaped(parser._description or "")))
  elements(out, parser._arguments)
  elements(out, parser._options)
  for _, child in ipairs(parser._commands) do command_text(out, child) end
end

local DATE = "2026-11-30" -- of this version
local head = [[
.TH RLAB 1 "%s" "rlab %s" "rlab"
.SH NAME
rlab \- a scriptable reliability lab for Kafka, MySQL and Redis
.SH SYNOPSIS
.B rlab
[\fB\-\-stack\fR \fIKIND\fR]
[\fIE\-0xx\fR | \fIFILE.lua\fR | \fICOMMAND\fR] [\fIoptions\fR]
.SH DESCRIPTION
Runs failure experiments on real brokers, a real database and a real cache,
shows the wrong practice failing and the right practice holding, and proves
both from what the stores contain afterwards.
Without words it is the interactive lab, on a pipe a script.
Each command takes \fB\-\-help\fR.]]

local tail = [[
.SH FILES
.TP
.I .rlab
data and logs of the servers
.TP
.I runs
results: the story, the evidence and the report of each run
.TP
.I scenarios
your own scenarios
.TP
.I ../share/rlab
beside the program's folder: the experiments as files, and the scripts of rlab
fetch
.SH "SEE ALSO"
.BR kcat (1),
.BR mysql (1),
.BR redis\-cli (1)]]

-- page(commands) -> rlab.1
function M.page(commands)
  local out = { head:format(DATE, escaped(require "rlab.version")) }
  section(out, "COMMANDS")
  for _, child in ipairs(require("rlab.docs.command_line").tree(commands)._commands) do
    command_text(out, child)
  end
  section(out, "OPTIONS")
  item(out, "--stack local|compose|external", "on which servers; compose: the containers of \z
    docker-compose.yml; external FILE: your own, at the addresses in FILE; both run already (with \z
    experiments, status and the prompt)")
  section(out, "EXIT STATUS")
  for _, row in ipairs(exit.meanings) do item(out, tostring(row[1]), row[2]) end
  section(out, "ENVIRONMENT")
  for _, row in ipairs(environment) do item(out, row[1], row[2]) end
  out[#out + 1] = tail
  return table.concat(out, "\n") .. "\n"
end

return M
