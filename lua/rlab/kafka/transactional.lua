-- kafka.transactional: a transactional producer that is replaced when a connection was lost while it ended
-- a transaction.
-- Why: librdkafka repeats the EndTxn on a new connection, and nothing in it (KIP-890's version 1 to 4) says
-- which transaction it means. The first one, if it arrives late, ends whatever transaction is open then.
-- init_transactions of a new producer raises the epoch, and the late one is refused.
local err = require "rlab.err"

local Transactional = {}
Transactional.__index = Transactional
Transactional.__name = "kafka.transactional"

local function usage(message)
  error(message, 4)
end

local function settings_of(opts)
  if type(opts) ~= "table" then usage "kafka.transactional takes a table of settings" end
  local settings, init_at_most = {}, "30s"
  for key, value in pairs(opts) do
    if key == "init_at_most" then init_at_most = value else settings[key] = value end
  end
  if not (settings.transactional_id or settings["transactional.id"]) then
    usage "kafka.transactional needs a transactional_id"
  end
  return settings, init_at_most
end

local function open(t)
  local p, failure = t.make(t.settings)
  if not p then return nil, failure end
  local ok
  ok, failure = p:init_transactions(t.init_at_most)
  if ok then return p end
  p:close()
  return nil, failure
end

-- producer() -> producer | nil, err
function Transactional:producer()
  if self.closed then error("this kafka.transactional is closed", 2) end
  local p = self.current
  if p and not p:in_transaction() and (self.dead or p:end_uncertain()) then
    self.current, self.dead = nil, nil
    p:close { abort = false }
    self.replaced = self.replaced + 1
  end
  if not self.current then
    local failure
    self.current, failure = open(self)
    if not self.current then return nil, failure end
  end
  return self.current
end

-- transaction(f) -> true, f's results | nil, err
function Transactional:transaction(f)
  local p, failure = self:producer()
  if not p then return nil, failure end
  local results = table.pack(p:transaction(f))
  if not results[1] and err.is(results[2]) and results[2].fatal then self.dead = true end
  return table.unpack(results, 1, results.n)
end

function Transactional:close()
  self.closed = true
  if self.current then self.current:close() end
  self.current = nil
end

Transactional.__close = Transactional.close

function Transactional.__tostring(t)
  return ("kafka.transactional (%s, replaced %d times)"):format(t.closed and "closed" or "open", t.replaced)
end

debug.getregistry()["kafka.transactional"] = Transactional

-- (make) -> transactional{...} -> Transactional | nil, err; make is kafka.producer
return function(make)
  return function(opts)
    local settings, init_at_most = settings_of(opts)
    local t = setmetatable({ make = make, settings = settings, init_at_most = init_at_most, replaced = 0 },
      Transactional)
    local p, failure = t:producer()
    if not p then return nil, failure end
    return t
  end
end
