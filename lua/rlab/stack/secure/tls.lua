-- The certificates of a secure stack: an authority of its own, which trusts nobody else's, and what it says
-- of the servers on this machine and of the user `lab`; and the key that signs his tokens. Made by openssl,
-- which comes with Java's certificates.
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
[client]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
]]

-- path(home, name) -> of ca.pem, server.pem (the certificate), server.key, server.both (for Kafka),
--   client.pem, client.key, token.key, jwks.json (whom tokens are believed)
function M.path(home, name) return ("%s/tls/%s"):format(home, name) end

local NEW_KEY = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes" }

-- -> what it printed | nil, err
local function openssl(folder, ...)
  local cmd = { "openssl" }
  for _, words in ipairs { ... } do table.move(words, 1, #words, #cmd + 1, cmd) end
  local text, status = tools.output(cmd, "20s", nil, folder)
  if text and status.code == 0 then return text end
  return nil, err.new { domain = "rlab", code = 0, name = "OPENSSL",
    message = "openssl failed: " .. (text and (text:match "[^\n]+" or "no output") or tostring(status)) }
end

-- Of a certificate its key, a request, and what the authority says.
local function of(name, serial, subject)
  return { { "req", "-new", "-config", "openssl.cnf", "-subj", "/CN=" .. subject, "-keyout", name .. ".key",
      "-out", name .. ".csr" }, NEW_KEY },
    { { "x509", "-req", "-in", name .. ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", serial,
      "-days", DAYS, "-extfile", "openssl.cnf", "-extensions", name, "-out", name .. ".pem" } }
end

-- The public half of the key that signs tokens, as Kafka reads it.
local function publish_key(folder)
  local text, failure = openssl(folder, { "rsa", "-in", "token.key", "-noout", "-modulus" })
  local hex = text and text:match "Modulus=(%x+)"
  if not hex then return nil, failure end
  local modulus = require("rlab.stack.kafka").base64url((hex:gsub("%x%x", function(byte)
    return string.char(tonumber(byte, 16))
  end)))
  return fs.write(folder .. "/jwks.json",
    ('{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"rlab","n":"%s","e":"AQAB"}]}\n'):format(modulus))
end

-- In a folder with the configuration and empty key files, which openssl fills as they are: for their owner.
local function issue(folder)
  local request, certificate = of("server", "1", "127.0.0.1")
  local asked, given = of("client", "2", "lab")
  local steps = {
    { { "req", "-x509", "-config", "openssl.cnf", "-extensions", "authority", "-days", DAYS, "-subj",
      "/CN=rlab secure stack", "-keyout", "ca.key", "-out", "ca.pem" }, NEW_KEY },
    request, certificate, asked, given,
    { { "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "token.key" } },
  }
  for _, step in ipairs(steps) do
    local ok, failure = openssl(folder, table.unpack(step))
    if not ok then return nil, failure end
  end
  local ok, failure = publish_key(folder)
  if not ok then return nil, failure end
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
  for _, key in ipairs { "ca.key", "server.key", "client.key", "token.key" } do
    if ok then ok, failure = fs.write(folder .. "/" .. key, "", { mode = OWNER_ONLY }) end
  end
  if ok then ok, failure = issue(folder) end
  if not ok then return nil, failure end
  fs.remove(home .. "/tls")
  return fs.rename(folder, home .. "/tls")
end

return M
