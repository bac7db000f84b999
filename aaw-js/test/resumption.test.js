// Resumption: a connection goes on over its next socket (PROTOCOL.md, section 13).

import assert from "node:assert/strict";
import { test } from "node:test";

import { CallError } from "../aaw/call_error.js";
import { FakePlatform, settle } from "./support/fake_platform.js";
import { FakeServer } from "./support/fake_server.js";

/** @import { Options } from "../aaw/options.js" */

/** @param {Promise<unknown>} promise @returns {Promise<CallError>} */
const rejection = async (promise) => {
  const error = await promise.then(
    () => assert.fail("the promise was fulfilled"),
    (error) => error,
  );
  assert.ok(error instanceof CallError, error);
  return error;
};

/** What is known about a failed call. @param {Promise<unknown>} promise */
const outcome = async (promise) => {
  const { code, sent, taken } = await rejection(promise);
  return { code, sent, taken };
};

/** A client with an open connection that can be resumed. @param {Options} [options] @param {Partial<FakeServer>} [terms] */
const setUp = (options, terms) => {
  const platform = new FakePlatform();
  const server = Object.assign(new FakeServer(platform), terms);
  const ws = platform.client(undefined, options);
  /** @type {any[]} */
  const events = [];
  for (const event of ["interrupted", "resumed", "gap"]) ws.on(event, (detail) => events.push([event, detail]));
  ws.on("open", () => events.push("open"));
  ws.on("close", ({ code }) => events.push(["close", code]));
  ws.on("error", (error) => events.push(["error", error.code]));
  const link = server.connect();
  assert.deepEqual(events.splice(0), ["open"]);
  const state = link.state ?? assert.fail("no state");
  return { platform, server, ws, link, state, events };
};

// --- Begin -----------------------------------------------------------------------------------------------------------

test("nothing that is counted precedes the first welcome", async () => {
  const platform = new FakePlatform();
  const server = new FakeServer(platform);
  const ws = platform.client(undefined, { token: "secret" });
  const call = ws.sendAsync("a");
  ws.sendSync("b");
  const link = server.accept();
  const [hello, ...others] = platform.socket.sent;
  assert.match(hello, /^\["aaw\/hello",\{"resumption":\{"key":"[0-9a-f]{32}"\}\}\]$/);
  assert.deepEqual(others, []);
  ws.sendSync("c");
  link.exchange();
  assert.deepEqual(link.state?.takeInbox(), [["aaw/resume", { token: "secret" }, 1]]);
  link.state?.send(["aaw/resume", { token: "secret", user: { id: "1", email: "a@b.c" } }, 1]);
  link.exchange();
  assert.deepEqual(link.state?.takeInbox(), [["a", null, 2], ["b", null], ["c", null]]);
  link.state?.send(["a", 7, 2]);
  link.exchange();
  assert.equal(await call, 7);
});

test("a welcome that is lost before the first state exists leads to another key", () => {
  const platform = new FakePlatform();
  const server = new FakeServer(platform);
  const ws = platform.client();
  ws.sendSync("a");
  server.accept().read().cut();
  platform.advance(10_000);
  const link = server.connect();
  assert.equal(server.states.size, 2);
  assert.equal(link.hello.resumption.resume, undefined);
  assert.deepEqual(link.state?.takeInbox(), [["a", null]]);
});

test("with a server that does not agree, calls that were sent fail when the connection is lost", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const call = ws.sendAsync("slow", null, Infinity);
  // Without resumption nothing is acknowledged, and no call is probed.
  platform.advance(19_999);
  assert.deepEqual(platform.socket.takeSent(), [["slow", null, 1]]);
  platform.socket.disconnect(1006);
  assert.deepEqual(await outcome(call), { code: "outcome_unknown", sent: true, taken: false });
  assert.deepEqual([ws.state, ws.readyState], ["waiting", 0]);
  platform.advance(10_000);
  platform.socket.accept("aaw.v1");
  assert.match(platform.socket.sent[0], /^\["aaw\/hello",\{"resumption":\{"key":"[0-9a-f]{32}"\}\}\]$/);
});

test("without the option, and with a classic server, all is as without resumption", () => {
  const platform = new FakePlatform();
  const ws = platform.client(undefined, { resumption: false });
  ws.sendSync("a");
  platform.socket.accept("aaw.v1");
  assert.deepEqual(platform.socket.sent, ['["aaw/hello",{}]', '["a",null]']);
  // Even if the server talks about it.
  platform.socket.deliver(["aaw/welcome", { connection: "7f", resumption: { window: 1000, log: 1000 } }]);
  platform.socket.disconnect(1006);
  assert.equal(ws.readyState, 0);
  platform.advance(10_000);
  platform.socket.accept("");
  ws.sendSync("b");
  assert.deepEqual(platform.socket.sent, ['["b",null]']);
  assert.throws(() => platform.client(undefined, /** @type {any} */ ({ resumption: 1 })), /the option `resumption` must be true, false or an object/);
});

// --- Resuming --------------------------------------------------------------------------------------------------------

