// Invalid options and arguments.

import assert from "node:assert/strict";
import { test } from "node:test";

import aaw from "../aaw.js";
import { readOptions } from "../aaw/options.js";
import { FakePlatform, settle } from "./support/fake_platform.js";

/** Passes a value whose type is wrong. @param {unknown} value @returns {any} */
const wrong = (value) => value;

/** @param {RegExp} message */
const typeError = (message) => (/** @type {unknown} */ error) => {
  assert.ok(error instanceof TypeError, String(error));
  assert.match(error.message, message);
  return true;
};

const NO_TIMES = [0, -1, NaN, -Infinity, "5000", "", false, true, 5n, {}, [5000]];
const NO_LIMITS = [...NO_TIMES, 1.5];

test("an option with an invalid value is a TypeError that names the option and the value", () => {
  /** @type {[option: string, values: unknown[]][]} */
  const cases = [
    ["timeout", NO_TIMES],
    ["heartbeat", NO_TIMES],
    ["connectTimeout", NO_TIMES],
    ["reconnectInterval", [...NO_TIMES, Infinity]],
    ["window", [...NO_LIMITS, Infinity, 2 ** 31]],
    ["maxInFlight", NO_LIMITS],
    ["maxMessage", NO_LIMITS],
    ["maxWaitingCalls", NO_LIMITS],
    ["maxWaitingSends", NO_LIMITS],
    ["bigint", ["true", 1, 0]],
    ["token", [5, true, {}, "x".repeat(1025)]],
    ["storage", ["localStorage", {}, { getItem() {} }]],
    ["storageKey", [5, {}]],
    ["WebSocket", ["ws", {}]],
    ["backoff", [100, "100", [100, 200]]],
  ];
  for (const [option, values] of cases) {
    for (const value of values) {
      assert.throws(() => aaw("ws://a.test", wrong({ [option]: value })), typeError(new RegExp(`\`${option}\` must be .+, got `)));
    }
  }
  for (const value of [...NO_TIMES, Infinity]) {
    assert.throws(() => readOptions(wrong({ backoff: { min: value } })), typeError(/`backoff.min` must be a positive, finite/));
    assert.throws(() => readOptions(wrong({ backoff: { max: value } })), typeError(/`backoff.max` must be a positive, finite/));
  }
  for (const value of [0.5, NaN, Infinity, "2", 0]) {
    assert.throws(() => readOptions(wrong({ backoff: { factor: value } })), typeError(/`backoff.factor` must be .* at least 1/));
  }
  assert.throws(() => readOptions({ backoff: { min: 200, max: 100 } }), typeError(/`backoff.min` \(200\) must not exceed/));
  for (const options of ["ws://", 5, []]) {
    assert.throws(() => aaw("ws://a.test", wrong(options)), typeError(/the options of a client must be an object, got/));
  }
  assert.throws(
    () => readOptions({ heartbeat: wrong("20000") }),
    new TypeError(
      'aaw: the option `heartbeat` must be a positive number of ms, or Infinity to disable it, got the string "20000"',
    ),
  );
});

test("an error does not show a token", () => {
  for (const token of [`SECRET${"x".repeat(1024)}`, ["SECRET"]]) {
    assert.throws(() => readOptions({ token: wrong(token) }), (error) => !String(error).includes("SECRET"));
  }
  assert.throws(() => aaw("http://[bad/?token=SECRET"), (error) => !String(error).includes("SECRET"));
  assert.throws(() => aaw("ftp://a.test/?token=SECRET"), (error) => !String(error).includes("SECRET"));
  const headers = { authorization: "Bearer SECRET\n!" };
  assert.throws(() => aaw.http("http://a.test", { headers }), (error) => /authorization/.test(String(error)) && !String(error).includes("SECRET"));
});

