-- A column that is new in the read model, total_in: what came into the account. Live events set it from the
-- day of the release on, the rows from before wait for a backfill (rlab.story.rebuild_job) under live
-- traffic. The release is a trigger, and so is what notes the backfill's writes.
local job_of = require "rlab.story.rebuild_job"
local must = require "rlab.must"
local null = require "rlab.null"
local proof = require "rlab.proof"

local M = {}

-- ---- the read model before the release ----

local OLD = 2 -- entries of each account, of yesterday

-- Deposits only: the balance after an entry is what has come in up to it.
local LOAD = {
  [[SET SESSION cte_max_recursion_depth = 100000]],
  [[INSERT INTO account (id, balance, version) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1
    FROM n WHERE i < %d) SELECT i, 2 + i MOD 97 + i MOD 89, 2 FROM n]],
  [[INSERT INTO ledger_entry (event_id, request_id, account_id, amount, balance, version, created_at)
    SELECT UUID_TO_BIN(CONCAT(LPAD(HEX(v), 8, '0'), '-0000-7000-8000-', LPAD(HEX(id), 12, '0'))),
    CONCAT('old-', id, '-', v), id, IF(v = 1, 1 + id MOD 97, 1 + id MOD 89),
    IF(v = 1, 1 + id MOD 97, balance), v, NOW(6) - INTERVAL 1 DAY
    FROM account, (SELECT 1 AS v UNION ALL SELECT 2) AS versions]],
  [[INSERT INTO account_view (account_id, balance, version, entries) SELECT id, balance, version, version
    FROM account]],
}

local COPY = {
  [[INSERT INTO account SELECT * FROM {from}.account]],
  [[INSERT INTO ledger_entry SELECT * FROM {from}.ledger_entry]],
  [[INSERT INTO account_view SELECT * FROM {from}.account_view]],
  [[INSERT INTO processed_event (consumer, event_id) SELECT '{group}', event_id FROM {from}.ledger_entry]],
}

-- What an event says of its account is in its ledger row: the balance after it, at its version.
local RELEASE = {
  [[ALTER TABLE account_view ADD COLUMN total_in BIGINT NULL]],
  [[CREATE TABLE rebuild_log (seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, account_id BIGINT NOT NULL,
    version BIGINT NOT NULL, at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))]],
  [[CREATE TRIGGER live_total AFTER INSERT ON effect_log FOR EACH ROW BEGIN
    SET @live = 1;
    UPDATE account_view SET total_in = (SELECT balance FROM ledger_entry WHERE account_id = NEW.account_id
      AND version = NEW.version) WHERE account_id = NEW.account_id AND version <= NEW.version;
    SET @live = NULL;
    END]],
  [[CREATE TRIGGER note_rebuild AFTER UPDATE ON account_view FOR EACH ROW BEGIN
    IF @live IS NULL AND NEW.entries = OLD.entries THEN
      INSERT INTO rebuild_log (account_id, version) VALUES (NEW.account_id, NEW.version);
    END IF;
    END]],
}

-- plan(accounts, shards, chunk) -> {accounts, chunks = of each shard, second = the first and the last account
--   of the second chunk of the first shard}
function M.plan(accounts, shards, chunk)
  local shard = accounts // shards
  return { accounts = accounts, chunks = (shard + chunk - 1) // chunk,
    second = { chunk + 1, math.min(2 * chunk, shard) } }
end

-- load(lab, accounts) -> {schema, accounts}: so many accounts with two entries of yesterday each, in the
--   ledger and the view, loaded once for all arms
function M.load(lab, accounts)
  for _, sql in ipairs(LOAD) do must(lab:db():exec((sql:gsub("%%d", accounts)))) end
  lab:fact("%d accounts and %d ledger rows", accounts, OLD * accounts)
  return { schema = lab:schema(), accounts = accounts }
end

local function copy(lab)
  local db, from = lab:db(), lab.shared
  for id = 1, from.accounts do lab:opened(id, 2 + id % 97 + id % 89, OLD) end
  local names = { from = from.schema, group = lab:group() }
  for _, sql in ipairs(COPY) do must(db:exec((sql:gsub("{(%a+)}", names)))) end
  for _, sql in ipairs(RELEASE) do must(db:exec(sql)) end
  lab:issued("ledger rows", must(db:value "SELECT COUNT(*) FROM ledger_entry"), OLD * from.accounts)
end

-- prepare(lab, {f, ...}): a copy of what was loaded, known to the arm's consumer, then the release; each f()
--   is called meanwhile
function M.prepare(lab, beside)
  lab:schema()
  lab:each({ function() copy(lab) end, table.unpack(beside) }, function(act) act() end)
end

-- ---- the job and what reads it ----

local function copies(list, what)
  local n = 0
  for _, message in ipairs(list) do n = n + (message.say == what and 1 or 0) end
  return n
end

