-- Who may come in to a console that listens wider than loopback: who has its key, which is made anew at each
-- start and printed in the terminal. It is given once, in the address, and kept by the browser as a cookie
-- that no script can read; nobody else gets so much as the page.
local http = require "rlab.http"

local M = {}

local Door = {}
Door.__index = Door

-- secret(bytes) -> that many bytes of the system's randomness, in hex
function M.secret(bytes)
  local f <close> = assert(io.open("/dev/urandom", "rb"))
  return (f:read(bytes):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

-- is_loopback("127.0.0.1") -> whether nobody but this machine reaches it
function M.is_loopback(address)
  return address == "localhost" or address == "::1" or address:find "^127%.%d+%.%d+%.%d+$" ~= nil
end

-- same(a, b): takes as long whichever byte differs
function M.same(a, b)
  if type(a) ~= "string" or #a ~= #b then return false end
  local differs = 0
  for i = 1, #a do differs = differs | (a:byte(i) ~ b:byte(i)) end
  return differs == 0
end

-- new() -> door with a key of its own, and a cookie's: the ports of a machine share cookies
function M.new()
  return setmetatable({ key = M.secret(24), name = "rlab-ui-" .. M.secret(4) }, Door)
end

local function kept(door, req)
  for name, value in (req.headers.cookie or ""):gmatch "([^=;%s]+)=([^;%s]*)" do
    if name == door.name then return value end
  end
end

-- door:answer(req) -> the answer to whom does not come in, or comes in just now | nil: go on
function Door:answer(req)
  if M.same(kept(self, req), self.key) then return nil end
  if req.method == "GET" and req.path == "/" and M.same(req.query.key, self.key) then
    return { status = 303, body = "", headers = { location = "/",
      ["set-cookie"] = ("%s=%s; Path=/; HttpOnly; SameSite=Strict"):format(self.name, self.key) } }
  end
  return http.problem(401, "open the address with its key, which rlab ui has printed in its terminal")
end

return M