test("undefined and null select the default, and an empty token is none", () => {
  const defaults = readOptions(undefined);
  const names = Object.keys({ ...defaults, ...defaults.connection, backoff: 0, reconnectInterval: 0, token: 0 });
  for (const value of [undefined, null]) {
    assert.deepEqual(readOptions(wrong(Object.fromEntries(names.filter((name) => name !== "connection").map((name) => [name, value])))), defaults);
    assert.deepEqual(readOptions(wrong({ backoff: { min: value, max: value, factor: value } })), defaults);
  }
  assert.deepEqual(readOptions({ token: "" }), defaults);
  assert.equal(defaults.timeout, 3000);
  assert.deepEqual(defaults.connection.backoff, { min: 100, max: 10_000, factor: 2 });
});

test("Infinity and huge values are accepted where they have a meaning", () => {
  const { timeout, connection } = readOptions({ timeout: Infinity, heartbeat: Infinity, maxMessage: Infinity, connectTimeout: 1e300 });
  assert.deepEqual([timeout, connection.heartbeat, connection.maxMessage, connection.connectTimeout], [Infinity, Infinity, Infinity, 1e300]);
  // A first delay above the default of the longest, and a longest delay below that of the first, stand alone.
  assert.deepEqual(readOptions({ backoff: { min: 20_000 } }).connection.backoff, { min: 20_000, max: 20_000, factor: 2 });
  assert.deepEqual(readOptions({ backoff: { max: 50 } }).connection.backoff, { min: 50, max: 50, factor: 2 });
});

test("an invalid timeout or signal of a call rejects the call, and no other call is affected", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  for (const timeout of NO_TIMES.filter((value) => typeof value === "number")) {
    await assert.rejects(ws.sendAsync("ping", null, timeout), typeError(/the timeout must be a positive number of ms/));
  }
  for (const timeout of NO_TIMES) {
    await assert.rejects(ws.sendAsync("ping", null, wrong({ timeout })), typeError(/the option `timeout` must be/));
  }
  for (const options of ["5000", true, 5n, [5000]]) {
    await assert.rejects(ws.sendAsync("ping", null, wrong(options)), typeError(/a timeout in ms or an object, got/));
  }
  const controller = new AbortController();
  await assert.rejects(ws.sendAsync("ping", null, wrong(controller.signal)), typeError(/pass the AbortSignal as \{ signal \}/));
  await assert.rejects(ws.sendAsync("ping", null, wrong({ signal: controller })), typeError(/`signal` must be an AbortSignal, got an object/));
  assert.deepEqual(platform.socket.takeSent(), []);

  // `null` is the default.
  const [a, b, c] = [ws.sendAsync("a", 1, wrong(null)), ws.sendAsync("b", 1, wrong({ timeout: null })), ws.sendAsync("c", 1, Number.MAX_VALUE)];
  const results = Promise.allSettled([a, b]);
  platform.advance(2999);
  await settle();
  assert.equal(platform.socket.takeSent().length, 3, "no call has timed out");
  platform.advance(1);
  assert.deepEqual((await results).map((result) => result.status === "rejected" && result.reason.code), ["timeout", "timeout"]);
  assert.ok(platform.timers.size <= 1);
  platform.socket.deliver(["c", "late", 3]);
  assert.equal(await c, "late");
});

test("invalid options of streams, and a timeout, which streams have not, are thrown", () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const http = aaw.http("http://a.test", { fetch: wrong(() => assert.fail("a request was made")) });
  for (const stream of [ws.stream, ws.duplex, http.stream]) {
    assert.throws(() => stream("count", null, wrong(5000)), typeError(/the options of a stream must be an object, got 5000/));
    assert.throws(() => stream("count", null, wrong({ timeout: 5000 })), typeError(/a stream has no timeout; pass \{ signal: /));
    assert.throws(() => stream("count", null, wrong(AbortSignal.timeout(1))), typeError(/pass the AbortSignal as/));
    assert.throws(() => stream("count", null, wrong({ signal: 5 })), typeError(/`signal` must be an AbortSignal, got 5/));
  }
  assert.deepEqual(platform.socket.takeSent(), []);
});

