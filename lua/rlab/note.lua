-- note(text): one line on standard error, "rlab: TEXT", of which nothing steers a terminal.
return function(text)
  io.stderr:write("rlab: ", require("rlab.text").visible(text, true), "\n")
end
