-- rlab.mysql for help(), completion and docs/api.md.
local rows_doc = "rows: a list of tables keyed by column name (where names repeat, by position too: \z
  row[1], row[2]), with rows.columns, rows.affected, rows.insert_id, rows.warnings and, after a CALL, \z
  rows.more"
local parameters = "...: any, values for the ? marks: numbers, strings (binary-safe), booleans, null"
return {
  module = "mysql", kind = "module",
  doc = "MySQL. With parameters a statement is prepared on the server, without it goes as text; both give \z
    the same values: integers stay integers (an unsigned one beyond 2^63-1 is a string of digits), BIT \z
    and YEAR are integers, FLOAT and DOUBLE floats (a FLOAT with the six digits that MySQL writes of it; \z
    f + 0e0 has them all), NULL is null, all else strings: DECIMAL exact, dates and times as MySQL writes \z
    them, JSON as text, BLOBs as they are. Texts are compared by the server's own collation for utf8mb4 \z
    (utf8mb4_0900_ai_ci), as in the mysql client. After a timeout, a cancel or a lost connection a handle \z
    is broken until reconnect(); nothing but a pool reconnects by itself.",
  functions = {
    { "connect", "mysql.connect{host =, port =, user =, password =, database =, ...} -> db | nil, err",
      "Logs in.",
      params = {
        'host: string = "127.0.0.1"', "port: integer = 3306",
          "socket: string, a Unix socket's path instead of host and port", 'user: string = "root"',
        "password: string", "database: string",
        'tls: string = "off", "on" encrypts, "verify" also checks the certificate against ca',
        "ca: string, file of certificates that are trusted",
        "cert: string, file of our own certificate", "key: string, file of its key",
        "found_rows: boolean = false, affected counts the matched rows of an UPDATE, not only the changed",
        'connect_timeout: duration = "5s", for connect and login together',
        'read_timeout: duration = "60s", for an answer and each part of a long one; 0 waits for ever',
        "write_timeout: duration = 0, added to it",
      },
      errors = "CR_CONNECTION_ERROR, ER_ACCESS_DENIED_ERROR, ER_BAD_DB_ERROR, TIMEOUT",
      example = 'local db <close> = must(mysql.connect { port = 13306, user = "app", \z
        password = "secret" })' },
    { "pool", "mysql.pool{size =, wait =, ...} -> pool",
      "Connections that tasks share; opened when first needed, mended when they were lost.",
      params = { "size: integer = 4", 'wait: duration = "5s", for a free one',
        "...: any, what mysql.connect takes" } },
  },
  types = {
    { name = "connection", meta = "mysql.connection",
      doc = "One connection; its calls run one after another.",
      methods = {
        { "query", "db:query(sql, ...) -> rows | nil, err",
          "Runs a statement and returns " .. rows_doc .. ".",
          params = { "sql: string", parameters },
          errors = "mysql's, by name: ER_DUP_ENTRY, ER_LOCK_DEADLOCK, ...",
          example = 'for _, row in ipairs(must(db:query("SELECT id, v FROM t WHERE id > ?", 7))) do \z
            print(row.id, row.v) end' },
        { "exec", "db:exec(sql, ...) -> {affected, insert_id, warnings} | nil, err",
          "Runs a statement whose rows do not matter.",
          params = { "sql: string", parameters } },
        { "row", "db:row(sql, ...) -> row | nil | nil, err", "The first row only.",
          params = { "sql: string", parameters } },
        { "value", "db:value(sql, ...) -> value | nil | nil, err", "The first column of the first row.",
          params = { "sql: string", parameters } },
        { "sessions", "db:sessions() -> list | nil, err",
          "All connections to the server, each {thread, schema, state}; the last two are nil where there is \z
            none. Asks SHOW PROCESSLIST, which answers whatever bytes others' statements hold." },
        { "rows", "db:rows(sql, ...) -> iterator",
          "Streams rows without holding them in memory. Raises errors. Leaving the loop early is cheap; \z
            the connection serves nothing else meanwhile.",
          params = { "sql: string", parameters },
          errors = "CR_COMMANDS_OUT_OF_SYNC on another call meanwhile" },
        { "cursor", "db:cursor(sql, ...) -> cursor | nil, err", "The same by hand, with errors as values.",
          params = { "sql: string", parameters } },
        { "prepare", "db:prepare(sql) -> statement | nil, err",
          "Prepares on the server until statement:close(); survives reconnect().",
          params = { "sql: string" } },
        { "tx", "db:tx(function(tx) ... end, {isolation =, retries =, read_only =, snapshot =}) -> \z
          results | nil, err",
          "Commits and returns the function's results (true for none); rolls back when it raises or \z
            returns nil, err. err.unknown: a commit whose outcome nobody knows.",
          params = { "f: function, gets the connection",
            'isolation: string, "read committed", "repeatable read", "serializable", "read uncommitted"',
            "retries: integer = 0, how often a deadlock (1213) or lock wait timeout (1205) runs it again",
            "read_only: boolean",
          "snapshot: boolean, WITH CONSISTENT SNAPSHOT" } },
        { "kill", "db:kill(id, {connection =}) -> true | nil, err",
          "Ends the statement that another connection runs.",
          params = { "id: integer, of its db:id()", "connection: boolean = false, the whole connection" } },
        { "id", "db:id() -> integer", "The server's number of this connection; does not wait." },
        { "ping", "db:ping() -> true | nil, err", "Asks whether the server answers." },
        { "version", "db:version() -> string", "The server's version." },
        { "in_transaction", "db:in_transaction() -> boolean", "As the server's last answer said." },
        { "broken", "db:broken() -> why | nil",
          "Why this connection can no longer be used, also where the server has closed it since the last \z
            call." },
        { "reconnect", "db:reconnect() -> db | nil, err",
          "A new login with the same options; mends a broken connection." },
        { "is_open", "db:is_open() -> boolean", "False after close(); does not wait." },
        { "close", "db:close()", "Ends it, and what runs on it." },
      } },
    { name = "cursor", meta = "mysql.cursor", doc = "Rows as the server sends them.",
      methods = {
        { "next", "cursor:next() -> row | nil | nil, err", "The next row; nil at the end." },
        { "columns", "cursor:columns() -> names", "The column names, also where there are no rows." },
        { "close", "cursor:close() -> true | nil, err", "Ends it, also early; frees the connection." },
      } },
    { name = "statement", doc = "A prepared statement.",
      methods = {
        { "query", "statement:query(...) -> rows | nil, err", "As db:query.", params = { parameters } },
        { "exec", "statement:exec(...) -> {affected, insert_id, warnings} | nil, err", "As db:exec.",
          params = { parameters } },
        { "rows", "statement:rows(...) -> iterator", "As db:rows.", params = { parameters } },
        { "close", "statement:close()", "Lets the server forget it." },
      } },
    { name = "pool", doc = "Connections that tasks share.",
      methods = {
        { "with", "pool:with(function(db) ... end) -> results | nil, err",
          "Runs the function with a connection of its own.",
          params = { "f: function, gets the connection" },
          errors = "TIMEOUT when none was free in time, CLOSED, and what connect says" },
        { "query", "pool:query(sql, ...) -> rows | nil, err", "db:query on any connection.",
          params = { "sql: string", parameters } },
        { "exec", "pool:exec(sql, ...) -> {affected, insert_id, warnings} | nil, err",
          "db:exec on any connection.",
          params = { "sql: string", parameters } },
        { "tx", "pool:tx(f, options) -> results | nil, err", "db:tx on any connection.",
          params = { "f: function", "options: table" } },
        { "close", "pool:close()", "Closes idle connections now, busy ones when they come back." },
      } },
  },
}
