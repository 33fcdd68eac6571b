-- The small modules: values, time, chance, units, words of the log.
local json = {
  module = "json", kind = "module", doc = "JSON with 64 bit integers; null is the null of every module.",
  fields = { "null: null, as everywhere" },
  functions = {
    { "encode", "json.encode(value [, {pretty =, gaps =}]) -> text", "Raises for what JSON cannot say.",
      params = { "value: any", "pretty: boolean = false, on several lines",
        "gaps: boolean = false, what was not measured (a NaN, an infinity) is null" } },
    { "decode", "json.decode(text [, {unique =}]) -> value | nil, err",
      "The error names line and column.",
      params = { "text: string",
        "unique: boolean = false, a key that is there twice is an error; else the last one counts" } },
    { "array", "json.array(t) -> t", "Marks a table: written as [...] also when empty.",
      params = { "t: table" } },
    { "is_array", "json.is_array(t) -> boolean", "Whether it is marked.", params = { "t: table" } },
  },
}

local clock = {
  module = "clock", kind = "module", doc = "The monotonic clock and the wall clock.",
  functions = {
    { "ns", "clock.ns() -> integer", "Monotonic nanoseconds, for durations." },
    { "unix_ms", "clock.unix_ms() -> integer", "Wall clock, ms since 1970." },
    { "unix_ns", "clock.unix_ns() -> integer", "Wall clock, ns since 1970." },
    { "iso", "clock.iso([unix_ms]) -> string", '"2026-11-23T13:15:02.123Z".',
      params = { "unix_ms: integer, default now" } },
    { "parse", "clock.parse(text) -> unix_ms | nil, why",
      "ISO 8601: a date, T or a blank, hours and minutes, then seconds, a fraction and an offset (Z, \z
        +02:00) or local time. What does not exist, such as 2026-02-29, is refused.",
      params = { "text: string" } },
  },
}

local rng = {
  module = "rng", kind = "module", doc = "Seeded random numbers: the same seed gives the same run.",
  functions = { { "new", "rng.new(seed) -> generator", "A generator.", params = { "seed: integer" },
    example = 'local g = rng.new(7)\nlocal keys = g:split "keys"' } },
  types = {
    { name = "generator", meta = "rlab.rng", doc = "A stream of random numbers.",
      methods = {
        { "int", "g:int(lo, hi) -> integer", "lo..hi; g:int(hi) is 1..hi.",
          params = { "lo: integer", "hi: integer" } },
        { "float", "g:float([lo,] [hi]) -> number", "[0, 1), [0, hi) or [lo, hi).",
          params = { "lo: number = 0", "hi: number = 1" } },
        { "chance", "g:chance(p) -> boolean", "true with probability p.", params = { "p: number, 0..1" } },
        { "pick", "g:pick(list) -> value", "One of it.", params = { "list: table" } },
        { "shuffle", "g:shuffle(list) -> list", "A shuffled copy.", params = { "list: table" } },
        { "sample", "g:sample(list, n) -> list",
          "n different elements; g:sample(m, n) draws numbers of 1..m.",
          params = { "list: table | integer", "n: integer" } },
        { "bytes", "g:bytes(n) -> string", "n random bytes.", params = { "n: integer" } },
        { "id", "g:id([length]) -> string", "Lower-case letters and digits, safe in names.",
          params = { "length: integer" } },
        { "split", "g:split(label) -> generator",
          "One of its own, the same however many numbers were drawn here.",
          params = { "label: string" } },
        { "seed", "g:seed() -> integer", "What it was made of." },
      } },
  },
}

local units = {
  module = "units", kind = "module",
  doc = "Numbers from outside: durations, sizes and rates as people write them, sums that do not wrap.",
  functions = {
    { "duration", "units.duration(value) -> seconds", '"200ms", "5s", "1m30s", or a number of seconds.',
      params = { "value: string | number" } },
    { "size", "units.size(value) -> bytes", '"64KiB", "1MB", or a number.',
      params = { "value: string | integer" } },
    { "rate", "units.rate(value) -> per second", '"2000/s".', params = { "value: string" } },
    { "whole", "units.whole(value) -> integer | nil", "Decimal digits only: no 0x10, no 1e3, no blank.",
      params = { "value: string | number" } },
    { "number", "units.number(value) -> number | nil", "Decimal and finite.",
      params = { "value: string | number" } },
    { "add", "units.add(a, b) -> integer | nil", "nil where it does not fit into 64 bits.",
      params = { "a: integer", "b: integer" } },
    { "subtract", "units.subtract(a, b) -> integer | nil", "nil where it does not fit into 64 bits.",
      params = { "a: integer", "b: integer" } },
    { "share", "units.share(low, high, k, n) -> integer",
      "Where the first k of n equal parts of low..high end.",
      params = { "low: integer", "high: integer", "k: integer, 1..n", "n: integer" } },
    { "print_duration", "units.print_duration(seconds) -> string", '"1m00s", "238 ms".',
      params = { "seconds: number" } },
    { "nearest", "units.nearest(word, words) -> word | nil", '"did you mean".',
      params = { "word: string", "words: table" } },
  },
}

