-- rlab.stack, rlab.term, rlab.edit, rlab.interrupt: servers and the terminal.
local stack = {
  module = "stack", kind = "module", doc = "The real servers that experiments run on.",
  functions = {
    { "open", "stack.open{needs =, start =, say =, what =, home =, kind =} -> stack | nil, err",
      "Opens a stack; starts what is missing when asked to.",
      params = { 'needs: table, of "kafka", "mysql", "redis", "proxy"; all without it', "start: boolean = false, start what does not run",
        "say: function, say(line) for progress",
        "what: string, who uses it, for others to see", "home: string, default RLAB_HOME or .rlab", 'kind: string = "local"' },
      errors = "NO_STACK, or why a server did not start",
        example = 'local s = must(stack.open { needs = { "kafka" }, start = true, say = print })' },
    { "current", "stack.current() -> stack | nil", "The parts that serve now." },
    { "up", "stack.up(...) -> stack | nil, err", "As `rlab up` does.", params = { "...: string, parts; all without it" },
      example = 'must(stack.up("kafka"))' },
    { "down", "stack.down(...) -> names | nil, err", "As `rlab down` does; the names of the servers that were stopped.",
      params = { "...: string, parts; all without it" } },
    { "status", "stack.status() -> rows | nil, err",
      "Every server: state, pid, port, up, memory, and the same as numbers (since, up_seconds, rss)." },
    { "parts_of", "stack.parts_of(words) -> list", "Parts in their usual order, each once; raises for a word that is none.",
      params = { "words: table" } },
  },
  types = {
    { name = "stack", meta = "stack", doc = "A running stack.",
      fields = { "kafka: table | nil, { brokers =, nodes = }", "mysql: table | nil, { host =, port =, user =, password = }",
        "redis: table | nil, { host =, port = }",
        "versions: table, by server", "since: integer, seconds since 1970", "reused: boolean, it ran already", "parts: table",
          "home: string", "kind: string", "ports: table, by server" },
      methods = {
        { "server", "s:server(name) -> server", "A server to kill, freeze and start.",
          params = { 'name: string, "kafka-1", "controller", "mysql", "redis"' } },
        { "servers", "s:servers() -> list", "All of its parts." },
        { "partitionable", "s:partitionable([on]) -> boolean | true | nil, err",
          "Whether the brokers reach one another through the proxy; with on it is made so, or not, by restarting them: have the stack alone.",
          params = { "on: boolean" } },
        { "health", "s:health() -> list", "{ server, ok, why } of each." },
        { "heal", "s:heal([{at_most =}]) -> true, list | nil, err",
          "Thaws the frozen, starts the dead, waits until all are whole; the list says what was mended.",
          params = { "at_most: duration = 40s" } },
        { "exclusive", "s:exclusive(what [, {at_most =, say =}]) -> lock | nil, err",
          "For a run that hits shared servers, so that two such runs take turns.",
          params = { "what: string", "at_most: duration = 10m", "say: function" } },
        { "close", "s:close()", "Lets go; the servers live on. Also by <close>." },
      } },
    { name = "server", meta = "server", doc = "One server of a local stack.",
      fields = { "name: string", "pid: integer | nil", "start_time: integer | nil" },
      methods = {
        { "state", "server:state() -> string", '"up", "frozen", "starting", "dead" or "down".' },
        { "alive", "server:alive() -> boolean", "Whether its process lives." },
        { "kill", "server:kill() -> true | nil, err", "SIGKILL; returns when it is gone.", errors = "NOT_RUNNING" },
        { "freeze", "server:freeze() -> true | nil, err", "SIGSTOP; returns when every thread has stopped.", errors = "NOT_RUNNING" },
        { "thaw", "server:thaw() -> true | nil, err", "SIGCONT.", errors = "NOT_RUNNING" },
        { "start", "server:start() -> true | nil, err", "Starts it on its data; s:heal waits until it serves." },
        { "log", "server:log([from]) -> text, offset", "Its log from an offset on.", params = { "from: integer = 0" } },
      } },
  },
}

