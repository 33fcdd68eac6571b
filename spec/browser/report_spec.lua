-- Reports in a browser: nothing that axe finds, folded or not, and nothing wider than the window.
local browser = require "spec.browser.browser"
local fs = require "rlab.fs"
local report = require "rlab.report"

describe("a report in a browser", function()
  for _, name in ipairs { "fixture-E-007", "fixture-E-009", "fixture-E-012" } do
    it("is fit to be read, narrow and wide, light and dark: " .. name, function()
      local dir = fs.tmpdir()
      fs.copy("spec/fixtures/report/" .. name, dir .. "/run")
      local b <close> = browser.open("file://" .. assert(report.write(dir .. "/run")))
      for width, scheme in pairs { [390] = "dark", [1280] = "light" } do
        b:size(width, 844)
        b:scheme(scheme)
        b:unfold()
        assert.same({}, b:axe(), ("%d, %s"):format(width, scheme))
        assert.is_true(b:wide() <= 0, ("at %d it is wider by %d"):format(width, b:wide()))
      end
      fs.remove(dir)
    end)
  end
end)
