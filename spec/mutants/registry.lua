-- The registry's client, Avro, and a consumer of Avro: retries, the cache of schemas, resolution, hostile
-- bytes, who is to blame for what, and what an old reader does with a new record.
local CLIENT, AVRO, LIVE = "spec/unit/bind/schema_spec.lua", "spec/unit/bind/schema_spec.lua",
  "spec/live/service/consumer_avro_spec.lua"

return {

  -- ---- the client ----

  { id = "registry-retries-what-was-refused", mechanism = "only 5xx is tried again",
    file = "engine/registry/client.c",
    before = "err->retriable = answer->status >= 500;",
    after = "err->retriable = answer->status >= 400;",
    spec = CLIENT, it = "tries again after 5xx, and after nothing else" },
  { id = "registry-gives-up-at-500", mechanism = "5xx is tried again",
    file = "engine/registry/client.c",
    before = "err->retriable = answer->status >= 500;",
    after = "err->retriable = false;",
    spec = CLIENT, it = "tries again after 5xx, and after nothing else" },
  { id = "registry-id-beyond-32-bits", mechanism = "an id has 32 bits and is whole",
    file = "engine/registry/client.c",
    before = "    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > INT32_MAX ||\n" ..
      "        item->valuedouble != (double)(int32_t)item->valuedouble)",
    after = "    if (!cJSON_IsNumber(item))",
    spec = CLIENT, it = "says what an answer lacks" },
  { id = "registry-prints-foreign-bytes", mechanism = "a server's words are made tame",
    file = "engine/registry/client.c",
    before = "buf_u8(out, text[i] >= ' ' && text[i] < 0x7f ? (uint8_t)text[i] : '.');",
    after = "buf_u8(out, (uint8_t)text[i]);",
    spec = CLIENT, it = "says what an answer lacks" },

  -- ---- schemas by id ----

  { id = "registry-keeps-no-schema", mechanism = "an id is asked for once",
    file = "engine/registry/schemas.c",
    before = "    pthread_mutex_lock(&schemas->lock);\n    rl_err *err = find_or_ask",
    after = "    pthread_mutex_lock(&schemas->lock);\n    schemas->n = 0;\n    rl_err *err = find_or_ask",
    spec = AVRO, it = "asks for each id once" },
  { id = "registry-keeps-a-failure", mechanism = "a failure is not kept",
    file = "engine/registry/schemas.c",
    before = "        if (!schemas->asking) {",
    after = "        if (schemas->failure && schemas->asked == id)\n" ..
      "            return err_copy(schemas->failure);\n        if (!schemas->asking) {",
    spec = AVRO, it = "keeps no failure" },
  { id = "registry-asked-by-each-thread", mechanism = "one thread asks for all",
    file = "engine/registry/schemas.c",
    before = "            pthread_cond_wait(&schemas->change, &schemas->lock);",
    after = [[
            while (schemas->asking)
                pthread_cond_wait(&schemas->change, &schemas->lock);
            ask(schemas, id);]],
    unit = "test_schemas", it = "one_asks_for_all", slow = true },
  { id = "registry-takes-any-first-byte", mechanism = "a record with an id begins with a zero",
    file = "engine/registry/schemas.c",
    before = "    if (b[0] != 0)",
    after = "    if (b[0] == 1)",
    spec = AVRO, it = "refuses bytes that are no record" },

  -- ---- Avro ----

  { id = "avro-bytes-are-left", mechanism = "a record is all of its bytes",
    file = "engine/registry/avro_skip.c",
    before = "if (skip(&w, schema) && w.at != w.end)",
    after = "if (skip(&w, schema) && w.at > w.end)",
    spec = AVRO, it = "refuses bytes that are no record" },
  { id = "avro-no-default-for-the-reader", mechanism = "a field that the writer had not is its default",
    file = "engine/registry/avro_decode.c",
    before = '    const cJSON *value = cJSON_GetObjectItemCaseSensitive(field, "default");\n    char *text',
    after = '    const cJSON *value = cJSON_GetObjectItemCaseSensitive(field, "none");\n    char *text',
    spec = AVRO, it = "writes and reads records" },
  { id = "avro-reads-another-type", mechanism = "a type that was changed is an error",
    file = "engine/registry/avro_decode.c",
    before = "        if (!node || !fits(d, written, node))",
    after = "        if (!node)",
    spec = LIVE, it = "parks what cannot be decoded" },

  -- ---- the consumer ----

  { id = "avro-blames-the-record", mechanism = "a registry that is away fails no record",
    file = "engine/flow/consume/payload.c",
    before = "if (!err || registry_blames_record(err)) {",
    after = "if (true) {",
    spec = LIVE, it = "parks nothing and loses nothing" },
  { id = "avro-any-404-is-the-record", mechanism = "a page that is not there is no schema that is not there",
    file = "engine/registry/schemas.c",
    before = '{"WIRE", "DECODE", "SCHEMA", "SCHEMA_NOT_FOUND"}',
    after = '{"WIRE", "DECODE", "SCHEMA", "SCHEMA_NOT_FOUND", "NOT_FOUND"}',
    spec = LIVE, it = "parks nothing and loses nothing" },
  { id = "avro-blames-the-registry", mechanism = "a record that nobody can decode does not block",
    file = "engine/registry/schemas.c",
    before = '{"WIRE", "DECODE", "SCHEMA", "SCHEMA_NOT_FOUND"}',
    after = '{"WIRE", "SCHEMA", "SCHEMA_NOT_FOUND"}',
    spec = LIVE, it = "parks what cannot be decoded" },
  { id = "consumer-missing-is-zero", mechanism = "a field that is missing is an error",
    file = "engine/flow/consume/event.c",
    before = "    if (!zero &&\n",
    after = "    if (false &&\n",
    unit = "test_consume", it = "a_reader_knows_the_fields_of_its_version" },
  { id = "consumer-reads-one-name", mechanism = "a reader of two versions knows both names",
    file = "engine/flow/consume/event.c",
    before = "        at += len + (at[len] == ',');\n    }\n    return false;",
    after = "        break;\n    }\n    return false;",
    run = "E-006", arms = { "consumer-first" }, exit = 1, check = "dead-letters" },
  { id = "consumer-skips-undecodable", mechanism = "what cannot be decoded is parked",
    file = "engine/flow/consume/work.c",
    before = "    if (w->consume->opts.undecodable == CONSUME_PASS) {",
    after = "    if (w->consume->opts.undecodable == CONSUME_PASS || w->consume->opts.dlq) {",
    run = "E-006", arms = { "dead-letter" }, exit = 2, check = "dead-letters" },
  { id = "relay-one-topic-for-all", mechanism = "a row that names a topic goes there",
    file = "engine/flow/relay/send.c",
    before = "    if (topic.kind != MY_BYTES)\n        return relay->opts.topic;",
    after = "    if (topic.kind != MY_BYTES || topic.len)\n        return relay->opts.topic;",
    spec = "spec/live/service/relay_spec.lua", it = "sends a row that names a topic to that one" },
}
