-- The schema of the services. migrations/*.sql are run by Flyway once per stack and set of files, into a
-- template schema that is named by their checksum; a run's own schema is a copy of the template's tables,
-- which takes less than a tenth of a second.
local defer = require "rlab.defer"
local err = require "rlab.err"
local fingerprint = require "rlab.fingerprint"
local fs = require "rlab.fs"
local host = require "rlab.core_host"
local sql_name = require "rlab.sql_name"
local tools = require "rlab.stack.tools"
local tables = require "rlab.tables"

local M = {}

local FOLDER = "migrations/"
local AT_MOST = "60s"

local function failed(fmt, ...)
  return nil, err.new { domain = "rlab", code = 0, name = "MIGRATION", exit = 65, message = fmt:format(...) }
end

-- files() -> sorted list of { name =, text = }: those of RLAB_MIGRATIONS, a folder, else those that rlab
--   was built with
function M.files()
  local folder, list = os.getenv "RLAB_MIGRATIONS", {}
  if folder and folder ~= "" then
    for _, name in ipairs(fs.list(folder) or {}) do
      if name:match "^V.*%.sql$" then
        list[#list + 1] = { name = name, text = fs.read(folder .. "/" .. name) }
      end
    end
  else
    for _, path in ipairs(host.embedded_names(FOLDER)) do
      list[#list + 1] = { name = path:sub(#FOLDER + 1), text = host.embedded(path) }
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function checksum(list)
  local texts = {}
  for i, file in ipairs(list) do texts[i] = file.name .. "\0" .. file.text .. "\0" end
  return fingerprint(table.concat(texts))
end

-- name() -> the template's schema
function M.name(list)
  return "rlab_template_" .. checksum(list or M.files())
end

-- ---- Flyway ----

local function classpath(flyway)
  return flyway.root .. "/classes:" .. flyway.root .. "/libs/*"
end

local function command(java, flyway, what, at, schema, folder)
  local url = ("jdbc:mysql://%s:%d/%s?allowPublicKeyRetrieval=true&sslMode=DISABLED\z
    &createDatabaseIfNotExist=true&connectTimeout=5000"):format(at.host, at.port, schema)
  return { java.path, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp",
    classpath(flyway), "Migrate", what, url, at.user, folder }
end

-- Flyway reads files: those that are embedded are written out for it.
local function write_out(list)
  local folder, failure = fs.tmpdir "rlab-migrations"
  if not folder then return nil, failure end
  for _, file in ipairs(list) do
    local ok, broken = fs.write(folder .. "/" .. file.name, file.text)
    if not ok then return nil, broken end
  end
  return folder
end

-- "Failed to execute script V4__x.sql ---- SQL State : 42000 Error Code : 1064 Message : You have ...
-- Location : /tmp/..." in the words that matter
local function plain_reason(text, folder)
  text = text:gsub(folder .. "/", "migrations/")
  local file, message, line = text:match "script (%S+)", text:match "Message%s*: (.-)%s+Location",
    text:match "Line%s*: (%d+)"
  if not (file and message) then return text end
  return ("%s%s: %s"):format(file, line and ", line " .. line or "", message)
end

local function parse(output, folder)
  local rows = {}
  for line in output:gmatch "[^\n]+" do
    local words = {}
    for word in (line .. "\t"):gmatch "(.-)\t" do words[#words + 1] = word end
    if words[1] == "error" then return failed("migrations: %s", plain_reason(words[2] or "", folder)) end
    if words[1] == "migration" then
      rows[#rows + 1] = { version = words[2], description = words[3], state = words[4],
        installed = words[5] ~= "" and words[5] or nil }
    elseif words[1] == "done" then
      rows.count = math.tointeger(tonumber(words[2]))
    end
  end
  if not rows.count then
    return failed("Flyway did not end well: %s", output:match "[^\n]+" or "no output")
  end
  return rows
end

-- flyway(what, at, schema, files) -> rows with rows.count | nil, err. `what` is migrate, info or validate;
--   `at` is stack.mysql.
function M.flyway(what, at, schema, list)
  local java, no_java = tools.java()
  if not java then return nil, no_java end
  local flyway, missing = tools.flyway()
  if not flyway then return nil, missing end
  local folder, failure = write_out(list or M.files())
  if not folder then return nil, failure end
  local _ <close> = defer(function() fs.remove(folder) end)
  local output, status = tools.output(command(java, flyway, what, at, schema, folder), AT_MOST,
    tables.merged(tools.JAVA_ENV, { RLAB_PASSWORD = at.password }))
  if not output then return nil, status end
  return parse(output, folder)
end

-- ---- without Flyway ----

-- What stands in quotes, and comments, may hold a semicolon.
local TOKENS = { "^'[^']*'", '^"[^"]*"', "^`[^`]*`", "^%-%-[^\n]*", "^/%*.-%*/" }

