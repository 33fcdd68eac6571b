-- sbom.lua OUT: writes a bill of materials of rlab, CycloneDX 1.5 in JSON, from what deps/ pins
-- (pins.sh, *.lock, packages.sh), THIRD-PARTY.md and the machine's package database. No network, and the same
-- bytes each time.
local json = dofile "deps/bill/json.lua"
local out = assert(arg[1], "usage: lua5.4 deps/bill/sbom.lua OUT")

local function read(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read "a"
end

-- ---- what is pinned ----

local pins = {}
for key, value in ("\n" .. read "deps/pins.sh"):gmatch "\n([A-Z0-9_]+)=(%S+)" do pins[key] = value end

-- The licences that `make licences` found, by a component's name or a jar's group:artifact.
local licences, groups = {}, {}
for line in read("THIRD-PARTY.md"):gmatch "[^\n]+" do
  local cells = {}
  for cell in line:gmatch "| ([^|]+) " do cells[#cells + 1] = cell:match "^(.-)%s*$" end
  local name, licence = cells[1], cells[3] or cells[2]
  if name then licences[name] = licence end
  local group, artifact = (name or ""):match "^([^:]+):(.+)$"
  if group then groups[artifact] = group end
end
for _, script in ipairs { "kafka", "flyway", "debezium" } do
  for group, artifact in read(("deps/%s.sh"):format(script)):gmatch "dependency (%S+) ([%w%-]+) " do
    groups[artifact] = group
  end
end

-- ---- components ----

local components = {}

local function percent(text)
  return (text:gsub("[^%w%-._~/@:?=&]", function(c) return ("%%%02X"):format(c:byte()) end))
end

-- add{name=, version=, purl=, sha=, scope=, type=, group=, licence=, properties=}
local function add(c)
  local properties = {}
  for _, pair in ipairs(c.properties or {}) do
    if pair[2] then properties[#properties + 1] = { name = "rlab:" .. pair[1], value = pair[2] } end
  end
  components[#components + 1] = {
    type = c.type or "library", name = c.name, group = c.group, version = c.version,
    ["bom-ref"] = ("%s#%s"):format(percent(c.purl), c.part), purl = percent(c.purl),
    scope = c.scope or "required",
    hashes = c.sha and { { alg = "SHA-256", content = c.sha } } or nil,
    licenses = c.licence and { { license = { name = c.licence } } } or nil,
    properties = #properties > 0 and properties or nil,
  }
end

-- C libraries, built from what another registry's package carries
local function source(name, key, archive, more)
  add { part = "linked", name = name, version = pins[key .. "_VERSION"],
    purl = ("pkg:generic/%s@%s"):format(name, pins[key .. "_VERSION"]),
    sha = pins[key .. "_SHA256"], licence = licences[more and more.licence or name],
    scope = more and more.scope,
    properties = { { "archive", archive }, { "at-least", pins[key .. "_MIN"] } } }
end

source("librdkafka", "LIBRDKAFKA", "npm " .. pins.LIBRDKAFKA_NPM)
source("hiredis", "HIREDIS", "pypi " .. pins.HIREDIS_PIP)
source("HdrHistogram_c", "HDRHISTOGRAM", "npm " .. pins.HDRHISTOGRAM_NPM)
source("lua", "LUA", "crates " .. pins.LUA_CRATE,
  { scope = "excluded", licence = "Lua, for make apicheck only" })

-- what THIRD-PARTY.md calls jars that it does not list one by one
local NAMED = { ["flyway-core"] = "Flyway", ["flyway-mysql"] = "Flyway",
  ["mysql-connector-j"] = "MySQL Connector/J", ecj = "Eclipse Compiler for Java" }

local function maven(group, name, version, more)
  local c = { name = name, group = group, version = version,
    licence = licences[(group or "") .. ":" .. name] or licences[NAMED[name] or ""],
    purl = group and ("pkg:maven/%s/%s@%s"):format(group, name, version)
      or ("pkg:generic/%s@%s"):format(name, version) }
  for key, value in pairs(more) do c[key] = value end
  add(c)
end

local function jars(part, scope)
  for sha, file in read(("deps/%s.lock"):format(part)):gmatch "(%x+)  (%S+)%.jar" do
    local name, version = file:match "^(.-)%-(%d.*)$"
    maven(groups[name], name, version, { part = part, sha = sha, scope = scope })
  end
end

jars("kafka")
jars("flyway")
jars("debezium", "optional")

maven("io.apicurio", "apicurio-registry-app", pins.APICURIO_VERSION, { part = "registry", scope = "optional",
  type = "application", sha = pins.APICURIO_SHA256, licence = licences["Apicurio Registry"] })
maven("org.apache.maven.plugins", "maven-dependency-plugin", pins.MAVEN_DEPENDENCY_VERSION,
  { part = "build", scope = "excluded" })
maven("org.codehaus.mojo", "license-maven-plugin", pins.MAVEN_LICENSE_VERSION,
  { part = "build", scope = "excluded" })

for _, key in ipairs { "PYTHON_KAFKA", "PYTHON_MYSQL", "PYTHON_REDIS", "PYTHON_TIMEOUT",
  "PYTHON_SCHEMATHESIS" } do
  local name, version = pins[key]:match "^(.-)==(.+)$"
  add { part = "test", name = name, version = version, scope = "excluded", sha = pins[key .. "_SHA256"],
    purl = ("pkg:pypi/%s@%s"):format(name:lower(), version),
    properties = { { "wheel", pins[key .. "_WHEEL"] } } }
end

-- of sid, fetched by version, which is known once it is there
local function fetched(name)
  local cache = (os.getenv "XDG_CACHE_HOME" or os.getenv "HOME" .. "/.cache") .. "/rlab/"
  local f <close> = io.open(cache .. name .. "/version")
  return f and f:read "l"
end

add { part = "sid", name = "valkey", type = "application", version = pins.VALKEY_VERSION, scope = "optional",
  sha = pins.VALKEY_SHA256, purl = ("pkg:deb/debian/valkey-tools@%s"):format(pins.VALKEY_VERSION),
  licence = licences["Valkey, for an arm of E-010"], properties = { { "at-least", pins.VALKEY_MIN } } }
add { part = "sid", name = "mysql-server-core", type = "application", version = fetched "mysql",
  purl = "pkg:deb/debian/mysql-server-core", licence = licences["MySQL Community Server"],
  properties = { { "at-least", pins.MYSQL_MIN } } }

-- ---- what a spec, clients/ and examples ask Go and npm for, and images ----

-- The modules that it asks for itself: the others are in its .sum.
local modules = {}
for _, path in ipairs { "spec/fixtures/toxiproxy_client/go.mod", "clients/go.mod", "clients/old.mod",
  "docs/bring-your-own/go/go.mod", "docs/bring-your-own/outbox/watermill/go.mod" } do
  for line in read(path):gsub("require ", ""):gmatch "[^\n]+" do
    local name, version = line:match "^%s*(%S+%.%S+) (v%S+)$"
    local purl = name and ("pkg:golang/%s@%s"):format(name, version)
    if name and not modules[purl] then
      add { part = "test", name = name, version = version, scope = "excluded", purl = purl }
    end
    if purl then modules[purl] = true end
  end
end

for name, version in read("docs/bring-your-own/node/package.json"):gmatch '"(%w+)": "(%d+%.%d+%.%d+)"' do
  if name ~= "version" then
    add { part = "test", name = name, version = version, scope = "excluded",
      purl = ("pkg:npm/%s@%s"):format(name, version) }
  end
end

local images = {}
local function containers(path, pattern)
  for name, version in read(path):gmatch(pattern) do
    if not images[name] and not name:find "^rlab/" then
      add { part = "compose", name = name, version = version, type = "container", scope = "optional",
        purl = ("pkg:docker/%s@%s"):format(name, version) }
    end
    images[name] = true
  end
end
containers("docker-compose.yml", "image: ([^%s:]+):(%S+)")
containers("Dockerfile", "FROM ([^%s:]+):(%S+)")
containers("deploy/kafka/Dockerfile", "FROM ([^%s:]+):(%S+)")
maven("io.prometheus.jmx", "jmx_prometheus_javaagent", pins.JMX_AGENT_VERSION,
  { part = "compose", scope = "optional", sha = pins.JMX_AGENT_SHA256 })

-- ---- Debian's packages, as installed here ----

local installed = {}
local FIELDS = "${db:Status-Status} ${Package} ${Version} ${Architecture}\\n"
local query = io.popen(("dpkg-query -W -f '%s' 2>/dev/null"):format(FIELDS))
for line in query:lines() do
  local name, version, arch = line:match "^installed (%S+) (%S+) (%S+)"
  if name then installed[name] = { version = version, arch = arch } end
end
query:close()

local SCOPES = { build = "required", serve = "required", test = "excluded" }

local function package(name, scope)
  local found = installed[name] or {}
  local at = found.version and ("@%s?arch=%s"):format(found.version, found.arch) or ""
  add { part = "debian", name = name, version = found.version, scope = scope,
    purl = ("pkg:deb/debian/%s%s"):format(name, at) }
end

for list, names in read("deps/packages.sh"):gmatch '%f[%a]([a-z]+)="([^"]*)"' do
  for name in (SCOPES[list] and names or ""):gsub("%$%w+", ""):gmatch "%S+" do package(name, SCOPES[list]) end
end

-- ---- the bill ----

local version = read("lua/rlab/version.lua"):match '"(.-)"'
local root = "pkg:generic/rlab@" .. version
local refs = {}
for i, c in ipairs(components) do refs[i] = c["bom-ref"] end

local f <close> = assert(io.open(out, "wb"))
assert(f:write(json.encode {
  bomFormat = "CycloneDX", specVersion = "1.5", version = 1,
  metadata = {
    component = { type = "application", name = "rlab", version = version, ["bom-ref"] = root, purl = root,
      licenses = { { license = { id = "Apache-2.0" } } } },
    properties = { { name = "rlab:kafka", value = pins.KAFKA_VERSION },
      { name = "rlab:kafka-scala", value = pins.KAFKA_SCALA },
      { name = "rlab:debezium", value = pins.DEBEZIUM_VERSION } } },
  components = components,
  dependencies = { { ref = root, dependsOn = refs } },
}))
assert(f:write "\n")
