-- Where ids come from: a query of MySQL, a topic, the keys of Redis, or a file. Each is read over a
-- connection of its own, from its beginning to where it ended when the reading began.
local bag = require "rlab.bag"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local null = require "rlab.null"
local pointer = require "rlab.verify.pointer"
local reader = require "rlab.replay.reader"
local redis = require "rlab.redis"
local span = require "rlab.kafka.span"
local tables = require "rlab.tables"
local urls = require "rlab.urls"
local usage = require "rlab.usage" "verify: "

local M = {}

M.FORMS = { "'mysql:SELECT order_id FROM orders'", "kafka:TOPIC#key", "kafka:TOPIC#value",
  "kafka:TOPIC#header:NAME", "kafka:TOPIC#/json/pointer", "'redis:PREFIX*'", "file:PATH" }

-- An id that is text, or a number that has one spelling.
local function id_of(value)
  if type(value) == "string" and value ~= "" or math.type(value) == "integer" then return tostring(value) end
end

-- ---- MySQL ----

local function connected(opener, address, what)
  if not address then
    usage("no address of %s is known: start the stack by rlab up, or name it in RLAB_%s or \z
      --connections FILE", what, what:upper())
  end
  return must(opener(address))
end

local function first_column(sql, connections)
  local found = { ids = bag.new {}, nameless = {} }
  local db <close> = connected(mysql.connect, connections.mysql, "mysql")
  local cursor <close> = must(db:cursor(sql))
  local columns = cursor:columns()
  if #columns ~= 1 then usage("the query gives %d columns; one is the id: %s", #columns, sql) end
  local row, failure = cursor:next()
  while row do
    local value = row[columns[1]]
    local id = value ~= null and id_of(value)
    if id then found.ids:add(id) else found.nameless[#found.nameless + 1] = "a row whose id is NULL" end
    row, failure = cursor:next()
  end
  if failure then error(failure, 0) end
  return found
end

-- ---- Kafka ----

local function header(name)
  return function(record) return record:header(name) end
end

local function json_at(path)
  return function(record)
    local ok, value = pcall(json.decode, record.value ~= null and record.value or "")
    return ok and pointer.at(value, path) or nil
  end
end

-- What "#..." says of where a record has its id -> f(record) -> value | nil
local function picker(where)
  if where == "key" or where == "value" then return function(record) return record[where] end end
  if where:find "^header:." then return header(where:sub(#"header:" + 1)) end
  if where:find "^/" then return json_at(where) end
end

local function keep(found, record, pick)
  local value = pick(record)
  local id = value ~= null and id_of(value)
  if id then found.ids:add(id); return end
  found.nameless[#found.nameless + 1] = ("%s/%d/%d"):format(record.topic, record.partition, record.offset)
end

-- From the log's start to the last stable offset; where the log has lost its beginning it says so.
local function spans_of(admin, topic, found)
  local spans = {}
  for i, b in ipairs(must(reader.bounds(admin, topic))) do
    spans[i] = { topic = topic, partition = b.partition, from = b.low, to = b.high }
    found.removed = found.removed or b.low > 0
    found.about[i] = ("%d to %d"):format(b.low, b.high)
  end
  return spans
end

local function of_topic(topic, pick, connections)
  if not connections.kafka then connected(nil, nil, "brokers") end
  local found = { ids = bag.new {}, nameless = {}, about = {} }
  local admin <close> = must(kafka.admin(connections.kafka))
  local spans = spans_of(admin, topic, found)
  local consumer <close> = must(kafka.consumer(tables.merged(connections.kafka, { group = "rlab-verify",
    enable_auto_commit = false, enable_partition_eof = true, auto_offset_reset = "error",
    isolation_level = "read_committed" })))
  must(span.read(consumer, spans, function(record) keep(found, record, pick) end))
  found.about = "offsets " .. table.concat(found.about, ", ")
  return found
end

-- ---- Redis ----

local function of_keys(pattern, connections)
  local prefix, rest = pattern:match "^([^*?%[\\]*)%*([^*?%[\\]*)$"
  if not prefix then
    usage("redis: takes a pattern with one *, which stands for the id, not '%s'", pattern)
  end
  local seen, found = {}, { ids = bag.new {}, nameless = {} }
  local r <close> = connected(redis.connect, connections.redis, "redis")
  local cursor = "0"
  repeat
    local page = must(r:call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000))
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      local id = key:sub(#prefix + 1, #key - #rest)
      if not seen[key] then seen[key] = found.ids:add(id) and true end
    end
  until cursor == "0"
  return found
end

-- ---- files ----

local function of_file(path)
  local found = { ids = bag.new {}, nameless = {} }
  local file <close>, why = io.open(path)
  if not file then usage("%s", why) end
  local _, unread = file:read(0) -- a folder can be opened
  if unread then usage("%s: %s", path, unread) end
  for line in file:lines() do
    local id = line:gsub("\r$", "")
    if id ~= "" then found.ids:add(id) end
  end
  return found
end

-- ---- which ----

local function of_kafka(rest)
  local topic, where = rest:match "^([^#]+)#(.+)$"
  local pick = where and picker(where)
  if not pick then
    usage("kafka: says the topic and where a record has its id, such as %s; not '%s'",
      table.concat(M.FORMS, " ", 2, 5), rest)
  end
  return function(connections) return of_topic(topic, pick, connections) end
end

local kinds = {
  mysql = function(rest) return function(connections) return first_column(rest, connections) end end,
  redis = function(rest) return function(connections) return of_keys(rest, connections) end end,
  file = function(rest) return function() return of_file(rest) end end,
  kafka = of_kafka,
}

-- of(text) -> source {text, read}: read(connections) -> {ids = bag, nameless = words on each that has no id,
--   removed = whether the log has lost its beginning, about = words | nil}. A text that is none raises.
function M.of(text)
  local kind, rest = text:match "^(%l+):(.+)$"
  local make = kind and kinds[kind]
  if not make then usage("'%s' is no source of ids; one is %s", text, table.concat(M.FORMS, ", ")) end
  return { text = text, read = make(rest) }
end

-- ---- connections ----

local function filed(path)
  local text, why = require("rlab.fs").read(path)
  if not text then usage("--connections %s", why.message) end
  local ok, value = pcall(json.decode, text)
  if not ok or type(value) ~= "table" then usage("--connections %s: it is no JSON object", path) end
  return value
end

local function address(kind, text)
  if not text or text == "" then return nil end
  return urls[kind](text) or usage("'%s' is no URL of %s", urls.masked(text), kind)
end

-- A variable that is empty says nothing.
local function set(variable)
  local text = os.getenv(variable)
  return text ~= "" and text or nil
end

local function kafka_of(given)
  if type(given) == "table" or not given then return given end
  local brokers = urls.brokers(given)
  return brokers and { brokers = brokers }
    or usage("'%s' are no brokers: host:port,host:port", tostring(given))
end

-- connections(file | nil) -> {mysql, redis, kafka} that connect() and consumer() take: from the file (a JSON
--   object of the URLs "mysql" and "redis", and of "kafka", the brokers or an object of librdkafka's
--   settings), else from RLAB_MYSQL, RLAB_REDIS and RLAB_BROKERS, else those of the running stack. No secret
--   is an argument.
function M.connections(path)
  local file = path and filed(path) or {}
  local stack = require("rlab.stack").current()
  local function first(kind, variable) return address(kind, file[kind] or set(variable)) end
  return {
    mysql = first("mysql", "RLAB_MYSQL") or stack and stack.mysql
      and stack:mysql_opts { database = stack.mysql.database },
    redis = first("redis", "RLAB_REDIS") or stack and stack.redis and stack:redis_opts(),
    kafka = kafka_of(file.kafka or set "RLAB_BROKERS" or stack and stack.kafka and stack.kafka.brokers),
  }
end

return M
