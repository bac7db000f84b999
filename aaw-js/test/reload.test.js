// A connection goes on when its page is loaded again: the option `resumption.afterReload`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { readOptions } from "../aaw/options.js";
import { FakePlatform, settle } from "./support/fake_platform.js";
import { FakeServer } from "./support/fake_server.js";

/** @import { Options } from "../aaw/options.js" */
/** @import { UrlSource } from "../aaw/driver.js" */

const AFTER_RELOAD = { resumption: { afterReload: true } };
const ENTRY = "aaw/resumption";

/** A page with a client. @param {FakePlatform} platform @param {Options} [options] @param {UrlSource} [url] */
const load = (platform, options, url) => {
  const ws = platform.client(url, { ...AFTER_RELOAD, ...options });
  /** @type {any[]} */
  const events = [];
  ws.on("open", () => events.push(["open", ws.restored]));
  ws.on("close", ({ code }) => events.push(["close", code]));
  ws.on("error", ({ code }) => events.push(["error", code]));
  for (const event of ["interrupted", "resumed", "gap", "news", "unauthorized"]) {
    ws.on(event, (detail) => events.push([event, detail]));
  }
  return { platform, ws, events };
};

/** A page whose client has an open connection. @param {Options} [options] */
const setUp = (options) => {
  const platform = new FakePlatform();
  const server = new FakeServer(platform);
  const page = load(platform, options);
  const link = server.connect();
  assert.deepEqual(page.events.splice(0), [["open", false]]);
  return { ...page, server, link, state: link.state ?? assert.fail("no state") };
};

/** The page is left: its last socket is closed. @param {FakePlatform} platform */
const leave = (platform) => {
  const { socket } = platform;
  platform.hide();
  return socket.closed;
};

/** The page is loaded again. @param {FakePlatform} previous @param {Options} [options] @param {UrlSource} [url] */
const reload = (previous, options, url) => {
  leave(previous);
  return load(new FakePlatform(previous), options, url);
};

/** What the page has left. @param {FakePlatform} platform */
const entry = ({ storage }) => JSON.parse(storage.entries.get(ENTRY) ?? "null");

/** Replaces what the page has left. @param {FakePlatform} platform @param {unknown} value */
const setEntry = ({ storage }, value) => void storage.entries.set(ENTRY, JSON.stringify(value));

// --- What goes on ----------------------------------------------------------------------------------------------------

test("the next page continues the connection, and the application sees it open", async () => {
  const { platform, server, ws, state } = setUp();
  void ws.sendAsync("a").catch(() => {});
  state.link?.exchange();
  state.send(["news", 1]);
  state.link?.exchange();
  assert.deepEqual(leave(platform), { code: 4002, reason: undefined }, "another code would end the state");
  const next = load(new FakePlatform(platform));
  assert.equal(platform.storage.entries.size, 0, "a tab that is duplicated now must not find it");
  assert.deepEqual([next.ws.readyState, next.ws.connection, next.ws.restored], [0, null, false]);
  const link = server.connect();
  const { key, resume, received, attempt } = link.hello.resumption;
  assert.deepEqual([key, resume, received, attempt], [state.key, true, 1, 1]);
  assert.deepEqual(next.events, [["open", true]]);
  assert.deepEqual([next.ws.readyState, next.ws.connection, server.states.size], [1, "7f", 1]);
  const call = next.ws.sendAsync("b");
  link.exchange();
  assert.deepEqual(state.takeInbox(), [["a", null, 1], ["b", null, 2]], "ids go on");
  state.send(["b", "there", 2]);
  link.exchange();
  assert.equal(await call, "there");
});

test("the connection goes on through any number of pages, also of those that had no time to connect", () => {
  const { platform, server, state } = setUp();
  const second = reload(platform);
  const third = reload(second.platform);
  const link = server.accept();
  link.read();
  const fourth = reload(third.platform);
  const last = server.connect();
  assert.deepEqual([last.hello.resumption.key, last.hello.resumption.attempt], [state.key, 2]);
  assert.deepEqual([second.events, fourth.events], [[["close", 1006]], [["open", true]]]);
});

