// What the client reports about connections that cannot be made.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ReconnectDelays } from "../aaw/backoff.js";
import { connectFailure, withoutSecrets } from "../aaw/handshake.js";
import { FakePlatform, FakeSocket } from "./support/fake_platform.js";

const TIMED_OUT = "WebSocket error (client): request timed out";

/** The error of a call that times out after 1 s, in which `during` happens. */
const timedOut = async (/** @type {FakePlatform} */ platform, /** @type {import("../aaw/client.js").Client} */ ws, during = () => {}) => {
  const call = ws.sendAsync("ping", null, 1000);
  during();
  platform.advance(1000);
  const error = await call.catch((reason) => reason);
  assert.equal(error.code, "timeout");
  return error;
};

test("a call that timed out without a connection says so, and why the last attempt failed", async () => {
  const platform = new FakePlatform();
  const ws = platform.client("ws://server.test/path?token=SECRET");
  const waiting = await timedOut(platform, ws);
  assert.equal(waiting.error, `${TIMED_OUT}; the call was not sent: never connected; the attempt to connect has not ended yet`);
  const failed = await timedOut(platform, ws, () => platform.socket.fail());
  assert.equal(
    failed.error,
    `${TIMED_OUT}; the call was not sent: never connected; last attempt: cannot reach ws://server.test/path, or it refused the connection`,
  );
  assert.equal(failed.sent, false);
});

test("the status of a refusal is in the error, from the text of the platform's own", async () => {
  for (const message of [
    "WebSocket connection to 'ws://server.test/?token=SECRET' failed: Expected 101 status code: 403",
    "Unexpected server response: 403",
  ]) {
    const platform = new FakePlatform();
    const ws = platform.client("ws://server.test/?token=SECRET");
    const { error } = await timedOut(platform, ws, () => {
      platform.socket.dispatchEvent(Object.assign(new Event("error"), { message }));
      if (platform.socket.closed === null) platform.socket.disconnect(1006);
    });
    assert.equal(
      error,
      `${TIMED_OUT}; the call was not sent: never connected; last attempt: ws://server.test refused the connection with 403`,
    );
  }
});

test("a call that timed out says what else it waited for", async () => {
  const platform = new FakePlatform();
  const ws = platform.client(undefined, { maxInFlight: 1, resumption: false });
  platform.socket.accept("aaw.v1");
  assert.equal((await timedOut(platform, ws)).error, TIMED_OUT, "before the welcome, calls are sent");
  platform.socket.deliver(["aaw/welcome", { connection: "7f", limits: { calls: 256, message: 1 << 20 } }]);
  void ws.sendAsync("first", null, Infinity).catch(() => {});
  assert.equal((await timedOut(platform, ws)).error, `${TIMED_OUT}; the call was not sent: 1 calls were open, which is the limit`);
  platform.socket.disconnect(1012, "restart");
  const { error } = await timedOut(platform, ws);
  assert.match(error, /; the call was not sent: the connection was lost: the server closed the connection \(1012\): restart; the attempt to connect has not ended yet$/);
  ws.close();
});

test("a call that was sent has the original's text", async () => {
  const platform = new FakePlatform();
  const { error, sent } = await timedOut(platform, platform.connectedClient());
  assert.deepEqual([error, sent], [TIMED_OUT, true]);
});

test("the URL in an error has no user, query or fragment", () => {
  assert.equal(withoutSecrets("wss://user:pass@a.test:8443/b?token=c#d"), "wss://a.test:8443/b");
  const url = "ws://a.test/?token=SECRET";
  const observed = /** @type {any} */ ({ status: null, error: null });
  assert.equal(connectFailure(observed, { message: `no way to ${url}` }, url).reason, "cannot reach ws://a.test: no way to ws://a.test");
});

// --- Attempts after a refusal ----------------------------------------------------------------------------------------

test("a status says whether the next attempt may succeed, unless the server has named the time", () => {
  const hint = (/** @type {number | null} */ status, /** @type {number | null} */ retryAfter = null) =>
    connectFailure(/** @type {any} */ ({ status, retryAfter, error: null }), {}, "ws://a.test").hint;
  for (const status of [200, 301, 400, 401, 403, 404, 429]) assert.equal(hint(status), "refused", `${status}`);
  for (const status of [408, 425, 500, 502, 503, null]) assert.equal(hint(status), null, `${status}`);
  for (const status of [403, 429, 503]) assert.equal(hint(status, 7000), 7000, `${status}`);
});