test("what the server has not received is sent again, unchanged and in order, and then what is new", async () => {
  const { platform, server, ws, link, state, events } = setUp();
  const calls = ["a", "b", "c"].map((event) => ws.sendAsync(event, "ü"));
  ws.sendSync("d");
  link.read(2);
  state.acknowledge(1);
  link.deliver();
  link.cut();
  assert.deepEqual(events.splice(0), [["interrupted", { reason: "the connection broke" }]]);
  assert.deepEqual([ws.state, ws.readyState, ws.connection], ["connecting", 1, "7f"], "it reconnects at once");
  const later = ws.sendAsync("e");
  const resumed = server.accept();
  assert.equal(platform.socket.sent.length, 1, "nothing that is counted precedes the welcome");
  resumed.read();
  const { next, ...hello } = resumed.hello.resumption;
  assert.match(next, /^[0-9a-f]{32}$/);
  assert.deepEqual(hello, { key: state.key, resume: true, received: 0, attempt: 1 });
  resumed.exchange();
  assert.deepEqual(state.takeInbox(), [["a", "ü", 1], ["b", "ü", 2], ["c", "ü", 3], ["d", null], ["e", null, 4]]);
  assert.deepEqual(events, [["resumed", null]]);
  for (const id of [4, 3, 2, 1]) state.send(["any", id, id]);
  resumed.exchange();
  assert.deepEqual(await Promise.all([...calls, later]), [1, 2, 3, 4]);
  assert.equal(server.states.size, 1);
});

test("a call whose response is lost gets it over the next socket", async () => {
  const { server, ws, link, state } = setUp();
  const call = ws.sendAsync("a");
  link.read();
  state.send(["a", "there", 1]);
  link.cut();
  const resumed = server.connect();
  assert.deepEqual(resumed.hello.resumption.received, 0);
  assert.deepEqual(state.takeInbox(), [["a", null, 1]], "it is not sent again");
  assert.equal(await call, "there");
});

test("a message that was received is neither repeated nor counted twice", () => {
  const { platform, server, ws, link, state } = setUp();
  /** @type {unknown[]} */
  const news = [];
  ws.on("news", (n) => news.push(n));
  for (let n = 1; n <= 5; n += 1) state.send(["news", n]);
  link.deliver(3).cut();
  const second = server.connect();
  assert.equal(second.hello.resumption.received, 3);
  state.send(["news", 6]);
  second.exchange();
  assert.deepEqual(news, [1, 2, 3, 4, 5, 6]);
  platform.advance(10_000);
  second.exchange();
  assert.deepEqual(second.uncounted.slice(1), [["aaw/ack", 6]]);
  assert.equal(state.log.length, 0);
  // The hello acknowledges, too.
  state.send(["news", 7]);
  second.deliver().cut();
  const third = server.connect();
  platform.advance(10_000);
  assert.equal(third.hello.resumption.received, 7);
  assert.deepEqual(third.read().uncounted.slice(1), []);
});

test("a resuming welcome may be lost any number of times", async () => {
  const { platform, server, ws, link, state, events } = setUp();
  const call = ws.sendAsync("a", null, Infinity);
  link.cut();
  /** @type {Set<string>} */
  const keys = new Set();
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const lost = server.accept().read();
    keys.add(lost.hello.resumption.next);
    lost.cut();
    platform.advance(2000);
  }
  assert.equal(keys.size, 3, "each hello has another key for the case that the state is gone");
  server.connect();
  assert.deepEqual(state.takeInbox(), [["a", null, 1]]);
  assert.deepEqual(events, [["interrupted", { reason: "the connection broke" }], ["resumed", null]]);
  void call.catch(() => {});
});

test("if the state is gone, what was sent fails, and a new state begins", async () => {
  const { platform, server, ws, link, state, events } = setUp();
  const [taken, sent] = [ws.sendAsync("a", null, Infinity), ws.sendAsync("b", null, Infinity)];
  const stream = ws.stream("count");
  link.read(1);
  state.acknowledge();
  link.deliver();
  /** @type {AbortSignal | undefined} */
  let signal;
  ws.handle("confirm", (_, call) => new Promise((_, reject) => (signal = call.signal).addEventListener("abort", () => reject())));
  state.send(["confirm", null, -1]);
  link.deliver().cut();
  const queued = ws.sendAsync("c", null, Infinity);
  server.states.clear();
  const lost = server.accept().read();
  const { next } = lost.hello.resumption;
  lost.deliver();
  assert.equal(signal?.aborted, true);
  assert.deepEqual(await outcome(taken), { code: "outcome_unknown", sent: true, taken: true });
  assert.deepEqual(await outcome(sent), { code: "outcome_unknown", sent: true, taken: false });
  assert.equal((await rejection(stream.next())).code, "outcome_unknown");
  assert.deepEqual(events.splice(0), [["interrupted", { reason: "the connection broke" }], ["close", 1006], "open"]);
  lost.exchange();
  assert.equal(lost.state?.key, next);
  assert.deepEqual(lost.state?.takeInbox(), [["c", null, 1]], "neither old calls nor the response of the old client call");
  lost.cut();
  platform.advance(100);
  const again = server.connect();
  assert.deepEqual([again.hello.resumption.key, again.hello.resumption.resume], [next, true]);
  again.state?.send(["c", "there", 1]);
  again.exchange();
  assert.equal(await queued, "there");
});

test("a state that is gone without a successor continues without resumption", async () => {
  const { platform, ws, link } = setUp();
  const call = ws.sendAsync("a");
  link.cut();
  platform.socket.welcome();
  assert.equal((await rejection(call)).code, "outcome_unknown");
  void rejection(ws.sendAsync("b"));
  assert.deepEqual(platform.socket.takeSent(), [["b", null, 1]]);
  platform.socket.disconnect(1006);
  assert.equal(ws.readyState, 0);
});

test("a server that became a classic one ends the state", async () => {
  const { platform, ws, link, events } = setUp();
  const call = ws.sendAsync("a");
  link.cut();
  platform.socket.accept("");
  assert.equal((await rejection(call)).code, "outcome_unknown");
  assert.deepEqual(events.slice(1), [["close", 1006], "open"]);
  void ws.sendAsync("b").catch(() => {});
  assert.deepEqual(platform.socket.takeSent(), [["b", null, 1]]);
});

