-- The FILE by which `--stack external FILE` reaches a secure stack, as its user. Secrets are named by their
-- files.
local json = require "rlab.json"
local kafka = require "rlab.stack.secure.kafka"
local secure = require "rlab.stack.secure"
local tables = require "rlab.tables"
local token = require "rlab.stack.secure.token"

local M = {}

-- counted from the FILE's folder, as are the secrets
local CA, CERT, KEY = "tls/ca.pem", "tls/client.pem", "tls/client.key"

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

local LOGINS = {
  plain = { ["sasl.mechanisms"] = "PLAIN" },
  ["scram-256"] = { ["sasl.mechanisms"] = "SCRAM-SHA-256" },
}

-- What each way changes in those sections.
local ways = {
  token = function(_, all)
    all.kafka["sasl.username"], all.kafka["sasl.password_file"] = nil, nil
    all.kafka["sasl.mechanisms"], all.kafka["sasl.token_command"] = "OAUTHBEARER", { "./token.sh", "600" }
  end,
  mtls = function(ctx, all)
    all.kafka = { brokers = kafka.mtls_brokers(ctx), ["security.protocol"] = "SSL", ["ssl.ca.location"] = CA,
      ["ssl.certificate.location"] = CERT, ["ssl.key.location"] = KEY }
    all.mysql.user = secure.by_certificate
    for _, part in ipairs { "mysql", "redis" } do all[part].cert, all[part].key = CERT, KEY end
  end,
}

-- sections_by(ctx, way) -> the FILE of another way to be let in, of secure.ways
function M.sections_by(ctx, way)
  local all = M.sections(ctx)
  if ways[way] then ways[way](ctx, all) end
  all.kafka = tables.merged(all.kafka, LOGINS[way])
  return all
end

local function put(ctx, way, sections)
  return secure.write(ctx.home .. "/" .. secure.named(way), json.encode(sections, { pretty = true }) .. "\n")
end

-- write(ctx) -> the path of external.json | nil, err; those of the other ways lie beside it
function M.write(ctx)
  local ok, failure = token.write(ctx.home)
  for _, way in ipairs(secure.ways) do
    if ok then ok, failure = put(ctx, way, M.sections_by(ctx, way)) end
  end
  if ok then ok, failure = put(ctx, nil, M.sections(ctx)) end
  if not ok then return nil, failure end
  return ctx.home .. "/" .. secure.named()
end

return M