test("after that, it is interrupted and resumed as any other", () => {
  const { platform, server, state } = setUp();
  const { events } = reload(platform);
  server.connect().cut();
  const link = server.connect();
  assert.deepEqual([link.hello.resumption.key, link.hello.resumption.attempt], [state.key, 2]);
  assert.deepEqual(events.map(([event]) => event), ["open", "interrupted", "resumed"]);
});

test("what the server has not received arrives once, in order", () => {
  const { platform, server, ws, link, state } = setUp();
  for (const event of ["a", "b"]) ws.sendSync(event);
  link.read(1);
  void ws.sendAsync("call").catch(() => {});
  reload(platform).ws.sendSync("of the next page");
  server.connect();
  assert.deepEqual(state.takeInbox(), [["a", null], ["b", null], ["call", null, 1], ["of the next page", null]]);
});

test("one-way sends that wait are left to the next page, and calls that wait are not made", () => {
  const { platform, server, ws, link, state } = setUp();
  link.cut();
  ws.sendSync("queued");
  void ws.sendAsync("waiting").catch(() => {});
  ws.on("listened", () => {});
  ws.sendSync("listened");
  reload(platform);
  server.connect();
  assert.deepEqual(state.takeInbox(), [["queued", null], ["listened", null]]);
});

test("what other listeners send when the page is left is stored, too", () => {
  const { platform, server, ws, state } = setUp();
  platform.onPageChange(() => ws.sendSync("bye"), () => {});
  reload(platform);
  server.connect();
  assert.deepEqual(state.takeInbox(), [["bye", null]]);
});

test("streams and uploads of the page are cancelled, and calls run to their end", () => {
  const { platform, server, ws, link, state } = setUp();
  const [stream, upload] = [ws.stream("count"), ws.duplex("sum")];
  void stream.next().catch(() => {});
  void upload.next().catch(() => {});
  void ws.sendAsync("save").catch(() => {});
  link.exchange();
  state.takeInbox();
  const { events } = reload(platform);
  const next = server.connect();
  assert.deepEqual(state.takeInbox(), [["count", null, 1, "cancel"], ["sum", null, 2, "cancel"]]);
  // What the server sends for the calls of the page before is ignored.
  for (const frame of [["count", 1, 1, "item"], ["sum", 5, 2, "credit"], ["sum", 7, 2], ["save", { error: "No" }, 3, "error"]]) {
    state.send(frame);
  }
  next.exchange();
  assert.deepEqual(events, [["open", true]]);
});

test("a stream that stands for a one-way send ends at its first item, as that of any one-way send", () => {
  const { platform, server, ws, link, state } = setUp();
  ws.on("endless", () => {});
  ws.sendSync("endless");
  link.exchange();
  state.takeInbox();
  reload(platform);
  const next = server.connect();
  assert.deepEqual(state.takeInbox(), []);
  for (const n of [1, 2]) state.send(["endless", n, 1, "item"]);
  next.exchange();
  assert.deepEqual(state.takeInbox(), [["endless", null, 1, "cancel"]]);
});

test("pushes that the server has sent meanwhile arrive, and gaps", () => {
  const { platform, server, state } = setUp();
  leave(platform);
  state.send(["news", 1]);
  state.send(["aaw/gap", { lost: 3 }], 3);
  state.send(["news", 5]);
  const { events } = load(new FakePlatform(platform));
  server.connect();
  assert.deepEqual(events, [["open", true], ["news", 1], ["gap", { lost: 3 }], ["news", 5]]);
});

test("client calls of the page before fail, and those of the next one are handled by its handlers", async () => {
  const { platform, server, ws, link, state } = setUp();
  ws.handle("confirm", () => new Promise(() => {}));
  state.send(["confirm", null, -1]);
  link.exchange();
  const next = reload(platform);
  next.ws.handle("confirm", (n) => n + 1);
  const second = server.connect();
  // It has crossed with the failure.
  state.send(["confirm", null, -1, "cancel"]);
  state.send(["confirm", 7, -2]);
  second.exchange();
  await settle();
  second.exchange();
  const failure = { error: "The page was left", code: "no_connection" };
  assert.deepEqual(state.takeInbox(), [["confirm", failure, -1, "error"], ["confirm", 8, -2]]);
  assert.deepEqual(next.events, [["open", true]]);
});

