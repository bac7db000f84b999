// The client with fake sockets and a fake clock.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { CallError } from "../aaw/call_error.js";
import { FakePlatform, settle } from "./support/fake_platform.js";

/** @param {Promise<unknown>} promise @returns {Promise<CallError>} */
const rejection = async (promise) => {
  const error = await promise.then(
    () => assert.fail("the promise was fulfilled"),
    (error) => error,
  );
  assert.ok(error instanceof CallError, error);
  return error;
};

/**
 * The events that listeners receive, in order.
 *
 * @param {import("../aaw/client.js").Client} ws
 * @param {string[]} events
 */
const record = (ws, ...events) => {
  /** @type {unknown[]} */
  const log = [];
  for (const event of events) ws.on(event, (detail) => log.push([event, detail]));
  return log;
};

// --- Calls -----------------------------------------------------------------------------------------------------------

test("responses are matched to calls by id, in any order", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const [a, b] = [ws.sendAsync("slow", "a"), ws.sendAsync("slow", "b")];
  assert.deepEqual(platform.socket.takeSent(), [
    ["slow", "a", 1],
    ["slow", "b", 2],
  ]);
  platform.socket.deliver(["slow", "b", 2]);
  platform.socket.deliver(["slow", "a", 1]);
  assert.deepEqual(await Promise.all([a, b]), ["a", "b"]);
});

test("the hello is sent first, and each connection offers a client key of its own", () => {
  const platform = new FakePlatform();
  const ws = platform.client(undefined, { resumption: false });
  const [key, dialect] = platform.socket.protocols;
  assert.match(key, /^_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(dialect, "aaw.v1");
  assert.equal(ws.sid, key);
  ws.sendSync("early", 1);
  platform.socket.accept("aaw.v1");
  assert.deepEqual(platform.socket.sent, ['["aaw/hello",{}]', '["early",1]']);
  platform.socket.disconnect(1006);
  platform.advance(10_000);
  assert.notEqual(platform.socket.protocols[0], key);
});

test("a failed call rejects with an error that carries error, code and data", async () => {
  const platform = new FakePlatform();
  const call = platform.connectedClient().sendAsync("explode");
  platform.socket.deliver(["explode", { error: "No", code: "handler", data: { why: 1 } }, 1, "error"]);
  const error = await rejection(call);
  assert.ok(error instanceof Error);
  assert.equal(error.message, "No");
  assert.deepEqual({ ...error }, { error: "No", code: "handler", data: { why: 1 } });
  assert.equal(error.sent, true);
});

test("a call times out after 3 s by default, and a v1 server receives a cancel", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const [usual, short, long] = [
    ws.sendAsync("a"),
    ws.sendAsync("b", null, 500),
    ws.sendAsync("c", 1, { timeout: 9000 }),
  ];
  const endless = ws.sendAsync("d", 1, Infinity);
  platform.socket.takeSent();
  platform.advance(500);
  assert.equal((await rejection(short)).code, "timeout");
  assert.deepEqual(platform.socket.takeSent(), [["b", null, 2, "cancel"]]);
  platform.advance(2499);
  assert.deepEqual(platform.socket.takeSent(), []);
  platform.advance(1);
  const { error, sent } = await rejection(usual);
  assert.equal(error, "WebSocket error (client): request timed out");
  assert.equal(sent, true);
  platform.advance(6000);
  assert.equal((await rejection(long)).code, "timeout");
  // The response crossed with the cancel, and is ignored.
  platform.socket.deliver(["a", "late", 1]);
  platform.socket.deliver(["d", "there", 4]);
  assert.equal(await endless, "there");
});

