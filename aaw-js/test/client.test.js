// The client over sockets that go nowhere, with a clock that is moved by hand.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { CallError } from "../aaw/failure.js";
import { FakeWorld, settle } from "./support/world.js";

/** @param {Promise<unknown>} promise @returns {Promise<CallError>} */
const failure = async (promise) => {
  const error = await promise.then(
    () => assert.fail("it did not fail"),
    (error) => error,
  );
  assert.ok(error instanceof CallError, error);
  return error;
};

/**
 * What listeners to these events heard, as it comes.
 *
 * @param {import("../aaw/client.js").Client} ws
 * @param {string[]} events
 */
const heard = (ws, ...events) => {
  /** @type {unknown[]} */
  const log = [];
  for (const event of events) ws.on(event, (detail) => log.push([event, detail]));
  return log;
};

// --- Calls -----------------------------------------------------------------------------------------------------------

test("a call is answered under its id, whatever the order", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const [a, b] = [ws.sendAsync("slow", "a"), ws.sendAsync("slow", "b")];
  assert.deepEqual(world.socket.take(), [
    ["slow", "a", 1],
    ["slow", "b", 2],
  ]);
  world.socket.say(["slow", "b", 2]);
  world.socket.say(["slow", "a", 1]);
  assert.deepEqual(await Promise.all([a, b]), ["a", "b"]);
});

test("the greeting goes first, offers carry a key of this connection alone", () => {
  const world = new FakeWorld();
  const ws = world.client();
  const [key, dialect] = world.socket.protocols;
  assert.match(key, /^_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(dialect, "aaw.v1");
  assert.equal(ws.sid, key);
  ws.sendSync("early", 1);
  world.socket.accept("aaw.v1");
  assert.deepEqual(world.socket.sent, ['["aaw/hello",{}]', '["early",1]']);
  world.socket.end(1006);
  world.pass(10_000);
  assert.notEqual(world.socket.protocols[0], key);
});

test("a failed call rejects with an error that carries error, code and data", async () => {
  const world = new FakeWorld();
  const call = world.open().sendAsync("explode");
  world.socket.say(["explode", { error: "No", code: "handler", data: { why: 1 } }, 1, "error"]);
  const error = await failure(call);
  assert.ok(error instanceof Error);
  assert.equal(error.message, "No");
  assert.deepEqual({ ...error }, { error: "No", code: "handler", data: { why: 1 } });
  assert.equal(error.sent, true);
});

test("a call times out after 3 s unless it says otherwise, and a server of ours is told", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const [usual, short, long] = [
    ws.sendAsync("a"),
    ws.sendAsync("b", null, 500),
    ws.sendAsync("c", 1, { timeout: 9000 }),
  ];
  const endless = ws.sendAsync("d", 1, Infinity);
  world.socket.take();
  world.pass(500);
  assert.equal((await failure(short)).code, "timeout");
  assert.deepEqual(world.socket.take(), [["b", null, 2, "cancel"]]);
  world.pass(2499);
  assert.deepEqual(world.socket.take(), []);
  world.pass(1);
  const { error, sent } = await failure(usual);
  assert.equal(error, "WebSocket error (client): request timed out");
  assert.equal(sent, true);
  world.pass(6000);
  assert.equal((await failure(long)).code, "timeout");
  // An answer that crossed with the cancel is for nobody.
  world.socket.say(["a", "late", 1]);
  world.socket.say(["d", "there", 4]);
  assert.equal(await endless, "there");
});

test("a signal gives a call up", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const controller = new AbortController();
  const call = ws.sendAsync("slow", null, { signal: controller.signal });
  world.socket.take();
  controller.abort();
  const error = await failure(call);
  assert.deepEqual([error.code, error.name, error.sent], ["cancelled", "AbortError", true]);
  assert.equal(error.cause, controller.signal.reason);
  assert.deepEqual(world.socket.take(), [["slow", null, 1, "cancel"]]);
  const long = new AbortController().signal;
  const answered = ws.sendAsync("ping", null, { signal: long });
  world.socket.say(["ping", 1, 2]);
  await answered;
  assert.deepEqual(getEventListeners(long, "abort"), [], "what is over does not hang on its signal");
  world.socket.take();
  const early = await failure(ws.sendAsync("slow", null, { signal: controller.signal }));
  assert.deepEqual([early.code, early.sent], ["cancelled", false]);
  assert.deepEqual(world.socket.take(), []);
});

