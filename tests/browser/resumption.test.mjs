// Connections of pages: cut by what is between, offline, frozen, loaded again, duplicated, closed. In each case a call, a stream
// and a room go on or end. Another client is a member of the room, and sees who is there.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import aaw from "../../aaw-js/aaw.js";
import { start } from "../js/server.mjs";
import { launch, open, openFreezable, TIMEOUT } from "./chromium.mjs";
import { startProxy } from "./cutting_proxy.mjs";

/** A window that no test waits for, and one that tests wait for. */
const [LONG, SHORT] = ["10min", "1s"];

const PAGES = fileURLToPath(new URL(".", import.meta.url));

const AFTER_RELOAD = { resumption: { afterReload: true } };

let browser;
/** Servers by their window. */
const servers = {};

before(
  async () => {
    const startWith = (window) => start({ env: { AAW_STATIC: PAGES, AAW_RESUMPTION_WINDOW: window } });
    // One after the other, so that what has started is stopped if another does not start.
    browser = await launch();
    servers[LONG] = await startWith(LONG);
    servers[SHORT] = await startWith(SHORT);
  },
  { timeout: 600_000 },
);

after(async () => {
  await browser?.close();
  for (const server of Object.values(servers)) await server?.stop();
});

/** Of the pages of a server. */
const origin = (window) => servers[window].url.replace("ws:", "http:");

const pageUrl = (url, options) => `${url}/client.html?options=${encodeURIComponent(JSON.stringify(options))}`;

/** Waits until the page's client has emitted this, for the `count`-th time. */
const logged = (page, entry, count = 1) =>
  page.waitForFunction(
    ([entry, count]) => globalThis.log?.filter((seen) => JSON.stringify(seen) === entry).length >= count,
    [JSON.stringify(entry), count],
  );

/** Opens a page with a client. */
const openClient = async (t, url, options = {}, otherBrowser = browser) => {
  const page = await open(t, otherBrowser, pageUrl(url, options));
  await logged(page, "open");
  return page;
};

const log = (page) => page.evaluate(() => globalThis.log);
const connection = (page) => page.evaluate(() => ws.connection);

/** A client of this program, which is in a room, and sees who else is. */
const observe = async (t, room, { url } = servers[LONG]) => {
  const ws = aaw(url, { timeout: TIMEOUT });
  t.after(() => ws.close());
  const left = [];
  const waiting = [];
  ws.on("aaw/left", ({ member }) => {
    left.push(member.id);
    for (const resolve of waiting) resolve();
  });
  await ws.sendAsync("room/join", room);
  return {
    ws,
    /** The other members. */
    members: async () => (await ws.sendAsync("room/members", room)).filter((id) => id !== ws.connection),
    /** Waits until a member has left. */
    hasLeft: async (id) => {
      while (!left.includes(id)) await new Promise((resolve) => waiting.push(resolve));
    },
    /** Waits until a gate has counted as much. */
    counted: (gate, least) => ws.sendAsync("gate/wait", { gate, ...least }),
    release: (gate, many) => ws.sendAsync("gate/release", { gate, many }),
    news: (data) => ws.sendAsync("room/emit", { room, event: "news", data }),
    /** More pushes than are kept for a member that is away: 64 KiB. One by one, as the server may not have noticed yet that it is. */
    muchNews: async () => {
      for (let n = 0; n < MUCH_NEWS; n += 1) await ws.sendAsync("room/emit", { room, event: "news", data: LARGE });
    },
    ask: (data) => ws.sendAsync("room/ask", { room, event: "confirm", data }),
    notes: async () => (await ws.sendAsync("notes")).filter((note) => note.room === room).map(({ text }) => text),
  };
};

const MUCH_NEWS = 200;
const LARGE = "x".repeat(4 << 10);

/** Checks that a page has received much news, or was told how many it has missed. */
const checkGap = (events, others = 0) => {
  const lost = events.reduce((sum, event) => sum + (event.lost ?? 0), 0);
  const received = events.filter(({ news }) => news).length;
  assert.ok(lost > 0 && lost + received === MUCH_NEWS + others, `${lost} lost, ${received} received`);
};

/** Each test has a room of its own, and gates of that name. */
let rooms = 0;
const newRoom = () => `room ${(rooms += 1)}`;

