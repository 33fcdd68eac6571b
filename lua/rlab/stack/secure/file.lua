-- The FILE by which `--stack external FILE` reaches a secure stack, as its user. Secrets are named by their
-- files.
local json = require "rlab.json"
local secure = require "rlab.stack.secure"
local tables = require "rlab.tables"

local M = {}

local CA = "tls/ca.pem" -- counted from the FILE's folder, as are the secrets

local function store(ctx, part)
  return { host = "127.0.0.1", port = ctx.ports[part], user = secure.user,
    password_file = "secrets/" .. part, tls = "verify", ca = CA }
end

-- sections(ctx) -> the FILE as a table
function M.sections(ctx)
  return {
    kafka = { brokers = ctx:brokers(), ["security.protocol"] = "SASL_SSL",
      ["sasl.mechanisms"] = "SCRAM-SHA-512", ["sasl.username"] = secure.user,
      ["sasl.password_file"] = "secrets/kafka", ["ssl.ca.location"] = CA },
    mysql = store(ctx, "mysql"),
    redis = tables.merged(store(ctx, "redis"), { db = 0 }),
  }
end

-- write(ctx) -> its path | nil, err
function M.write(ctx)
  local path = ctx.home .. "/external.json"
  local ok, failure = secure.write(path, json.encode(M.sections(ctx), { pretty = true }) .. "\n")
  if not ok then return nil, failure end
  return path
end

return M