test("an aborted signal cancels a call", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const controller = new AbortController();
  const call = ws.sendAsync("slow", null, { signal: controller.signal });
  platform.socket.takeSent();
  controller.abort();
  const error = await rejection(call);
  assert.deepEqual([error.code, error.name, error.sent], ["cancelled", "AbortError", true]);
  assert.equal(error.cause, controller.signal.reason);
  assert.deepEqual(platform.socket.takeSent(), [["slow", null, 1, "cancel"]]);
  const long = new AbortController().signal;
  const finished = ws.sendAsync("ping", null, { signal: long });
  platform.socket.deliver(["ping", 1, 2]);
  await finished;
  assert.deepEqual(getEventListeners(long, "abort"), [], "a finished call removes its listener");
  platform.socket.takeSent();
  const early = await rejection(ws.sendAsync("slow", null, { signal: controller.signal }));
  assert.deepEqual([early.code, early.sent], ["cancelled", false]);
  assert.deepEqual(platform.socket.takeSent(), []);
});

test("an unserializable payload, an invalid name or a message that is too large is rejected and not sent", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  /** @type {{ self?: unknown }} */
  const cycle = {};
  cycle.self = cycle;
  assert.equal((await rejection(ws.sendAsync("e", cycle))).code, "bad_body");
  assert.equal((await rejection(ws.sendAsync(/** @type {any} */ (undefined)))).code, "bad_frame");
  assert.equal((await rejection(ws.sendAsync("aaw/hello"))).code, "bad_frame");
  assert.equal((await rejection(ws.sendAsync("e", "x".repeat(1 << 20)))).code, "too_large");
  assert.throws(() => ws.sendSync("e", "ü".repeat(1 << 19)), { code: "too_large" });
  assert.deepEqual(platform.socket.takeSent(), []);
  void ws.sendAsync("e");
  assert.deepEqual(platform.socket.takeSent(), [["e", null, 1]]);
});

test("calls beyond the limit of the welcome wait, and the order is kept", async () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  platform.socket.welcome({ calls: 2, message: 1000 });
  platform.socket.takeSent();
  const calls = ["a", "b", "c"].map((event) => ws.sendAsync(event));
  ws.sendSync("behind");
  assert.deepEqual(platform.socket.takeSent(), [
    ["a", null, 1],
    ["b", null, 2],
  ]);
  platform.socket.deliver(["b", 0, 2]);
  assert.deepEqual(platform.socket.takeSent(), [
    ["c", null, 3],
    ["behind", null],
  ]);
  platform.socket.deliver(["a", 1, 1]);
  platform.socket.deliver(["c", 2, 3]);
  assert.deepEqual(await Promise.all(calls), [1, 0, 2]);
});

test("a queued message larger than the welcome's limit fails alone, and its bytes leave the queue", async () => {
  const platform = new FakePlatform();
  const ws = platform.client(undefined, { maxWaitingCalls: 4 << 20, maxWaitingSends: 4 << 20 });
  const log = record(ws, "error");
  const small = ws.sendAsync("a");
  const large = rejection(ws.sendAsync("b", "x".repeat(3 << 19)));
  ws.sendSync("c", "x".repeat(3 << 19));
  ws.sendSync("d");
  const last = ws.sendAsync("e");
  platform.socket.welcome();
  assert.deepEqual(
    platform.socket.takeSent().map((/** @type {any} */ [event]) => event),
    ["a", "d", "e"],
  );
  assert.equal((await large).code, "too_large");
  assert.equal(/** @type {any} */ (log)[0][1].code, "too_large");
  platform.socket.deliver(["a", 1, 1]);
  platform.socket.deliver(["e", 2, 2]);
  assert.deepEqual(await Promise.all([small, last]), [1, 2]);
  // The queue has its full capacity again.
  platform.socket.disconnect(1006);
  void rejection(ws.sendAsync("f", "x".repeat(5 << 19)));
  assert.equal((await rejection(ws.sendAsync("g", "x".repeat(5 << 19)))).code, "busy");
  void ws.close();
});

test("messages wait while the send buffer of the socket is full", () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  platform.socket.bufferedAmount = 1 << 20;
  ws.sendSync("a");
  platform.advance(1000);
  assert.deepEqual(platform.socket.takeSent(), []);
  platform.socket.bufferedAmount = 0;
  platform.advance(20);
  assert.deepEqual(platform.socket.takeSent(), [["a", null]]);
});