/** The page enters the room, makes a call that waits, and reads a stream that waits after its first item. */
const engage = async (page, room, observer) => {
  await page.evaluate(async (room) => {
    await ws.sendAsync("room/join", room);
    globalThis.call = ws.sendAsync("gate/hold", { gate: `${room} call`, answer: "there" }, Infinity);
    globalThis.items = [];
    globalThis.read = (async () => {
      for await (const item of ws.stream("streams/gated", { gate: `${room} stream`, to: 5 })) items.push(item);
    })();
    call.catch(() => {});
    read.catch(() => {});
  }, room);
  await observer.release(`${room} stream`);
  await page.waitForFunction(() => items.length === 1);
  await observer.counted(`${room} call`, { came: 1 });
};

/** What was begun before the connection broke ends as if it had not. */
const checkContinued = async (page, room, observer, id) => {
  await Promise.all([observer.release(`${room} stream`, 4), observer.release(`${room} call`)]);
  const [response, items] = await page.evaluate(async () => [await call, (await read, items)]);
  assert.deepEqual([response, items], ["there", [1, 2, 3, 4, 5]]);
  assert.equal(await connection(page), id);
  assert.deepEqual(await observer.members(), [id]);
};

// --- The connection breaks -------------------------------------------------------------------------------------------

test("calls and a stream of a page go on although its connections are cut", async (t) => {
  const proxy = await startProxy(t, servers[LONG]);
  // A connection that did not last for `max` is followed by a delay.
  const page = await openClient(t, proxy.url, { backoff: { max: 100 } });
  let isDone = false;
  const result = page
    .evaluate(async () => {
      const items = [];
      const read = (async () => {
        for await (const item of ws.stream("streams/count", { to: 3000 })) items.push(item);
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
  const events = await log(page);
  const count = (event) => events.filter((seen) => seen === event).length;
  assert.deepEqual([count("open"), count("close")], [1, 0]);
  const [interrupted, resumed] = [count("interrupted"), count("resumed")];
  assert.ok(interrupted > 5 && resumed >= interrupted - 1, `${interrupted} interrupted, ${resumed} resumed`);
});

test("a page that is offline for a while continues", async (t) => {
  const [proxy, room] = [await startProxy(t, servers[LONG]), newRoom()];
  const [page, observer] = [await openClient(t, proxy.url), await observe(t, room)];
  const id = await connection(page);
  await engage(page, room, observer);
  await page.context().setOffline(true);
  proxy.cut();
  // An attempt to connect has failed.
  await page.waitForFunction(() => ws.state === "waiting");
  await observer.news("while offline");
  const response = page.evaluate(() => ws.sendAsync("echo", "later", Infinity));
  assert.deepEqual(await observer.members(), [id]);
  await page.context().setOffline(false);
  assert.equal(await response, "later");
  await checkContinued(page, room, observer, id);
  assert.deepEqual(await log(page), ["open", "interrupted", "resumed", { news: "while offline" }]);
});

test("a frozen page continues when it thaws, and is told how many pushes it has missed", async (t) => {
  const [proxy, room] = [await startProxy(t, servers[LONG]), newRoom()];
  const observer = await observe(t, room);
  const page = await openFreezable(t, browser, pageUrl(proxy.url, {}));
  await logged(page, "open");
  const id = await connection(page);
  await engage(page, room, observer);
  await page.freeze();
  proxy.cut();
  await observer.muchNews();
  assert.deepEqual(await observer.members(), [id]);
  assert.deepEqual(await log(page), ["open"], "it has noticed nothing");
  await page.thaw();
  await logged(page, "resumed");
  await checkContinued(page, room, observer, id);
  const events = await log(page);
  checkGap(events);
  assert.ok(!events.includes("close"));
});

// --- The page is loaded again ----------------------------------------------------------------------------------------

test("a page that is loaded again continues, in its room; its streams end, its calls run on", async (t) => {
  const room = newRoom();
  const [page, observer] = [await openClient(t, origin(LONG), AFTER_RELOAD), await observe(t, room)];
  const id = await connection(page);
  await engage(page, room, observer);
  // A client call that the page has not answered.
  const unanswered = observer.ask("wait");
  await page.evaluate((room) => {
    globalThis.goodbye = { room, text: "goodbye" };
    ws.sendSync("note", { room, text: "sent" });
  }, room);
  await page.reload();
  await logged(page, "open, restored");
  assert.equal(await connection(page), id);
  assert.deepEqual(await observer.members(), [id]);
  assert.equal((await observer.counted(`${room} stream`, { over: 1 })).items, 1, "the stream has ended");
  assert.deepEqual((await unanswered)[id], { failed: "no_connection" });
  await observer.release(`${room} call`);
  const { through, dropped } = await observer.counted(`${room} call`, { through: 1 });
  assert.deepEqual([through, dropped], [1, 0], "the call has run to its end");
  assert.equal((await observer.ask("stay?"))[id], "stay?: yes", "the handler is that of the new page");
  assert.deepEqual(await observer.notes(), ["sent", "goodbye"]);
  assert.equal(await page.evaluate(() => ws.sendAsync("echo", "a call of the new page")), "a call of the new page");
  // Any number of times.
  for (let time = 1; time <= 3; time += 1) {
    await page.reload();
    await logged(page, "open, restored");
  }
  assert.deepEqual([await connection(page), await observer.members()], [id, [id]]);
  assert.deepEqual(await log(page), ["open, restored"]);
});

test("pushes wait for the next page, and beyond their limit it is told how many it has missed", async (t) => {
  const [room, url] = [newRoom(), origin(LONG)];
  const [page, observer] = [await openClient(t, url, AFTER_RELOAD), await observe(t, room)];
  const id = await connection(page);
  await page.evaluate((room) => ws.sendAsync("room/join", room), room);
  await page.goto(`${url}/empty.html`);
  await observer.news("while no page is there");
  await observer.muchNews();
  assert.deepEqual(await observer.members(), [id]);
  await page.goto(pageUrl(url, AFTER_RELOAD));
  await logged(page, "open, restored");
  await observer.news("the last");
  await logged(page, { news: "the last" });
  checkGap(await log(page), 2);
});

test("messages that wait while a page is offline are sent by the next page, once", async (t) => {
  const [proxy, room] = [await startProxy(t, servers[LONG]), newRoom()];
  const [page, observer] = [await openClient(t, proxy.url, AFTER_RELOAD), await observe(t, room)];
  const id = await connection(page);
  await page.context().setOffline(true);
  proxy.cut();
  await page.waitForFunction(() => ws.state === "waiting");
  await page.evaluate((room) => {
    for (const text of ["a", "b"]) ws.sendSync("note", { room, text });
  }, room);
  await page.context().setOffline(false);
  await page.reload();
  await logged(page, "open, restored");
  // The server handles it after them.
  await page.evaluate(() => ws.sendAsync("ping"));
  assert.deepEqual([await connection(page), await observer.notes()], [id, ["a", "b"]]);
});

test("without the option, or if the storage is full, a page that is loaded again begins a new connection", async (t) => {
  for (const [options, quota] of [
    [{}, false],
    [AFTER_RELOAD, true],
  ]) {
    const room = newRoom();
    const [page, observer] = [await openClient(t, origin(LONG), options), await observe(t, room)];
    const id = await connection(page);
    await engage(page, room, observer);
    if (quota) {
      await page.evaluate(() => {
        // Halves, until not even a character fits.
        for (let length = 1 << 23; length >= 1; length /= 2) {
          try {
            for (let n = 0; ; n += 1) sessionStorage.setItem(`${length} ${n}`, "x".repeat(length));
          } catch {
            // Full.
          }
        }
      });
    }
    await page.reload();
    await logged(page, "open");
    await observer.hasLeft(id);
    await observer.counted(`${room} stream`, { over: 1 });
    await observer.counted(`${room} call`, { dropped: 1 });
    assert.notEqual(await connection(page), id);
    assert.deepEqual([await observer.members(), await log(page)], [[], ["open"]]);
  }
});

test("a page that comes back from the back/forward cache continues, with its calls and streams", async (t) => {
  // Playwright switches the cache off.
  const cachingBrowser = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  t.after(() => cachingBrowser.close());
  const [room, url] = [newRoom(), origin(LONG)];
  const [page, observer] = [await openClient(undefined, url, AFTER_RELOAD, cachingBrowser), await observe(t, room)];
  const id = await connection(page);
  await engage(page, room, observer);
  await page.goto(`${url}/empty.html`);
  await observer.news("meanwhile");
  await page.goBack({ waitUntil: "commit" });
  await logged(page, "resumed");
  await checkContinued(page, room, observer, id);
  assert.deepEqual(await log(page), ["open", "interrupted", "resumed", { news: "meanwhile" }]);
  // A page that has continued the connection is left in turn: what the first has in its memory is no longer true. (Chromium
  // shows the first before it tells the other that it is left, so it begins a new connection.)
  await page.evaluate(() => void (globalThis.late = ws.sendAsync("gate/hold", { gate: "never" }, Infinity).catch(({ code }) => code)));
  await page.goto(pageUrl(url, { ...AFTER_RELOAD, timeout: 1000 }));
  await logged(page, "open, restored");
  assert.deepEqual([await connection(page), await page.evaluate(() => ws.sendAsync("echo", 1))], [id, 1]);
  await page.goBack({ waitUntil: "commit" });
  await logged(page, "close");
  assert.equal(await page.evaluate(() => late), "outcome_unknown");
  assert.equal(await page.evaluate(() => ws.sendAsync("echo", 2)), 2);
  // The other page comes back, too.
  await page.goForward({ waitUntil: "commit" });
  await logged(page, "resumed");
  assert.deepEqual([await connection(page), await page.evaluate(() => ws.sendAsync("echo", 3))], [id, 3]);
});

// --- Tabs ------------------------------------------------------------------------------------------------------------

/** Opens a tab from a page. As one that is duplicated, it begins with a copy of the `sessionStorage`. */
const duplicate = async (page, url) => {
  const [tab] = await Promise.all([page.waitForEvent("popup"), page.evaluate((url) => void window.open(url), url)]);
  return tab;
};

test("a duplicated tab has a connection of its own, and each continues its own when it is loaded again", async (t) => {
  const [room, url] = [newRoom(), origin(LONG)];
  const [page, observer] = [await openClient(t, url, AFTER_RELOAD), await observe(t, room)];
  const id = await connection(page);
  await page.reload();
  await logged(page, "open, restored");
  await engage(page, room, observer);
  await page.evaluate(() => sessionStorage.setItem("is", "copied"));
  const copy = await duplicate(page, page.url());
  await logged(copy, "open");
  assert.deepEqual(await copy.evaluate(() => Object.entries(sessionStorage)), [["is", "copied"]], "and no state");
  const copyId = await connection(copy);
  assert.notEqual(copyId, id);
  await copy.reload();
  await logged(copy, "open, restored");
  assert.equal(await connection(copy), copyId);
  await checkContinued(page, room, observer, id);
  assert.deepEqual(await log(page), ["open, restored"]);
  await page.reload();
  await logged(page, "open, restored");
  assert.deepEqual([await connection(page), await connection(copy), await observer.members()], [id, copyId, [id]]);
});

test("of two tabs that have a copy of the same state, one continues", async (t) => {
  const [room, url] = [newRoom(), origin(LONG)];
  const [page, observer] = [await openClient(t, url, AFTER_RELOAD), await observe(t, room)];
  const id = await connection(page);
  await page.evaluate((room) => ws.sendAsync("room/join", room), room);
  const clientUrl = page.url();
  await page.goto(`${url}/empty.html`);
  const copy = await duplicate(page, clientUrl);
  await logged(copy, "open, restored");
  assert.equal(await connection(copy), id);
  await page.goto(clientUrl);
  await logged(page, "open");
  assert.notEqual(await connection(page), id);
  assert.equal(await copy.evaluate(() => ws.sendAsync("echo", "still here")), "still here");
  assert.deepEqual([await connection(copy), await log(copy), await observer.members()], [id, ["open, restored"], [id]]);
});

test("a page that is closed ends its connection at once", async (t) => {
  const [proxy, room] = [await startProxy(t, servers[LONG]), newRoom()];
  const [page, observer] = [await openClient(t, proxy.url), await observe(t, room)];
  const id = await connection(page);
  await engage(page, room, observer);
  await page.close();
  // The window of this server is longer than the test.
  await observer.hasLeft(id);
  await observer.counted(`${room} stream`, { over: 1 });
  await observer.counted(`${room} call`, { dropped: 1 });
});

test("a page that may continue after it is loaded again stays for the window when it is closed", async (t) => {
  const [room, url] = [newRoom(), origin(SHORT)];
  const [page, observer] = [await openClient(t, url, AFTER_RELOAD), await observe(t, room, servers[SHORT])];
  const id = await connection(page);
  await engage(page, room, observer);
  const closed = Date.now();
  await page.close();
  await observer.hasLeft(id);
  const time = Date.now() - closed;
  assert.ok(time >= 900, `it has left after ${time} ms`);
  await observer.counted(`${room} stream`, { over: 1 });
  await observer.counted(`${room} call`, { dropped: 1 });
});

test("a page that is loaded again after the window begins a new connection", async (t) => {
  const [room, url] = [newRoom(), origin(SHORT)];
  const [page, observer] = [await openClient(t, url, AFTER_RELOAD), await observe(t, room, servers[SHORT])];
  const id = await connection(page);
  await engage(page, room, observer);
  await page.goto(`${url}/empty.html`);
  await observer.hasLeft(id);
  await page.goto(pageUrl(url, AFTER_RELOAD));
  await logged(page, "open");
  assert.notEqual(await connection(page), id);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});
