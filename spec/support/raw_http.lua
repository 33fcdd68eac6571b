-- What a raw socket says, by bash, as no client of ours would: raw(port, text) -> all that was answered until
-- the server closed. The text is printf's format ("\\r\\n", "\\000"). It writes line by line, and a server
-- that has refused the first ones hears no more: what it said can be read all the same.
local process = require "rlab.process"

return function(port, text)
  local p <close> = assert(process.spawn {
    cmd = { "bash", "-c", 'trap "" PIPE; exec 3<>/dev/tcp/127.0.0.1/$0; printf "$1" >&3; timeout 60 cat <&3',
      tostring(port), text } })
  p:wait "60s"
  return (p:output())
end