test("a resuming hello that the server rejects is followed by that of a new state", async () => {
  const { platform, server, ws, link, state, events } = setUp();
  const call = ws.sendAsync("a");
  link.cut();
  server.refusal = "the token is another one";
  const queued = ws.sendAsync("b");
  const next = server.connect();
  const error = await rejection(call);
  assert.deepEqual([error.code, error.error], [
    "outcome_unknown",
    "The outcome is unknown: the server did not resume the connection: the token is another one",
  ]);
  assert.equal(next.hello.resumption.resume, undefined);
  assert.notEqual(next.hello.resumption.key, state.key);
  assert.deepEqual(next.state?.takeInbox(), [["b", null, 1]]);
  assert.deepEqual(events.splice(0).slice(1), [["error", "bad_frame"], ["close", 1006], "open"]);
  void rejection(queued);
  // The next hello may be refused for good.
  next.cut();
  platform.advance(100);
  const after = rejection(ws.sendAsync("c"));
  server.refusal = "the token is another one";
  server.accept().read().deliver(1).cut(1008, "Members only");
  assert.equal((await after).error, "Members only");
});

test("a server that resumes with an impossible count is left, and the state is over", async () => {
  for (const received of [2, -1, 0, undefined]) {
    const { platform, ws, link, state, events } = setUp();
    const call = ws.sendAsync("a");
    link.read();
    state.acknowledge();
    link.deliver().cut();
    platform.socket.accept("aaw.v1");
    platform.socket.deliver(["aaw/welcome", { resumed: true, resumption: { window: 1, log: 1, received } }]);
    assert.equal((await rejection(call)).code, "outcome_unknown", `${received}`);
    assert.deepEqual([platform.socket.closed?.code, ws.state], [undefined, "waiting"]);
    assert.deepEqual(events.slice(1), [["close", 1006]], "once");
  }
});

test("the hello has the token of the session, and the session is not resumed again", async () => {
  const { platform, server, ws, link, state } = setUp();
  const login = ws.login("ada@example.org", "secret");
  link.read();
  state.send(["aaw/login", { token: "T", user: { id: "7", email: "ada@example.org" } }, 1]);
  link.exchange();
  await login;
  state.takeInbox();
  link.cut();
  const resumed = server.connect();
  const { token, received } = resumed.hello.resumption;
  assert.deepEqual([token, received], ["T", 1]);
  assert.deepEqual(state.takeInbox(), []);
  server.states.clear();
  resumed.cut();
  platform.advance(100);
  const next = server.connect();
  assert.deepEqual(next.state?.takeInbox(), [["aaw/resume", { token: "T" }, 1]], "a new state resumes the session");
});

test("a break while the session is being resumed", async () => {
  const platform = new FakePlatform();
  const server = new FakeServer(platform);
  const ws = platform.client(undefined, { token: "T" });
  /** @type {unknown[]} */
  const events = [];
  for (const event of ["open", "close", "interrupted", "resumed", "unauthorized"]) ws.on(event, () => events.push(event));
  const call = ws.sendAsync("a");
  const link = server.connect();
  const { state } = link;
  link.cut();
  const resumed = server.connect();
  assert.deepEqual(state?.takeInbox(), [["aaw/resume", { token: "T" }, 1]]);
  assert.deepEqual([events, ws.state], [[], "connecting"]);
  state?.send(["aaw/resume", { token: "T", user: { id: "7", email: "a" } }, 1]);
  resumed.exchange();
  assert.deepEqual(state?.takeInbox(), [["a", null, 2]]);
  assert.deepEqual(events, ["open"]);
  void rejection(call);
});

// --- Away and over ---------------------------------------------------------------------------------------------------

test("close codes of the server end the state, a socket without one does not", async () => {
  for (const code of [1001, 1002, 1007, 1008, 1009, 1013, 4001]) {
    const { platform, server, ws, link, state, events } = setUp();
    const call = ws.sendAsync("a");
    link.cut(code);
    assert.deepEqual(await outcome(call), { code: "outcome_unknown", sent: true, taken: false }, `${code}`);
    assert.deepEqual(events, [["close", code]]);
    platform.advance(30_000);
    const next = server.connect();
    assert.equal(next.hello.resumption.resume, undefined, `${code}`);
    assert.notEqual(next.state?.key, state.key);
  }
  const { ws, link } = setUp();
  void ws.sendAsync("a").catch(() => {});
  link.cut(1006);
  assert.equal(ws.readyState, 1);
});

test("when the window has passed without a connection, what was sent fails, and a new state begins", async () => {
  const { platform, server, ws, link, events } = setUp(undefined, { window: 20_000 });
  const call = ws.sendAsync("a", null, Infinity);
  link.cut();
  const done = rejection(call);
  let attempts = 0;
  for (let ms = 0; ms < 19_999; ms += 1) {
    if (platform.socket.closed === null && ws.state === "connecting") {
      attempts += 1;
      platform.socket.closed = {};
      platform.socket.fail();
    }
    platform.advance(1);
  }
  assert.ok(attempts >= 7, `${attempts} attempts`);
  assert.deepEqual(events.splice(0), [["interrupted", { reason: "the connection broke" }]]);
  platform.advance(1);
  const error = await done;
  assert.equal(error.error, "The outcome is unknown: the connection broke; no new connection was made in time");
  assert.deepEqual(events.splice(0), [["close", 1006]]);
  while (ws.state !== "connecting") platform.advance(1);
  const next = server.connect();
  assert.equal(next.hello.resumption.resume, undefined);
  assert.deepEqual(events, ["open"]);
});

