-- Transactions of a schema that wait for a row lock.
local must = require "rlab.must"
local patience = require "spec.support.patience"
local task = require "rlab.task"

local M = {}

-- await(db, schema, n, [look]): until so many of them wait; look() is called before each look. The server's
--   table is a copy that is made anew when nobody has read it for 100 ms; one that waited when it was made
--   and has ended since is asleep in the list of processes, which is no copy.
function M.await(db, schema, n, look)
  must(task.wait_until(function()
    if look then look() end
    return must(db:value([[SELECT COUNT(*) FROM information_schema.innodb_trx t
      JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
      WHERE p.db = ? AND p.command <> 'Sleep' AND t.trx_state = 'LOCK WAIT']], schema)) >= n
  end, { at_most = patience, every = "150ms", what = ("%d lock waits"):format(n) }))
end

return M
