// examples/orders: a stream of totals, with commands over its upload.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { TIMEOUT, launch, open, shows } from "./chromium.mjs";
import { call, start, until } from "./program.mjs";

const EXAMPLE = "aaw-example-orders";

let browser;
let shop;

before(async () => {
  browser = await launch();
  shop = await start(EXAMPLE, { ORDERS_EVERY_MS: "20" });
});

after(async () => {
  await browser?.close();
  await shop?.stop();
});

/** The last product of each category at the start. */
const LAST = { electronics: "Radio alarm clock", confectionery: "Salted caramels", stationery: "Bookmark" };

const choose = async (page, category) => {
  await page.getByText(category, { exact: true }).click();
  await page.getByRole("heading", { name: LAST[category] }).waitFor();
};

const products = (page) => page.locator("#products h2").allTextContents();

/** The totals on the page, by product. */
const totals = (page) =>
  page.$$eval("#products li", (items) => {
    const text = (item, selector) => item.querySelector(selector).textContent;
    return Object.fromEntries(items.map((item) => [text(item, "h2"), Number(text(item, ".big"))]));
  });

/** Waits until the total of a product exceeds `before`. */
const totalExceeds = async (page, product, before) => {
  const total = await page.locator("li", { hasText: product }).locator(".big").elementHandle();
  await page.waitForFunction(([total, before]) => Number(total.textContent) > before, [total, before]);
};

test("a category shows its totals and their changes, over one socket", async (t) => {
  const page = await open(t, browser, shop.url);
  const sockets = [];
  page.on("websocket", (socket) => sockets.push(socket.url()));
  await choose(page, "electronics");
  assert.deepEqual(await products(page), ["Vacuum cleaner", "Leaf blower", "Radio alarm clock"]);
  await shows(page, "#state", /^live$/);

  for (const [product, before] of Object.entries(await totals(page))) await totalExceeds(page, product, before);
  assert.equal(sockets.length, 1, sockets.join());
});

test("the page is connected before a category is chosen", async (t) => {
  const page = await open(t, browser, shop.url);
  const greeting = await page.evaluate(async () => {
    const text = await (await fetch("/")).text();
    return new DOMParser().parseFromString(text, "text/html").querySelector("#state").textContent;
  });
  assert.equal(greeting, "connecting");
  await shows(page, "#state", /^live$/);
  assert.deepEqual(await products(page), []);
});

test("another category is a command over the same socket and call", async (t) => {
  const page = await open(t, browser, shop.url);
  const sent = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => sent.push([socket, payload])));
  await choose(page, "electronics");
  await choose(page, "stationery");
  assert.deepEqual(await products(page), ["Fountain pen", "Squared paper", "Bookmark"]);
  await choose(page, "confectionery");

  const about = sent.filter(([, frame]) => frame.startsWith('["orders/watch"')).map(([, frame]) => JSON.parse(frame));
  const calls = about.filter(([, , , kind]) => kind === "call");
  const commands = about.filter(([, , , kind]) => kind === "item");
  assert.deepEqual(calls.map(([, body]) => body), [{ category: "electronics" }]);
  assert.deepEqual(commands.map(([, command]) => command.payload.category), ["stationery", "confectionery"]);
  assert.ok(about.every(([, , id]) => id === calls[0][2]), "all frames belong to one call");
  assert.equal(new Set(sent.map(([socket]) => socket)).size, 1);
});

test("an unknown category yields no items and no error", async (t) => {
  const page = await open(t, browser, shop.url);
  const seen = await page.evaluate(async () => {
    const { default: aaw } = await import("/aaw.js");
    const ws = aaw();
    const totals = ws.duplex("orders/watch", { category: "weapons" });
    await totals.send({ cmd: "update-category", payload: { category: "nowhere" } });
    await totals.send({ cmd: "update-category", payload: { category: "stationery" } });
    const seen = [];
    for await (const { category } of totals) {
      seen.push(category);
      if (seen.length === 5) break;
    }
    await ws.close();
    return seen;
  });
  assert.deepEqual(seen, Array(5).fill("stationery"));
});

