-- The servers that a stack can have. Each is one small description in this folder:
--   part, names         the word of `rlab up WORD` and the servers that it means
--   needs(ctx)          finds the programs, notes versions; true | nil, err
--   prepare(ctx)        makes what is made once per machine; optional
--   ports(ctx, server)  what must be free before it starts
--   files(ctx, server)  writes what it reads, makes its data where missing; true | nil, err
--   command(ctx, server) -> the table for process.spawn (cmd, cwd, env)
--   ready(ctx, server, listening)  true when it serves by itself
--   early               it is spawned before the others, whom it does not need; optional
--   stop                {signal, rank, at_most}: lower ranks are stopped first
--   outdated(ctx, name, listening)  one that runs lacks what the stack is to have now: it is started anew;
--                       optional
--   cause(text)         the reason in a log, in one line | nil
--   disk                bytes that must be free before it starts
-- A part may add what holds for its servers together: full(ctx) waits until they are whole, short(ctx) says
-- what is missing, title(ctx).
local M = {}

local descriptions = {}
for i, name in ipairs { "kafka_controller", "kafka_broker", "mysql", "redis", "redis_cluster",
  "registry", "proxy", "exporter", "mysqld_exporter", "redis_exporter", "prometheus" } do
  descriptions[i] = require("rlab.stack.servers." .. name)
end

-- as people read them
M.parts = { "kafka", "mysql", "redis", "redis-cluster", "registry", "proxy", "observe" }
-- what `rlab up` means; the others start where they are needed
M.usual = { "kafka", "mysql", "redis", "proxy" }

local by_name, names = {}, {}
for _, description in ipairs(descriptions) do
  for _, name in ipairs(description.names) do
    by_name[name] = description
    names[#names + 1] = name
  end
end

-- of(name) -> the description of a server
function M.of(name)
  return by_name[name] or error("no server named " .. tostring(name), 2)
end

-- names([part]) -> all servers, or those of one part, in starting order
function M.names(part)
  local list = {}
  for _, name in ipairs(names) do
    if not part or by_name[name].part == part then list[#list + 1] = name end
  end
  return list
end

function M.is_part(word)
  for _, part in ipairs(M.parts) do
    if part == word then return true end
  end
  return false
end

-- The descriptions of a part, each once.
function M.descriptions(part)
  local list = {}
  for _, description in ipairs(descriptions) do
    if description.part == part then list[#list + 1] = description end
  end
  return list
end

return M
