-- rlab.fail, rlab.bag, rlab.history
local fail = {
  module = "fail", kind = "module",
    doc = "Failpoints: places where a fault can be armed. Each firing is written to the hit log before it \z
      acts.",
  functions = {
    { "point", "fail.point(name [, ctx]) -> nil | value | nil, err",
      "Reaches a point: nil unless something is armed that returns or fails.",
      params = { "name: string", "ctx: table, read by `if key=...`" },
        example = 'local injected, e = fail.point("consumer.before_commit", { key = r.key })' },
    { "arm", "fail.arm(name, expr)", "Arms a point; a wrong expression raises.",
      params = { "name: string", "expr: string, [P%][N*][#K]action[(arg)] [if key=...] [-> next]" },
        example = 'fail.arm("consumer.before_commit", "#40 kill")' },
    { "disarm", "fail.disarm([name]) -> boolean", "Whether it was armed; without a name all.",
      params = { "name: string" } },
    { "resume", "fail.resume(name)", "Lets go who waits at a pause.", params = { "name: string" } },
    { "hits", "fail.hits(name) -> hits, firings", "Since it was armed.", params = { "name: string" } },
    { "list", "fail.list() -> list", "{ name, expr, hits, fired } in the order of arming." },
    { "points", "fail.points() -> list", "{ name, help } of the points in C." },
    { "explain", "fail.explain(expr) -> text | nil, err",
      "An expression in words, offline; the error shows the place.",
      params = { "expr: string" } },
    { "define", "fail.define(name, f)",
      "What the action call(name) calls, as f(ctx, hit); nil takes it away.",
      params = { "name: string", "f: function | nil" } },
    { "seed", "fail.seed(seed)", "Of the percentages.", params = { "seed: integer" } },
    { "selftest", "fail.selftest([key]) -> word, text", "Reaches the C point rlab.selftest.",
      params = { "key: string" } },
  },
}

local bag = {
  module = "bag", kind = "module", doc = "Multisets of ids with columns, in C: a - b, a & b, a + b, a | \z
    b, #a.",
  functions = {
    { "new", "bag.new([{columns =, memory =, cap =}]) -> bag", "An empty bag.",
      params = { 'columns: table, names such as {"key", "version"}',
        'memory: size = "2GiB" or RLAB_BAG_MEMORY; beyond it the entries go to a file in TMPDIR',
        "cap: size, beyond which it refuses instead" },
      example = 'local b = bag.new { columns = { "key", "version" } }\nb:add("e-1", "k", 1)' },
    { "from", "bag.from(list [, {id =, columns =, memory =, cap =}]) -> bag",
      "Of a list of ids, or of tables.",
      params = { "list: table", "id: string, the field that is the id",
        "columns: table, fields that are columns", "memory: size", "cap: size" } },
  },
  types = {
    { name = "bag", meta = "rlab.bag", doc = "A multiset of ids.",
      methods = {
        { "add", "b:add(id, ...) -> b", "One entry.",
          params = { "id: string | integer", "...: any, values of the columns" } },
        { "ids", "b:ids([limit]) -> list", "Distinct ids, in the order of their first copies.",
          params = { "limit: integer" } },
        { "distinct", "b:distinct() -> bag", "The first copies." },
        { "duplicates", "b:duplicates([limit]) -> list", "{ id, count } of ids that occur more than once.",
          params = { "limit: integer" } },
        { "count", "b:count(id) -> integer", "How often it occurs.", params = { "id: string | integer" } },
        { "rows", "b:rows([limit]) -> list", "The entries in order.", params = { "limit: integer" } },
        { "row", "b:row(id) -> row | nil", "Of its first copy.", params = { "id: string | integer" } },
        { "sum", "b:sum(column) -> number", "Over a column.", params = { "column: string" } },
        { "inversions", "b:inversions{by =, of =, limit =} -> list",
          "Rows whose value comes after a higher one of the same key, with after and after_id.",
          params = { "by: string, the column that groups", "of: string, the column that should rise",
            "limit: integer" } },
        { "memory", "b:memory() -> bytes", "In use." },
        { "close", "b:close()", "Gives the memory back early. Also by <close>." },
      } },
  },
}

local ENDED = { "process: integer, of invoke", "value: any", "error: any" }
local history = {
  module = "history", kind = "module",
    doc = "The log of operations: each invoke and its outcome, readable by Jepsen's tools. Unknown is \z
      `info`, never `fail`.",
  functions = { { "open", "history.open(path [, {start =}]) -> history | nil, err", "A new file.",
    params = { "path: string", "start: integer, ns of the zero on the time axis" } } },
  types = {
    { name = "history", meta = "history", doc = "A history that is written.",
      methods = {
        { "invoke", "h:invoke(actor, f [, value]) -> process | nil, err",
          "An operation begins, by a process of the actor that is free; `process` ends it.",
          params = { "actor: string, who; it may have several at a time", "f: string, what",
            "value: any" } },
        { "ok", "h:ok(process [, value]) -> true | nil, err", "It happened.", params = ENDED },
        { "fail", "h:fail(process [, value [, error]]) -> true | nil, err", "It did not happen.",
          params = ENDED },
        { "info", "h:info(process [, value [, error]]) -> true | nil, err",
          "Nobody knows; the process does no more.", params = ENDED },
        { "count", "h:count() -> integer", "Lines so far." },
        { "flush", "h:flush() -> true | nil, err", "To the file now." },
        { "close", "h:close()", "Also by <close>." },
      } },
  },
}

return { fail, bag, history }
