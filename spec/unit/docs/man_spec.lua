-- rlab.1 and the shells' completion say what --help says.
local fs = require "rlab.fs"
local exit = require "rlab.exit"
local process = require "rlab.process"

local function output(...)
  local p <close> = assert(process.spawn { cmd = { ... }, stdout = "capture", stderr = "stdout" })
  local status = assert(p:wait "60s")
  return (p:output()), status.code
end

local function rlab(...) return output(fs.self_exe(), ...) end

local function plain(page) return (page:gsub("\\%-", "-"):gsub("\\f[BIR]", ""):gsub("\\e", "\\")) end

-- The part of the page below one heading.
local function part(page, title)
  local _, from = page:find(('.SS "%s"\n'):format(title), 1, true)
  assert(from, "no heading " .. title)
  return page:sub(from + 1, (page:find("\n.S[SH] ", from) or #page))
end

local function commands()
  local names = {}
  for name in rlab "--help":match "\ncommands\n(.-)\n\n":gmatch "[^\n]+" do
    names[#names + 1] = name:match "^  (%l+)"
  end
  return names
end

local function children(name)
  local names = {}
  local list = name == "service" and "\nservices\n(.-)\n\n" or name == "replay" and "\n\n(  .-)\n\n"
  for line in (list and rlab(name, "--help"):match(list) or ""):gmatch "[^\n]+" do
    names[#names + 1] = line:match "^  (%l+)"
  end
  return names
end

local function check_words(page, ...)
  local title, count = table.concat({ "rlab", ... }, " "), 0
  local text = part(page, title)
  local words = { ... }
  words[#words + 1] = "--help"
  local help = rlab(table.unpack(words))
  for flag in help:gmatch "\n[%s%-%l,]-(%-%-[%l%d%-]+)" do
    if flag ~= "--help" then
      count = count + 1
      assert(text:find(flag:gsub("%-", "%%-") .. "[ \n,]"), ("%s: %s is not in rlab.1"):format(title, flag))
    end
  end
  return count
end

describe("rlab.1", function()
  local page = plain(rlab "man")

  it("has each command and each option that --help tells of", function()
    local options = 0
    local names = commands()
    assert.is_true(#names > 15)
    for _, name in ipairs(names) do
      local behind = children(name)
      if #behind == 0 then options = options + check_words(page, name) else part(page, "rlab " .. name) end
      for _, child in ipairs(behind) do options = options + check_words(page, name, child) end
    end
    assert.is_true(options > 200, "options: " .. options)
  end)

  it("has no line that mandoc calls long, and no request but the page's own", function()
    for line in (rlab "man"):gmatch "[^\n]+" do
      assert(#line <= 80 or line:find "^\\fB", line) -- an option's words are not broken
      assert(not line:find "^[.']" or line:find "^%.[TSBI][HSPRBI]? ?", line)
    end
  end)

  it("has what stands before a command", function()
    assert.matches("\n--stack local|compose|external\n", page, 1, true)
    assert.matches("\nDOCKER_HOST\n", page, 1, true)
  end)

  it("has the exit codes", function()
    local codes = 0
    for name, code in pairs(exit) do
      if type(code) == "number" then
        codes = codes + 1
        assert(page:find((".TP\n%d\n"):format(code), 1, true), name)
      end
    end
    assert.equal(codes, #exit.meanings)
  end)

  it("is a page that groff takes without a word, where it is there", function()
    if not fs.exists "/usr/bin/groff" then return end
    local file = assert(fs.tmpdir "spec") .. "/rlab.1"
    assert(fs.write(file, (rlab "man")))
    assert.same({ "", 0 }, { output("/usr/bin/groff", "-man", "-Tutf8", "-ww", "-z", file) })
  end)
end)

describe("completion", function()
  local script = [[source <("$1" completion bash)
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _rlab
    echo "${COMPREPLY[*]}"]]

  local function completed(...)
    return (output("bash", "-c", script, "bash", fs.self_exe(), "rlab", ...):gsub("\n$", ""))
  end

  it("of bash knows commands, services, options, their words and the experiments", function()
    assert.equal("service", completed "ser")
    assert.equal("compose", completed("--stack", "com"))
    assert.equal("status", completed("--stack", "compose", "stat"))
    assert.equal("relay replay", completed("service", "re"))
    assert.equal("--mark", completed("service", "relay", "--ma"))
    assert.equal("update delete cursor", completed("service", "relay", "--mark", ""))
    assert.equal("offsets", completed("replay", "off"))
    assert.equal("--rate", completed("replay", "run", "--ra"))
    assert.matches("^E%-010 E%-011 E%-012", completed "E-01")
  end)

  it("is there for zsh and fish, and for no other", function()
    assert.matches("^#compdef rlab\n", (rlab("completion", "zsh")))
    assert.matches("complete %-c rlab", (rlab("completion", "fish")))
    local said, code = rlab("completion", "tcsh")
    assert.equal(64, code)
    assert.matches("'bash', 'zsh', 'fish'", said)
  end)
end)