test("what cannot be JSON, has no name or is too large is not sent, and says so", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  /** @type {{ self?: unknown }} */
  const cycle = {};
  cycle.self = cycle;
  assert.equal((await failure(ws.sendAsync("e", cycle))).code, "bad_body");
  assert.equal((await failure(ws.sendAsync("e", 1n))).code, "bad_body");
  assert.equal((await failure(ws.sendAsync(/** @type {any} */ (undefined)))).code, "bad_frame");
  assert.equal((await failure(ws.sendAsync("aaw/hello"))).code, "bad_frame");
  assert.equal((await failure(ws.sendAsync("e", "x".repeat(1 << 20)))).code, "too_large");
  assert.throws(() => ws.sendSync("e", "ü".repeat(1 << 19)), { code: "too_large" });
  assert.deepEqual(world.socket.take(), []);
  void ws.sendAsync("e");
  assert.deepEqual(world.socket.take(), [["e", null, 1]]);
});

test("no more calls are in flight than the welcome allows, and order is kept", async () => {
  const world = new FakeWorld();
  const ws = world.client();
  world.socket.greet({ calls: 2, message: 1000 });
  world.socket.take();
  const calls = ["a", "b", "c"].map((event) => ws.sendAsync(event));
  ws.sendSync("behind");
  assert.deepEqual(world.socket.take(), [
    ["a", null, 1],
    ["b", null, 2],
  ]);
  world.socket.say(["b", 0, 2]);
  assert.deepEqual(world.socket.take(), [
    ["c", null, 3],
    ["behind", null],
  ]);
  world.socket.say(["a", 1, 1]);
  world.socket.say(["c", 2, 3]);
  assert.deepEqual(await Promise.all(calls), [1, 0, 2]);
});

test("what waited and is larger than the welcome allows fails alone, and leaves the line as it should be", async () => {
  const world = new FakeWorld();
  const ws = world.client(undefined, { maxWaitingCalls: 4 << 20, maxWaitingSends: 4 << 20 });
  const log = heard(ws, "error");
  const small = ws.sendAsync("a");
  const large = failure(ws.sendAsync("b", "x".repeat(3 << 19)));
  ws.sendSync("c", "x".repeat(3 << 19));
  ws.sendSync("d");
  const last = ws.sendAsync("e");
  world.socket.greet();
  assert.deepEqual(
    world.socket.take().map((/** @type {any} */ [event]) => event),
    ["a", "d", "e"],
  );
  assert.equal((await large).code, "too_large");
  assert.equal(/** @type {any} */ (log)[0][1].code, "too_large");
  world.socket.say(["a", 1, 1]);
  world.socket.say(["e", 2, 2]);
  assert.deepEqual(await Promise.all([small, last]), [1, 2]);
  // As much may wait as before.
  world.socket.end(1006);
  void failure(ws.sendAsync("f", "x".repeat(5 << 19)));
  assert.equal((await failure(ws.sendAsync("g", "x".repeat(5 << 19)))).code, "busy");
  void ws.close();
});

test("a full socket holds back what is to be sent", () => {
  const world = new FakeWorld();
  const ws = world.open();
  world.socket.bufferedAmount = 1 << 20;
  ws.sendSync("a");
  world.pass(1000);
  assert.deepEqual(world.socket.take(), []);
  world.socket.bufferedAmount = 0;
  world.pass(20);
  assert.deepEqual(world.socket.take(), [["a", null]]);
});

// --- Connections -----------------------------------------------------------------------------------------------------

