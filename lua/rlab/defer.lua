-- What is done when a scope ends, however it ends: local _ <close> = defer(function() ... end). Also a handle
-- for whoever owns some (lab:own).
return function(f) return setmetatable({}, { __close = f }) end