test("all pages show the same totals, and a product that is added later", async (t) => {
  const [one, other] = [await open(t, browser, shop.url), await open(t, browser, shop.url)];
  await choose(one, "confectionery");
  await choose(other, "confectionery");

  await one.getByLabel("Name").fill("Turkish delight");
  await one.getByRole("button", { name: "Add to confectionery" }).click();
  for (const page of [one, other]) await totalExceeds(page, "Turkish delight", 0);
  // The pages are read one after the other, and orders arrive meanwhile. Repeat until none arrived in between.
  const timeout = AbortSignal.timeout(TIMEOUT);
  for (;;) {
    timeout.throwIfAborted();
    const [first, second] = [await totals(one), await totals(other)];
    if (JSON.stringify(first) === JSON.stringify(second)) break;
  }

  await one.getByLabel("Name").fill("   ");
  await one.getByRole("button", { name: "Add to confectionery" }).click();
  await shows(one, "#error", /1 to 60 characters/);
});

test("a product starts at 0", async () => {
  const { name, total } = await call(shop.url, "orders/add", { category: "stationery", name: "Ruler" });
  assert.deepEqual({ name, total }, { name: "Ruler", total: 0 });
});

test("corrupt JSON is logged and affects no other connection", async (t) => {
  const page = await open(t, browser, shop.url);
  await choose(page, "electronics");
  // With a plain WebSocket, because the client cannot send this.
  const frames = await page.evaluate(async () => {
    const socket = new WebSocket(`ws://${location.host}`, "aaw.v1");
    const frames = [];
    const next = () => new Promise((resolve) => socket.addEventListener("message", resolve, { once: true }));
    await new Promise((resolve) => (socket.onopen = resolve));
    socket.addEventListener("message", ({ data }) => frames.push(data));
    const welcome = next();
    socket.send(JSON.stringify(["aaw/hello", { versions: [1] }]));
    await welcome;
    const error = next();
    socket.send('["orders/watch",{"category":');
    await error;
    const response = next();
    socket.send('["orders/categories",null,1,"call"]');
    await response;
    socket.close();
    return frames;
  });
  assert.match(frames[1], /bad_frame/);
  assert.match(frames[2], /"stationery"/);

  const category = await page.evaluate(async () => {
    const { default: aaw } = await import("/aaw.js");
    const ws = aaw();
    const totals = ws.duplex("orders/watch", { category: "nowhere" });
    await totals.send("no command");
    await totals.send({ cmd: "update-category", payload: { category: "stationery" } });
    const { value } = await totals.next();
    await ws.close();
    return value.category;
  });
  assert.equal(category, "stationery");
  await shop.logged(/WARN.*bad frame: not JSON/);
  await shop.logged(/WARN.*no command/);

  const [[product, before]] = Object.entries(await totals(page));
  await totalExceeds(page, product, before);
});

test("the stream stops when its page is closed", async (t) => {
  await until(shop.url, "orders/watching", (count) => count === 0);
  const page = await open(t, browser, shop.url);
  await choose(page, "electronics");
  await until(shop.url, "orders/watching", (count) => count === 1);
  await page.close();
  await until(shop.url, "orders/watching", (count) => count === 0);
});

test("the page reconnects, and requests its category again", async (t) => {
  const first = await start(EXAMPLE, { ORDERS_EVERY_MS: "20" });
  t.after(() => first.stop());
  const page = await open(t, browser, first.url);
  await choose(page, "electronics");
  await choose(page, "stationery");
  assert.equal(await first.interrupt(), 0);
  await shows(page, "#state", /^connection lost$/);

  const second = await start(EXAMPLE, { ORDERS_EVERY_MS: "20", PORT: new URL(first.url).port });
  t.after(() => second.stop());
  await call(second.url, "orders/add", { category: "stationery", name: "Paper clip" });
  await page.getByRole("heading", { name: "Paper clip" }).waitFor();
  await shows(page, "#state", /^live$/);
});