// --- Connections -----------------------------------------------------------------------------------------------------

test("calls and one-way sends wait for a connection, up to their limits", async () => {
  const platform = new FakePlatform();
  const ws = platform.client(undefined, { maxWaitingSends: 1000, maxWaitingCalls: 1000 });
  const call = ws.sendAsync("a", "x".repeat(700), Infinity);
  const refused = await rejection(ws.sendAsync("b", "x".repeat(700)));
  assert.deepEqual([refused.code, refused.sent], ["busy", false]);
  ws.sendSync("c", "x".repeat(700));
  assert.throws(() => ws.sendSync("d", "x".repeat(700)), { code: "busy" });
  const impatient = rejection(ws.sendAsync("e", null, 100));
  platform.advance(100);
  assert.deepEqual([(await impatient).code, (await impatient).sent], ["timeout", false]);
  platform.socket.fail();
  platform.advance(10_000);
  platform.socket.welcome();
  assert.deepEqual(
    platform.socket.takeSent().map((/** @type {any} */ [event]) => event),
    ["a", "c"],
  );
  platform.socket.deliver(["a", "there", 1]);
  assert.equal(await call, "there");
});

test("when the connection is lost, written calls fail with outcome_unknown, and the client reconnects", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const log = record(ws, "aaw/state", "news");
  const call = ws.sendAsync("slow");
  platform.socket.disconnect(1001, "stopping");
  const error = await rejection(call);
  assert.deepEqual([error.code, error.sent], ["outcome_unknown", true]);
  assert.match(error.error, /1001.*stopping/);
  assert.equal(ws.state, "waiting");
  const later = ws.sendAsync("later");
  platform.advance(50);
  assert.equal(platform.sockets.length, 2);
  platform.socket.welcome();
  assert.deepEqual(platform.socket.takeSent(), [["later", null, 1]]);
  platform.socket.deliver(["later", 7, 1]);
  platform.socket.deliver(["news", 1]);
  assert.equal(await later, 7);
  assert.deepEqual(log, [
    ["aaw/state", "waiting"],
    ["aaw/state", "connecting"],
    ["aaw/state", "open"],
    ["news", 1],
  ]);
});

test("open, close and error listeners receive the events that the original passes, also for failed attempts", () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  /** @type {unknown[]} */
  const log = [];
  ws.on("open", (/** @type {Event} */ event) => log.push(event.type));
  ws.on("error", (/** @type {Event} */ event) => log.push(event.type));
  ws.on("close", (/** @type {CloseEvent} */ { type, code, reason, wasClean }) =>
    log.push([type, code, reason, wasClean]),
  );
  platform.socket.fail();
  platform.advance(50);
  platform.socket.welcome();
  platform.socket.disconnect(1001, "stopping");
  assert.deepEqual(log, ["error", ["close", 1006, "", false], "open", ["close", 1001, "stopping", true]]);
});

test("reconnect delays are random, grow up to a maximum, and are reset by a long connection", () => {
  const platform = new FakePlatform();
  platform.client();
  /** @type {number[]} */
  const waits = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    const before = platform.now();
    platform.socket.fail();
    const { length } = platform.sockets;
    while (platform.sockets.length === length) platform.advance(1);
    waits.push(platform.now() - before);
  }
  assert.deepEqual(waits, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  platform.socket.welcome();
  platform.advance(10_000);
  platform.socket.disconnect(1006);
  const { length } = platform.sockets;
  platform.advance(50);
  assert.equal(platform.sockets.length, length + 1);
});

test("an attempt to connect times out", () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  const log = record(ws, "error", "close");
  platform.advance(10_000);
  assert.ok(platform.sockets[0].closed);
  assert.deepEqual(
    log.map((/** @type {any} */ [event, { code }]) => [event, code]),
    [
      ["error", "no_connection"],
      ["close", 1006],
    ],
  );
  assert.equal(ws.state, "waiting");
  // Later events of that socket are ignored.
  platform.sockets[0].welcome();
  assert.equal(ws.state, "waiting");
});

