-- What the Makefile does where no program is compiled: the order of `make deps all` on a machine that has
-- nothing yet, and where `make install` puts the pages.
local fs = require "rlab.fs"
local tools = require "rlab.stack.tools"

local function sh(script, ...)
  local said, status = tools.output({ "sh", "-ec", script, "sh", ... }, "60s")
  assert.are.same({ code = 0 }, status, said)
  return said
end

describe("make", function()
  local folder
  before_each(function() folder = assert(fs.tmpdir "rlab-make") end)
  after_each(function() sh('rm -r "$1"', folder) end)

  -- Every script of deps/ only says that it ran; that of the flags fails without the packages.
  it("deps and another goal in one call installs the packages first", function()
    sh([[mkdir "$1/deps" && cp Makefile "$1" && cd "$1/deps" && touch source.sh lib.sh pins.sh
      for name in libs packages kafka flyway mysql valkey; do
        printf '#!/bin/sh\necho %s >>ran\n' $name >$name.sh; chmod +x $name.sh
      done
      echo 'grep -q packages ran && mkdir -p build && touch "$1"' >>libs.sh]], folder)
    sh([[cd "$1" && unset MAKEFLAGS MAKELEVEL
      make -s deps build/flags >said 2>&1 || { cat said; exit 1; }]], folder)
    assert.matches("^packages\nlibs\npackages\nkafka\nflyway\nmysql\nvalkey\n$",
      assert(fs.read(folder .. "/ran")))
  end)

  it("install puts the pages so that no link of theirs is dead", function()
    sh([[unset MAKEFLAGS MAKELEVEL; make -s install-pages PREFIX=/usr DESTDIR="$1"]], folder)
    local root = folder .. "/usr/share/doc/rlab/"
    local dead, seen = {}, 0
    for page in sh([[cd "$1" && find . -name '*.md']], root):gmatch "%./([^\n]+)" do
      local text = assert(fs.read(root .. page)):gsub("\n```.-\n```", "")
      for link in text:gmatch "%]%(([^)%s#]+)" do
        seen = seen + 1
        local there = link:find "^%a+:" or fs.exists(root .. (page:match "^.*/" or "") .. link)
        if not there then dead[#dead + 1] = page .. " -> " .. link end
      end
    end
    assert.are.same({}, dead)
    assert.is_true(seen > 100, ("only %d links were seen"):format(seen))
  end)

  -- In an empty folder, with an empty home; the program alone is linked elsewhere.
  it("install makes a program that needs no checkout", function()
    sh([[unset MAKEFLAGS MAKELEVEL; make -s install-files PREFIX=/usr DESTDIR="$1"
      mkdir -p "$1/usr/bin" "$1/home" "$1/empty" && cp "$2" "$1/usr/bin/rlab"]],
      folder, assert(fs.self_exe()))
    local said = sh([[cd "$1/empty" && export HOME="$1/home" PATH="$1/usr/bin:$PATH"
      unset XDG_CACHE_HOME RLAB_LUA_PATH RLAB_SCENARIOS
      rlab list | grep '^ *E-001' && rlab explain E-001 | sed -n 1p | grep 'E-001' && rlab new E-901
      there=$(rlab experiments --path)
      ls "$there/E-001.lua" && rlab experiments --copy mine/ && cmp mine/E-001.lua "$there/E-001.lua"
      echo '-- mine' >>mine/E-002.lua; rlab experiments --copy mine 2>&1 || echo "is $?"
      RLAB_HOME="$1/stack" rlab up kafka 2>&1 || echo "is $?"
      sh -n "${there%/*}/deps/pins.sh"]], folder)
    assert.matches("wrote scenarios/E-901.lua", said, 1, true)
    assert.matches("/usr/share/rlab/experiments/E%-001.lua\nwrote %d+ experiments into mine;", said)
    assert.matches("mine/E-002.lua is there already and is not rlab's text; ", said, 1, true)
    assert.matches("name another folder or move it\nis 64\n", said, 1, true)
    assert.matches("Kafka's jars are missing; run rlab fetch\nis 69", said, 1, true)
  end)
end)

-- Homebrew's names of what deps/libs.sh asks pkg-config for.
local FORMULAE = { libuv = "libuv", libmicrohttpd = "libmicrohttpd", libcjson = "cjson", libcurl = "curl",
  ["avro-c"] = "avro-c", mysqlclient = "mariadb-connector-c", libedit = "libedit", libssl = "openssl@3",
  zlib = "zlib", libzstd = "zstd", libutf8proc = "utf8proc" }

describe("the Homebrew formula", function()
  it("depends on every library that the program is linked with", function()
    local formula = assert(fs.read "deploy/homebrew/rlab.rb")
    for name in assert(fs.read "deps/libs.sh"):match '\npackages="([^"]+)"':gmatch "%S+" do
      local wanted = ('  depends_on "%s"\n'):format(FORMULAE[name] or "what is " .. name .. " there?")
      assert.truthy(formula:find(wanted, 1, true), wanted)
    end
  end)
end)
