/* The failpoints in C, as an X-macro: POINT(id, "name", "what has happened when it is reached"). Sorted by name; a test holds that. Points in Lua have
 * any name and are reached by fail.point(name, ctx). */
POINT(RELAY_AFTER_ACK, "relay.after_ack", "a batch was acknowledged and is about to be marked")
POINT(RELAY_AFTER_CLAIM, "relay.after_claim",
      "a batch was read under a lease, none of it was sent yet")
POINT(SELFTEST, "rlab.selftest", "nothing: reached by fail.selftest() only")
