-- What verdicts and classes of arms are called where people read them.
local M = {}

local WORDS = {
  pass = { "PASS", "right" },
  ["right-violated"] = { "A RIGHT ARM WAS VIOLATED", "wrong", short = "VIOLATED" },
  ["wrong-did-not-fail"] = { "A WRONG ARM DID NOT FAIL", "inconclusive", short = "DID NOT FAIL" },
  inconclusive = { "INCONCLUSIVE", "inconclusive" },
  ["not-run"] = { "NOT RUN", "inconclusive" },
}

-- of(verdict) -> its word, its class of colour, the word where room is short
function M.of(verdict)
  local word = WORDS[verdict] or WORDS["not-run"]
  return word[1], word[2], word.short or word[1]
end

-- The classes of a scenario file, by the word for the reader.
M.classes = { wrong = "wrong", right = "right", observe = "observed" }

return M
