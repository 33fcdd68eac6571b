-- The exit codes of the program, as README.md promises them.
return {
  ok = 0,
  right_violated = 1,
  wrong_held = 2,
  inconclusive = 3,
  threshold = 4,
  usage = 64,
  script = 65,
  unreachable = 69,
  bug = 70,
  memory = 71,
  output = 74,
  interrupted = 130,
  meanings = {
    { 0, "as predicted" }, { 1, "a right arm was violated" }, { 2, "a wrong arm did not fail" },
    { 3, "inconclusive" }, { 4, "threshold missed" }, { 64, "usage" }, { 65, "script error" },
    { 69, "a server cannot be reached" }, { 70, "a bug in rlab" }, { 71, "out of memory" },
    { 74, "its output or a file could not be written" }, { 130, "interrupted" },
  },
}
