-- The cache: version, lease token, soft deadline, singleflight, negative entries, jitter, entries.
return {

  -- ---- fills ----

  { id = "cache-lease-token-not-compared", mechanism = "a fill needs its lease",
    file = "lua/redis/lease_fill.lua",
    before = [[
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
]],
    after = "",
    run = "E-001", arms = { "lease" }, exit = 1, check = "stale-cache" },
  { id = "cache-lease-token-not-compared-race", mechanism = "a fill needs its lease",
    file = "lua/redis/lease_fill.lua",
    before = [[
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
]],
    after = "",
    waits = "E-031", run = "E-031", exit = 1, check = "stale-cache" },
  { id = "cache-invalidation-leaves-lease", mechanism = "an invalidation takes the lease too",
    file = "lua/redis/lease_drop.lua",
    before = "redis.call('DEL', KEYS[1], KEYS[2])",
    after = "redis.call('DEL', KEYS[1])",
    run = "E-001", arms = { "lease" }, exit = 1, check = "stale-cache" },
  { id = "cache-fill-without-version", mechanism = "an older value is refused",
    file = "lua/redis/versioned.lua",
    before = "if there and (there > version or (there == version and op ~= 'fill')) then return 0 end",
    after = "if there and op ~= 'fill' and there >= version then return 0 end",
    run = "E-001", arms = { "versioned" }, exit = 1, check = "stale-cache" },
  { id = "cache-fill-without-version-race", mechanism = "an older value is refused",
    file = "lua/redis/versioned.lua",
    before = "if there and (there > version or (there == version and op ~= 'fill')) then return 0 end",
    after = "if there and op ~= 'fill' and there >= version then return 0 end",
    waits = "E-031", run = "E-031", exit = 1, check = "stale-cache" },
  { id = "cache-fill-of-a-later-version", mechanism = "an entry has its value's version",
    file = "engine/flow/cache/load.c",
    before = "cache_version_text(version, fetch->entry.version);",
    after = "cache_version_text(version, fetch->entry.version + 1);",
    run = "E-001", arms = { "versioned" }, exit = 1, check = "stale-cache" },
  { id = "cache-right-arm-unprotected", mechanism = "E-001 sees a plain fill",
    file = "experiments/E-001.lua",
    before = [[cache = "versioned", fill = "versioned"]],
    after = [[cache = "del-after", fill = "plain"]],
    run = "E-001", arms = { "versioned" }, exit = 1, check = "stale-cache" },
  { id = "cache-tombstone-of-no-life", mechanism = "a tombstone outlives the reader",
    file = "lua/redis/versioned.lua",
    before = "redis.call('PEXPIRE', KEYS[1], ttl)",
    after = "redis.call('PEXPIRE', KEYS[1], op == 'tombstone' and 1 or ttl)",
    run = "E-001", arms = { "versioned" }, exit = 1, check = "stale-cache" },
  { id = "cache-versions-as-numbers", mechanism = "versions compare as text of one width",
    file = "lua/redis/versioned.lua",
    before = "if there and (there > version or",
    after = "if there and (tonumber(there) >= tonumber(version) and op ~= 'fill' or there > version or",
    run = "E-013", arms = { "set-if-newer" }, exit = 1, check = "stale-cache" },
  { id = "cache-update-makes-an-entry", mechanism = "an update leaves missing what is missing",
    file = "lua/redis/versioned.lua",
    before = [[
if op == 'update' and not there then return -1 end
]],
    after = "",
    run = "E-013", arms = { "set-if-newer" }, exit = 1, check = "missing" },
  { id = "cache-update-backwards", mechanism = "an update goes forwards only",
    file = "lua/redis/versioned.lua",
    before = "if there and (there > version or (there == version and op ~= 'fill')) then return 0 end",
    after = "if there and op ~= 'update' and there > version then return 0 end",
    spec = "spec/live/service/cache_spec.lua", it = "updates only what is there, and only forwards" },
  { id = "cache-lease-given-back-by-others", mechanism = "a lease is given back by its owner",
    file = "lua/redis/lease_release.lua",
    before = [[
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
]],
    after = "",
    spec = "spec/live/service/cache_spec.lua", it = "gives a lease back to its owner only" },

  -- ---- entries ----

  { id = "cache-balance-of-another", mechanism = "an entry holds the balance",
    file = "engine/flow/cache/scripts.c",
    before = [[add_int(out, "balance", entry->balance);]],
    after = [[add_int(out, "balance", entry->version);]],
    run = "E-008", arms = { "jitter" }, exit = 1, check = "answers" },
  { id = "cache-version-unpadded", mechanism = "versions are stored with 20 digits",
    file = "engine/flow/cache/scripts.c",
    before = [["%020lld"]],
    after = [["%lld"]],
    unit = "test_cache_scripts", it = "versions_compare_as_text" },
  { id = "cache-negative-is-a-value", mechanism = "an entry says that nothing is there",
    file = "engine/flow/cache/scripts.c",
    before = [[entry->state == CACHE_NEGATIVE ? "none" : "tombstone"]],
    after = [[entry->state == CACHE_NEGATIVE ? "value" : "tombstone"]],
    unit = "test_cache_scripts", it = "entries_come_back" },

  -- ---- one load ----

  { id = "cache-singleflight-off", mechanism = "one load in each process",
    file = "engine/flow/cache/judge.c",
    before = [[
if (cache->opts.single == CACHE_SINGLE_NONE)
        flight]],
    after = [[
if (cache->opts.single != CACHE_SINGLE_LEASE)
        flight]],
    run = "E-008", arms = { "singleflight" }, exit = 1, check = "singleflight" },
  { id = "cache-lease-not-asked", mechanism = "one load of all processes",
    file = "engine/flow/cache/load.c",
    before = "bool asks_lease = leases && fetch->writes;",
    after = "bool asks_lease = leases && fetch->leased;",
    run = "E-008", arms = { "lease" }, exit = 1, check = "lease" },
  { id = "cache-lease-of-everybody", mechanism = "SET NX: the second one waits",
    file = "engine/flow/cache/load.c",
    before = [[{"SET", lease, fetch->token, "NX", "PX", ms}]],
    after = [[{"SET", lease, fetch->token, "GET", "PX", ms}]],
    spec = "spec/live/service/query_spec.lua", it = "loads once for all processes by a lease" },
  { id = "cache-flights-never-meet", mechanism = "readers join a load",
    file = "engine/flow/cache/flight.c",
    before = "while (flight && flight->account != account)",
    after = "while (flight && flight->account == account)",
    unit = "test_cache_parts", it = "flights_are_joined" },
  { id = "cache-leader-not-retried", mechanism = "a load that fails is tried once more",
    file = "engine/flow/cache/load.c",
    before = "for (int i = 0; err && i < cache->opts.retries &&",
    after = "for (int i = 0; err && i < cache->opts.retries - 1 &&",
    run = "E-008", arms = { "leader-retried" }, exit = 1, check = "failed" },
  { id = "cache-absence-not-kept", mechanism = "that it does not exist is kept",
    file = "engine/flow/cache/load.c",
    before = [[
        return opts->negative_ttl_ms;
]],
    after = [[
        return 0;
]],
    run = "E-008", arms = { "negative-entry" }, exit = 1, check = "amplification" },
  { id = "cache-soft-deadline-ignored", mechanism = "past the soft deadline one refreshes",
    file = "engine/flow/cache/judge.c",
    before = "if (opts->soft_ttl_ms > 0 && entry->soft && now >= entry->soft) {",
    after = "if (opts->soft_ttl_ms > 0 && entry->soft && now >= entry->soft + 3600000) {",
    run = "E-008", arms = { "soft-ttl" }, exit = 1, check = "loads" },
  { id = "cache-soft-deadline-waits", mechanism = "past the soft deadline nobody waits",
    file = "engine/flow/cache/judge.c",
    before = [[
        cache_answer(cache, lookup, CACHE_FROM_STALE, entry);
        refresh(cache, account, entry);]],
    after = [[
        lookup->seen = *entry;
        load(cache, lookup, false);
        (void)account;
        (void)refresh;]],
    run = "E-008", arms = { "soft-ttl" }, exit = 1, check = "served-stale" },
  { id = "cache-no-jitter", mechanism = "lifetimes are spread",
    file = "engine/flow/cache/policy.c",
    before = "double spread = 1 + jitter * (2 * rng_double(&of_account) - 1);",
    after = "double spread = 1 + 0 * jitter * rng_double(&of_account);",
    run = "E-008", arms = { "jitter" }, exit = 1, check = "lifetimes" },
  { id = "cache-fill-left-out", mechanism = "what was loaded is written to the cache",
    file = "engine/flow/cache/load.c",
    before = "if (ttl > 0 && may && fetch->redis && fetch->writes)",
    after = "if (ttl > 0 && !may && fetch->redis && fetch->writes)",
    run = "E-008", arms = { "jitter" }, exit = 1, check = "filled" },
  { id = "cache-jitter-drifts", mechanism = "lifetimes repeat by seed, account and version",
    file = "engine/flow/cache/policy.c",
    before = "const int64_t label[] = {account, version};",
    after = "const int64_t label[] = {account, 0 * version};",
    unit = "test_cache_parts", it = "lifetimes_spread_and_repeat" },

  -- ---- protection of the servers ----

  { id = "cache-breaker-never-opens", mechanism = "a breaker opens after failures in a row",
    file = "engine/flow/cache/policy.c",
    before = "breaker->failures >= breaker->threshold);",
    after = "breaker->failures > breaker->threshold);",
    unit = "test_cache_parts", it = "breaker_opens_after_failures" },
  { id = "cache-breaker-counts-for-ever", mechanism = "a success breaks the row",
    file = "engine/flow/cache/policy.c",
    before = [[
    breaker->state = BREAKER_CLOSED;
    breaker->failures = 0;]],
    after = "    breaker->state = BREAKER_CLOSED;",
    unit = "test_cache_parts", it = "breaker_opens_after_failures" },
  { id = "cache-half-open-for-all", mechanism = "one reader tries",
    file = "engine/flow/cache/policy.c",
    before = [[
        breaker->state = BREAKER_HALF_OPEN;
        breaker->opened_at = now_ns;]],
    after = "        breaker->state = BREAKER_HALF_OPEN;",
    unit = "test_cache_parts", it = "breaker_lets_one_try" },
  { id = "cache-xfetch-too-keen", mechanism = "XFetch follows its formula",
    file = "engine/flow/cache/policy.c",
    before = "(double)cost_us / 1000 * beta * -log(",
    after = "(double)cost_us / 1000 * beta * beta * -log(",
    unit = "test_cache_parts", it = "xfetch_follows_its_formula" },
  { id = "cache-local-copy-goes-back", mechanism = "an older copy does not replace a newer one",
    file = "engine/flow/cache/local.c",
    before = "s->entry.version > entry->version;",
    after = "s->entry.version > entry->version + 1000;",
    unit = "test_cache_parts", it = "local_copies" },
  { id = "cache-cap-ignored", mechanism = "db_pool reads of the database at once",
    file = "engine/flow/cache/turn.c",
    before = "    bool in = turns->busy < cache_turns_allowed(cache);",
    after = "    bool in = turns->busy >= 0;",
    spec = "spec/live/service/query_spec.lua", it = "keeps within its cap" },

  -- ---- what else a reader relies on ----

  { id = "cache-entry-without-end", mechanism = "an entry ends",
    file = "lua/redis/put.lua",
    before = "redis.call('PEXPIRE', KEYS[1], ARGV[1])\n",
    after = "",
    run = "E-008", arms = { "jitter" }, exit = 1, check = "expiry" },
  { id = "cache-soft-deadline-not-stored", mechanism = "an entry says when it is to be refreshed",
    file = "engine/flow/cache/scripts.c",
    before = [[
    if (entry->soft)
        add_int(out, "soft", entry->soft);
]],
    after = "",
    spec = "spec/live/service/query_spec.lua", it = "serves stale after the soft TTL" },
  { id = "cache-refresh-of-each", mechanism = "one refresh at a time",
    file = "engine/flow/cache/judge.c",
    before = "cache_flight_join(&cache->flights, account, NULL);",
    after = "cache_flight_alone(account, NULL);",
    spec = "spec/live/service/query_spec.lua", it = "serves stale after the soft TTL" },
  { id = "cache-age-untold", mechanism = "an answer says how old it is",
    file = "engine/flow/cache/answer.c",
    before = "result.age_ms = age > 0 && source != CACHE_FROM_DB ? age : 0;",
    after = "result.age_ms = age > 0 && source == CACHE_FROM_DB ? age : 0;",
    spec = "spec/live/service/query_spec.lua", it = "says where an answer came from" },
  { id = "cache-lease-without-end", mechanism = "a lease ends by itself",
    file = "engine/flow/cache/load.c",
    before = [[add_words(&pipe, 6, (const char *[]){"SET", lease, fetch->token, "NX", "PX", ms});]],
    after = [[add_words(&pipe, 4, (const char *[]){"SET", lease, fetch->token, "NX"});]],
    spec = "spec/live/service/query_spec.lua", it = "takes a lease that ends by itself" },
  { id = "cache-lease-kept", mechanism = "a lease that is not used is given back",
    file = "engine/flow/cache/load.c",
    before = [[
    if (!fetch->leased)
        return;
    fetch->leased = false;]],
    after = [[
    if (!fetch->leased || fetch->source == CACHE_FROM_DB)
        return;
    fetch->leased = false;]],
    spec = "spec/live/service/query_spec.lua", it = "takes a lease that ends by itself" },
  { id = "cache-lease-waited-for-for-ever", mechanism = "a reader waits for a lease no longer than it lives",
    file = "engine/flow/cache/load.c",
    before = "if (cache->opts.single != CACHE_SINGLE_LEASE || deadline_passed(until))",
    after = "if (cache->opts.single != CACHE_SINGLE_LEASE || until < 0)",
    spec = "spec/live/service/query_spec.lua", it = "does without the owner of a lease that takes too long" },
  { id = "cache-breaker-not-asked", mechanism = "an open breaker keeps readers from the database",
    file = "engine/flow/cache/load.c",
    before = "if (cache_breaker_allow(&cache->db_breaker, clock_ns())) {",
    after = "if (cache_breaker_allow(&cache->db_breaker, clock_ns()) || fetch->flight) {",
    spec = "spec/live/service/query_faults_spec.lua", it = "is frozen: 504 within the statement's timeout" },
  { id = "cache-stale-without-limit", mechanism = "a copy is served so long and no longer",
    file = "engine/flow/cache/answer.c",
    before = "clock_unix_ms(), opts->stale_ms, out))",
    after = "clock_unix_ms(), 1000 * opts->stale_ms, out))",
    spec = "spec/live/service/query_faults_spec.lua", it = "serves nothing that it saw too long ago" },
  { id = "cache-ramp-at-once", mechanism = "after a recovery reads grow step by step",
    file = "engine/flow/cache/policy.c",
    before = "if (since_ns >= ramp_ns / 3 * 2)",
    after = "if (since_ns >= ramp_ns / 3)",
    unit = "test_cache_parts", it = "pools_grow_after_a_recovery" },
  { id = "cache-local-copy-never-old", mechanism = "a copy of the process has an age limit",
    file = "engine/flow/cache/local.c",
    before = "now_ms - s->put_ms <= at_most_ms;",
    after = "now_ms - s->put_ms <= at_most_ms + 1000;",
    unit = "test_cache_parts", it = "local_copies" },
}