for (const [news, bring] of /** @type {[string, (state: import("./support/fake_server.js").ServerState) => void][]} */ ([
  ["an acknowledgement", (state) => state.acknowledge()],
  ["a message", (state) => state.send(["news", 1])],
])) test(`the window begins with each break after a socket that has brought ${news}, not with each attempt`, async () => {
  const { platform, server, ws, link, state, events } = setUp(undefined, { window: 20_000 });
  const call = ws.sendAsync("a", null, Infinity);
  link.cut();
  platform.advance(15_000);
  assert.equal(ws.state, "connecting", "the first attempt was given up meanwhile");
  const resumed = server.connect();
  bring(state);
  for (let second = 0; second < 15; second += 1) {
    resumed.exchange();
    platform.advance(1000);
  }
  resumed.cut();
  const done = rejection(call);
  for (let ms = 0; ms < 19_000; ms += 1000) {
    if (ws.state === "connecting") server.accept().read().cut();
    platform.advance(1000);
  }
  assert.deepEqual(events.splice(0).map(([event]) => event), ["interrupted", "error", "resumed", "interrupted"]);
  // An attempt that has got as far as the hello may still succeed.
  platform.wake();
  const late = server.accept().read();
  platform.advance(5000);
  assert.deepEqual(events, []);
  late.cut();
  assert.equal((await done).code, "outcome_unknown");
  assert.deepEqual(events, [["close", 1006]]);
});

test("attempts follow at once, then with growing delays, unless the connection did not last", () => {
  const { platform, server, link } = setUp();
  link.cut();
  assert.equal(platform.sockets.length, 2, "at once");
  server.connect().cut();
  platform.advance(99);
  assert.equal(platform.sockets.length, 2, "a server that drops each connection is not contacted without pause");
  platform.advance(1);
  const third = server.connect();
  platform.advance(10_000);
  third.exchange().cut();
  assert.equal(platform.sockets.length, 4, "the third has lasted");
  platform.socket.fail();
  platform.advance(100);
  assert.equal(platform.sockets.length, 5);
  platform.socket.fail();
  platform.wake();
  assert.equal(platform.sockets.length, 6, "a wake-up ends the delay");
});

test("over the whole window, the delays between attempts are random and grow to a ceiling", () => {
  for (const random of [0.01, 0.5, 0.99]) {
    const { platform, link } = setUp({ backoff: { min: 100, max: 4000 } }, { window: 60_000 });
    platform.randomValue = random;
    link.cut();
    let last = platform.now();
    /** @type {number[]} */
    const delays = [];
    while (platform.now() < 60_000) {
      const { length } = platform.sockets;
      platform.socket.fail();
      while (platform.sockets.length === length && platform.now() < 60_000) platform.advance(1);
      delays.push(platform.now() - last);
      last = platform.now();
    }
    // The first attempt followed at once, so the first of these is the second delay.
    const ceilings = delays.map((_, n) => Math.min(100 * 2 ** (n + 1), 4000));
    const expected = ceilings.map((ceiling) => Math.ceil(ceiling * random));
    assert.deepEqual(delays.slice(0, -1), expected.slice(0, -1));
    assert.ok(delays.length >= 60_000 / 4000, `${delays.length} attempts`);
  }
});

test("a page that is woken probes its connection, and replaces it at once without a sign of life", async () => {
  const { platform, server, ws, link, state, events } = setUp();
  platform.advance(30_000);
  link.exchange();
  platform.wake();
  assert.deepEqual(platform.socket.sent, ['["aaw/ping"]']);
  platform.advance(4999);
  assert.deepEqual([events, platform.sockets.length], [[], 1]);
  platform.advance(1);
  assert.deepEqual([events[0][0], platform.sockets.length, ws.state], ["interrupted", 2, "connecting"]);
  server.connect();
  assert.deepEqual([events[1][0], state.link !== null], ["resumed", true]);
  // A sign of life is enough.
  platform.wake();
  state.link?.exchange();
  platform.advance(6000);
  assert.equal(platform.sockets.length, 2);
});

test("a client that is closed while away is closed at once", async () => {
  const { platform, ws, link, events } = setUp();
  const call = ws.sendAsync("a");
  link.cut();
  const closed = ws.close();
  assert.equal((await rejection(call)).code, "outcome_unknown");
  await closed;
  assert.deepEqual([events.slice(1), ws.readyState, platform.timers.size], [[["close", 1006]], 3, 0]);
  const waiting = setUp();
  waiting.link.cut();
  waiting.platform.socket.fail();
  await waiting.ws.close();
  assert.deepEqual([waiting.events.slice(1), waiting.platform.timers.size], [[["close", 1006]], 0]);
});

test("a client that is closed while it is away fires close once, in each phase", async () => {
  /** @type {((url: string) => void)[]} */
  const resolvers = [];
  const url = () => new Promise((resolve) => resolvers.push(resolve));
  const platform = new FakePlatform();
  const server = new FakeServer(platform);
  const ws = platform.client(/** @type {any} */ (url), {});
  /** @type {unknown[]} */
  const closes = [];
  ws.on("close", ({ code }) => closes.push(code));
  resolvers[0]("ws://server.test");
  await settle();
  server.connect().cut();
  assert.deepEqual([resolvers.length, closes], [2, []], "it waits for the URL of the next attempt");
  await ws.close();
  assert.deepEqual(closes, [1006]);
  const greeting = setUp();
  greeting.link.cut();
  greeting.server.accept();
  const closed = greeting.ws.close();
  assert.equal(greeting.ws.readyState, 3);
  greeting.platform.advance(2000);
  await closed;
  assert.deepEqual(greeting.events.slice(1), [["close", 1006]]);
});

