-- A group under slow handlers and frozen members: what keeps it together.
return {
  { id = "group-works-in-the-loop", mechanism = "polling goes on beside the handler",
    file = "lua/rlab/story/members.lua",
    before = "elseif not record.eof and ctx.args.aside then",
    after = "elseif not record.eof and ctx.args.aside == 1 then",
    run = "E-018", arms = { "paused-and-polled" }, exit = 1, check = "drained" },
  { id = "group-works-in-the-loop-kip-848", mechanism = "polling goes on beside the handler",
    file = "lua/rlab/story/members.lua",
    before = "elseif not record.eof and ctx.args.aside then",
    after = "elseif not record.eof and ctx.args.aside == 1 then",
    run = "E-018", arms = { "paused-kip-848" }, exit = 1, check = "poll-interval-exceeded" },
  { id = "group-impatient", mechanism = "the interval is longer than the longest handler",
    file = "lua/rlab/story/group/client.lua",
    before = "    given[name] = arm_settings[name]",
    after = [[
    given[name] = name == "max_poll_interval_ms" and 1500 or arm_settings[name] ]],
    run = "E-018", arms = { "cooperative-patient" }, exit = 1, check = "drained" },
  { id = "group-short-session", mechanism = "the session is longer than the longest pause",
    file = "lua/rlab/story/group/client.lua",
    before = "    given[name] = arm_settings[name]",
    after = [[
    given[name] = name == "session_timeout_ms" and 1000 or arm_settings[name] ]],
    run = "E-018", arms = { "frozen-long-session" }, exit = 1, check = "rebalances" },
  { id = "group-resumes-nothing", mechanism = "a partition that was paused is resumed",
    file = "lua/rlab/story/members.lua",
    before = "  if queue.paused then\n",
    after = "  if queue.paused and queue[1] then\n",
    run = "E-018", arms = { "paused-and-polled" }, exit = 1, check = "drained" },
  { id = "group-effects-before-offsets", mechanism = "what is passed is read before what was applied",
    file = "lua/rlab/story/members.lua",
    edits = {
      { [[HANDLER = "2500ms", "5ms"]], [[HANDLER = "2500ms", "300ms"]] }, -- work is left when all is read
      { [[local committed = lab:committed { topic = self.topic, group = self.id } -- before]],
        [[local early = once.effects(self.db)
  require("rlab.task").sleep(1)
  local committed = lab:committed { topic = self.topic, group = self.id } -- before]] },
      { "effects = once.effects(self.db),", "effects = early," } },
    run = "E-018", arms = { "slow-handler-no-dedup" }, exit = 2, check = "lost-effect", slow = true },
  { id = "straddle-keeps-what-is-lost", mechanism = "records of a lost partition are dropped",
    file = "lua/rlab/story/group/straddle.lua",
    before = "return since ~= nil and entry.generation >= since",
    after = "return since == nil or entry.generation >= since",
    run = "E-033", arms = { "by-generation" }, exit = 1, check = "delivered-again" },
  { id = "straddle-disobeys", mechanism = "a store that is refused ends the partition's records",
    file = "lua/rlab/story/group/straddle.lua",
    before = "  if not ok then member.refused",
    after = "  if ok == 0 then member.refused",
    run = "E-033", arms = { "obeys-the-store" }, exit = 1, check = "delivered-again" },
  { id = "straddle-commits-the-batch", mechanism = "only what was stored is committed",
    file = "lua/rlab/story/group/straddle.lua",
    before = "local function commit_stored(member) return member.consumer:commit() end",
    after = [[
local function commit_stored(member, batch)
  local list = {}
  for _, entry in ipairs(batch) do list[#list + 1] = position(entry) end
  return member.consumer:commit { list[#list - 1], list[#list] }
end]],
    run = "E-033", arms = { "by-generation" }, exit = 1, check = "went-back" },
  { id = "straddle-stores-early", mechanism = "an offset is stored behind its record, not when it is read",
    file = "lua/rlab/story/group/straddle.lua",
    before = "enable_auto_offset_store = s.commit == \"default\"", after = "enable_auto_offset_store = true",
    run = "E-033", arms = { "by-generation" }, exit = 1, check = "lost-effect" },
  { id = "straddle-no-dedup", mechanism = "a record that two had in their hands is applied once",
    file = "lua/rlab/story/group/once.lua",
    before = "  if dedup then fresh", after = "  if dedup == 1 then fresh",
    run = "E-033", arms = { "obeys-the-store" }, exit = 1, check = "duplicate-effect" },
}
