/* The failpoints in C, as an X-macro: POINT(id, "name", "what has happened when it is reached"). Sorted by name; a test holds that. Points in Lua have
 * any name and are reached by fail.point(name, ctx). */
POINT(SELFTEST, "rlab.selftest", "nothing: reached by fail.selftest() only")