test("while there is no connection calls and sends wait, within bounds", async () => {
  const world = new FakeWorld();
  const ws = world.client(undefined, { maxWaitingSends: 1000, maxWaitingCalls: 1000 });
  const call = ws.sendAsync("a", "x".repeat(700), Infinity);
  const refused = await failure(ws.sendAsync("b", "x".repeat(700)));
  assert.deepEqual([refused.code, refused.sent], ["busy", false]);
  ws.sendSync("c", "x".repeat(700));
  assert.throws(() => ws.sendSync("d", "x".repeat(700)), { code: "busy" });
  const impatient = failure(ws.sendAsync("e", null, 100));
  world.pass(100);
  assert.deepEqual([(await impatient).code, (await impatient).sent], ["timeout", false]);
  world.socket.fail();
  world.pass(10_000);
  world.socket.greet();
  assert.deepEqual(
    world.socket.take().map((/** @type {any} */ [event]) => event),
    ["a", "c"],
  );
  world.socket.say(["a", "there", 1]);
  assert.equal(await call, "there");
});

test("a lost connection: written calls are unknown, it connects again, listeners stay", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const log = heard(ws, "aaw/state", "news");
  const call = ws.sendAsync("slow");
  world.socket.end(1001, "stopping");
  const error = await failure(call);
  assert.deepEqual([error.code, error.sent], ["outcome_unknown", true]);
  assert.match(error.error, /1001.*stopping/);
  assert.equal(ws.state, "waiting");
  const later = ws.sendAsync("later");
  world.pass(50);
  assert.equal(world.sockets.length, 2);
  world.socket.greet();
  assert.deepEqual(world.socket.take(), [["later", null, 1]]);
  world.socket.say(["later", 7, 1]);
  world.socket.say(["news", 1]);
  assert.equal(await later, 7);
  assert.deepEqual(log, [
    ["aaw/state", "waiting"],
    ["aaw/state", "connecting"],
    ["aaw/state", "open"],
    ["news", 1],
  ]);
});

test("open, close and error pass what the original's passed; attempts that fail are heard", () => {
  const world = new FakeWorld();
  const ws = world.client();
  /** @type {unknown[]} */
  const log = [];
  ws.on("open", (/** @type {Event} */ event) => log.push(event.type));
  ws.on("error", (/** @type {Event} */ event) => log.push(event.type));
  ws.on("close", (/** @type {CloseEvent} */ { type, code, reason, wasClean }) =>
    log.push([type, code, reason, wasClean]),
  );
  world.socket.fail();
  world.pass(50);
  world.socket.greet();
  world.socket.end(1001, "stopping");
  assert.deepEqual(log, ["error", ["close", 1006, "", false], "open", ["close", 1001, "stopping", true]]);
});

test("waits grow with each failure up to a bound, with chance in them, and begin anew after a long connection", () => {
  const world = new FakeWorld();
  world.client();
  /** @type {number[]} */
  const waits = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    const before = world.now();
    world.socket.fail();
    const { length } = world.sockets;
    while (world.sockets.length === length) world.pass(1);
    waits.push(world.now() - before);
  }
  assert.deepEqual(waits, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  world.socket.greet();
  world.pass(10_000);
  world.socket.end(1006);
  const { length } = world.sockets;
  world.pass(50);
  assert.equal(world.sockets.length, length + 1);
});

test("an attempt that hangs is given up", () => {
  const world = new FakeWorld();
  const ws = world.client();
  const log = heard(ws, "error", "close");
  world.pass(10_000);
  assert.ok(world.sockets[0].closed);
  assert.deepEqual(
    log.map((/** @type {any} */ [event, { code }]) => [event, code]),
    [
      ["error", "no_connection"],
      ["close", 1006],
    ],
  );
  assert.equal(ws.state, "waiting");
  // What it has to say later is not heard.
  world.sockets[0].greet();
  assert.equal(ws.state, "waiting");
});

