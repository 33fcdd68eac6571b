-- rlab.redis for help(), completion and docs/api.md.
local TLS = 'tls: string = "off", "on" encrypts, "verify" also checks the certificate against ca and the host'
local CA = "ca: string, a file of trusted certificates, default the system's"
local CERT, KEY = "cert: string, a file with our own certificate", "key: string, the file with its key"

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
          "user: string, of the server's ACL; one without a password gives none", "password: string",
        "db: integer = 0", "client_name: string", "resp: integer = 3, or 2",
        TLS, CA, CERT, KEY,
        'timeout: duration = "10s", of a command; 0 waits for ever',
        'connect_timeout: duration = "5s"',
      },
      errors = "ECONNREFUSED, TIMEOUT, WRONGPASS, UNKNOWN_HOST, TLS",
      example = 'local r <close> = must(redis.connect { port = 16379 })' },
    { "cluster", "redis.cluster{nodes =, ...} -> c | nil, err",
      "A client of a Redis Cluster: knows its slots, keeps a pool of connections for each node, follows \z
        MOVED and ASK, tries again after TRYAGAIN.",
      params = {
        "nodes: string | table, \"host:port,host:port\" or a list of them: whom to ask for the slots",
        "pool: integer = 4, connections a node",
        "redirects: integer = 5, that a command follows in a row; 0: MOVED and ASK are errors",
        "tries: integer = 24, more tries after TRYAGAIN, CLUSTERDOWN or a refused connection",
        "replicas: boolean = false, reads go to any node of their slot, which may be behind; one that did \z
          not answer is passed over for a second",
        "user: string, as of redis.connect", "password: string", "client_name: string",
        TLS, CA, CERT, KEY,
        'timeout: duration = "10s", of an answer; no try begins later',
        'connect_timeout: duration = "5s"',
      },
      errors = "ECONNREFUSED, TIMEOUT",
      example = 'local c <close> = must(redis.cluster { nodes = "127.0.0.1:16371" })' },
    { "slot", "redis.slot(key) -> integer", "The slot of a key, by its hash tag: 0 to 16383.",
      params = { "key: string" }, example = 'redis.slot "{acct:17}:bal" == redis.slot "acct:17"' },
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
        { "broken", "r:broken() -> why | nil",
          "Why this connection can no longer be used, also where the server has closed it since the last \z
            call." },
        { "reconnect", "r:reconnect() -> r | nil, err",
          "A new connection with the same options; mends a broken one." },
        { "close", "r:close()", "Ends it, and what runs on it." },
      } },
    { name = "cluster", meta = "redis.cluster",
      doc = "A client of a cluster. Commands on one key are carried out in their order; one that may have \z
        been carried out is never sent again. A dead or frozen node costs the commands of its slots.",
      methods = {
        { "call", "c:call(command, ...) -> reply | nil, err",
          "Runs one command on the node of its first key; a list among the arguments is spread out.",
          params = { "command: string", "...: string, arguments" },
          errors = "the server's (CROSSSLOT, MOVED without redirects), NO_KEY, NO_NODE, POOL_TIMEOUT, \z
            TIMEOUT, CONNECTION_LOST", example = 'must(c:call("MGET", "{acct:17}:bal", "{acct:17}:ver"))' },
        { "pipeline", "c:pipeline{{command, ...}, ...} -> replies",
          "Sends each node its part at once. Errors stand in their places as tables.",
          params = { "commands: table, list of lists" } },
        { "slots", "c:slots() -> list | nil, err", "Ranges, read anew: first, last, primary, replicas." },
        { "stats", "c:stats() -> table",
          "Counts so far: commands, moved, asked, tryagain, retries, refreshes, failures." },
        { "reconnect", "c:reconnect() -> c | nil, err",
          "Reads the slots anew; needed after a cancelled call." },
        { "close", "c:close()", "Ends its connections." },
      } },
    { name = "script", meta = "redis.script", doc = "A script on the server.",
      methods = {
        { "call", "script:call(keys, args) -> reply | nil, err", "Runs it.",
          params = { "keys: table, list of keys", "args: table, list of arguments" } },
        { "sha", "script:sha() -> string", "Its SHA-1." },
      } },
  },
}
