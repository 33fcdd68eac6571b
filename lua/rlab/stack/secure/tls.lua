-- The certificates of a secure stack: an authority of its own, which trusts nobody else's, and what it says
-- of the servers on this machine. Made by openssl, which comes with Java's certificates.
local err = require "rlab.err"
local fs = require "rlab.fs"
local tools = require "rlab.stack.tools"

local M = {}

local OWNER_ONLY <const> = 384 -- 0600
local DAYS = "3650"

local CONFIG = [[
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
]]

-- path(home, name) -> of ca.pem, server.pem (the certificate), server.key, server.both (for Kafka)
function M.path(home, name) return ("%s/tls/%s"):format(home, name) end

local NEW_KEY = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes" }

local function openssl(folder, ...)
  local cmd = { "openssl" }
  for _, words in ipairs { ... } do table.move(words, 1, #words, #cmd + 1, cmd) end
  local text, status = tools.output(cmd, "20s", nil, folder)
  if text and status.code == 0 then return true end
  return nil, err.new { domain = "rlab", code = 0, name = "OPENSSL",
    message = "openssl failed: " .. (text and (text:match "[^\n]+" or "no output") or tostring(status)) }
end

-- In a folder with the configuration and empty key files, which openssl fills as they are: for their owner.
local function issue(folder)
  local steps = {
    { { "req", "-x509", "-config", "openssl.cnf", "-extensions", "authority", "-days", DAYS, "-subj",
      "/CN=rlab secure stack", "-keyout", "ca.key", "-out", "ca.pem" }, NEW_KEY },
    { { "req", "-new", "-config", "openssl.cnf", "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out",
      "server.csr" }, NEW_KEY },
    { { "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "1",
      "-days", DAYS, "-extfile", "openssl.cnf", "-extensions", "server", "-out", "server.pem" } },
  }
  for _, step in ipairs(steps) do
    local ok, failure = openssl(folder, table.unpack(step))
    if not ok then return nil, failure end
  end
  return fs.write(folder .. "/server.both",
    fs.read(folder .. "/server.key") .. fs.read(folder .. "/server.pem"), { mode = OWNER_ONLY })
end

-- make(home) -> true | nil, err: all of them, or none
function M.make(home)
  if not tools.which "openssl" then
    return nil, err.new { domain = "rlab", code = 0, name = "MISSING",
      message = "no openssl found, which makes the certificates; install it (apt install openssl)" }
  end
  local folder = home .. "/tls.new"
  fs.remove(folder)
  local ok, failure = fs.mkdir(folder)
  if ok then ok, failure = fs.write(folder .. "/openssl.cnf", CONFIG) end
  for _, key in ipairs { "ca.key", "server.key" } do
    if ok then ok, failure = fs.write(folder .. "/" .. key, "", { mode = OWNER_ONLY }) end
  end
  if ok then ok, failure = issue(folder) end
  if not ok then return nil, failure end
  fs.remove(home .. "/tls")
  return fs.rename(folder, home .. "/tls")
end

return M
