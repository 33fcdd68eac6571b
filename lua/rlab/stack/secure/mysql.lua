-- MySQL of a secure stack: nobody logs in without TLS, and the user whose rights are counted has the grants.
local grants = require "rlab.stack.secure.grants"
local secure = require "rlab.stack.secure"

local M = {}

-- options(Secure) -> words of mysqld's command line
function M.options(secured)
  return { "--require-secure-transport=ON", "--ssl-ca=" .. secured:tls "ca.pem",
    "--ssl-cert=" .. secured:tls "server.pem", "--ssl-key=" .. secured:tls "server.key" }
end

-- users(Secure) -> statements, run at each start. The user is made anew, so that it has no right of old.
function M.users(secured)
  local who = ("'%s'@'%%'"):format(secure.user)
  return table.concat({
    ("DROP USER IF EXISTS %s;"):format(who),
    ("CREATE USER %s IDENTIFIED BY '%s' REQUIRE SSL;"):format(who, secured:password "mysql"),
    table.concat(grants.mysql(who), "\n"),
    ("CREATE DATABASE IF NOT EXISTS %s;"):format(grants.SCHEMA_MARK),
  }, "\n") .. "\n"
end

return M