// --- The session -----------------------------------------------------------------------------------------------------

const ADA = { id: "7", email: "ada@example.org" };

/** A page with a session. @param {Options} [options] */
const logIn = async (options) => {
  const page = setUp(options);
  const login = page.ws.login("ada@example.org", "secret");
  page.link.read();
  page.state.send(["aaw/login", { token: "T", user: ADA }, 1]);
  page.link.exchange();
  await login;
  page.state.takeInbox();
  return page;
};

test("the session goes on; its token is stored, because it is nowhere else", async () => {
  const { platform, server, state } = await logIn();
  leave(platform);
  assert.deepEqual([entry(platform).state.token, entry(platform).state.isTokenStored], ["T", false]);
  const { ws } = load(new FakePlatform(platform));
  const link = server.connect();
  assert.equal(link.hello.resumption.token, "T");
  assert.deepEqual([ws.token, ws.identity, state.takeInbox()], ["T", ADA, []]);
});

test("with the option `storage`, the connection goes on only if its token is still there", async () => {
  const storage = new FakePlatform().storage;
  const { platform, server } = await logIn({ storage });
  leave(platform);
  const { ws } = load(new FakePlatform(platform), { storage });
  assert.equal(server.connect().hello.resumption.token, "T");
  assert.deepEqual([ws.token, ws.identity], ["T", ADA]);
});

for (const other of ["another", null]) {
  test(`if another tab has ${other ? "logged in as another user" : "logged out"}, a new state begins, with what is stored`, async () => {
    const storage = new FakePlatform().storage;
    const { platform, server } = await logIn({ storage });
    leave(platform);
    const [key] = storage.entries.keys();
    if (other) storage.setItem(key, other);
    else storage.removeItem(key);
    const { ws } = load(new FakePlatform(platform), { storage });
    const link = server.connect();
    assert.equal(link.hello.resumption.resume, undefined);
    assert.deepEqual([ws.token, ws.identity, storage.getItem(key)], [other, null, other]);
  });
}

test("a page that asks for another session begins a new state", async () => {
  const { platform, server } = await logIn();
  reload(platform, { token: "another" });
  const link = server.connect();
  assert.deepEqual([link.hello.resumption.resume, link.state?.takeInbox()], [undefined, [["aaw/resume", { token: "another" }, 1]]]);
  assert.equal(platform.storage.entries.size, 0);
  // Also if the connection had no session.
  const anonymous = setUp();
  reload(anonymous.platform, { token: "another" });
  assert.equal(anonymous.server.connect().hello.resumption.resume, undefined);
});

test("a log-in whose response arrives in the next page is that page's", async () => {
  const { platform, server, ws, state } = setUp();
  void ws.login("ada@example.org", "secret").catch(() => {});
  const next = reload(platform);
  const link = server.connect();
  state.send(["aaw/login", { token: "T", user: ADA }, 1]);
  link.exchange();
  assert.deepEqual([next.ws.token, next.ws.identity], ["T", ADA]);
});

test("a page that is left while its session is being resumed leaves nothing", () => {
  const platform = new FakePlatform();
  const server = new FakeServer(platform);
  load(platform, { token: "T" });
  server.connect();
  assert.equal(leave(platform), null, "the browser closes the socket, and with it the state");
  assert.equal(platform.storage.entries.size, 0);
});

test("if the state is gone, the next page begins a new one, with the session", async () => {
  const { platform, server } = await logIn();
  const { ws, events } = reload(platform);
  server.states.clear();
  const link = server.accept().exchange();
  assert.deepEqual(link.state?.takeInbox(), [["aaw/resume", { token: "T" }, 1]]);
  link.state?.send(["aaw/resume", { token: "T", user: ADA }, 1]);
  link.exchange();
  assert.deepEqual([events, ws.restored], [[["open", false]], false]);
});