test("a client that is closed between a hello and its welcome sends what waits after the welcome, and then closes", async () => {
  const { platform, server, ws, link, state, events } = setUp();
  const call = ws.sendAsync("call", null, Infinity);
  ws.sendSync("sent");
  link.cut();
  ws.sendSync("queued");
  const waiting = ws.sendAsync("waiting", null, Infinity);
  const resuming = server.accept();
  const closed = ws.close();
  assert.deepEqual([(await rejection(call)).code, (await rejection(waiting)).code], ["outcome_unknown", "no_connection"]);
  assert.equal(platform.socket.closed, null);
  resuming.exchange();
  assert.deepEqual(state.takeInbox(), [["call", null, 1], ["sent", null], ["queued", null]]);
  assert.deepEqual(platform.socket.closed, { code: 1000, reason: undefined });
  resuming.cut(1000);
  await closed;
  assert.deepEqual([events.slice(1), platform.timers.size], [[["close", 1000]], 0]);
});

test("the same if the state is gone, if the server rejects the hello, and for the first hello", async () => {
  const gone = setUp();
  gone.ws.sendSync("sent");
  gone.link.cut();
  gone.ws.sendSync("queued");
  gone.server.states.clear();
  const next = gone.server.accept();
  void gone.ws.close();
  next.exchange();
  assert.deepEqual(next.state?.takeInbox(), [["queued", null]], "what was sent before may have been received");
  assert.equal(gone.platform.socket.closed?.code, 1000);

  const rejected = setUp();
  rejected.link.cut();
  rejected.ws.sendSync("queued");
  rejected.server.refusal = "the token is another one";
  rejected.server.accept();
  void rejected.ws.close();
  rejected.platform.socket.sent.length = 0;
  rejected.platform.socket.deliver(["aaw/error", { error: "the token is another one", code: "bad_frame" }]);
  assert.deepEqual(rejected.platform.socket.sent, ['["aaw/hello",{}]', '["queued",null]']);
  assert.equal(rejected.platform.socket.closed?.code, 1000);

  const platform = new FakePlatform();
  const server = new FakeServer(platform);
  const ws = platform.client();
  ws.sendSync("queued");
  const first = server.accept();
  const closed = ws.close();
  first.exchange();
  assert.deepEqual([first.state?.takeInbox(), platform.socket.closed?.code], [[["queued", null]], 1000]);
  platform.advance(2000);
  await closed;
});

test("a client that is closed before the welcome does not wait for it for longer than for a close frame", async () => {
  const { platform, server, ws, link, state } = setUp();
  link.cut();
  ws.sendSync("queued");
  const resuming = server.accept();
  const closed = ws.close();
  platform.advance(1999);
  assert.equal(platform.socket.closed, null);
  platform.advance(1);
  await closed;
  assert.deepEqual([platform.socket.closed, state.takeInbox()], [{ code: undefined, reason: undefined }, []]);
  resuming.stop();
});

test("a message that breaks each socket is sent again until the window has passed, and no longer", async () => {
  const { platform, server, ws, link, events } = setUp(undefined, { window: 20_000 });
  const call = ws.sendAsync("poison", null, Infinity);
  const done = rejection(call);
  link.cut();
  let resumptions = 0;
  for (let ms = 0; ms < 60_000 && !events.some(([event]) => event === "close"); ms += 100) {
    if (ws.state === "connecting") {
      // Only the welcome arrives.
      const resuming = server.accept().read(1).deliver(1);
      if (events.at(-1)?.[0] === "resumed") resumptions += 1;
      resuming.cut();
    }
    platform.advance(100);
  }
  assert.equal((await done).code, "outcome_unknown");
  assert.ok(platform.now() < 30_000, `${platform.now()} ms`);
  assert.ok(resumptions > 3, `${resumptions} resumptions`);
});

test("a refused connection after the state is gone fails the calls that waited as not sent", async () => {
  const { platform, ws, link } = setUp();
  const before = ws.sendAsync("a", null, Infinity);
  link.cut();
  const after = ws.sendAsync("b", null, Infinity);
  platform.socket.accept("aaw.v1");
  platform.socket.deliver(["aaw/error", { error: "Members only", code: "not_allowed" }]);
  platform.socket.disconnect(1008, "Members only");
  assert.deepEqual(await outcome(before), { code: "outcome_unknown", sent: true, taken: false });
  assert.deepEqual(await outcome(after), { code: "not_allowed", sent: false, taken: false });
});

// --- What goes on while away -----------------------------------------------------------------------------------------

test("timeouts run on, and tell whether the server has the call", async () => {
  const { platform, server, ws, link, state } = setUp();
  const [taken, sent] = [ws.sendAsync("a", null, 1000), ws.sendAsync("b", null, 1000)];
  link.read(1);
  state.acknowledge();
  link.deliver().cut();
  const waiting = ws.sendAsync("c", null, 1000);
  const controller = new AbortController();
  const cancelled = ws.sendAsync("d", null, { signal: controller.signal });
  controller.abort();
  platform.advance(1000);
  const error = await rejection(taken);
  assert.equal(error.error, "WebSocket error (client): request timed out");
  assert.deepEqual(Object.keys(error), ["error", "code"]);
  assert.deepEqual(await outcome(taken), { code: "timeout", sent: true, taken: true });
  assert.deepEqual(await outcome(sent), { code: "timeout", sent: true, taken: false });
  assert.deepEqual(await outcome(waiting), { code: "timeout", sent: false, taken: false });
  assert.deepEqual(await outcome(cancelled), { code: "cancelled", sent: false, taken: false });
  server.connect();
  assert.deepEqual(state.takeInbox(), [["a", null, 1], ["b", null, 2], ["a", null, 1, "cancel"], ["b", null, 2, "cancel"]]);
});

test("a call that the server has received, as it says at resuming, is taken", async () => {
  const { server, ws, link } = setUp();
  const controller = new AbortController();
  const call = ws.sendAsync("a", null, { signal: controller.signal });
  link.read().cut();
  server.connect();
  controller.abort();
  assert.deepEqual(await outcome(call), { code: "cancelled", sent: true, taken: true });
});

