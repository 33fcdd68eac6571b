-- rlab.redis for help(), completion and docs/api.md.
return {
  module = "redis", kind = "module",
  doc = "Redis over RESP3. Integers have 64 bits, doubles are floats, maps become tables, sets and arrays \z
    lists, nil is null, strings are binary-safe. An error's name is the server's first word (WRONGTYPE, \z
    MOVED, BUSY, NOSCRIPT, ...). After a timeout, a cancel or a lost connection a handle is broken until \z
    reconnect(), so that a late reply is never taken for another call's.",
  functions = {
    { "connect", "redis.connect{host =, port =, ...} -> r | nil, err",
      "Connects. A server without RESP3 is spoken to in RESP2, after a warning.",
      params = {
        'host: string = "127.0.0.1"', "port: integer = 6379",
        "socket: string, a Unix socket's path instead of host and port",
          "user: string", "password: string",
        "db: integer = 0", "client_name: string", "resp: integer = 3, or 2",
        'timeout: duration = "10s", of a command; 0 waits for ever',
        'connect_timeout: duration = "5s"',
      },
      errors = "ECONNREFUSED, TIMEOUT, WRONGPASS, UNKNOWN_HOST",
      example = 'local r <close> = must(redis.connect { port = 16379 })' },
  },
  types = {
    { name = "connection", meta = "redis.connection",
      doc = "One connection; its calls run one after another.",
      methods = {
        { "call", "r:call(command, ...) -> reply | nil, err",
          "Runs one command; a list among the arguments is spread out.",
          params = { "command: string", "...: string, arguments; numbers are written exactly" },
          errors = "the server's, TIMEOUT, CONNECTION_LOST, BROKEN, REFUSED (MONITOR, SYNC, CLIENT REPLY)",
          example = 'must(r:call("SET", "k", 1))\nmust(r:call("DEL", { "a", "b" }))' },
        { "pipeline", "r:pipeline{{command, ...}, ...} -> replies | nil, err, replies",
          "Sends all at once. Errors stand in their places as tables; when the connection breaks, the \z
            replies that had come are the third value and the rest is unknown.",
            params = { "commands: table, list of lists" } },
        { "script", "r:script(source) -> script",
          "A Lua script on the server, called by EVALSHA, and by EVAL where the server does not know it.",
          params = { "source: string" }, example = 'local cas = r:script "return redis.call(\'GET\', \z
            KEYS[1])"\nmust(cas:call({ "k" }))' },
        { "push", "r:push(at_most) -> message | nil, err",
          'The next push message, such as {"message", channel, text} after SUBSCRIBE or ' ..
            '{"invalidate", keys} with CLIENT TRACKING.',
          params = { "at_most: duration = 0" }, errors = "TIMEOUT, which leaves the connection whole" },
        { "set_timeout", "r:set_timeout(duration) -> true",
          "For the commands from now on, such as a long BLPOP.",
          params = { "duration: duration, 0 waits for ever" } },
        { "resp", "r:resp() -> 3 | 2, why", "What is spoken, and why it is RESP2 though 3 was asked for." },
        { "broken", "r:broken() -> why | nil", "Why this connection can no longer be used." },
        { "reconnect", "r:reconnect() -> r | nil, err",
          "A new connection with the same options; mends a broken one." },
        { "close", "r:close()", "Ends it, and what runs on it." },
      } },
    { name = "script", meta = "redis.script", doc = "A script on the server.",
      methods = {
        { "call", "script:call(keys, args) -> reply | nil, err", "Runs it.",
          params = { "keys: table, list of keys", "args: table, list of arguments" } },
        { "sha", "script:sha() -> string", "Its SHA-1." },
      } },
  },
}
