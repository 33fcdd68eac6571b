-- A service that dies between two of its statements: one of them is swallowed on the wire to MySQL, and the
-- service is killed while it waits for the answer. What was committed before that stays, whatever the code
-- says where its transaction begins.
local M = {}

-- at(lab, {statement =, nth = 1, name =}) -> crash, from now on; crash:strike(service): kills it when it is
--   there. The service speaks to MySQL through the proxy.
function M.at(lab, what)
  local crash = {}
  local rule = lab:rule { proto = "mysql", statement = what.statement, nth = what.nth or 1,
    action = "black-hole", name = what.name }
  function crash.strike(_, service)
    rule:await()
    service:kill()
    rule:remove()
  end
  return crash
end

return M