// --- What is stored --------------------------------------------------------------------------------------------------

test("without the option nothing is stored, and a client that is closed stores nothing", async () => {
  const without = setUp({ resumption: undefined });
  assert.equal(leave(without.platform), null);
  assert.equal(without.platform.storage.entries.size, 0);
  assert.equal(setUp({ resumption: {} }).platform.pageListeners.size, 0);
  const { platform, ws, link } = setUp();
  const closed = ws.close();
  leave(platform);
  assert.deepEqual([platform.storage.entries.size, platform.socket.closed?.code], [0, 1000]);
  link.cut(1000);
  await closed;
  assert.equal(platform.pageListeners.size, 0);
});

test("with a server that does not agree, nothing is stored", () => {
  const platform = new FakePlatform();
  load(platform);
  assert.equal(leave(platform), null, "while it connects");
  platform.socket.welcome();
  assert.equal(leave(platform), null);
  assert.equal(platform.storage.entries.size, 0);
});

test("if the storage is full or forbidden, the connection ends with the page", () => {
  const { platform, server } = setUp();
  platform.storage.error = new Error("QuotaExceededError");
  assert.equal(leave(platform), null, "the browser closes it, and the server ends the state");
  platform.sessionStorage = () => {
    throw new Error("SecurityError");
  };
  assert.equal(leave(platform), null);
  const next = load(new FakePlatform(platform));
  assert.equal(server.connect().hello.resumption.resume, undefined);
  assert.deepEqual(next.events, [["open", false]]);
});

test("an entry that is no state, of another version, or too old, begins a new state", () => {
  const { platform } = setUp();
  leave(platform);
  const good = entry(platform);
  const { state } = good;
  const { resumption } = state;
  const bad = [
    "",
    "{",
    "null",
    "[]",
    "7",
    '"text"',
    "x".repeat(1 << 20),
    ...[
      {},
      { ...good, version: 2 },
      { ...good, version: "1" },
      { ...good, address: 7 },
      { ...good, address: "not a URL" },
      { ...good, until: "later" },
      { ...good, until: platform.wallClock() },
      { ...good, state: null },
      ...[
        { nextId: 0 },
        { nextId: "2" },
        { nextId: 1.5 },
        { lastClientCall: 1 },
        { token: 7 },
        { token: "x".repeat(1025) },
        { isTokenStored: undefined },
        { identity: "ada" },
        { resumption: undefined },
        ...[
          { key: undefined },
          { key: "0".repeat(31) },
          { key: "G".repeat(32) },
          { received: -1 },
          { received: 2 ** 53 },
          { attempts: "1" },
          { acknowledged: null },
          { sent: "text" },
          { sent: { length: 1 } },
          { sent: [["a"]] },
          { window: 0 },
          { window: "60" },
          { log: null },
        ].map((change) => ({ resumption: { ...resumption, ...change } })),
      ].map((change) => ({ ...good, state: { ...state, ...change } })),
    ].map((value) => JSON.stringify(value)),
  ];
  for (const text of bad) {
    const next = new FakePlatform(platform);
    next.storage.entries.set(ENTRY, text);
    load(next);
    const server = new FakeServer(next);
    assert.equal(server.connect().hello.resumption.resume, undefined, text.slice(0, 300));
    assert.equal(next.storage.entries.size, 0, "it is deleted in any case");
  }
  // The entry that these were made from is a good one.
  const next = new FakePlatform(platform);
  setEntry(next, good);
  load(next);
  next.socket.accept("aaw.v1");
  assert.match(next.socket.sent[0], /"resume":true/);
});

/** No attempt to connect succeeds for this time. @param {ReturnType<typeof load>} page @param {number} time */
const failAttempts = ({ platform, ws }, time) => {
  const until = platform.now() + time;
  while (platform.now() < until || ws.state !== "connecting") {
    if (ws.state === "connecting") platform.socket.fail();
    platform.advance(100);
  }
};

