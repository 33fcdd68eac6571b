-- A name that no other spec on the same servers has.
local clock = require "rlab.clock"
local rng = require "rlab.rng"

return function(word) return ("%s-%s"):format(word, rng.new(clock.ns()):id():sub(1, 8):lower()) end
