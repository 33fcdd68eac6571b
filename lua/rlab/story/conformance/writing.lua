-- Rounds of a producer: an answer is lost, keys choose partitions, and a producer goes on although another
-- one has its transactional.id. Each ends with an outcome in words, which is from the log.
local bag = require "rlab.bag"
local programs = require "rlab.lab.foreign.programs"
local tables = require "rlab.tables"

local M = {}

local PARTITIONS, KEYS = 12, 40

-- A producer with the library's own settings but those that `who` has.
local function open(lab, who, name, brokers, client_id)
  local client = programs.start(lab, who.library, ("%s-%s"):format(who.library, name))
  client:open(name, "open", tables.merged({ ["bootstrap.servers"] = brokers,
    ["client.id"] = client_id or lab:name(name) }, who.producer))
  return client
end

-- Nothing is to be worked on in these rounds.
local function round_of(outcome) return { ids = {}, at_stake = {}, done = {}, outcome = outcome } end

local function put(client, name, topic, key, value)
  return client:ask(name, ("put %s %s %s"):format(topic, key, value))
end

local function ids(lab, topic) return lab:ids { records = lab:read(topic).records } end

function M.answer(lab, who)
  local topic, wire = lab:topic("answer", { partitions = 1 }), lab:wire()
  local cut = lab:rule { api = "Produce", nth = 1, action = "cut-after",
    name = "the first Produce is answered and the answer lost" }
  local client = open(lab, who, "answer", wire.brokers, wire.client_id)
  local ok, failure = put(client, "answer", topic, "key", "answer/1")
  cut:await "20s"
  client:ask("answer", "close")
  local there = #ids(lab, topic)
  local seen = round_of(ok and ("written %s"):format(there == 1 and "once" or there == 2 and "twice" or there)
    or ("%s; written %d times"):format(failure.message, there))
  seen.copies = there - 1
  return seen
end

-- ---- keys ----

-- The hash of Java's default partitioner.
local function murmur2(s)
  local M32, m = 0xffffffff, 0x5bd1e995
  local h, i = 0x9747b28c ~ #s, 1
  while i + 3 <= #s do
    local k = (string.unpack("<I4", s, i) * m) & M32
    h, i = ((h * m) & M32) ~ (((k ~ (k >> 24)) * m) & M32), i + 4
  end
  for at = #s, i, -1 do h = h ~ (s:byte(at) << (8 * (at - i))) end
  if i <= #s then h = (h * m) & M32 end
  h = ((h ~ (h >> 13)) * m) & M32
  return h ~ (h >> 15)
end

-- partition_of(key, partitions) -> where Java puts it
function M.partition_of(key, partitions) return (murmur2(key) & 0x7fffffff) % partitions end

function M.keys(lab, who)
  local topic = lab:topic("keys", { partitions = PARTITIONS })
  local client = open(lab, who, "keys", lab.stack.kafka.brokers)
  for i = 1, KEYS do
    local ok, failure = put(client, "keys", topic, "account-" .. i, "keys/" .. i)
    if not ok then lab:give_up("a record is refused: %s", tostring(failure)) end
  end
  client:ask("keys", "close")
  local other = 0
  for _, record in ipairs(lab:read(topic).records) do
    other = other + (M.partition_of(record.key, PARTITIONS) == record.partition and 0 or 1)
  end
  lab:number("keys elsewhere", other, "keys")
  return round_of(other == 0 and "where Java puts them" or "elsewhere")
end

-- ---- two producers of one transactional.id ----

local KINDS = { librdkafka = "reuse" }

local function attempt(p, topic, value)
  local ok, failure = p:begin()
  if ok then ok, failure = p:send { topic = topic, partition = 0, value = value } end
  if ok then return p:commit "10s" end
  p:abort "5s"
  return ok, failure
end

-- T1 is open when the second producer comes, which commits T2. Then the first goes on with T1 as far as it
-- goes, and tries T3; the second tries T4.
function M.zombie(lab, who)
  local topic, id = lab:topic("zombie", { partitions = 1 }), lab:name "tx-zombie"
  local kind = KINDS[who.library] or who.library
  local first = lab:transactional(kind, id).next()
  local began = first:begin()
  if not (began and first:send { topic = topic, partition = 0, value = "T1-a" }) then
    lab:give_up "T1-a was not acknowledged"
  end
  local second = lab:transactional(kind, id).next()
  if not attempt(second, topic, "T2") then lab:give_up "T2 could not be committed" end
  first:send { topic = topic, partition = 0, value = "T1-b" }
  local said = first:commit "10s"
  if not said then first:abort "5s" end
  local third, fourth = attempt(first, topic, "T3"), attempt(second, topic, "T4")
  lab:settled(topic, 0)
  local got = bag.from(lab:ids((lab:read_both(topic))))
  local torn = got:count "T1-a" + got:count "T1-b" > 0 or got:count "T2" ~= 1
  return round_of(torn and "T1 is delivered"
    or got:count "T3" > 0 and "comes back by itself; the other " .. (fourth and "goes on" or "is fenced")
    or third and "T3 is promised and not delivered" or fourth and "stays out" or "both are out")
end

return M