test("an error that the server has sent is of a call that it has taken", async () => {
  const { ws, link, state } = setUp();
  const call = ws.sendAsync("a");
  state.send(["a", { error: "No", code: "handler" }, 1, "error"]);
  link.exchange();
  assert.deepEqual(await outcome(call), { code: "handler", sent: true, taken: true });
});

test("a stream goes on, and credit that is granted while away is sent", async () => {
  const { server, ws, link, state } = setUp({ window: 4 });
  const stream = ws.stream("count");
  link.read();
  for (const n of [1, 2, 3, 4]) state.send(["count", n, 1, "item"]);
  link.deliver(3).cut();
  for (const n of [1, 2]) assert.equal((await stream.next()).value, n);
  server.connect();
  assert.deepEqual(state.takeInbox(), [["count", null, 1, "call", { credit: 4 }], ["count", 6, 1, "credit"]]);
  state.send(["count", 5, 1, "item"]);
  state.send(["count", null, 1, "end"]);
  state.link?.exchange();
  const rest = [];
  for await (const n of stream) rest.push(n);
  assert.deepEqual(rest, [3, 4, 5]);
});

test("items of an upload wait while away, and go on in their order", async () => {
  const { server, ws, link, state } = setUp();
  const sum = ws.duplex("sum");
  link.read();
  state.send(["sum", 2, 1, "credit"]);
  link.deliver();
  assert.equal(await sum.send(1), true);
  link.cut();
  const items = [sum.send(2), sum.send(3)];
  let isWritten = false;
  void items[0].then(() => (isWritten = true));
  sum.end();
  await settle();
  assert.equal(isWritten, false);
  const resumed = server.connect();
  assert.equal(await items[0], true);
  assert.deepEqual(state.takeInbox().slice(1), [["sum", 1, 1, "item"], ["sum", 2, 1, "item"]]);
  state.send(["sum", 6, 1, "credit"]);
  resumed.exchange();
  assert.equal(await items[1], true);
  assert.deepEqual(state.takeInbox(), [["sum", 3, 1, "item"], ["sum", null, 1, "end"]]);
  state.send(["sum", 6, 1]);
  resumed.exchange();
});

test("an upload that ends while away, without credit, ends on the next socket", async () => {
  const { server, ws, link, state } = setUp();
  const [ended, waiting] = [ws.duplex("a"), ws.duplex("b")];
  link.read();
  state.send(["a", 1, 1, "credit"]);
  link.deliver().cut();
  ended.end();
  const item = waiting.send(7);
  const resumed = server.connect();
  assert.deepEqual(state.takeInbox().slice(2), [["a", null, 1, "end"]]);
  state.send(["b", 1, 2, "credit"]);
  resumed.exchange();
  assert.equal(await item, true);
  assert.deepEqual(state.takeInbox(), [["b", 7, 2, "item"]]);
});

test("a handler of a client call runs on, and its response is sent over the next socket", async () => {
  const { server, ws, link, state } = setUp();
  /** @type {((answer: string) => void)[]} */
  const resolvers = [];
  /** @type {AbortSignal[]} */
  const signals = [];
  ws.handle("confirm", (_, { signal }) => {
    signals.push(signal);
    return new Promise((resolve) => resolvers.push(resolve));
  });
  for (const id of [-1, -2, -3]) state.send(["confirm", null, id]);
  link.deliver().cut();
  resolvers[0]("while away");
  await settle();
  state.send(["confirm", null, -3, "cancel"]);
  server.connect();
  assert.deepEqual(state.takeInbox(), [["confirm", "while away", -1]]);
  assert.deepEqual(signals.map(({ aborted }) => aborted), [false, false, true]);
  resolvers[1]("later");
  await settle();
  state.link?.exchange();
  assert.deepEqual(state.takeInbox(), [["confirm", "later", -2]]);
});

test("a gap counts as the messages that it stands for, and is emitted", () => {
  const { platform, server, link, state, events } = setUp();
  link.cut();
  state.send(["aaw/gap", { lost: 3 }], 3);
  state.send(["news", 1]);
  const resumed = server.connect();
  assert.deepEqual(events.slice(1), [["resumed", null], ["gap", { lost: 3 }]]);
  resumed.cut();
  platform.advance(100);
  const again = server.accept().read();
  assert.equal(again.hello.resumption.received, 4);
});

test("an invalid gap is reported, and counts as one message", () => {
  const { platform, link, events } = setUp();
  for (const data of [null, {}, { lost: 0 }, { lost: 1.5 }, { lost: "3" }]) platform.socket.deliver(["aaw/gap", data]);
  assert.deepEqual(events.splice(0), Array(5).fill(["error", "bad_frame"]));
  link.cut();
  platform.socket.accept("aaw.v1");
  assert.equal(JSON.parse(platform.socket.sent[0])[1].resumption.received, 5);
});

// --- Acknowledgements ------------------------------------------------------------------------------------------------

/** The acknowledgements that the client has sent since the last call of this. @param {FakePlatform} platform */
const takeAcks = ({ socket }) =>
  socket.takeSent().flatMap((/** @type {any} */ [event, n]) => (event === "aaw/ack" ? [n] : []));

test("64 messages, or 64 KiB, are acknowledged at once", () => {
  const { platform } = setUp();
  for (let n = 1; n <= 63; n += 1) platform.socket.deliver(["news", n]);
  assert.deepEqual(takeAcks(platform), []);
  platform.socket.deliver(["news", 64]);
  assert.deepEqual(takeAcks(platform), [64]);
  // In UTF-8, each of these characters has three bytes.
  platform.socket.deliver(["news", "€".repeat(11_000)]);
  assert.deepEqual(takeAcks(platform), []);
  platform.socket.deliver(["news", "€".repeat(11_000)]);
  assert.deepEqual(takeAcks(platform), [66]);
  platform.socket.deliver(["aaw/gap", { lost: 100 }]);
  assert.deepEqual(takeAcks(platform), [166]);
});