test("waking up ends the wait, and doubts an open connection", () => {
  const world = new FakeWorld();
  const ws = world.client();
  for (let attempt = 0; attempt < 6; attempt += 1) {
    world.socket.fail();
    world.pass(5000);
  }
  world.socket.fail();
  const { length } = world.sockets;
  world.wake();
  assert.equal(world.sockets.length, length + 1);
  world.socket.greet();
  world.socket.take();
  world.wake();
  assert.deepEqual(world.socket.take(), [["aaw/ping"]]);
  world.pass(4999);
  assert.equal(ws.state, "open");
  world.pass(1);
  assert.equal(ws.state, "waiting");
  // The waits had begun anew.
  const before = world.now();
  while (world.sockets.length === length + 1) world.pass(1);
  assert.equal(world.now() - before, 50);
});

test("a silent connection is asked, then given up", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const log = heard(ws, "close");
  const call = ws.sendAsync("slow", null, Infinity);
  world.socket.take();
  world.pass(19_999);
  assert.deepEqual(world.socket.take(), []);
  world.pass(1);
  assert.deepEqual(world.socket.take(), [["aaw/ping"]]);
  world.socket.say(["aaw/pong", null]);
  world.pass(20_000);
  assert.deepEqual(world.socket.take(), [["aaw/ping"]]);
  world.pass(20_000);
  assert.equal((await failure(call)).code, "outcome_unknown");
  assert.ok(world.sockets[0].closed);
  assert.equal(/** @type {any} */ (log)[0][1].code, 1006);
});

test("the URL may be a function, asked before each attempt", async () => {
  const world = new FakeWorld();
  let asked = 0;
  const ws = world.client(async () => {
    asked += 1;
    if (asked === 2) throw new Error("no token");
    return `ws://server.test/?token=${asked}`;
  });
  const log = heard(ws, "error");
  await settle();
  assert.equal(world.socket.url, "ws://server.test/?token=1");
  world.socket.fail();
  world.pass(5000);
  await settle();
  assert.equal(world.sockets.length, 1);
  assert.match(/** @type {any} */ (log).at(-1)[1].error, /no token/);
  world.pass(5000);
  await settle();
  assert.equal(world.socket.url, "ws://server.test/?token=3");
  await Promise.all([ws.close(), settle()]);
});

test("a URL that is none throws at once", () => {
  const world = new FakeWorld();
  assert.throws(() => world.client("ftp://server.test"), TypeError);
  assert.throws(() => world.client("nothing"), TypeError);
  assert.equal(world.client(new URL("http://server.test/a#b")).state, "connecting");
  assert.equal(world.socket.url, "ws://server.test/a");
});

test("a refused connection is an error with the reason; its calls were not run; it backs off", async () => {
  const world = new FakeWorld();
  const ws = world.client();
  const log = heard(ws, "error", "open");
  const call = ws.sendAsync("ping");
  world.socket.accept("aaw.v1");
  world.socket.say(["aaw/error", { error: "Not today", code: "not_allowed" }]);
  world.socket.end(1008, "Not today");
  const error = await failure(call);
  assert.deepEqual({ ...error }, { error: "Not today", code: "not_allowed" });
  assert.equal(error.sent, false);
  assert.deepEqual(
    /** @type {any[]} */ (log).map(([event, { code }]) => [event, code]),
    [["error", "not_allowed"]],
  );
  assert.equal(ws.state, "waiting");
  world.pass(50);
  world.socket.accept("_classic");
  world.socket.end(1008, "Still not");
  assert.equal(/** @type {any} */ (log).at(-1)[1].error, "Still not");
});

test("close sends what waits, ends what is open, and stays", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const log = heard(ws, "aaw/state");
  const call = ws.sendAsync("slow");
  ws.sendSync("last");
  ws.on("heard", () => {});
  world.socket.bufferedAmount = 1 << 20;
  ws.sendSync("heard");
  const closed = ws.close();
  assert.deepEqual(world.socket.take(), [
    ["slow", null, 1],
    ["last", null],
    ["heard", null],
  ]);
  assert.equal(world.socket.closed?.code, 1000);
  assert.equal((await failure(call)).code, "outcome_unknown");
  assert.equal((await failure(ws.sendAsync("ping"))).code, "no_connection");
  assert.throws(() => ws.sendSync("ping"), { code: "no_connection" });
  world.socket.end(1000);
  await closed;
  await ws.close();
  assert.equal(ws.state, "closed");
  assert.deepEqual(log, [["aaw/state", "closed"]]);
  world.pass(60_000);
  world.wake();
  assert.equal(world.sockets.length, 1);
  assert.equal(world.timers.size, 0);
  assert.equal(world.wakers.size, 0);
});