for (const [time, continues] of /** @type {[number, boolean][]} */ ([[25_000, true], [31_000, false]])) {
  test(`a page that connects ${time + 30_000} ms after the page before was left ${continues ? "continues" : "does not continue"}`, () => {
    const { platform, server } = setUp();
    leave(platform);
    platform.advance(30_000);
    const next = load(new FakePlatform(platform));
    failAttempts(next, time);
    assert.equal(server.connect().hello.resumption.resume, continues || undefined);
    assert.deepEqual(next.events.pop(), ["open", continues]);
    // As in a page that never had a connection: each failed attempt is an error and a close.
    const attempts = next.events.map(([event]) => event);
    assert.deepEqual(attempts, attempts.map((_, n) => (n % 2 ? "close" : "error")));
  });
}

test("if the clock was set back meanwhile, the window is no longer than it is", () => {
  const { platform, server } = setUp();
  leave(platform);
  const next = new FakePlatform(platform);
  next.wallClock = () => 0;
  failAttempts(load(next), 61_000);
  assert.equal(server.connect().hello.resumption.resume, undefined);
});

// --- Which client continues ------------------------------------------------------------------------------------------

test("only a client of the same server continues, whatever the query of its URL", async () => {
  for (const [url, continues] of /** @type {[string, boolean][]} */ ([
    ["ws://server.test/", true],
    ["http://server.test/?attempt=2", true],
    ["ws://another.test", false],
    ["wss://server.test", false],
    ["ws://server.test:81", false],
    ["ws://server.test/path", false],
  ])) {
    for (const source of [url, async () => url]) {
      const { platform, server } = setUp();
      reload(platform, {}, source);
      await settle();
      assert.equal(server.connect().hello.resumption.resume, continues || undefined, url);
      assert.equal(platform.storage.entries.size, 0);
    }
  }
});

test("a page that is left before its URL is known leaves the connection of the page before", async () => {
  const { platform, server, state } = setUp();
  const next = reload(platform, {}, () => new Promise(() => {}));
  await settle();
  reload(next.platform);
  assert.equal(server.connect().hello.resumption.key, state.key);
});

test("the first client with a key continues, and another one needs another key", () => {
  const platform = new FakePlatform();
  const server = new FakeServer(platform);
  const keys = [];
  for (const storageKey of ["a", "a", "b"]) {
    load(platform, { resumption: { afterReload: true, storageKey } });
    keys.push(server.connect().state?.key);
  }
  platform.hide();
  const [first, second, third] = platform.sockets;
  assert.deepEqual([first.closed?.code, second.closed, third.closed?.code], [4002, null, 4002], "the state of the second ends");
  const next = new FakePlatform(platform);
  const resumed = ["b", "a"].map((storageKey) => {
    load(next, { resumption: { afterReload: true, storageKey } });
    return server.connect().hello.resumption.key;
  });
  assert.deepEqual(resumed, [keys[2], keys[0]]);
});

test("a client that is closed before it has a connection leaves it to the next client of the page", async () => {
  const { platform, server, state } = setUp();
  const next = reload(platform);
  void next.ws.close();
  const second = load(next.platform);
  assert.equal(server.connect().hello.resumption.key, state.key);
  assert.deepEqual(second.events, [["open", true]]);
});

// --- The back/forward cache ------------------------------------------------------------------------------------------

test("a page that comes back as it was continues, with its calls and streams", async () => {
  const { platform, server, ws, link, state, events } = setUp();
  const call = ws.sendAsync("slow", null, Infinity);
  const stream = ws.stream("count");
  link.exchange();
  leave(platform);
  assert.deepEqual([ws.state, ws.readyState, events.splice(0)], ["waiting", 1, [["interrupted", { reason: "the page was left" }]]]);
  platform.advance(30_000);
  assert.equal(platform.sockets.length, 1, "it does not connect meanwhile");
  platform.show();
  assert.equal(platform.storage.entries.size, 0);
  const next = server.connect();
  assert.deepEqual(state.takeInbox(), [["slow", null, 1], ["count", null, 2, "call", { credit: 64 }]], "nothing is cancelled");
  state.send(["count", 1, 2, "item"]);
  state.send(["slow", "there", 1]);
  next.exchange();
  assert.deepEqual([await call, (await stream.next()).value], ["there", 1]);
  assert.deepEqual(events, [["resumed", null]]);
});