local hdr = {
  module = "hdr", kind = "module", doc = "Histograms of durations and sizes with a fixed relative error \z
    (HdrHistogram).",
  functions = {
    { "new", "hdr.new([{lowest =, highest =, digits =}]) -> histogram", "An empty histogram.",
      params = { "lowest: integer = 1", "highest: integer = 3600000000000, an hour in ns",
        "digits: integer = 3, significant ones" },
      example = "local h = hdr.new()\nh:record(1200)\nprint(h:percentile(99))" },
    { "decode", "hdr.decode(text) -> histogram | nil, err",
      "What h:encode() wrote, or HdrHistogram in another language.", params = { "text: string" } },
  },
  types = {
    { name = "histogram", meta = "rlab.hdr", doc = "Counts of values.",
      methods = {
        { "record", "h:record(value [, count])", "What lies above the highest counts as clamped.",
          params = { "value: integer", "count: integer = 1" } },
        { "record_paced", "h:record_paced(value, interval)",
          "Of a load with a steady pace: the requests that waited behind this one are added too \z
            (coordinated omission).",
          params = { "value: integer", "interval: integer, the pace" } },
        { "percentile", "h:percentile(p) -> integer", "The value below which p % lie.",
          params = { "p: number, 0..100" } },
        { "count", "h:count() -> integer", "Values recorded." },
        { "summary", "h:summary() -> table",
          "{ count, min, mean, stddev, p50, p90, p99, p999, max, clamped }; zeros when empty." },
        { "buckets", "h:buckets() -> list",
          "{ value, count } of those that hold something; value is the bucket's highest." },
        { "merge", "h:merge(other) -> h", "Adds another histogram.", params = { "other: histogram" } },
        { "encode", "h:encode() -> text", "Its counts in HdrHistogram's V2 text: compressed, in base64." },
        { "reset", "h:reset()", "Empties it." },
        { "close", "h:close()", "Gives the memory back early. Also by <close>." },
      } },
  },
}

local log = {
  module = "log", kind = "module", doc = "Messages with fields to standard error; RLAB_LOG sets level and \z
    form.",
  functions = {
    { "debug", "log.debug(message [, fields])", "For those who look closely.",
      params = { "message: string", "fields: table" } },
    { "info", "log.info(message [, fields])", "What happens.",
      params = { "message: string", "fields: table" } },
    { "warn", "log.warn(message [, fields])", "What is odd.",
      params = { "message: string", "fields: table" } },
    { "error", "log.error(message [, fields])", "What failed.",
      params = { "message: string", "fields: table" } },
    { "level", "log.level([name]) -> name", "Reads or sets the level.", params = { "name: string" } },
    { "form", "log.form(name)", "How lines look from now on, whatever RLAB_LOG says.",
      params = { 'name: string, "text" or "json"' } },
    { "enabled", "log.enabled(name) -> boolean", "Whether messages of that level are written.",
      params = { "name: string" } },
  },
}

local err = {
  module = "err", kind = "module", doc = "Errors as values: { domain, code, name, message, retriable, \z
    abortable, fatal, happened, blame }. happened is \"no\", \"yes\" or \"unknown\": whether what was \z
    asked for was done. blame is \"call\" (what was asked for), \"record\" (this one will never be \z
    taken), \"place\" (no such topic or table, no permission) or \"server\" (a breaker counts it). \z
    One table has both, by client and name: engine/base/err.c.",
  functions = {
    { "new", "err.new{domain =, name =, code =, message =, ...} -> err",
      "An error value; tostring reads \"kafka TIMED_OUT (7): no answer\". happened and blame are \z
        filled in.",
      params = { "domain: string", "name: string", "code: integer", "message: string",
        "...: any, further fields" } },
    { "is", "err.is(value) -> boolean", "Whether it is one.", params = { "value: any" } },
  },
}

local values = {
  { module = "must", kind = "module", callable = true, doc = "must(v, err): returns its arguments, or \z
    raises err when v is nil or false." },
  { module = "null", kind = "module",
    doc = "The one NULL of MySQL, Redis, JSON and Kafka; tostring \"null\". An empty string is never null." },
}

local uuid = {
  module = "uuid", kind = "module", doc = "UUIDs of version 7: 128 bits that sort by time. MySQL's \z
    UUID_TO_BIN and BIN_TO_UUID take and give the same.",
  functions = {
    { "v7", "uuid.v7() -> text", "A new one, greater than all that this process made before.",
      example = "print(uuid.v7())" },
    { "new", "uuid.new([seed]) -> generator",
      "A generator of one's own; with a seed the same times give the same ids.",
      params = { "seed: integer" } },
    { "bytes", "uuid.bytes(text) -> bytes | nil", "Its 16 bytes; nil for what is no UUID.",
      params = { "text: string" } },
    { "text", "uuid.text(bytes) -> text | nil", "From 16 bytes.", params = { "bytes: string" } },
  },
  types = {
    { name = "generator", meta = "uuid.generator", doc = "Makes ids, each greater than the one before.",
      methods = { { "next", "g:next([unix_ms]) -> text", "The next one.",
        params = { "unix_ms: integer, default now" } } } },
  },
}

return { json, clock, rng, hdr, units, log, err, uuid, values[1], values[2] }
