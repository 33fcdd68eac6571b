-- Kafka's nodes of a secure stack: brokers and the controller know one another by PLAIN. Clients log in by
-- SCRAM, whose users are made through the brokers' own listener once these serve, by PLAIN or by a signed
-- token, and on a listener of its own by a certificate. All of it in TLS.
local grants = require "rlab.stack.secure.grants"
local secure = require "rlab.stack.secure"
local settings = require "rlab.stack.settings"
local tables = require "rlab.tables"
local task = require "rlab.task"
local token = require "rlab.stack.secure.token"

local M = {}

M.PROTOCOLS = "INTER:SASL_SSL,DIRECT:SASL_SSL,CONTROLLER:SASL_SSL,MTLS:SSL"

local BROKER = "broker" -- as whom the nodes know one another

-- lines(ctx) -> what server.properties of each node says beside the settings of every stack. Passwords are
--   made of letters, digits, - and _.
function M.lines(ctx)
  local lines = table.move(settings.kafka.secure, 1, #settings.kafka.secure, 1, {})
  local module = "org.apache.kafka.common.security.plain.PlainLoginModule required "
  local plain = module .. ('username="%s" password="%s" user_%s="%s";'):format(BROKER,
    ctx.secure:password "kafka-broker", BROKER, ctx.secure:password "kafka-broker")
  for _, listener in ipairs { "inter", "controller" } do
    lines[#lines + 1] = ("listener.name.%s.plain.sasl.jaas.config=%s"):format(listener, plain)
  end
  lines[#lines + 1] = ('listener.name.direct.plain.sasl.jaas.config=%suser_%s="%s";'):format(module,
    secure.user, ctx.secure:password "kafka")
  lines[#lines + 1] = "sasl.oauthbearer.jwks.endpoint.url=" .. token.url(ctx.home)
  lines[#lines + 1] = ("super.users=User:%s;User:%s"):format(BROKER, secure.admin)
  return lines
end

-- java(ctx) -> words of a node's command: the keys of tokens that it may read
function M.java(ctx)
  return { "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" .. token.url(ctx.home),
    "-Dorg.apache.kafka.sasl.oauthbearer.allowed.files=" .. token.keys(ctx.home) }
end

local function login(ctx, mechanism, user, secret)
  return { security_protocol = "SASL_SSL", ["ssl.ca.location"] = ctx.secure:tls "ca.pem",
    ["sasl.mechanisms"] = mechanism, ["sasl.username"] = user,
    ["sasl.password"] = ctx.secure:password(secret) }
end

-- login(ctx) -> what a client of the stack's owner adds to its settings
function M.login(ctx) return login(ctx, "SCRAM-SHA-512", secure.admin, "kafka-admin") end

local function brokers_at(ctx, port)
  local list = {}
  for i, id in ipairs(settings.kafka.brokers) do list[i] = "127.0.0.1:" .. ctx.ports[port:format(id)] end
  return table.concat(list, ",")
end

-- mtls_brokers(ctx) -> where clients are let in by their certificate
function M.mtls_brokers(ctx) return brokers_at(ctx, "kafka-%d-prox") end

local function make_users(ctx, admin)
  for user, secret in pairs { [secure.admin] = "kafka-admin", [secure.user] = "kafka" } do
    for _, mechanism in ipairs { "SCRAM-SHA-512", "SCRAM-SHA-256" } do
      local ok, failure = admin:set_scram { user = user, password = ctx.secure:password(secret),
        mechanism = mechanism, at_most = "20s" }
      if not ok then return nil, failure end
    end
  end
  return admin:create_acls(grants.acls(secure.user), { at_most = "20s" })
end

-- admit(ctx, options) -> true | nil, err: those who may log in, and what they may, are known to the brokers.
--   May begin while these still start.
function M.admit(ctx, options)
  local admin <close>, failure = require("rlab.kafka").admin(tables.merged(options,
    login(ctx, "PLAIN", BROKER, "kafka-broker"), { brokers = brokers_at(ctx, "kafka-%d-inter") }))
  if not admin then return nil, failure end
  local broken
  local ok, late = task.wait_until(function() -- a call can be lost while brokers still come
    local made = admin:cluster() ~= nil
    if made then made, broken = make_users(ctx, admin) end
    return made
  end, { at_most = "90s", every = "50ms", what = "a broker that lets the others in" })
  if ok then return true end
  return nil, broken or late
end

-- mark(admin) -> true | nil, err: the topic that says that rlab may run here
function M.mark(admin)
  local failure
  local ok = task.wait_until(function() -- a call can be lost while brokers still come
    local made
    made, failure = admin:create_topic { name = grants.MARK, partitions = 1, replication_factor = 3,
      configs = { ["min.insync.replicas"] = "2" } }
    return made or failure.name == "TOPIC_ALREADY_EXISTS"
  end, { at_most = "30s", every = "50ms", what = "the topic that says that rlab may run here" })
  if ok then return true end
  return nil, failure
end

return M
