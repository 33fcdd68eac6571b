/* The failpoints in C, as an X-macro: POINT(id, "name", "what has happened when it is reached").
 * Sorted by name; a test holds that. Points in Lua have any name and are reached by
 * fail.point(name, ctx). */
POINT(CONSUMER_AFTER_CACHE, "consumer.after_cache",
      "the cache has been told of the event; its offset is not stored")
POINT(CONSUMER_AFTER_DB_COMMIT, "consumer.after_db_commit", "the event's transaction is committed")
POINT(CONSUMER_BEFORE_BEGIN, "consumer.before_begin",
      "the event is decoded; its transaction begins next")
POINT(CONSUMER_BEFORE_INVALIDATE, "consumer.before_invalidate",
      "the cache is told next; an error here is one of the invalidation")
POINT(CONSUMER_CONFLICT, "consumer.conflict",
      "a statement ended by 1205 or 1213 (code); the consumer has not rolled back yet")
POINT(CONSUMER_HANDLE, "consumer.handle",
      "the record is about to be handled; an error here fails it")
POINT(CONSUMER_IN_TX, "consumer.in_tx",
      "the first account of the event is written, nothing is committed; an error with a number is "
      "MySQL's")
POINT(QUERY_BEFORE_FILL, "query.before_fill",
      "the value was loaded and is about to be written to the cache (account)")
POINT(QUERY_DB_LOAD, "query.db_load",
      "a read of the database is about to begin, its turn has come (account)")
POINT(QUERY_ENTER, "query.enter", "a read of an account has come (account)")
POINT(RELAY_AFTER_ACK, "relay.after_ack", "a batch was acknowledged and is about to be marked")
POINT(RELAY_AFTER_CLAIM, "relay.after_claim",
      "a batch was read under a lease, none of it was sent yet")
POINT(SELFTEST, "rlab.selftest", "nothing: reached by fail.selftest() only")