test("a page that comes back after the window has passed begins a new state", async () => {
  const { platform, server, ws, link, events } = setUp();
  const call = ws.sendAsync("slow", null, Infinity);
  link.exchange();
  leave(platform);
  platform.advance(60_000);
  platform.show();
  platform.advance(0);
  await assert.rejects(call, { code: "outcome_unknown" });
  assert.equal(server.connect().hello.resumption.resume, undefined);
  assert.deepEqual(events.slice(1), [["close", 1006], ["open", false]]);
});

test("a page that comes back when another one has continued its connection does not use its key", async () => {
  const { platform, server, ws, link, state, events } = setUp();
  const call = ws.sendAsync("slow", null, Infinity);
  link.exchange();
  const second = reload(platform);
  server.connect();
  // The second page is still there, in another tab for example.
  platform.show();
  await assert.rejects(call, { code: "outcome_unknown" });
  const link2 = server.connect();
  assert.notEqual(link2.state?.key, state.key);
  assert.deepEqual(events.slice(1), [["close", 1006], ["open", false]]);
  assert.deepEqual(second.events, [["open", true]]);
});

test("a page that comes back continues what the page that it had left its connection to has left in turn", async () => {
  const { platform, server, ws, link, state, events } = setUp();
  const call = ws.sendAsync("slow", null, Infinity);
  link.exchange();
  const second = reload(platform);
  server.connect();
  second.ws.sendSync("of the second page");
  leave(second.platform);
  platform.show();
  await assert.rejects(call, { code: "outcome_unknown" }, "it belongs to the counts of another page");
  const { key, attempt } = server.connect().hello.resumption;
  assert.deepEqual([key, attempt], [state.key, 2]);
  assert.deepEqual(state.takeInbox(), [["slow", null, 1], ["of the second page", null]]);
  assert.deepEqual(events.slice(1), [["close", 1006], ["open", true]]);
});

test("the same if the page that comes back had no time to connect", () => {
  const { platform, server, state } = setUp();
  const second = reload(platform);
  const third = reload(second.platform);
  server.connect();
  leave(third.platform);
  second.platform.show();
  const { key, attempt } = server.connect().hello.resumption;
  assert.deepEqual([key, attempt], [state.key, 2]);
  assert.deepEqual(second.events.slice(1), [["open", true]]);
});

test("a page that was told that it is left, and stays, continues when anything shows that it is there", () => {
  const { platform, server, state } = setUp();
  leave(platform);
  platform.wake();
  assert.equal(server.connect().hello.resumption.key, state.key);
});

// --- The options -----------------------------------------------------------------------------------------------------

test("the option is checked", () => {
  const read = (/** @type {any} */ resumption) => {
    const { connection, reloadKey } = readOptions({ resumption });
    return [connection.resumption, reloadKey];
  };
  assert.deepEqual(read(false), [false, null]);
  for (const value of [undefined, null, true, {}]) assert.deepEqual(read(value), [true, null]);
  assert.deepEqual(read({ afterReload: true }), [true, ENTRY]);
  assert.deepEqual(read({ afterReload: true, storageKey: "mine" }), [true, "mine"]);
  assert.deepEqual(read({ afterReload: null, storageKey: "mine" }), [true, null]);
  for (const value of [0, 1, "", "true", [], () => {}]) {
    assert.throws(() => read(value), /^TypeError: aaw: the option `resumption` must be true, false or an object, got /);
  }
  assert.throws(() => read({ afterReload: "yes" }), /the option `resumption.afterReload` must be true or false/);
  assert.throws(() => read({ storageKey: 7 }), /the option `resumption.storageKey` must be a string/);
});