test("a wake-up ends the reconnect delay, and probes an open connection", () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  for (let attempt = 0; attempt < 6; attempt += 1) {
    platform.socket.fail();
    platform.advance(5000);
  }
  platform.socket.fail();
  const { length } = platform.sockets;
  platform.wake();
  assert.equal(platform.sockets.length, length + 1);
  platform.socket.welcome();
  platform.socket.takeSent();
  platform.wake();
  assert.deepEqual(platform.socket.takeSent(), [["aaw/ping"]]);
  platform.advance(4999);
  assert.equal(ws.state, "open");
  platform.advance(1);
  assert.equal(ws.state, "waiting");
  // The delays were reset.
  const before = platform.now();
  while (platform.sockets.length === length + 1) platform.advance(1);
  assert.equal(platform.now() - before, 50);
});

test("an idle connection is pinged, then dropped", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const log = record(ws, "close");
  const call = ws.sendAsync("slow", null, Infinity);
  platform.socket.takeSent();
  platform.advance(19_999);
  assert.deepEqual(platform.socket.takeSent(), []);
  platform.advance(1);
  assert.deepEqual(platform.socket.takeSent(), [["aaw/ping"]]);
  platform.socket.deliver(["aaw/pong", null]);
  platform.advance(20_000);
  assert.deepEqual(platform.socket.takeSent(), [["aaw/ping"]]);
  platform.advance(20_000);
  assert.equal((await rejection(call)).code, "outcome_unknown");
  assert.ok(platform.sockets[0].closed);
  assert.equal(/** @type {any} */ (log)[0][1].code, 1006);
});

test("a URL function is called before each attempt", async () => {
  const platform = new FakePlatform();
  let calls = 0;
  const ws = platform.client(async () => {
    calls += 1;
    if (calls === 2) throw new Error("no token");
    return `ws://server.test/?token=${calls}`;
  });
  const log = record(ws, "error");
  await settle();
  assert.equal(platform.socket.url, "ws://server.test/?token=1");
  platform.socket.fail();
  platform.advance(5000);
  await settle();
  assert.equal(platform.sockets.length, 1);
  assert.match(/** @type {any} */ (log).at(-1)[1].error, /no token/);
  platform.advance(5000);
  await settle();
  assert.equal(platform.socket.url, "ws://server.test/?token=3");
  await Promise.all([ws.close(), settle()]);
});

test("an invalid URL throws a TypeError", () => {
  const platform = new FakePlatform();
  assert.throws(() => platform.client("ftp://server.test"), TypeError);
  assert.throws(() => platform.client("nothing"), TypeError);
  assert.equal(platform.client(new URL("http://server.test/a#b")).state, "connecting");
  assert.equal(platform.socket.url, "ws://server.test/a");
});

test("a refused connection emits its reason, and its calls fail as not sent", async () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  const log = record(ws, "error", "open");
  const call = ws.sendAsync("ping");
  platform.socket.accept("aaw.v1");
  platform.socket.deliver(["aaw/error", { error: "Not today", code: "not_allowed" }]);
  platform.socket.disconnect(1008, "Not today");
  const error = await rejection(call);
  assert.deepEqual({ ...error }, { error: "Not today", code: "not_allowed" });
  assert.equal(error.sent, false);
  assert.deepEqual(
    /** @type {any[]} */ (log).map(([event, { code }]) => [event, code]),
    [["error", "not_allowed"]],
  );
  assert.equal(ws.state, "waiting");
  platform.advance(22_499);
  assert.equal(platform.sockets.length, 1, "a refusal will recur");
  platform.advance(1);
  platform.socket.accept("_classic");
  platform.socket.disconnect(1008, "Still not");
  assert.equal(/** @type {any} */ (log).at(-1)[1].error, "Still not");
});

