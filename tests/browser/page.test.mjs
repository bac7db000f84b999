// The server's built-in page, which lists the events and calls them. It is at /, or at /events if the program has a
// page.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { launch, open, shows } from "./chromium.mjs";
import { start } from "./program.mjs";

let browser;
/** A program without a page of its own. */
let linked;
/** A program with a page of its own. */
let orders;

before(async () => {
  browser = await launch();
  linked = await start("aaw-example-linked", { urlPattern: /^listening on (ws:\S+)$/ });
  linked.page = linked.url.replace(/^ws/, "http");
  orders = await start("aaw-example-orders", { ORDERS_EVERY_MS: "20" });
});

after(async () => {
  await browser?.close();
  await linked?.stop();
  await orders?.stop();
});

const choose = (page, event) => page.locator("#events button", { has: page.getByText(event, { exact: true }) }).click();

const run = (page) => page.getByRole("button", { name: "Run" }).click();

test("the page lists the events, and calls a unary event", async (t) => {
  const page = await open(t, browser, linked.page);
  await choose(page, "echo");
  await page.getByLabel("Body").fill(`{"hello": "you"}`);
  await run(page);
  await shows(page, "#status", /^Response/);
  assert.deepEqual(JSON.parse(await page.textContent("#out")), { hello: "you" });
  assert.match(await page.textContent("#curl"), /^curl .*\/events\/echo' .*\{"hello": "you"\}/);
});

test("a page loads the client with one request, and by the path with the hash only once", async (t) => {
  const page = await open(t, browser, linked.page);
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  /** The scripts that were loaded, and whether from the cache. */
  let scripts = [];
  const fromCache = new Set();
  network.on("Network.requestServedFromCache", ({ requestId }) => fromCache.add(requestId));
  network.on("Network.responseReceived", ({ requestId, type, response }) => {
    if (type !== "Script") return;
    const path = new URL(response.url).pathname;
    scripts.push({ path, headers: response.headers, isCached: response.fromDiskCache || fromCache.has(requestId) });
  });
  const pong = await page.evaluate(async () => {
    const { default: aaw } = await import("/aaw.js");
    const ws = aaw();
    const pong = await ws.sendAsync("ping");
    await ws.close();
    return pong;
  });
  assert.deepEqual(pong, { pong: true });
  assert.deepEqual(scripts.map(({ path, isCached }) => [path, isCached]), [["/aaw.js", false]]);
  assert.match(scripts[0].headers["content-encoding"], /^(br|gzip)$/);

  const path = `/${scripts[0].headers["content-location"]}`;
  for (const isCached of [false, true, true]) {
    scripts = [];
    await page.goto(linked.page);
    await page.evaluate((path) => import(path).then(() => {}), path);
    assert.deepEqual(scripts.map((script) => [script.path, script.isCached]), [[path, isCached]]);
  }
});

test("the items of a stream are parsed by the client, which is loaded with one request", async (t) => {
  const page = await open(t, browser, linked.page);
  const scripts = [];
  page.on("request", (request) => request.resourceType() === "script" && scripts.push(new URL(request.url()).pathname));
  await choose(page, "count");
  await page.getByLabel("Body").fill(`{"to": 3}`);
  await run(page);
  await shows(page, "#status", /^3 items, complete/);
  assert.equal(await page.textContent("#out"), "1\n2\n3\n");
  assert.equal(scripts.length, 1);
  assert.match(scripts[0], /^\/aaw\/[0-9a-f]{16}\.js$/);
});

test("the error of a failed call is shown", async (t) => {
  const page = await open(t, browser, linked.page);
  await choose(page, "explode");
  await run(page);
  await shows(page, "#out", /Something went wrong/);
});

test("a body that is not JSON shows an error", async (t) => {
  const page = await open(t, browser, linked.page);
  await choose(page, "echo");
  await page.getByLabel("Body").fill("{");
  await run(page);
  await shows(page, "#status", /^400/);
  await shows(page, "#out", /"bad_body"|"bad_frame"/);
});

test("the items of a stream are shown as they arrive, until it is stopped", async (t) => {
  const page = await open(t, browser, `${orders.url}/events`);
  await choose(page, "orders/watch");
  await page.getByLabel("Body").fill(`{"category": "stationery"}`);
  await run(page);
  await shows(page, "#status", /^\d\d+ items/);
  await page.getByRole("button", { name: "Stop" }).click();
  await shows(page, "#status", /^Stopped/);
  const items = (await page.textContent("#out")).trim().split("\n").map((line) => JSON.parse(line));
  assert.ok(items.every(({ category }) => category === "stationery"));
});

test("the chosen event is in the URL, which leads to it, also back and forward", async (t) => {
  const page = await open(t, browser, linked.page);
  await page.locator("#events button").first().waitFor();
  const first = await page.textContent("#chosen");
  assert.equal(new URL(page.url()).hash, "");
  await choose(page, "echo");
  assert.equal(new URL(page.url()).hash, "#echo");
  const isFocused = () => page.evaluate(() => document.activeElement.getAttribute("aria-current"));
  assert.equal(await isFocused(), "true", "the button keeps the focus");
  await choose(page, "count");
  await page.goBack();
  await shows(page, "#chosen", /^echo$/);
  await page.goBack();
  await shows(page, "#chosen", new RegExp(`^${first}$`));
  await page.goForward();
  await shows(page, "#chosen", /^echo$/);
  await page.reload();
  await shows(page, "#chosen", /^echo$/);
  assert.equal(await page.textContent("#events [aria-current=true] .name"), "echo");

  const other = await open(t, browser, `${orders.url}/events#orders/watch`);
  await shows(other, "#chosen", /^orders\/watch$/);
  await other.goto(`${orders.url}/events#no/such/event`);
  await other.reload();
  await shows(other, "#chosen", /^orders\//);
});

test("on a phone an event that is opened scrolls into view", async (t) => {
  const page = await open(t, browser, linked.page, { viewport: { width: 390, height: 500 }, reducedMotion: "reduce" });
  const isVisible = () =>
    page.waitForFunction(() => {
      const { top } = document.getElementById("chosen").getBoundingClientRect();
      return top >= 0 && top < innerHeight;
    });
  await page.locator("#events button").first().waitFor();
  assert.equal(await page.evaluate(() => scrollY), 0, "an event that nobody chose does not scroll");
  await choose(page, "echo");
  await isVisible();
  await page.evaluate(() => scrollTo(0, 0));
  await choose(page, "echo");
  await isVisible();
  await page.reload();
  await isVisible();
});

test("a page that was opened as a file says in its console why it has no connection", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "aaw-file-"));
  t.after(() => rm(folder, { recursive: true }));
  const script = await (await fetch(`${linked.page}/aaw.js`)).text();
  const call = `const ws = aaw(${JSON.stringify(linked.url)}); ws.sendAsync("ping", null, 5000).catch(({ error }) => (document.title = error));`;
  // Not as a module: a page that is a file cannot import one.
  const plain = script.replace(/^export \{[^]*?\};?$/m, "").replace(/^export default (\w+);$/m, "");
  await writeFile(join(folder, "index.html"), `<!doctype html><script>${plain}\n;${call}</script>`);
  const page = await open(t, browser, "about:blank");
  const warnings = [];
  page.on("console", (message) => message.type() === "warning" && warnings.push(message.text()));
  await page.goto(pathToFileURL(join(folder, "index.html")).href);
  await page.waitForFunction(() => document.title !== "");
  assert.match(await page.title(), /timed out: there was no connection yet \(ws:.* could not be reached/);
  assert.equal(warnings.length, 1, warnings.join());
  assert.match(warnings[0], /opened as a file/);
});