test("close does not wait for a server that is silent, nor for a connection", async () => {
  const world = new FakeWorld();
  const silent = world.open();
  const closed = silent.close();
  world.pass(2000);
  await closed;
  const connecting = world.client();
  const call = connecting.sendAsync("ping");
  await Promise.all([connecting.close(), failure(call)]);
  assert.ok(world.socket.closed);
  assert.equal(world.timers.size, 0);
});

test("a quiet connection does not keep Node alive, an open call does", () => {
  const world = new FakeWorld();
  const ws = world.open();
  const isKept = () => [...world.timers].some(({ isRef }) => isRef);
  assert.equal(isKept(), false);
  void ws.sendAsync("ping");
  assert.equal(isKept(), true);
  world.socket.say(["ping", 1, 1]);
  assert.equal(isKept(), false);
});

// --- Listeners -------------------------------------------------------------------------------------------------------

test("bad frames are reported, and the connection goes on", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const log = heard(ws, "error");
  const bad = [
    "nonsense",
    "{}",
    "[]",
    "[7]",
    '["a",1,2,3]',
    '["a",1,"x"]',
    '["a",1,0]',
    '["a",1,1.5]',
    '["a",1,9]',
    '["a",1,1,"maybe"]',
    '["a",1,null,"item"]',
    '["a",1,1,"item"]',
    '["a",1,1,"end"]',
    '["a",-1,1,"credit"]',
    '["a",1,1,"credit"]',
    '["a",1,1,"error",{},7]',
    '["aaw/welcome",7]',
  ];
  const call = ws.sendAsync("a");
  for (const text of bad) world.socket.hear(text);
  world.socket.hear(new ArrayBuffer(1));
  assert.equal(log.length, bad.length + 1);
  for (const [, error] of /** @type {any} */ (log)) assert.equal(error.code, "bad_frame");
  world.socket.say(["aaw/tomorrow", { unknown: true }]);
  world.socket.say(["a", "fine", 1]);
  assert.equal(await call, "fine");
  // The server calls: nothing can be asked of this client.
  world.socket.take();
  world.socket.say(["ask", null, -1]);
  assert.deepEqual(world.socket.take(), [["ask", { error: "Unknown event: ask", code: "unknown_event" }, -1, "error"]]);
});

test("what a server cannot take of a send is an error event", () => {
  const world = new FakeWorld();
  const log = heard(world.open(), "error");
  world.socket.say(["aaw/error", { error: "Unknown event: nope", code: "unknown_event", event: "nope" }]);
  assert.deepEqual(
    /** @type {any[]} */ (log).map(([, { error, code }]) => [error, code]),
    [["Unknown event: nope", "unknown_event"]],
  );
});

test("a listener that throws is reported and breaks nothing", async (t) => {
  const reported = t.mock.fn();
  const { reportError } = globalThis;
  globalThis.reportError = reported;
  t.after(() => (globalThis.reportError = reportError));
  const world = new FakeWorld();
  const ws = world.open();
  ws.on("news", () => {
    throw new Error("at once");
  });
  ws.on("news", async () => {
    throw new Error("later");
  });
  const log = heard(ws, "news");
  world.socket.say(["news", 1]);
  world.socket.say(["news", 2]);
  await settle();
  assert.deepEqual(log, [
    ["news", 1],
    ["news", 2],
  ]);
  assert.equal(reported.mock.callCount(), 4);
});

test("a listener may call, listen and stop listening", () => {
  const world = new FakeWorld();
  const ws = world.open();
  /** @type {string[]} */
  const log = [];
  const once = () => {
    log.push("once");
    ws.off("news", once);
    ws.on("news", () => log.push("added"));
    ws.sendSync("heard");
  };
  ws.on("news", once);
  world.socket.say(["news", 1]);
  world.socket.say(["news", 2]);
  assert.deepEqual(log, ["once", "added"]);
  assert.deepEqual(world.socket.take(), [["heard", null]]);
});

