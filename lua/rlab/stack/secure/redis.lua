-- Redis of a secure stack: TLS only, and users by a file of ACLs; the default user may nothing.
local grants = require "rlab.stack.secure.grants"
local secure = require "rlab.stack.secure"
local tables = require "rlab.tables"

local M = {}

-- files(Secure, server): the users
function M.files(secured, server)
  return secure.write(server.dir .. "/users.acl", table.concat({
    "user default off",
    ("user %s on >%s ~* &* +@all"):format(secure.admin, secured:password "redis-admin"),
    ("user %s on >%s %s"):format(secure.user, secured:password "redis", grants.redis()),
  }, "\n") .. "\n")
end

-- options(Secure, server) -> words of its command line, the later of which count. Paths are relative to its
--   data.
function M.options(secured, server)
  return { "--port", "0", "--tls-port", server.port, "--tls-auth-clients", "optional",
    "--tls-cert-file", secured:tls "server.pem", "--tls-key-file", secured:tls "server.key",
    "--tls-ca-cert-file", secured:tls "ca.pem", "--aclfile", "../users.acl" }
end

-- login(Secure) -> what a client of the stack's owner is told
function M.login(secured)
  return tables.merged(secured:stores(), { user = secure.admin, password = secured:password "redis-admin" })
end

-- mark(redis) -> true when the key is there that says that rlab may run here
function M.mark(redis) return redis:call("SET", grants.MARK, "1") == "OK" end

return M
