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
  interrupted = 130,
}