// --- As the original does --------------------------------------------------------------------------------------------

test("methods need no this", async () => {
  const world = new FakeWorld();
  const { sendAsync, sendSync, on, off } = world.open();
  sendSync.bind(undefined, "a", 1)();
  const call = sendAsync("b");
  const listener = () => {};
  on("c", listener);
  off("c");
  world.socket.say(["b", 2, 1]);
  assert.equal(await call, 2);
});

test("off without a callback removes what was added last", () => {
  const world = new FakeWorld();
  const ws = world.open();
  /** @type {string[]} */
  const log = [];
  ws.on("news", () => log.push("first"));
  ws.on("news", () => log.push("second"));
  ws.off("news");
  ws.off("other");
  world.socket.say(["news", 1]);
  assert.deepEqual(log, ["first"]);
});

test("listeners hear answers of their event, and those of sendSync, item by item", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const log = heard(ws, "users/get");
  const calls = [ws.sendAsync("users/get"), failure(ws.sendAsync("users/get"))];
  world.socket.say(["users/get", { id: 1 }, 1]);
  world.socket.say(["users/get", { error: "No", code: "handler" }, 2, "error"]);
  await Promise.all(calls);
  world.socket.take();
  ws.sendSync("users/get", 2);
  ws.sendSync("unheard");
  assert.deepEqual(world.socket.take(), [
    ["users/get", 2, 3, "call", { credit: Number.MAX_SAFE_INTEGER }],
    ["unheard", null],
  ]);
  world.socket.say(["users/get", { id: 2 }, 3, "item"]);
  world.socket.say(["users/get", null, 3, "end"]);
  assert.deepEqual(log, [
    ["users/get", { id: 1 }],
    ["users/get", { error: "No", code: "handler" }],
    ["users/get", { id: 2 }],
  ]);
});

test("a send whose event is listened to is bounded as any, and no call on a classic server", async () => {
  const world = new FakeWorld();
  const ws = world.client(undefined, { maxInFlight: 2, maxWaitingCalls: 1000 });
  const log = heard(ws, "chat");
  ws.sendSync("chat", "x".repeat(700));
  assert.throws(() => ws.sendSync("chat", "x".repeat(700)), { code: "busy" });
  world.socket.accept("");
  for (const n of [1, 2, 3]) ws.sendSync("chat", n);
  assert.deepEqual(world.socket.take().slice(1), [
    ["chat", 1],
    ["chat", 2],
    ["chat", 3],
  ]);
  world.socket.say(["chat", "hi"]);
  assert.deepEqual(log, [["chat", "hi"]]);
  // They take no place that calls could have.
  const calls = [ws.sendAsync("get"), ws.sendAsync("get")];
  world.socket.say(["get", 1]);
  world.socket.say(["get", 2]);
  assert.deepEqual(await Promise.all(calls), [1, 2]);
  await Promise.all([ws.close(), world.pass(2000)]);
  assert.throws(() => ws.sendSync("chat"), { code: "no_connection" });
});

test("reconnectInterval is the ceiling of all waits", () => {
  const world = new FakeWorld();
  world.client(undefined, { reconnectInterval: 400 });
  for (const attempt of [1, 2, 3, 4]) {
    world.socket.fail();
    world.pass(199);
    assert.equal(world.sockets.length, attempt);
    world.pass(1);
    assert.equal(world.sockets.length, attempt + 1);
  }
});

