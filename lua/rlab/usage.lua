-- usage(front) -> f(fmt, ...), which raises what the command line tells in one line, with `front` before
--   it, and answers with exit code 64.
local err = require "rlab.err"

return function(front)
  return function(fmt, ...)
    error(err.new { domain = "rlab", code = 0, name = "USAGE", message = (front or "") .. fmt:format(...) },
      0)
  end
end
