// drive.mjs URL: a browser at the console, told what to do by lines of JSON on standard input, one step each,
// and answering each by a line: {"ok": value} or {"error": text}. Used by spec/browser/browser.lua.
//   ["go", hash] ["size", width, height] ["scheme", "dark"] ["click", selector] ["fill", selector, text]
//   ["press", key] ["see", selector, text] ["gone", selector] ["text", selector] ["shot", file] ["axe"]
//   ["wide"]: how many pixels the page is wider than its window   ["type", text]: key by key   ["select", selector, value]
//   ["unfold"]: all that is folded
//   ["slow"]: the longest time, in ms, for which the page did nothing else, since it was last asked
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
await page.addInitScript(() => {
  globalThis.longest = 0;
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, one.duration);
  }).observe({ entryTypes: ["longtask"] });
});
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
  select: (selector, value) => page.locator(selector).first().selectOption(value),
  press: (key) => page.keyboard.press(key),
  type: (text) => page.keyboard.type(text, { delay: 20 }),
  see: (selector, text) => page.locator(selector).filter({ hasText: text }).first().waitFor(),
  gone: (selector) => page.locator(selector).first().waitFor({ state: "detached" }),
  text: (selector) => page.locator(selector).first().innerText(),
  shot: (path) => page.screenshot({ path }),
  axe: violations,
  unfold: () => page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true))),
  wide: () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
  slow: () =>
    page.evaluate(() => {
      const found = globalThis.longest;
      globalThis.longest = 0;
      return found;
    }),
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
