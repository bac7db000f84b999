// Connections of pages that break: cut by what is between, offline, frozen, closed.

import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";

import { STOCK, start } from "../js/server.mjs";
import { launch, open, shows } from "./chromium.mjs";

let browser;
let server;

before(async () => {
  // One after the other, so that what has started is stopped if the other does not start.
  browser = await launch();
  server = await start({ events: STOCK });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Passes TCP connections on, until they are cut. */
const startProxy = async (t, port) => {
  const pairs = new Set();
  const proxy = createServer((socket) => {
    const upstream = connect(port, "127.0.0.1");
    const pair = [socket, upstream];
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      for (const side of pair) side.destroy();
    };
    for (const side of pair) side.on("error", end).on("close", end);
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const pair of [...pairs]) for (const side of pair) side.resetAndDestroy();
  };
  t.after(() => {
    proxy.close();
    cut();
  });
  return { url: `http://127.0.0.1:${proxy.address().port}`, cut };
};

/** Opens a page whose `ws` is a client, and which counts the events of its connection. */
const openClient = async (t, url) => {
  const page = await open(t, browser, url);
  await page.evaluate(async () => {
    const { default: aaw } = await import("/aaw.js");
    globalThis.counts = { open: 0, close: 0, interrupted: 0, resumed: 0 };
    globalThis.ws = aaw(undefined, { resumption: true });
    for (const event of Object.keys(counts)) ws.on(event, () => (counts[event] += 1));
    await ws.sendAsync("ping");
  });
  return page;
};

const counts = (page) => page.evaluate(() => globalThis.counts);

test("calls and a stream of a page go on although its connections are cut", async (t) => {
  const proxy = await startProxy(t, new URL(server.url).port);
  const page = await openClient(t, proxy.url);
  let isDone = false;
  const result = page
    .evaluate(async () => {
      const items = [];
      const read = (async () => {
        for await (const item of ws.stream("count", { to: 3000 })) items.push(item);
      })();
      const responses = await Promise.all(
        Array.from({ length: 2000 }, async (_, index) => {
          await new Promise((resolve) => setTimeout(resolve, index));
          return ws.sendAsync("echo", index, 60_000);
        }),
      );
      await read;
      return { items, responses };
    })
    .finally(() => (isDone = true));
  while (!isDone) {
    proxy.cut();
    await Promise.race([result, new Promise((resolve) => setTimeout(resolve, 100))]);
  }
  const { items, responses } = await result;
  assert.deepEqual(items, Array.from({ length: 3000 }, (_, index) => index + 1));
  assert.deepEqual(responses, Array.from({ length: 2000 }, (_, index) => index));
  const { open: opened, close, interrupted, resumed } = await counts(page);
  assert.deepEqual([opened, close], [1, 0]);
  assert.ok(interrupted > 5 && resumed >= interrupted - 1, `${interrupted} interrupted, ${resumed} resumed`);
});

test("a page that is offline for a while continues", async (t) => {
  const proxy = await startProxy(t, new URL(server.url).port);
  const page = await openClient(t, proxy.url);
  await page.context().setOffline(true);
  proxy.cut();
  await page.waitForFunction(() => counts.interrupted === 1);
  const response = page.evaluate(() => ws.sendAsync("echo", "later", 60_000));
  await page.context().setOffline(false);
  assert.equal(await response, "later");
  const { open: opened, close, resumed } = await counts(page);
  assert.deepEqual([opened, close, resumed], [1, 0, 1]);
});

test("a frozen page continues when it thaws", async (t) => {
  const proxy = await startProxy(t, new URL(server.url).port);
  const page = await openClient(t, proxy.url);
  const session = await page.context().newCDPSession(page);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  proxy.cut();
  await session.send("Page.setWebLifecycleState", { state: "active" });
  assert.equal(await page.evaluate(() => ws.sendAsync("echo", "awake", 60_000)), "awake");
  assert.equal((await counts(page)).close, 0);
});

test("a page that is closed ends its connection at once", async (t) => {
  const proxy = await startProxy(t, new URL(server.url).port);
  const [page, other] = [await openClient(t, proxy.url), await openClient(t, proxy.url)];
  // The server keeps a connection that is away for a minute: its members would still count.
  const size = async () => (await other.evaluate(() => ws.sendAsync("room/size", { name: "pages" }))).size;
  await page.evaluate(() => ws.sendAsync("room/join", { name: "pages" }));
  assert.equal(await size(), 1);
  await page.close();
  const deadline = Date.now() + 10_000;
  while ((await size()) > 0) assert.ok(Date.now() < deadline, "the page is still a member");
});

test("the server's page tells in words that its connection was resumed, and what was lost", async (t) => {
  const proxy = await startProxy(t, new URL(server.url).port);
  const page = await open(t, browser, proxy.url);
  await page.getByRole("button", { name: "Listen" }).click();
  await shows(page, "#link", /^Connected as [0-9a-f-]{36}$/);
  const sender = await openClient(t, server.url.replace(/^ws/, "http"));
  const announce = (body, count = 1) =>
    sender.evaluate(async ([body, count]) => {
      for (let sent = 0; sent < count; sent += 1) ws.sendSync("announce", body);
      await ws.sendAsync("ping");
    }, [body, count]);
  await announce("first");
  await shows(page, "#log", /broadcast "first"/);
  // Without a network, until more pushes wait than the server keeps.
  await page.context().setOffline(true);
  proxy.cut();
  await shows(page, "#link", /^Interrupted: /);
  await announce("x".repeat(10_000), 50);
  await page.context().setOffline(false);
  await shows(page, "#link", /^Resumed: /);
  await shows(page, "#log", /Lost: the server has dropped \d+ pushes meanwhile/);
  await page.getByRole("button", { name: "Close" }).click();
  await shows(page, "#link", /^Closed$/);
});
