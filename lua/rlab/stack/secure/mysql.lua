-- MySQL of a secure stack: nobody logs in without TLS, and the user whose rights are counted has the grants.
local grants = require "rlab.stack.secure.grants"
local secure = require "rlab.stack.secure"

local M = {}

-- options(Secure) -> words of mysqld's command line
function M.options(secured)
  return { "--require-secure-transport=ON", "--log-bin-trust-function-creators=ON",
    "--ssl-ca=" .. secured:tls "ca.pem",
    "--ssl-cert=" .. secured:tls "server.pem", "--ssl-key=" .. secured:tls "server.key" }
end

local function user(secured, name, terms)
  local who = ("'%s'@'%%'"):format(name)
  return table.concat({
    ("DROP USER IF EXISTS %s;"):format(who),
    ("CREATE USER %s IDENTIFIED BY '%s' REQUIRE %s;"):format(who, secured:password "mysql", terms),
    table.concat(grants.mysql(who), "\n"),
  }, "\n")
end

-- users(Secure) -> statements, run at each start. A user is made anew, so that it has no right of old.
function M.users(secured)
  return table.concat({
    user(secured, secure.user, "SSL"),
    user(secured, secure.by_certificate, ("SUBJECT '/CN=%s'"):format(secure.user)),
    ("CREATE DATABASE IF NOT EXISTS %s;"):format(grants.SCHEMA_MARK),
  }, "\n") .. "\n"
end

return M