test("fewer messages are acknowledged by what is sent in any case, or after 10 s", () => {
  const { platform, ws } = setUp();
  const send = () => {
    ws.sendSync("x");
    return platform.socket.takeSent();
  };
  for (let n = 1; n <= 31; n += 1) platform.socket.deliver(["news", n]);
  assert.deepEqual(send(), [["x", null]]);
  platform.socket.deliver(["news", 32]);
  assert.deepEqual(send(), [["aaw/ack", 32], ["x", null]], "32 messages");
  assert.deepEqual(send(), [["x", null]]);
  platform.socket.deliver(["news", "x".repeat(16 << 10)]);
  assert.deepEqual(send(), [["aaw/ack", 33], ["x", null]], "16 KiB");
  platform.socket.deliver(["news", 34]);
  platform.advance(999);
  platform.socket.deliver(["news", 35]);
  assert.deepEqual(send(), [["x", null]]);
  platform.advance(1);
  assert.deepEqual(send(), [["aaw/ack", 35], ["x", null]], "1 s");
  platform.socket.deliver(["news", 36]);
  platform.advance(9999);
  assert.deepEqual(takeAcks(platform), []);
  platform.advance(1);
  assert.deepEqual(takeAcks(platform), [36], "10 s");
  platform.socket.deliver(["news", "x".repeat(4 << 10)]);
  platform.advance(999);
  assert.deepEqual(takeAcks(platform), []);
  platform.advance(1);
  assert.deepEqual(takeAcks(platform), [37], "1 s for 4 KiB");
});

test("pings, acknowledgements and welcomes are not counted, but invalid and binary messages are", () => {
  const { platform, ws, link, events } = setUp();
  const { socket } = platform;
  for (const text of ['["aaw/pong",null]', '["aaw/ack",0]', '["aaw/ping"]', '["aaw/welcome",{}]', '["aaw/hello",{}]']) {
    socket.deliverRaw(text);
  }
  for (const text of ["nonsense", '["aaw/gap",{"lost":3},7]', '["aaw/tomorrow"]', "[]"]) socket.deliverRaw(text);
  socket.deliverRaw(new ArrayBuffer(8));
  assert.deepEqual(events.splice(0), Array(4).fill(["error", "bad_frame"]));
  platform.wake();
  ws.sendSync("a");
  link.cut();
  platform.socket.accept("aaw.v1");
  assert.equal(JSON.parse(platform.socket.sent[0])[1].resumption.received, 5);
  // The client has sent one counted message.
  platform.socket.deliver(["aaw/welcome", { resumed: true, resumption: { window: 1000, log: 1000, received: 1 } }]);
  assert.deepEqual(platform.socket.takeSent(), []);
  assert.deepEqual(events.at(-1), ["resumed", null]);
});

test("an invalid acknowledgement is reported, a late one ignored", () => {
  const { platform, ws, link, events } = setUp();
  for (let n = 0; n < 3; n += 1) ws.sendSync("a");
  link.read();
  for (const data of [2, 1, 2]) platform.socket.deliver(["aaw/ack", data]);
  assert.deepEqual(events, []);
  for (const data of [4, -1, 1.5, "1", null]) platform.socket.deliver(["aaw/ack", data]);
  assert.deepEqual(events, Array(5).fill(["error", "bad_frame"]));
});

test("large messages are acknowledged while the session is being resumed, and binary ones as well", () => {
  const platform = new FakePlatform();
  platform.client(undefined, { token: "T" });
  new FakeServer(platform).connect();
  platform.socket.deliver(["news", "x".repeat(4 << 10)]);
  platform.advance(999);
  assert.deepEqual(takeAcks(platform), []);
  platform.advance(1);
  assert.deepEqual(takeAcks(platform), [1]);
  platform.socket.deliverRaw(new ArrayBuffer(64 << 10));
  assert.deepEqual(takeAcks(platform), [2]);
});

test("beyond the server's limit of unacknowledged bytes only what belongs to earlier calls is sent", async () => {
  const { platform, ws, link, state } = setUp({ window: 2 }, { log: 1000 });
  const stream = ws.stream("count");
  const upload = ws.duplex("sum");
  link.read();
  state.send(["sum", 9, 2, "credit"]);
  state.send(["count", 1, 1, "item"]);
  link.deliver();
  ws.sendSync("large", "x".repeat(1000));
  const call = ws.sendAsync("b");
  ws.sendSync("c");
  const item = upload.send(1);
  assert.equal((await stream.next()).value, 1);
  platform.advance(500);
  link.read();
  assert.deepEqual(state.takeInbox().slice(3), [["count", 3, 1, "credit"]]);
  const late = rejection(ws.sendAsync("d", null, 100));
  platform.advance(100);
  assert.match((await late).error, /the call was not sent: the server has not acknowledged what was sent before$/);
  state.acknowledge();
  link.exchange();
  assert.equal(await item, true);
  assert.deepEqual(state.takeInbox(), [["sum", 1, 2, "item"], ["b", null, 3], ["c", null]]);
  void rejection(call);
});

// --- Dead connections ------------------------------------------------------------------------------------------------

