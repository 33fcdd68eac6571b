-- rlab.schema for help(), completion and docs/api.md.
return {
  module = "schema", kind = "module",
  doc = "A Schema Registry by Confluent's REST API, and Avro records that carry a schema's id (a byte 0, \z
    the id in four bytes, the record). Each id is asked for once and kept. A call is tried again where \z
    nothing was sent or the server answered 5xx, and for nothing else. An error's code is the registry's \z
    own.",
  functions = {
    { "open", "schema.open{url =, timeout =, tries =} -> registry", "A registry; nothing is asked yet.",
      params = { "url: string = $SCHEMA_REGISTRY_URL, with its prefix",
        'timeout: duration = "5s", of a call with all its tries', "tries: integer = 3" },
      example = 'local registry <close> = schema.open {}\nprint(registry:mode())' },
    { "id", "schema.id(bytes) -> integer | nil, err", "The id of the schema that a record carries.",
      params = { "bytes: string, a record's value" }, errors = "WIRE" },
  },
  types = {
    { name = "registry", meta = "schema.registry", doc = "Its calls run one after another.",
      methods = {
        { "register", "registry:register(subject, schema) -> id | nil, err",
          "Makes it the subject's next version; the old id where the subject has the same schema.",
          params = { "subject: string", "schema: string, Avro's JSON" },
          errors = "409 INCOMPATIBLE, 42201 INVALID_SCHEMA",
          example = 'local id = must(registry:register("orders-value", text))' },
        { "get", "registry:get(id | subject [, version]) -> schema | nil, err",
          "{id, version, subject, type, schema}; without a version the latest.",
          params = { "id: integer, or", "subject: string", "version: integer" },
          errors = "40401 SUBJECT_NOT_FOUND, 40402 VERSION_NOT_FOUND, 40403 SCHEMA_NOT_FOUND" },
        { "check", "registry:check(subject, schema) -> boolean, why | nil, err",
          "Whether it could follow the latest one, by the subject's mode; registers nothing.",
          params = { "subject: string", "schema: string, Avro's JSON" } },
        { "mode", "registry:mode([subject [, mode]]) -> mode | nil, err",
          "The compatibility mode of a subject, or of all; sets it first when one is given.",
          params = { "subject: string | nil, of all", "mode: string, NONE, BACKWARD, FORWARD, FULL, or one \z
            of these with _TRANSITIVE" },
          errors = "42203 INVALID_COMPATIBILITY" },
        { "subjects", "registry:subjects() -> names | nil, err", "All subjects." },
        { "versions", "registry:versions(subject) -> list | nil, err", "The numbers of its versions.",
          params = { "subject: string" } },
        { "encode", "registry:encode(id, value) -> bytes | nil, err",
          "A table as a record of that schema, with the id in front.",
          params = { "id: integer", "value: table; a field that is missing takes its default" },
          errors = "ENCODE where the value does not fit" },
        { "decode", "registry:decode(bytes [, reader]) -> value, id | nil, err",
          "A record's value, and the id of the schema by which it was written.",
          params = { "bytes: string", "reader: string, a schema: fields by name, defaults for what the \z
            writer had not" },
          errors = "WIRE, DECODE, SCHEMA, 40403 SCHEMA_NOT_FOUND: the record is at fault; any other: the \z
            registry" },
        { "close", "registry:close()", "Lets go of its connection." },
      } },
  },
}
