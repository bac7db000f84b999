// The server's built-in page, which lists the events and calls them. It is at /, or at /events if the program has a
// page.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

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