-- behind(lab, {consumer =, deposits =, start =, to =}) -> job, what it had written when live traffic caught
--   up: the live consumer stands still and deposits() puts it behind before start() starts the job; it goes
--   on when the job has looked three times, or has not waited
function M.behind(lab, opts)
  local frozen = opts.consumer:freeze()
  opts.deposits()
  local job = opts.start()
  local wrote = 0
  lab:owed("waits", "the job looks at the live lag", function()
    wrote = job_of.written(lab, opts.to)
    return wrote > 0 or copies(job.inbox, "behind") >= 3
  end, "10s")
  frozen.thaw()
  return job, wrote
end

local STATE = [[SELECT v.account_id AS id, v.total_in AS total, v.version, l.total AS truth,
  l.version AS newest, l.version > 2 AS live FROM account_view v JOIN (SELECT account_id,
  CAST(SUM(amount) AS SIGNED) AS total, MAX(version) AS version FROM ledger_entry GROUP BY account_id) l
  USING (account_id) ORDER BY id]]

-- compare(lab) -> the whole view against the ledger: {compared = n, unbuilt = ids without a value, wrong =
--   ids with another one, untouched = ids that no live event came to}
function M.compare(lab)
  local seen = { compared = 0, unbuilt = {}, wrong = {}, untouched = {} }
  for _, row in ipairs(must(lab:db():query(STATE))) do
    local id = tostring(row.id)
    seen.compared = seen.compared + 1
    if row.total == null then
      table.insert(seen.unbuilt, id)
    elseif row.total ~= row.truth or row.version ~= row.newest then
      table.insert(seen.wrong, id)
    end
    if row.live == 0 then table.insert(seen.untouched, id) end
  end
  return seen
end

-- history(lab, account) -> rows {id, key, version}: in the order of time what live events and the job did
function M.history(lab, account)
  local sql, list = [[SELECT 'live' AS who, version, at FROM effect_log WHERE account_id = ?
    UNION ALL SELECT 'job', version, at FROM rebuild_log WHERE account_id = ? ORDER BY at]], {}
  for i, row in ipairs(must(lab:db():query(sql, account, account))) do
    list[i] = { id = ("%s %d"):format(row.who, row.version), key = tostring(account), version = row.version }
  end
  return list
end

-- between(ids, {from, to}) -> those of the ids that are numbers of that range
function M.between(ids, range)
  local list = {}
  for _, id in ipairs(ids) do
    if tonumber(id) >= range[1] and tonumber(id) <= range[2] then list[#list + 1] = id end
  end
  return list
end

-- effects(lab) -> rows {id, key, version} of live events; ids of the effects of what the job sent
function M.effects(lab)
  local rows = must(lab:db():query([[SELECT BIN_TO_UUID(e.event_id) AS event, l.request_id AS id,
    e.account_id AS `key`, e.version FROM effect_log e LEFT JOIN ledger_entry l USING (event_id)
    ORDER BY e.seq]]))
  local live, sent = {}, {}
  for _, row in ipairs(rows) do
    if row.id == null or row.id:find "^old%-" then
      sent[#sent + 1] = row.event
    else
      live[#live + 1] = { id = row.id, key = row.key, version = row.version }
    end
  end
  return live, sent
end

-- Committed offsets by partition, when the live consumer is past all of the records.
local function passed(lab, records)
  local due = {}
  for _, record in ipairs(records) do
    local p = tostring(record.partition)
    due[p] = math.max(due[p] or 0, record.offset + 1)
  end
  return lab:owed("passed", "the live consumer comes to the end of what the job sent", function()
    local at, left = lab:committed(), 0
    for p, offset in pairs(due) do left = left + math.max(0, offset - (at[p] or 0)) end
    return left == 0 and at, left
  end, "10s")
end

-- Low watermarks by partition, when the brokers have deleted so many records.
local function expired(lab, topic, records)
  local fault, low = lab:fault "retention takes records that nobody has read", {}
  lab:await("the log start behind all records", function()
    local gone = 0
    for partition = 0, 2 do
      low[tostring(partition)] = (lab:offsets(topic, partition) or {}).low or 0
      gone = gone + low[tostring(partition)]
    end
    return gone >= records
  end)
  local gone = 0
  for _, offset in pairs(low) do gone = gone + offset end
  fault:fired(proof.of("read", { what = "records below the log start", from = "the brokers", got = gone,
    want = records })):over()
  return low
end

-- reader(lab, topic) -> {topic, group}: a consumer of a group of its own
function M.reader(lab, topic)
  local own = { topic = topic, group = lab:name "rebuild" }
  lab:service("consumer", { topic = own.topic, group = own.group, workers = 3 })
  return own
end

-- read_all(lab, settings, records, topic, reader) -> the positions up to which what the job has sent has been
--   read or was deleted unread: by the live consumer, or by that reader, which comes when the brokers have
--   deleted records with old timestamps
function M.read_all(lab, s, records, topic, own)
  if s.to == "main" then return passed(lab, records) end
  if s.to ~= "own" then return nil end
  local low = s.old_timestamps and expired(lab, topic, #records)
  own = own or M.reader(lab, topic)
  lab:drain { topic = own.topic, group = own.group, outbox = false }
  return low or lab:committed(own)
end

return M
