std = "lua54"
max_line_length = 110
max_cyclomatic_complexity = false
unused_args = false

-- experiments speak the words of the DSL without require
local dsl = {
  "experiment", "wrong", "right", "observe", "bag", "clock", "fail", "fs", "hdr", "http", "json", "kafka", "log", "must", "mysql", "null", "process",
  "redis", "rng", "task", "units", "uuid",
}
files["spec"] = { std = "+busted" }
files["experiments"] = { read_globals = dsl }
files["spec/fixtures/experiments"] = { read_globals = dsl }
files["spec/soak"] = { read_globals = dsl }
files["clients"] = { read_globals = dsl }
files["lua/rlab/cli/internal.lua"] = { globals = { "arg" } }
files["lua/redis"] = { std = "lua51", read_globals = { "redis", "KEYS", "ARGV" } }