test("listeners and handlers must be functions, and events strings", () => {
  const ws = new FakePlatform().connectedClient();
  for (const callback of [undefined, null, "f", {}]) {
    assert.throws(() => ws.on("e", wrong(callback)), typeError(/the callback of `on` must be a function/));
    assert.throws(() => ws.handle("e", wrong(callback)), typeError(/the handler of a client call must be a function/));
  }
  assert.throws(() => ws.off("e", wrong("f")), typeError(/the callback of `off` must be a function/));
  for (const event of [undefined, 5, Symbol("e")]) {
    for (const method of [ws.on, ws.off, ws.handle]) {
      assert.throws(() => method(wrong(event), () => {}), typeError(/the name of an event must be a string/));
    }
  }
  for (const text of ["5", "null", '{"a":1}']) assert.throws(() => ws.send(text), typeError(/a message must be the JSON text of/));
});

test("an invalid URL is a TypeError, also one that a function returns", async () => {
  for (const url of [5, true, {}, "", " ", "http://[bad", "localhost:1337", []]) {
    assert.throws(() => aaw(wrong(url)), typeError(/^aaw: /));
    assert.throws(() => aaw.http(wrong(url)), typeError(/^aaw: /));
  }
  assert.throws(() => aaw(wrong(null), { WebSocket: wrong(class {}) }), typeError(/outside of a page the server's URL is required/));
  assert.throws(() => aaw.http("http://a.test?x=1"), typeError(/must have no query/));
  for (const url of [undefined, null, 5, "", Promise.resolve(5)]) {
    const platform = new FakePlatform();
    const ws = platform.client(wrong(() => url));
    /** @type {unknown[]} */
    const errors = [];
    ws.on("error", ({ code, cause }) => errors.push(code, cause instanceof TypeError));
    await settle();
    assert.deepEqual(errors, ["no_connection", true]);
    assert.equal(ws.state, "waiting");
    ws.close();
  }
});

test("options and headers of the HTTP client are checked when it is created, and headers again at each call", async () => {
  for (const timeout of NO_TIMES) assert.throws(() => aaw.http("http://a.test", wrong({ timeout })), typeError(/`timeout`/));
  for (const maxItem of NO_LIMITS) assert.throws(() => aaw.http("http://a.test", wrong({ maxItem })), typeError(/`maxItem`/));
  assert.throws(() => aaw.http("http://a.test", wrong({ fetch: "fetch" })), typeError(/`fetch` must be a function/));
  assert.throws(() => aaw.http("http://a.test", wrong({ headers: "a: b" })), typeError(/`headers` must be/));
  assert.throws(() => aaw.http("http://a.test", wrong({ headers: { "a b": "c" } })), typeError(/the header "a b" has an invalid/));
  assert.throws(() => aaw.http("http://a.test", wrong({ headers: { authorization: undefined } })), typeError(/"authorization" is undefined/));
  /** @type {Record<string, any>} */
  const headers = { a: "1" };
  /** @type {unknown[]} */
  const sent = [];
  const fetch = wrong(async (/** @type {string} */ _, /** @type {RequestInit} */ init) => {
    sent.push(new Headers(init.headers).get("a"));
    return new Response("1");
  });
  for (const given of [headers, Object.entries(headers), new Headers(headers)]) {
    await aaw.http("http://a.test", { fetch, headers: given }).sendAsync("ping");
  }
  const http = aaw.http("http://a.test", { fetch, headers });
  headers.a = "2";
  await http.sendAsync("ping");
  assert.deepEqual(sent, ["1", "1", "1", "2"]);
  headers.a = null;
  await assert.rejects(http.sendAsync("ping"), typeError(/the header "a" is null/));
  await assert.rejects(http.sendAsync("ping", null, NaN), typeError(/the timeout must be/));
  await assert.rejects(http.sendAsync("ping", null, wrong({ timeout: "5" })), typeError(/`timeout`/));
});

test("aaw.sse takes a response or a stream, and a limit", () => {
  for (const response of [undefined, null, "text", Promise.resolve(new Response("")), {}]) {
    assert.throws(() => aaw.sse(wrong(response)), typeError(/the response must be a Response or a ReadableStream, got/));
  }
  for (const maxEvent of NO_LIMITS) assert.throws(() => aaw.sse(new Response(""), wrong({ maxEvent })), typeError(/`maxEvent`/));
  aaw.sse(new Response(""), wrong(null));
});
