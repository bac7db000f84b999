// The server's own page, at / where there is no other: which events there are, and a call of any of them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch, open, shows } from "./chromium.mjs";
import { start } from "./program.mjs";

let browser;
/** A program with the stock events, and no page of its own. */
let linked;
/** One that has, so that the list is at /events. */
let orders;

before(async () => {
  browser = await launch();
  linked = await start("aaw-example-linked", { says: /^listening on (ws:\S+)$/ });
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

test("the page lists the events, and calls one that answers", async (t) => {
  const page = await open(t, browser, linked.page);
  await choose(page, "echo");
  await page.getByLabel("Body").fill(`{"hello": "you"}`);
  await run(page);
  await shows(page, "#status", /^Answered/);
  assert.deepEqual(JSON.parse(await page.textContent("#out")), { hello: "you" });
  assert.match(await page.textContent("#curl"), /^curl .*\/events\/echo' .*\{"hello": "you"\}/);
});

test("an event that fails says so in its words", async (t) => {
  const page = await open(t, browser, linked.page);
  await choose(page, "explode");
  await run(page);
  await shows(page, "#out", /Something went wrong/);
});

test("a body that is no JSON is refused in words", async (t) => {
  const page = await open(t, browser, linked.page);
  await choose(page, "echo");
  await page.getByLabel("Body").fill("{");
  await run(page);
  await shows(page, "#status", /^400/);
  await shows(page, "#out", /"bad_body"|"bad_frame"/);
});

test("the items of a stream come as they are yielded, until one has enough", async (t) => {
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