test("close writes queued events, rejects calls, and is final", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const log = record(ws, "aaw/state");
  const call = ws.sendAsync("slow");
  ws.sendSync("last");
  ws.on("seen", () => {});
  platform.socket.bufferedAmount = 1 << 20;
  ws.sendSync("seen");
  const closed = ws.close();
  assert.deepEqual(platform.socket.takeSent(), [
    ["slow", null, 1],
    ["last", null],
    ["seen", null],
  ]);
  assert.equal(platform.socket.closed?.code, 1000);
  assert.equal((await rejection(call)).code, "outcome_unknown");
  assert.equal((await rejection(ws.sendAsync("ping"))).code, "no_connection");
  assert.throws(() => ws.sendSync("ping"), { code: "no_connection" });
  platform.socket.disconnect(1000);
  await closed;
  await ws.close();
  assert.equal(ws.state, "closed");
  assert.deepEqual(log, [["aaw/state", "closed"]]);
  platform.advance(60_000);
  platform.wake();
  assert.equal(platform.sockets.length, 1);
  assert.equal(platform.timers.size, 0);
  assert.equal(platform.wakeListeners.size, 0);
});

test("close resolves without a response of the server, and without a connection", async () => {
  const platform = new FakePlatform();
  const silent = platform.connectedClient();
  const closed = silent.close();
  platform.advance(2000);
  await closed;
  const connecting = platform.client();
  const call = connecting.sendAsync("ping");
  await Promise.all([connecting.close(), rejection(call)]);
  assert.ok(platform.socket.closed);
  assert.equal(platform.timers.size, 0);
});

test("an idle connection does not keep Node alive, a call in flight does", () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const isKept = () => [...platform.timers].some(({ isRef }) => isRef);
  assert.equal(isKept(), false);
  void ws.sendAsync("ping");
  assert.equal(isKept(), true);
  platform.socket.deliver(["ping", 1, 1]);
  assert.equal(isKept(), false);
});

// --- Listeners -------------------------------------------------------------------------------------------------------

test("invalid frames are reported, and the connection stays open", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const log = record(ws, "error");
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
  for (const text of bad) platform.socket.deliverRaw(text);
  platform.socket.deliverRaw(new ArrayBuffer(1));
  assert.equal(log.length, bad.length + 1);
  for (const [, error] of /** @type {any} */ (log)) assert.equal(error.code, "bad_frame");
  platform.socket.deliver(["aaw/tomorrow", { unknown: true }]);
  platform.socket.deliver(["a", "fine", 1]);
  assert.equal(await call, "fine");
  // The client has no handlers, so client calls fail.
  platform.socket.takeSent();
  platform.socket.deliver(["confirm", null, -1]);
  assert.deepEqual(platform.socket.takeSent(), [
    ["confirm", { error: "Unknown event: confirm", code: "unknown_event" }, -1, "error"],
  ]);
});

test("an aaw/error frame is emitted as an error event", () => {
  const platform = new FakePlatform();
  const log = record(platform.connectedClient(), "error");
  platform.socket.deliver(["aaw/error", { error: "Unknown event: nope", code: "unknown_event", event: "nope" }]);
  assert.deepEqual(
    /** @type {any[]} */ (log).map(([, { error, code }]) => [error, code]),
    [["Unknown event: nope", "unknown_event"]],
  );
});

test("an error that a listener throws is reported, and other listeners are called", async (t) => {
  const reported = t.mock.fn();
  const { reportError } = globalThis;
  globalThis.reportError = reported;
  t.after(() => (globalThis.reportError = reportError));
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  ws.on("news", () => {
    throw new Error("at once");
  });
  ws.on("news", async () => {
    throw new Error("later");
  });
  const log = record(ws, "news");
  platform.socket.deliver(["news", 1]);
  platform.socket.deliver(["news", 2]);
  await settle();
  assert.deepEqual(log, [
    ["news", 1],
    ["news", 2],
  ]);
  assert.equal(reported.mock.callCount(), 4);
});

test("a listener may send, add listeners and remove itself", () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  /** @type {string[]} */
  const log = [];
  const once = () => {
    log.push("once");
    ws.off("news", once);
    ws.on("news", () => log.push("added"));
    ws.sendSync("seen");
  };
  ws.on("news", once);
  platform.socket.deliver(["news", 1]);
  platform.socket.deliver(["news", 2]);
  assert.deepEqual(log, ["once", "added"]);
  assert.deepEqual(platform.socket.takeSent(), [["seen", null]]);
});