test("a call that is not acknowledged for 3 s is probed; after 3 s more the connection is replaced", async () => {
  const { platform, server, ws, link, state, events } = setUp();
  platform.advance(500);
  const call = ws.sendAsync("a", null, 60_000);
  link.socket.sent.length = 0;
  platform.advance(2999);
  assert.deepEqual(platform.socket.sent, []);
  platform.advance(1);
  assert.deepEqual(platform.socket.sent, ['["aaw/ping"]']);
  platform.advance(2999);
  assert.deepEqual([events, ws.state], [[], "open"]);
  platform.advance(1);
  assert.deepEqual(events, [["interrupted", { reason: "the server stopped responding" }]]);
  assert.equal(platform.sockets[0].closed?.code, 4002, "another code would end the state");
  server.connect();
  assert.deepEqual(state.takeInbox(), [["a", null, 1]]);
  // The server closes the first socket, which the client has stopped listening to.
  platform.sockets[0].disconnect(4001);
  state.send(["a", "there", 1]);
  state.link?.exchange();
  assert.equal(await call, "there");
  assert.deepEqual(events.slice(1), [["resumed", null]]);
});

test("calls with the default timeout are probed as well", async () => {
  const { platform, ws, events } = setUp();
  const call = ws.sendAsync("a");
  platform.advance(3000);
  assert.equal((await rejection(call)).code, "timeout");
  assert.deepEqual(platform.socket.takeSent(), [["a", null, 1], ["aaw/ping"], ["a", null, 1, "cancel"]]);
  platform.advance(3000);
  assert.equal(events[0][0], "interrupted");
});

test("a sign of life after a probe is enough; a call that is acknowledged is probed more and more rarely", () => {
  const { platform, ws, link, state, events } = setUp();
  void ws.sendAsync("a", null, Infinity).catch(() => {});
  platform.advance(1000);
  link.read();
  state.acknowledge();
  link.exchange();
  const probed = [];
  for (let second = 2; second <= 110; second += 1) {
    platform.advance(1000);
    if (platform.socket.sent.includes('["aaw/ping"]')) probed.push(second);
    link.exchange();
  }
  assert.deepEqual(probed, [4, 7, 10, 13, 17, 22, 28, 35, 44, 55, 69, 84, 99]);
  assert.deepEqual(events, []);
  // A call that is made later is young.
  void ws.sendAsync("b", null, Infinity).catch(() => {});
  platform.advance(2999);
  assert.equal(platform.socket.sent.includes('["aaw/ping"]'), false);
  platform.advance(1);
  assert.equal(platform.socket.sent.includes('["aaw/ping"]'), true);
});

for (const isTaken of [false, true]) {
  test(`streams that the server has ${isTaken ? "" : "not "}taken are left to the heartbeat`, () => {
    const { platform, ws, link, state } = setUp();
    void ws.stream("a").next().catch(() => {});
    link.read();
    if (isTaken) state.acknowledge();
    link.exchange();
    platform.advance(15_000);
    assert.deepEqual(platform.socket.sent, []);
  });
}

for (const [length, isProbed] of /** @type {[number, boolean][]} */ ([
  [(16 << 10) - 1, true],
  [16 << 10, false],
])) {
  test(`with ${length} unacknowledged bytes, a silent server is ${isProbed ? "" : "not "}probed`, () => {
    const { platform, ws, link } = setUp();
    void ws.sendAsync("a", "x".repeat(length - '["a","",1]'.length), Infinity).catch(() => {});
    assert.equal(link.socket.sent[0].length, length);
    platform.advance(5000);
    assert.equal(platform.socket.sent.includes('["aaw/ping"]'), isProbed);
  });
}

test("a silent server is noticed although each call times out before", () => {
  for (const timeout of [500, 1000, 2900]) {
    const { platform, ws, events } = setUp();
    const start = platform.now();
    while (events.length === 0 && platform.now() - start < 20_000) {
      void ws.sendAsync("a", null, timeout).catch(() => {});
      for (let passed = 0; passed < timeout && events.length === 0; passed += 100) platform.advance(100);
    }
    assert.deepEqual([events[0]?.[0], platform.now() - start], ["interrupted", 6000], `${timeout} ms`);
  }
});

test("if each socket has brought something new, the next one follows at once", () => {
  const { platform, server, state, events } = setUp();
  for (let n = 1; n <= 10; n += 1) {
    const sockets = platform.sockets.length;
    platform.socket.disconnect(1006);
    assert.equal(platform.sockets.length, sockets + 1, `after ${n} breaks`);
    server.connect();
    state.send(["news", n]);
    state.link?.exchange();
    platform.advance(100);
  }
  assert.equal(events.filter(([event]) => event === "resumed").length, 10);
});

test("a server that stays silent has more time on each socket, until something new arrives", () => {
  const { platform, server, ws, link, state, events } = setUp();
  void ws.sendAsync("a", null, Infinity).catch(() => {});
  link.read();
  state.acknowledge();
  link.exchange();
  for (const seconds of [6, 12, 24]) {
    platform.advance(seconds * 1000 - 1);
    assert.deepEqual(events.splice(0), []);
    platform.advance(1);
    assert.equal(events[0][0], "interrupted");
    server.connect();
    events.length = 0;
  }
  state.send(["news", 1]);
  state.link?.exchange();
  void ws.sendAsync("b", null, Infinity).catch(() => {});
  platform.advance(6000);
  assert.equal(events.at(-1)?.[0], "interrupted");
});

test("calls that are sent again have the full time before they are probed", () => {
  const { platform, server, ws, link } = setUp();
  void ws.sendAsync("a", null, Infinity).catch(() => {});
  platform.advance(2500);
  link.cut();
  const resumed = server.accept().read().deliver();
  platform.advance(2999);
  assert.equal(platform.socket.sent.includes('["aaw/ping"]'), false);
  platform.advance(1);
  assert.equal(platform.socket.sent.includes('["aaw/ping"]'), true);
  resumed.exchange();
});
