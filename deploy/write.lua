-- lua5.4 deploy/write.lua, as `make deploy` runs it: writes what deploy/ has of the settings and tables.
package.path = "lua/?.lua;" .. package.path

local function write(path, text)
  local f <close> = assert(io.open(path, "wb"))
  assert(f:write(text))
  print("  wrote   " .. path)
end

write("deploy/kafka/settings.env", dofile "deploy/env.lua"(require("rlab.stack.settings").kafka.properties))

write("deploy/prometheus/prometheus.yml", require("rlab.stack.scrape").containers())

write("deploy/k8s/services.yaml", dofile "deploy/k8s.lua"(require("rlab.stack.settings").ports))

local grafana, json = dofile "deploy/grafana.lua", dofile "deps/bill/json.lua"
for _, board in ipairs(dofile "deploy/boards.lua") do
  write(("deploy/grafana/dashboards/%s.json"):format(board.uid), json.encode(grafana(board)) .. "\n")
end