// --- Compatibility with the original ---------------------------------------------------------------------------------

test("methods work without this", async () => {
  const platform = new FakePlatform();
  const { sendAsync, sendSync, on, off } = platform.connectedClient();
  sendSync.bind(undefined, "a", 1)();
  const call = sendAsync("b");
  const listener = () => {};
  on("c", listener);
  off("c");
  platform.socket.deliver(["b", 2, 1]);
  assert.equal(await call, 2);
});

test("off without a callback removes the listener that was added last", () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  /** @type {string[]} */
  const log = [];
  ws.on("news", () => log.push("first"));
  ws.on("news", () => log.push("second"));
  ws.off("news");
  ws.off("other");
  platform.socket.deliver(["news", 1]);
  assert.deepEqual(log, ["first"]);
});

test("listeners receive the responses to calls and to sendSync", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const log = record(ws, "users/get");
  const calls = [ws.sendAsync("users/get"), rejection(ws.sendAsync("users/get"))];
  platform.socket.deliver(["users/get", { id: 1 }, 1]);
  platform.socket.deliver(["users/get", { error: "No", code: "handler" }, 2, "error"]);
  await Promise.all(calls);
  platform.socket.takeSent();
  ws.sendSync("users/get", 2);
  ws.sendSync("other");
  assert.deepEqual(platform.socket.takeSent(), [
    ["users/get", 2, 3, "call", { credit: Number.MAX_SAFE_INTEGER }],
    ["other", null],
  ]);
  platform.socket.deliver(["users/get", { id: 2 }, 3, "item"]);
  platform.socket.deliver(["users/get", null, 3, "end"]);
  assert.deepEqual(log, [
    ["users/get", { id: 1 }],
    ["users/get", { error: "No", code: "handler" }],
    ["users/get", { id: 2 }],
  ]);
});

test("a sendSync with listeners obeys the queue limits, and is not a call on a classic connection", async () => {
  const platform = new FakePlatform();
  const ws = platform.client(undefined, { maxInFlight: 2, maxWaitingCalls: 1000 });
  const log = record(ws, "chat");
  ws.sendSync("chat", "x".repeat(700));
  assert.throws(() => ws.sendSync("chat", "x".repeat(700)), { code: "busy" });
  platform.socket.accept("");
  for (const n of [1, 2, 3]) ws.sendSync("chat", n);
  assert.deepEqual(platform.socket.takeSent().slice(1), [
    ["chat", 1],
    ["chat", 2],
    ["chat", 3],
  ]);
  platform.socket.deliver(["chat", "hi"]);
  assert.deepEqual(log, [["chat", "hi"]]);
  // They do not count as calls in flight.
  const calls = [ws.sendAsync("get"), ws.sendAsync("get")];
  platform.socket.deliver(["get", 1]);
  platform.socket.deliver(["get", 2]);
  assert.deepEqual(await Promise.all(calls), [1, 2]);
  await Promise.all([ws.close(), platform.advance(2000)]);
  assert.throws(() => ws.sendSync("chat"), { code: "no_connection" });
});

test("reconnectInterval is the maximum of all reconnect delays", () => {
  const platform = new FakePlatform();
  platform.client(undefined, { reconnectInterval: 400 });
  for (const attempt of [1, 2, 3, 4]) {
    platform.socket.fail();
    platform.advance(199);
    assert.equal(platform.sockets.length, attempt);
    platform.advance(1);
    assert.equal(platform.sockets.length, attempt + 1);
  }
});

