-- What a member does with a record: a row that says that it was given it; then an effect, and in the same
-- transaction the row that knows the record, so that the effect is there once.
local must = require "rlab.must"

local M = {}

M.SEEN = "CREATE TABLE seen (id VARCHAR(40) NOT NULL PRIMARY KEY)"
M.EFFECT = [[CREATE TABLE effect (seq BIGINT AUTO_INCREMENT PRIMARY KEY, id VARCHAR(40) NOT NULL,
  member VARCHAR(64) NOT NULL)]]

M.DELIVERY = [[CREATE TABLE delivery (seq BIGINT AUTO_INCREMENT PRIMARY KEY, id VARCHAR(40) NOT NULL,
  member VARCHAR(64) NOT NULL)]]

local DUPLICATE = 1062

-- delivered(db, id, member): whatever becomes of it
function M.delivered(db, id, member)
  must(db:exec("INSERT INTO delivery (id, member) VALUES (?, ?)", id, member))
end

-- apply(db, id, member, dedup): in a transaction of its own
function M.apply(db, id, member, dedup)
  must(db:exec "START TRANSACTION")
  local fresh, failure = true, nil
  if dedup then fresh, failure = db:exec("INSERT INTO seen (id) VALUES (?)", id) end
  if not fresh and failure.code ~= DUPLICATE then error(failure, 0) end
  if fresh then must(db:exec("INSERT INTO effect (id, member) VALUES (?, ?)", id, member)) end
  must(db:exec "COMMIT")
end

local function ids_of(db, name)
  local ids = {}
  for i, row in ipairs(must(db:query(("SELECT id FROM %s ORDER BY seq"):format(name)))) do ids[i] = row.id end
  return ids
end

-- effects(db), deliveries(db) -> the ids in the order in which they were written
function M.effects(db) return ids_of(db, "effect") end
function M.deliveries(db) return ids_of(db, "delivery") end

return M
