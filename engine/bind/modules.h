/* The modules that C gives to Lua, as an X-macro: MODULE(name) stands for `require "rlab.<name>"`, opened by luaopen_rlab_<name>. Sorted. */
MODULE(core_host)
MODULE(edit)
MODULE(interrupt)
MODULE(process)
MODULE(redis)
MODULE(units)
