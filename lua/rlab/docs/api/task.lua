-- rlab.task
local F = { "f: function", "...: any, its arguments" }

return {
  module = "task", kind = "module",
    doc = "Tasks that wait: sleep, groups, timeouts, channels. Everything that waits yields; scripts read \z
      from top to bottom.",
  functions = {
    { "spawn", "task.spawn(f, ...) -> task",
      "Runs f beside the caller. A failure that nobody joins is named in a warning.", params = F,
      example = "local t = task.spawn(function() task.sleep(1) return 42 end)\nprint(t:join())" },
    { "group", "task.group(f) -> results of f",
      "Runs f(g); returns when all that g:spawn started has ended. An error in one cancels the others and \z
        is raised here.",
      params = { "f: function, f(g)" },
      example = "task.group(function(g) for i = 1, 3 do g:spawn(work, i) end end)" },
    { "timeout", "task.timeout(at_most, f, ...) -> results | nil, err",
      "f is cancelled at the deadline and its closers are awaited.",
      params = { "at_most: duration", "f: function", "...: any, its arguments" }, errors = "TIMEOUT" },
    { "shielded", "task.shielded(f, ...) -> results of f",
      "Runs f to its end though the caller is cancelled meanwhile; the cancellation is raised afterwards. \z
        For what must not be left half done.",
      params = { "f: function", "...: any, its arguments" },
      example = "local failures = task.shielded(close_all)" },
    { "sleep", "task.sleep(duration)", "Waits; other tasks run.",
      params = { "duration: duration, a number is seconds" } },
    { "yield", "task.yield()", "Lets the others run once." },
    { "wait_until", "task.wait_until(pred, {at_most =, every =, what =}) -> value | nil, err",
      "Calls pred until it returns a true value, which is returned.",
      params = { "pred: function", "at_most: duration = 10s", "every: duration = 20ms",
        "what: string, for the message" },
        errors = "TIMEOUT",
      example = 'must(task.wait_until(function() return #must(a:topic "t").partitions[1].isr == 3 end, { \z
        at_most = "5s", what = "full ISR" }))' },
    { "channel", "task.channel([n]) -> channel", "A bounded queue between tasks.",
      params = { "n: integer = 1, how many it holds" } },
    { "event", "task.event() -> event", "Tasks wait for it, anybody sets it." },
    { "current", "task.current() -> task | nil", "The running one, as the scheduler knows it." },
    { "live", "task.live() -> integer", "How many have not ended." },
  },
  types = {
    { name = "task", meta = "task", doc = "Something that runs.",
      methods = {
        { "join", "t:join() -> results | nil, err", "Waits for its end." },
        { "cancel", "t:cancel([reason])", "Its wait ends with an error; closers run.",
          params = { "reason: any, the error it gets" } },
        { "done", "t:done() -> boolean", "Whether it has ended." },
      } },
    { name = "group", doc = "Tasks that end together.",
      methods = {
        { "spawn", "g:spawn(f, ...) -> task", "As task.spawn.", params = F },
        { "cancel", "g:cancel([reason])", "Cancels all members.", params = { "reason: string" } },
      } },
    { name = "channel", doc = "A bounded queue.",
      methods = {
        { "send", "ch:send(value) -> true | nil, err", "Waits while it is full.", params = { "value: any" },
          errors = "CLOSED" },
        { "recv", "ch:recv() -> value | nil", "Waits while it is empty; nil once closed and empty." },
        { "close", "ch:close()", "No more values." },
      } },
    { name = "event", meta = "rlab.event", doc = "Something to wait for.",
      methods = {
        { "wait", "event:wait()", "Until it is set." },
        { "set", "event:set([all]) -> boolean", "Wakes the first waiter, or all; true when there was one.",
          params = { "all: boolean = false" } },
      } },
  },
}
