-- The secure stack: a second one beside the plain, for who wants to see that rlab keeps to its rights. Kafka
-- speaks SASL_SSL with an authorizer, MySQL and Redis speak TLS only, and the user `lab` may do in each what
-- rlab.stack.secure.grants says and nothing else. Its home is the folder `secure` of the plain one's; its
-- secrets are files that only their owner may read. A home with such files is a secure stack's.
local err = require "rlab.err"
local fs = require "rlab.fs"
local layout = require "rlab.stack.layout"
local lock = require "rlab.stack.lock"
local tables = require "rlab.tables"
local tls = require "rlab.stack.secure.tls"

local M = {}

M.parts = { "kafka", "mysql", "redis" } -- those that it can have
M.user = "lab" -- whose rights are counted
M.by_certificate = "lab_mtls" -- the same one in MySQL, where a certificate is needed, too
M.admin = "admin" -- who may do all; nobody works as such but who starts the stack

local DEFAULT_BASE = 20000 -- its block is the next one
local OWNER_ONLY <const> = 384 -- 0600

-- one secret a file; that of MySQL's administrator lies where it does on every stack
local SECRETS = { "kafka", "kafka-admin", "kafka-broker", "mysql", "redis", "redis-admin" }

-- home([plain home]) -> the folder of the secure stack
function M.home(home) return (home or layout.home()) .. "/secure" end

-- base(base | nil) -> the first port of its block: the one behind the plain stack's | nil, message
function M.base(base)
  local own = (base or DEFAULT_BASE) + layout.BLOCK
  if own <= layout.HIGHEST_BASE then return own end
  return nil, ("RLAB_PORT_BASE=%d leaves no room for the secure stack's ports; choose one up to %d")
    :format(base, layout.HIGHEST_BASE - layout.BLOCK)
end

local Secure = {}
Secure.__index = Secure

-- of(home) -> Secure | nil where it is no secure stack's
function M.of(home)
  if not fs.exists(home .. "/secrets") then return nil end
  return setmetatable({ home = home }, Secure)
end

-- secure:file("kafka") -> where that secret stands
function Secure:file(name) return ("%s/secrets/%s"):format(self.home, name) end

-- secure:password("kafka") -> that secret
function Secure:password(name)
  local text = fs.read(self:file(name))
  local word = text and text:match "^[%w_-]+"
  if word then return word end
  error(err.new { domain = "rlab", code = 0, name = "NO_SECRET",
    message = ("%s is gone; rlab down --secure --wipe, then rlab up --secure, makes all anew")
      :format(layout.short(self:file(name))) }, 0)
end

-- secure:tls("ca.pem") -> the path of a certificate or key
function Secure:tls(name) return tls.path(self.home, name) end

-- secure:stores() -> what a client of MySQL or Redis is told of TLS
function Secure:stores() return { tls = "verify", ca = self:tls "ca.pem" } end

local function make_secrets(home)
  local uuid, making = require("rlab.stack.kafka").uuid, home .. "/secrets.new"
  fs.remove(making)
  local ok, failure = fs.mkdir(making)
  for _, name in ipairs(SECRETS) do
    if ok then ok, failure = fs.write(making .. "/" .. name, uuid() .. "\n", { mode = OWNER_ONLY }) end
  end
  if not ok then return nil, failure end
  return fs.rename(making, home .. "/secrets")
end

-- ensure(home) -> true | nil, err: its secrets and certificates are there, made by the first who asks
function M.ensure(home)
  local ok, failure = fs.mkdir(home)
  if not ok then return nil, failure end
  local guard <close>, busy = lock.take(home .. "/secrets.lock", "rlab up --secure", { at_most = "30s" })
  if not guard then return nil, busy end
  if not fs.exists(tls.path(home, "jwks.json")) then ok, failure = tls.make(home) end
  if ok and not fs.exists(home .. "/secrets") then ok, failure = make_secrets(home) end
  return ok, failure
end

-- How one is let in, beside SCRAM-SHA-512: each has a FILE of its own
M.ways = { "plain", "scram-256", "token", "mtls" }

-- named(way | nil) -> the name of that FILE
function M.named(way) return way and ("external-%s.json"):format(way) or "external.json" end

-- forget(home) -> true | nil, err: its secrets, certificates and FILEs are gone
function M.forget(home)
  local names = { M.named(), "token.sh", "secrets", "tls" }
  for _, way in ipairs(M.ways) do names[#names + 1] = M.named(way) end
  for _, name in ipairs(names) do
    local ok, failure = fs.remove(home .. "/" .. name)
    if not ok then return nil, failure end
  end
  return true
end

-- wanted(words) -> the same words; raises where one names a server that it cannot have
function M.wanted(words)
  for _, word in ipairs(words) do
    if not tables.contains(M.parts, word) then
      error(err.new { domain = "rlab", code = 0, name = "USAGE",
        message = ("the secure stack has %s, no %s; start that without --secure"):format(
          table.concat(M.parts, ", "), word) }, 0)
    end
  end
  return words
end

-- write(path, text) -> true | nil, err: a file that nobody else may read, as secrets are in it
function M.write(path, text) return fs.write(path, text, { mode = OWNER_ONLY }) end

return M