test("classic: a response without an id belongs to the oldest call of its event", async () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  platform.socket.accept(platform.socket.protocols[0]);
  const log = record(ws, "other", "error");
  const [a, b, late] = [ws.sendAsync("get", "a"), ws.sendAsync("get", "b"), rejection(ws.sendAsync("late", 1, 100))];
  assert.deepEqual(platform.socket.takeSent(), [
    ["get", "a", 1],
    ["get", "b", 2],
    ["late", 1, 3],
  ]);
  platform.socket.deliver(["get", "A"]);
  platform.socket.deliver(["other", 1]);
  platform.socket.deliver(["get", { error: { code: 7 }, more: 1 }]);
  assert.equal(await a, "A");
  assert.deepEqual((await rejection(b)).error, { code: 7 });
  platform.advance(100);
  assert.equal((await late).code, "timeout");
  // Neither cancel nor ping is sent: a classic server would take them for calls.
  platform.advance(60_000);
  assert.deepEqual(platform.socket.takeSent(), []);
  assert.deepEqual(log, [["other", 1]]);
});

test("classic: the late response of a timed-out call is not taken for that of the next call", async () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  platform.socket.accept("");
  const late = rejection(ws.sendAsync("get", "a", 100));
  platform.advance(100);
  await late;
  const next = ws.sendAsync("get", "b");
  platform.socket.deliver(["get", "A"]);
  platform.socket.deliver(["get", "B"]);
  assert.equal(await next, "B");
  // Its position expires, because some events never respond.
  const never = rejection(ws.sendAsync("get", "c", 100));
  platform.advance(100);
  await never;
  platform.advance(100);
  const last = ws.sendAsync("get", "d");
  platform.socket.deliver(["get", "D"]);
  assert.equal(await last, "D");
});

test("classic: once a response has had an id, a message without one is a push", async () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  platform.socket.accept("");
  const log = record(ws, "get");
  const [a, b] = [ws.sendAsync("get"), ws.sendAsync("get")];
  platform.socket.deliver(["get", "A", 1]);
  platform.socket.deliver(["get", "push"]);
  platform.socket.deliver(["get", "B", 2]);
  const c = ws.sendAsync("get");
  platform.socket.deliver(["get", "push"]);
  platform.socket.deliver(["get", "C", 3]);
  assert.deepEqual(await Promise.all([a, b, c]), ["A", "B", "C"]);
  assert.deepEqual(
    log.map((/** @type {any} */ [, data]) => data),
    ["A", "push", "B", "push", "C"],
  );
});

test("classic: a response is a stream of one item, and an upload fails", async () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  platform.socket.accept("");
  const stream = ws.stream("get");
  const duplex = ws.duplex("dup");
  assert.deepEqual(platform.socket.takeSent(), [["get", null, 1]]);
  platform.socket.deliver(["get", [1, 2]]);
  assert.deepEqual(await stream.next(), { value: [1, 2], done: false });
  assert.deepEqual(await stream.next(), { value: undefined, done: true });
  assert.equal((await rejection(duplex.next())).code, "unreachable");
  assert.equal(await duplex.send(1), false);
});

test("the client implements the WebSocket interface across reconnects", () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  /** @type {unknown[]} */
  const log = [];
  ws.onopen = ({ type }) => log.push(type);
  ws.onclose = ({ type, code }) => log.push([type, code]);
  ws.addEventListener("open", () => log.push("listener"));
  ws.addEventListener("message", (event) => log.push(/** @type {MessageEvent} */ (event).data));
  ws.addEventListener("error", ({ type }) => log.push(type));
  assert.equal(ws.readyState, 0);
  platform.socket.fail();
  platform.advance(50);
  platform.socket.welcome();
  assert.deepEqual([ws.readyState, ws.url, ws.protocol], [1, "ws://server.test/", "aaw.v1"]);
  log.splice(0, 2);
  const welcome = log.pop();
  assert.match(String(welcome), /^\["aaw\/welcome"/);
  assert.deepEqual(log, ["open", "listener"]);
  platform.socket.takeSent();
  ws.send('["news",1]');
  assert.deepEqual(platform.socket.takeSent(), [["news", 1]]);
  platform.socket.deliver(["news", 2]);
  assert.equal(log.at(-1), '["news",2]');
  void ws.close();
  assert.equal(ws.readyState, 3);
});