local FD = "fd: integer = 1"
local TEXT = "text: string"
local term = {
  module = "term", kind = "module", doc = "Colour by meaning, display widths, grids, bars and a block that is redrawn in place.",
  functions = {
    { "colour", "term.colour(class, text [, fd]) -> string", "Plain where colour is not wanted.",
      params = { 'class: string, "right", "wrong", "observed", "inconclusive", "dim", "bold", "hw", "lso", "backlog"', TEXT, FD } },
    { "colour_mode", "term.colour_mode(mode)", "Overrides what the terminal and NO_COLOR say.",
      params = { 'mode: string, "always", "never" or "auto"' } },
    { "has_colour", "term.has_colour([fd]) -> boolean", "Whether colour is written.", params = { FD } },
    { "is_tty", "term.is_tty([fd]) -> boolean", "Whether it is a terminal.", params = { FD } },
    { "width", "term.width([fd]) -> integer", "Columns; 80 on a pipe.", params = { FD } },
    { "utf8", "term.utf8() -> boolean", "Whether UTF-8 is shown; RLAB_ASCII=1 says no." },
    { "symbol", "term.symbol(name) -> string", "By name, in ASCII where UTF-8 is not shown.",
      params = { 'name: string, "bar", "dot", "arrow", "ellipsis", ...' } },
    { "display_width", "term.display_width(text) -> integer", "Columns: Korean counts double, colours nothing.", params = { TEXT } },
    { "fit", "term.fit(text, width) -> string", "At most so many columns, with an ellipsis.", params = { TEXT, "width: integer" } },
    { "pad", "term.pad(text, width [, align]) -> string", "Filled with spaces.",
      params = { TEXT, "width: integer", 'align: string = "left", "right" or "center"' } },
    { "wrap", "term.wrap(text, width) -> lines", "A paragraph broken at spaces.", params = { TEXT, "width: integer" } },
    { "bar", "term.bar(fraction, width [, class]) -> string", "A filled bar.",
      params = { "fraction: number, 0..1", "width: integer", "class: string, as for colour" } },
    { "grid", "term.grid(columns, rows [, opts]) -> string", "A table as text; numbers to the right, what is too wide is cut.",
      params = { "columns: table, names, or { name =, key =, align =, format =, max =, class = }", "rows: table, lists or records",
        "opts: table, { indent =, max_rows =, width =, more = }" } },
    { "live", "term.live([fd]) -> live", "A block of lines redrawn in place; nothing is drawn on a pipe.", params = { FD } },
  },
  types = {
    { name = "live", doc = "A block of lines.",
      methods = {
        { "update", "live:update(lines)", "Draws it anew.", params = { "lines: table" } },
        { "above", "live:above(text)", "Lasting text above the block.", params = { TEXT } },
        { "clear", "live:clear()", "Takes the block away." },
        { "done", "live:done([lines])", "Ends the block; these lines stay, on a pipe too.", params = { "lines: table" } },
      } },
  },
}

local edit = {
  module = "edit", kind = "module",
    doc = "A line editor that lets other tasks run: history, completion, UTF-8, output above the line being typed.",
  functions = {
    { "readline", "edit.readline([prompt]) -> line | nil | nil, err", "Waits for a line; nil at the end of the input.",
      params = { 'prompt: string = "> "' },
      errors = "INTERRUPTED on Ctrl-C, NOT_A_TERMINAL" },
    { "print_above", "edit.print_above(text)", "Above the prompt while a line is edited, else plainly.", params = { TEXT } },
    { "active", "edit.active() -> boolean", "Whether a task waits in readline." },
    { "complete", "edit.complete(f)", "f(line, cursor) -> list, start is asked on Tab; it must not wait.", params = { "f: function" } },
    { "history_add", "edit.history_add(line) -> true | nil, err", "For the arrow keys.", params = { "line: string" } },
    { "history_load", "edit.history_load(path) -> true | nil, err", "Lines of a file; one that is not there is fine.",
      params = { "path: string" } },
    { "history_save", "edit.history_save(path, line | list [, replace]) -> true | nil, err",
      "Appends to (or replaces) a file that only its owner can read.",
      params = { "path: string", "line: string | table", "replace: boolean = false" } },
    { "capture_errors", "edit.capture_errors(on) -> true | nil, err", "What is written to stderr appears above the prompt.",
      params = { "on: boolean" } },
    { "size", "edit.size([fd]) -> columns, rows | nil", "Of a terminal.", params = { FD } },
  },
}

local interrupt = {
  module = "interrupt", kind = "module", doc = "Ctrl-C for a program that goes on.",
  functions = {
    { "set", "interrupt.set(f | nil)", "f, which must not wait, is called on Ctrl-C instead of ending the program.",
      params = { "f: function | nil" } },
    { "breakable", "interrupt.breakable(on)", "Until breakable(false), Ctrl-C stops even a loop of the calling task that never waits.",
      params = { "on: boolean" } },
  },
}

return { stack, term, edit, interrupt }
