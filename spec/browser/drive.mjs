// drive.mjs URL: a browser at the console, told what to do by lines of JSON on standard input, one step each,
// and answering each by a line: {"ok": value} or {"error": text}. Used by spec/browser/browser.lua.
//   ["go", hash] ["size", width, height] ["scheme", "dark"] ["click", selector] ["fill", selector, text]
//   ["press", key] ["see", selector, text] ["gone", selector] ["text", selector] ["shot", file] ["axe"]
//   ["wide"]: how many pixels the page is wider than its window
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const modules = process.env.RLAB_NODE_MODULES + "/";
const { chromium } = createRequire(modules)("playwright-core");
const axe = createRequire(modules).resolve("axe-core/axe.min.js");
const PATIENCE = 20000;

const browser = await chromium.launch({
  executablePath: process.env.RLAB_CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"].concat(
    ["--disable-background-networking", "--disable-component-update", "--disable-sync"],
  ),
});
const context = await browser.newContext({ bypassCSP: false });
const page = await context.newPage();
page.setDefaultTimeout(PATIENCE);
const wrong = [];
page.on("pageerror", (failure) => wrong.push(String(failure)));
page.on("console", (said) => said.type() === "error" && wrong.push(said.text()));
await page.goto(process.argv[2]);

// axe is put in through the debugger's door, which no policy of the page closes.
async function violations() {
  const { readFileSync } = await import("node:fs");
  await page.evaluate(readFileSync(axe, "utf8") + "; undefined");
  const found = await page.evaluate(() => globalThis.axe.run());
  return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`);
}

const steps = {
  go: (hash) => page.evaluate((to) => void (location.hash = to), hash),
  size: (width, height) => page.setViewportSize({ width, height }),
  scheme: (colorScheme) => page.emulateMedia({ colorScheme }),
  click: (selector) => page.locator(selector).first().click(),
  fill: (selector, text) => page.locator(selector).first().fill(text),
  press: (key) => page.keyboard.press(key),
  see: (selector, text) => page.locator(selector).filter({ hasText: text }).first().waitFor(),
  gone: (selector) => page.locator(selector).first().waitFor({ state: "detached" }),
  text: (selector) => page.locator(selector).first().innerText(),
  shot: (path) => page.screenshot({ path }),
  axe: violations,
  wide: () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
  wrong: () => wrong,
};

console.log(JSON.stringify({ ok: "ready" }));
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...rest] = JSON.parse(line);
  try {
    const value = await steps[name](...rest);
    console.log(JSON.stringify({ ok: value ?? true }));
  } catch (failure) {
    console.log(JSON.stringify({ error: `${line}: ${failure.message}` }));
  }
}
await browser.close();