test("the delay after a refusal is from half of its option to all of it, and does not grow", () => {
  const backoff = { min: 100, max: 10_000, factor: 2, refused: 30_000 };
  for (const [random, expected] of [[0, 15_000], [0.5, 22_500], [0.999, 29_985]]) {
    const delays = new ReconnectDelays(backoff, () => random);
    for (let attempt = 0; attempt < 20; attempt += 1) assert.equal(delays.nextDelay("refused"), expected);
  }
  assert.equal(new ReconnectDelays({ ...backoff, refused: Infinity }, () => 0).nextDelay("refused"), Infinity);
  const delay = (/** @type {number} */ hint) => new ReconnectDelays(backoff, () => 0.5).nextDelay(hint);
  assert.deepEqual([delay(0), delay(5000), delay(3_600_000), delay(1e300)], [50, 5050, 3_600_050, 3_600_050]);
});

test("after a refusal the client waits longer than after another failure, where the platform tells the status", () => {
  for (const [message, delay] of /** @type {[string | undefined, number][]} */ ([
    ["Unexpected server response: 403", 22_500],
    ["Unexpected server response: 503", 50],
    [undefined, 50],
  ])) {
    const platform = new FakePlatform();
    platform.client();
    platform.socket.dispatchEvent(Object.assign(new Event("error"), { message }));
    if (message === undefined) platform.socket.disconnect(1006);
    platform.advance(delay - 1);
    assert.equal(platform.sockets.length, 1, message);
    platform.advance(1);
    assert.equal(platform.sockets.length, 2, message);
  }
  const platform = new FakePlatform();
  const ws = platform.client(undefined, { backoff: { refused: Infinity } });
  platform.socket.dispatchEvent(Object.assign(new Event("error"), { message: "Unexpected server response: 403" }));
  platform.advance(1e9);
  assert.deepEqual([ws.state, platform.sockets.length], ["waiting", 1]);
  platform.wake();
  assert.deepEqual([ws.state, platform.sockets.length], ["connecting", 2]);
});

test("a page without an origin is told in the console, once", (t) => {
  const page = /** @type {any} */ (globalThis);
  const warn = t.mock.method(console, "warn", () => {});
  page.document = {};
  t.after(() => {
    delete page.document;
    delete page.origin;
  });
  page.origin = "http://a.test";
  const platform = new FakePlatform();
  platform.client();
  platform.socket.fail();
  assert.equal(warn.mock.callCount(), 0, "a page with an origin");
  page.origin = "null";
  platform.client();
  assert.equal(warn.mock.callCount(), 0, "the server may allow it");
  platform.socket.fail();
  platform.advance(10_000);
  platform.socket.fail();
  assert.equal(warn.mock.callCount(), 1);
  assert.match(warn.mock.calls[0].arguments[0], /opened as a file.*`aaw-server --static FOLDER`/);
});

// --- ref and unref ---------------------------------------------------------------------------------------------------

/** A client whose sockets count as those of Node do. */
const refClient = () => {
  const platform = new FakePlatform();
  /** @type {string[]} */
  const log = [];
  Object.assign(FakeSocket.prototype, { ref: () => log.push("ref"), unref: () => log.push("unref") });
  const ws = platform.client();
  return { platform, log, ws };
};

test("unref lets the process end unless a call is in flight or a message waits, and ref takes it back", async (t) => {
  t.after(() => {
    const prototype = /** @type {any} */ (FakeSocket.prototype);
    delete prototype.ref;
    delete prototype.unref;
  });
  const { platform, log, ws } = refClient();
  const isRef = () => [...platform.timers].some((timer) => timer.isRef);
  assert.equal(isRef(), true, "connecting");
  assert.equal(ws.unref(), ws);
  assert.equal(isRef(), false, "unref while connecting");
  ws.sendSync("early");
  assert.equal(isRef(), true, "a message waits");
  platform.socket.welcome();
  assert.deepEqual(log.splice(0), ["unref"], "it is written");
  const call = ws.sendAsync("ping");
  assert.deepEqual([log.splice(0), isRef()], [["ref"], true]);
  platform.socket.deliver(["ping", 1, 1]);
  await call;
  assert.deepEqual([log.splice(0), isRef()], [["unref"], false]);
  ws.ref();
  assert.deepEqual(log.splice(0), ["ref"]);
  ws.unref();
  const stream = ws.stream("count");
  log.length = 0;
  await stream.return();
  assert.deepEqual(log.splice(0), ["unref"], "a stream that was left");
  platform.socket.disconnect(1006);
  assert.equal(isRef(), false, "the delay before the next attempt");
  platform.advance(10_000);
  platform.socket.welcome();
  assert.deepEqual(log.splice(0), ["unref"], "the next socket");
  const closed = ws.close();
  assert.deepEqual([log.splice(0), isRef()], [["ref"], true], "a close");
  platform.socket.disconnect(1000);
  await closed;
});
