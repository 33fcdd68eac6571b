-- rlab.uuid for help(), completion and docs/api.md.
return {
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