test("classic: an answer without an id belongs to the oldest call of its event", async () => {
  const world = new FakeWorld();
  const ws = world.client();
  world.socket.accept(world.socket.protocols[0]);
  const log = heard(ws, "other", "error");
  const [a, b, late] = [ws.sendAsync("get", "a"), ws.sendAsync("get", "b"), failure(ws.sendAsync("late", 1, 100))];
  assert.deepEqual(world.socket.take(), [
    ["get", "a", 1],
    ["get", "b", 2],
    ["late", 1, 3],
  ]);
  world.socket.say(["get", "A"]);
  world.socket.say(["other", 1]);
  world.socket.say(["get", { error: { code: 7 }, more: 1 }]);
  assert.equal(await a, "A");
  assert.deepEqual((await failure(b)).error, { code: 7 });
  world.pass(100);
  assert.equal((await late).code, "timeout");
  // No cancel, and no ping: it would take them for calls.
  world.pass(60_000);
  assert.deepEqual(world.socket.take(), []);
  assert.deepEqual(log, [["other", 1]]);
});

test("classic: the late answer of a call that was given up is not taken for the next one's", async () => {
  const world = new FakeWorld();
  const ws = world.client();
  world.socket.accept("");
  const late = failure(ws.sendAsync("get", "a", 100));
  world.pass(100);
  await late;
  const next = ws.sendAsync("get", "b");
  world.socket.say(["get", "A"]);
  world.socket.say(["get", "B"]);
  assert.equal(await next, "B");
  // But not for ever: some events never answer.
  const never = failure(ws.sendAsync("get", "c", 100));
  world.pass(100);
  await never;
  world.pass(100);
  const last = ws.sendAsync("get", "d");
  world.socket.say(["get", "D"]);
  assert.equal(await last, "D");
});

test("classic with ids: what has none is a push", async () => {
  const world = new FakeWorld();
  const ws = world.client();
  world.socket.accept("");
  const log = heard(ws, "get");
  const [a, b] = [ws.sendAsync("get"), ws.sendAsync("get")];
  world.socket.say(["get", "A", 1]);
  world.socket.say(["get", "push"]);
  world.socket.say(["get", "B", 2]);
  const c = ws.sendAsync("get");
  world.socket.say(["get", "push"]);
  world.socket.say(["get", "C", 3]);
  assert.deepEqual(await Promise.all([a, b, c]), ["A", "B", "C"]);
  assert.deepEqual(
    log.map((/** @type {any} */ [, data]) => data),
    ["A", "push", "B", "push", "C"],
  );
});

test("classic: a stream is one item, and an upload is not possible", async () => {
  const world = new FakeWorld();
  const ws = world.client();
  world.socket.accept("");
  const stream = ws.stream("get");
  const duplex = ws.duplex("dup");
  assert.deepEqual(world.socket.take(), [["get", null, 1]]);
  world.socket.say(["get", [1, 2]]);
  assert.deepEqual(await stream.next(), { value: [1, 2], done: false });
  assert.deepEqual(await stream.next(), { value: undefined, done: true });
  assert.equal((await failure(duplex.next())).code, "unreachable");
  assert.equal(await duplex.send(1), false);
});

test("it has the face of a WebSocket, whatever socket is behind it", () => {
  const world = new FakeWorld();
  const ws = world.client();
  /** @type {unknown[]} */
  const log = [];
  ws.onopen = ({ type }) => log.push(type);
  ws.onclose = ({ type, code }) => log.push([type, code]);
  ws.addEventListener("open", () => log.push("listener"));
  ws.addEventListener("message", (event) => log.push(/** @type {MessageEvent} */ (event).data));
  ws.addEventListener("error", ({ type }) => log.push(type));
  assert.equal(ws.readyState, 0);
  world.socket.fail();
  world.pass(50);
  world.socket.greet();
  assert.deepEqual([ws.readyState, ws.url, ws.protocol], [1, "ws://server.test/", "aaw.v1"]);
  log.splice(0, 2);
  const welcome = log.pop();
  assert.match(String(welcome), /^\["aaw\/welcome"/);
  assert.deepEqual(log, ["open", "listener"]);
  world.socket.take();
  ws.send('["news",1]');
  assert.deepEqual(world.socket.take(), [["news", 1]]);
  world.socket.say(["news", 2]);
  assert.equal(log.at(-1), '["news",2]');
  void ws.close();
  assert.equal(ws.readyState, 3);
});
