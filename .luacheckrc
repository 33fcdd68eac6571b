std = "lua54"
max_line_length = 140
max_cyclomatic_complexity = false
unused_args = false

-- experiments speak the words of the DSL without require
files["experiments"] = {
  std = "lua54",
  read_globals = { "experiment", "wrong", "right", "observe", "must", "null" },
}
files["spec"] = { std = "+busted" }
files["lua/rlab/cli/busted.lua"] = { globals = { "arg" } }
