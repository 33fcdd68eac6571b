-- What people mistype: one line that says what was wrong and how to mend it, with the documented exit code.
local pty = dofile "spec/transcript/support/pty.lua"
local compare = dofile "spec/transcript/support/compare.lua"

local function check(command, expected, code)
  local seen, status = pty.run(command)
  local difference = compare.difference(expected, seen)
  assert(not difference, difference)
  assert.equal(code, status)
end

describe("rlab with a mistake on its command line", function()
  it("names what was meant", function()
    check("rlab lst", "rlab: no command 'lst'; did you mean 'list'?", 64)
    check("rlab xyzzy", "rlab: no command 'xyzzy'; rlab --help lists them", 64)
    check("rlab E-112", "rlab: there is no experiment E-112; did you mean E-012?", 64)
    check("rlab E-012 --arm idz", "rlab: E-012 has no arm 'idz'; did you mean 'ids'?", 64)
    check("rlab E-007 --arm xyzzy", "rlab: E-007 has no arm 'xyzzy'; it has <any>", 64)
    check("rlab E-012 --arms ids", "rlab: run: unknown option '--arms', did you mean '--arm'?", 64)
    check("rlab replay run t --dryrun",
      "rlab: replay: run: unknown option '--dryrun', did you mean '--dry-run'?", 64)
    check("rlab up kafak", "rlab: no server 'kafak'; did you mean 'kafka'?", 64)
    check("rlab logs xyzzy", "rlab: no server 'xyzzy'; there are kafka, redis-cluster, observe, controller, \z
      kafka-1, kafka-2, kafka-3, mysql, redis, redis-cluster-1, redis-cluster-2, redis-cluster-3, \z
      redis-cluster-4, redis-cluster-5, redis-cluster-6, registry, proxy, exporter, mysqld-exporter, \z
      redis-exporter, prometheus", 64)
    check("rlab logs kafk", "rlab: no server 'kafk'; did you mean 'kafka'?", 64)
    check("rlab run nope", "rlab: there is no experiment nope; rlab list shows them", 64)
    check("rlab failpoint 'kil'", "rlab: no action 'kil', did you mean 'kill'? (column 1)\n  kil\n  ^", 64)
  end)

  it("refuses numbers that make no sense", function()
    check("rlab E-012 --repeat 0", "rlab: --repeat takes a whole number from 1, not '0'", 64)
    check("rlab E-012 --seed=-1", "rlab: --seed takes a whole number from 0 or 'random', not '-1'", 64)
    check("rlab E-012 --seed -1", "rlab: run: unknown option '-1' (rlab run --help shows the options)", 64)
    check("RLAB_PORT_BASE=abc rlab status", "rlab: RLAB_PORT_BASE=abc is no port from 1024 to 65336", 64)
  end)

  it("ends with 64 where a file that it names cannot be read, whoever would read it", function()
    check("rlab no/such.lua", "rlab: no/such.lua: there is no such file", 64)
    check("rlab explain no/such.lua", "rlab: no/such.lua: there is no such file", 64)
    check("rlab service no/such.lua", "rlab: no/such.lua: there is no such file", 64)
    check("d=$(mktemp -d) && mkdir $d/x.lua && cd $d && rlab ./x.lua", "rlab: ./x.lua: Is a directory", 64)
    check("d=$(mktemp -d) && mkdir $d/x.lua && cd $d && rlab service ./x.lua",
      "rlab: ./x.lua: Is a directory", 64)
  end)

  it("ends with 65 where what stands in the file is wrong", function()
    for _, how in ipairs { "", "explain ", "service " } do
      check(("d=$(mktemp -d) && echo return >$d/x.lua && echo 3 } >>$d/x.lua && cd $d && rlab %s./x.lua")
        :format(how), "rlab: ./x.lua:2: <eof> expected near '}'", 65)
    end
  end)

  it("says that nothing was written yet", function()
    check("rlab logs", "rlab: there are no logs yet; rlab up starts the servers", 0)
  end)
end)

describe("rlab on a terminal with colours", function()
  it("paints words and writes no escape sequence as text", function()
    local session = pty.start { args = "status", columns = 100, env = { NO_COLOR = "" } }
    local seen = session:wait_text "rlab up"
    assert.matches("controller +down", seen)
    assert.is_nil(seen:find("redis-cluster-1", 1, true))
    assert.matches("down +redis%-cluster, registry, which start where they are needed", seen)
    assert.is_nil(seen:find("[", 1, true))
    session:close()
  end)
end)
