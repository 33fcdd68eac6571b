-- rlab.cache for help(), completion and docs/api.md.
local where = { "r: connection, of rlab.redis", "prefix: string, of the keys", "account: integer" }

return {
  module = "cache", kind = "module",
  doc = "The cache of accounts as the services keep it. An entry is the hash <prefix>account:{<id>} with \z
    balance, version (20 digits, so that text compares as numbers do), stored, expires, soft (ms since \z
    1970), cost (us of the load) and state (none: no such account; tombstone: invalidated at that \z
    version). <prefix>lease:{<id>} is the token of the reader who may fill it. In a Redis Cluster the \z
    braces give both one slot.",
  functions = {
    { "key", "cache.key(prefix, account) -> string", "The key of an entry.",
      params = { where[2], where[3] } },
    { "lease_key", "cache.lease_key(prefix, account) -> string", "The key of a reader's lease.",
      params = { where[2], where[3] } },
    { "latest_key", "cache.latest_key(prefix, account) -> string",
      "The key that the wrong two-step script writes beside the entry.",
      params = { where[2], where[3] } },
    { "pending_key", "cache.pending_key(prefix) -> string",
      "The list in which a command service with fallback = redis keeps what MySQL does not take.",
      params = { where[2] } },
    { "version", "cache.version(n) -> string", "20 digits.", params = { "n: integer" } },
    { "source", "cache.source(name) -> string", "The text of a script on the server.",
      params = { "name: string, put, lease_fill, lease_drop, lease_release, versioned, tonumber, \z
        two_step, delta or reserve" } },
    { "read", "cache.read(r, prefix, account) -> entry | null | nil, err",
      "{ state = \"value\" | \"negative\" | \"tombstone\", balance, version, stored, expires, soft, cost \z
        }, the numbers as integers.",
      params = where },
    { "all", "cache.all(r, prefix) -> {account = entry} | nil, err",
      "Every entry with the prefix, by SCAN.", params = { where[1], where[2] } },
    { "fill", "cache.fill(r, prefix, account, entry, {mode =, ttl =, token =}) -> \"written\" | \z
      \"refused\" | nil, err",
      "What a reader writes after a load.",
      params = { where[1], where[2], where[3], "entry: table, balance and version",
        'mode: string = "plain", lease or versioned',
        'ttl: duration = "60s"', "token: string, of the lease" },
      example = 'must(cache.fill(r, "demo:", 7, { balance = 1200, version = 3 }, { mode = "versioned", \z
        ttl = "60s" }))' },
    { "apply", "cache.apply(r, prefix, mode, {account =, version =, balance =, amount =, event =}) -> \z
      \"written\" | \"refused\" | \"missing\" | nil, err",
      "What a writer does to the cache after a change. Right: del with care, lease, versioned (a \z
        tombstone of the version), update (the new value if newer, a missing entry stays missing). Wrong \z
        on purpose: tonumber, two-step, delta.",
      params = { where[1], where[2],
        "mode: string, none, del, lease, versioned, update, tonumber, two-step or delta", "change: table" } },
    { "reserve", "cache.reserve(r, prefix, account, amount) -> balance left | null | nil, err",
      "Wrong on purpose: takes money from the cache before the database knows. null: no entry.",
      params = { where[1], where[2], where[3], "amount: integer" } },
  },
}