local function token_at(text, at)
  for _, pattern in ipairs(TOKENS) do
    local token = text:match(pattern, at)
    if token then return token end
  end
  return text:sub(at, at)
end

-- statements([files]) -> list: those of the migrations, in their order, for servers on which rlab keeps no
--   template. What needs another delimiter than ; is not understood.
function M.statements(list)
  local found, one = {}, {}
  local function over()
    local text = table.concat(one):match "^%s*(.-)%s*$"
    if text ~= "" then found[#found + 1] = text end
    one = {}
  end
  for _, file in ipairs(list or M.files()) do
    local at = 1
    while at <= #file.text do
      local token = token_at(file.text, at)
      at = at + #token
      if token == ";" then over() elseif not token:find "^%-%-" then one[#one + 1] = token end
    end
    over()
  end
  return found
end

-- ---- the template ----

local function connect(at)
  return require("rlab.mysql").connect(tables.picked(at, { "host", "port", "user", "password" }))
end

-- Flyway notes each file when it is done, so a template that it left half-way is known.
local function complete(db, template, list)
  local table_there = db:value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ? AND \z
    table_name = 'flyway_schema_history'", template)
  if table_there ~= 1 then return false end
  return db:value("SELECT COUNT(*) FROM " .. sql_name(template)
    .. ".flyway_schema_history WHERE success = 1 AND version IS NOT NULL") == #list
end

local function make(at, db, template, list)
  local ok, failure = db:exec("DROP DATABASE IF EXISTS " .. sql_name(template))
  if not ok then return nil, failure end
  local done
  done, failure = M.flyway("migrate", at, template, list)
  if done then return template, done.count end
  db:exec("DROP DATABASE IF EXISTS " .. sql_name(template))
  return nil, failure
end

-- template(stack) -> its schema, number of migrations that were run just now | nil, err
function M.template(stack)
  local at, list = stack.mysql, M.files()
  local name = M.name(list)
  local db <close>, failure = connect(at)
  if not db then return nil, failure end
  if complete(db, name, list) then return name, 0 end
  local guard <close>, busy = require("rlab.stack.lock").take(stack.home .. "/migrate.lock", "rlab migrate",
    { at_most = "90s" })
  if not guard then return nil, busy end
  if complete(db, name, list) then return name, 0 end
  return make(at, db, name, list)
end

-- ---- copies ----

local function tables_of(db, schema)
  return db:query([[SELECT table_name AS name FROM information_schema.tables
    WHERE table_schema = ? AND table_type = 'BASE TABLE' AND table_name <> 'flyway_schema_history'
    ORDER BY table_name]], schema)
end

-- The statements that make one table, with what is in it.
local function recipe_of(db, template, name)
  local row, failure = db:row(("SHOW CREATE TABLE %s.%s"):format(sql_name(template), sql_name(name)))
  if not row then return nil, failure end
  local first = db:value(("SELECT 1 FROM %s.%s LIMIT 1"):format(sql_name(template), sql_name(name)))
  return { row["Create Table"],
    first and ("INSERT INTO %s SELECT * FROM %s.%s"):format(sql_name(name), sql_name(template),
      sql_name(name)) }
end

-- recipe(db, template) -> the statements that make the template's tables, with what the migrations put into
--   them | nil, err
function M.recipe(db, template)
  local rows, failure = tables_of(db, template)
  if not rows then return nil, failure end
  local list = {}
  for _, row in ipairs(rows) do
    local statements, broken = recipe_of(db, template, row.name)
    if not statements then return nil, broken end
    tables.append(list, statements)
  end
  return list
end

-- copy(db, recipe, schema) -> true | nil, err: a schema of its own with the tables of the recipe. `db` stands
--   in it afterwards.
function M.copy(db, recipe, schema)
  local list = { "CREATE DATABASE " .. sql_name(schema), "USE " .. sql_name(schema),
    "SET SESSION foreign_key_checks = 0" }
  tables.append(list, recipe)
  list[#list + 1] = "SET SESSION foreign_key_checks = 1"
  for _, statement in ipairs(list) do
    local ok, failure = db:exec(statement)
    if not ok then return nil, failure end
  end
  return true
end

-- clone(db, template, schema) -> true | nil, err: both of these
function M.clone(db, template, schema)
  local recipe, failure = M.recipe(db, template)
  if not recipe then return nil, failure end
  return M.copy(db, recipe, schema)
end

return M
