-- Tokens of a secure stack: a command that prints one of the user `lab`, signed by a key of the stack's own,
-- and where the brokers find whom they may believe.
local fs = require "rlab.fs"
local tls = require "rlab.stack.secure.tls"

local M = {}

local OWNER_RUNS <const> = 448 -- 0700

-- It is run in its own folder, whoever calls it; the number of seconds is its only word.
local SCRIPT = [=[
#!/bin/sh
# token.sh [SECONDS]: a token of the user lab that is good for so long
cd "$(dirname "$0")" || exit 1
url64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
now=$(date +%s)
head=$(printf '{"alg":"RS256","typ":"JWT","kid":"rlab"}' | url64)
claims='{"sub":"lab","iss":"rlab","aud":"rlab","scope":"rlab","iat":%d,"exp":%d}'
text=$head.$(printf "$claims" "$now" $((now + ${1:-600})) | url64)
printf '%s.%s\n' "$text" "$(printf %s "$text" | openssl dgst -sha256 -sign tls/token.key | url64)"
]=]

-- keys(home) -> the file of the public key
function M.keys(home) return tls.path(home, "jwks.json") end

-- url(home) -> the same as a URL
function M.url(home)
  return "file://" .. M.keys(home):gsub("[^%w/._~-]", function(c) return ("%%%02X"):format(c:byte()) end)
end

-- write(home) -> true | nil, err: the command, token.sh
function M.write(home) return fs.write(home .. "/token.sh", SCRIPT, { mode = OWNER_RUNS }) end

return M
