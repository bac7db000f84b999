// Text and integers that JSON and JavaScript represent differently.

import assert from "node:assert/strict";
import { test } from "node:test";

import aaw from "../aaw.js";
import { CallError } from "../aaw/call_error.js";
import { fromJson, toJson } from "../aaw/json.js";
import { FakePlatform, settle } from "./support/fake_platform.js";

test("lone surrogates are sent as U+FFFD, wherever they are, and other escapes stay", () => {
  const half = "\ud83d";
  /** @type {[value: unknown, json: string][]} */
  const cases = [
    [`a${half}`, '"a\ufffd"'],
    ["\udc00b", '"\ufffdb"'],
    [`${half}${half}\ude00`, '"\ufffd\u{1f600}"'],
    ["\u{1f600}", '"\u{1f600}"'],
    [{ [half]: [{ [`x${half}`]: half }] }, '{"\ufffd":[{"x\ufffd":"\ufffd"}]}'],
    // A backslash before the letters of an escape is text.
    ["\\ud83d", '"\\\\ud83d"'],
    [`\\${half}`, '"\\\\\ufffd"'],
    ["\\\\ud83d \u0001 \"\n", '"\\\\\\\\ud83d \\u0001 \\"\\n"'],
  ];
  for (const [value, json] of cases) {
    assert.equal(toJson(value), json);
    assert.ok(!/\\ud/.test(toJson(value).replaceAll("\\\\", "")));
  }
});

test("every message of the client is well-formed: event names, items, and responses and errors of client calls", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  ws.sendAsync("e\ud83d", "\ud83d").catch(() => {});
  ws.sendSync("s\ud83d", ["\ud83d"]);
  const duplex = ws.duplex("d\ud83d");
  platform.socket.deliver(["d", 1, 2, "credit"]);
  await duplex.send("\ud83d");
  ws.handle("ok", () => "\ud83d");
  ws.handle("bad", () => {
    throw new Error("\ud83d");
  });
  platform.socket.deliver(["ok", null, -1]);
  platform.socket.deliver(["bad", null, -2]);
  await settle();
  const sent = platform.socket.sent.splice(0);
  assert.equal(sent.length, 6);
  for (const text of sent) assert.ok(text.includes("\ufffd") && !text.includes("\\ud") && !/\p{Surrogate}/u.test(text), text);
  ws.close();
});

test("an event's name with a lone surrogate has a URL", async () => {
  /** @type {string[]} */
  const urls = [];
  const fetch = /** @type {any} */ (async (/** @type {string} */ url) => (urls.push(url), new Response("1")));
  await aaw.http("http://a.test", { fetch }).sendAsync("e\ud83d");
  assert.deepEqual(urls, ["http://a.test/events/e%EF%BF%BD"]);
});

test("a BigInt is sent as an integer of any size", () => {
  assert.equal(toJson(18446744073709551615n), "18446744073709551615");
  assert.equal(toJson({ a: [-9007199254740993n, 1], b: "5n", c: 0n }), '{"a":[-9007199254740993,1],"b":"5n","c":0}');
  const digits = "9".repeat(100);
  assert.equal(toJson([BigInt(digits)]), `[${digits}]`);
  /** @type {any} */
  const cycle = { a: 1n };
  cycle.self = cycle;
  assert.throws(() => toJson(cycle), (error) => error instanceof CallError && error.code === "bad_body" && /circular/i.test(error.message));
});

test("integers beyond 2^53 are read as BigInt with the option, and exact numbers stay numbers", () => {
  const max = 2 ** 53 - 1;
  assert.deepEqual(fromJson("[9007199254740993, -18446744073709551615, 9007199254740991]", true), [9007199254740993n, -18446744073709551615n, max]);
  assert.deepEqual(fromJson('{"a":{"id":9007199254740993}}', true), { a: { id: 9007199254740993n } });
  assert.deepEqual(fromJson("[9007199254740993]", false), [9007199254740992]);
  // No integers.
  assert.deepEqual(fromJson("[1234567890123456789.5, 1234567890123456789e2, 0.12345678901234567890]", true), [1234567890123456789.5, 1234567890123456789e2, 0.1234567890123456789]);
  // Text.
  const texts = ["12345678901234567890", '"12345678901234567890', "\\", '\\"12345678901234567890', "12345678901234567890\\\\"];
  assert.deepEqual(fromJson(JSON.stringify([texts, { 12345678901234567890: 1 }, 1]), true), [texts, { 12345678901234567890: 1 }, 1]);
  // Invalid texts stay invalid.
  for (const text of ["[012345678901234567890]", "[12345678901234567890 1]", '["12345678901234567890', "12345678901234567890,"]) {
    assert.throws(() => fromJson(text, true), (error) => error instanceof SyntaxError && !/aaw-integer/.test(error.message));
  }
  // What takes more than linear time to convert is not converted.
  assert.deepEqual(fromJson(`[${"9".repeat(1 << 20)}]`, true), [Infinity]);
  assert.equal(fromJson(`["${'\\"'.repeat(1 << 20)}", 12345678901234567890]`, true)[1], 12345678901234567890n);
});

test("responses, items, pushes, bodies of client calls and errors have BigInts with the option", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient({ bigint: true });
  const big = "12345678901234567890";
  const call = ws.sendAsync("e");
  platform.socket.deliverRaw(`["e",{"id":${big}},1]`);
  assert.deepEqual(await call, { id: 12345678901234567890n });
  const failed = ws.sendAsync("e");
  platform.socket.deliverRaw(`["e",{"error":"No","code":"c","data":${big}},2,"error"]`);
  await assert.rejects(failed, { data: 12345678901234567890n });
  const stream = ws.stream("s");
  platform.socket.deliverRaw(`["s",${big},3,"item"]`);
  assert.deepEqual(await stream.next(), { value: 12345678901234567890n, done: false });
  /** @type {unknown[]} */
  const received = [];
  ws.on("p", (data) => received.push(data));
  ws.handle("h", (body) => received.push(body));
  platform.socket.deliverRaw(`["p",${big}]`);
  platform.socket.deliverRaw(`["h",${big},-1]`);
  assert.deepEqual(received, [12345678901234567890n, 12345678901234567890n]);
  // An id is never a BigInt.
  /** @type {string[]} */
  const errors = [];
  ws.on("error", ({ code }) => errors.push(code));
  platform.socket.deliverRaw(`["e",1,${big}]`);
  assert.deepEqual(errors, ["bad_frame"]);
});

test("a classic server's BigInts, also as an id or an error, do not stop the client", async () => {
  const platform = new FakePlatform();
  const ws = platform.client(undefined, { bigint: true });
  platform.socket.accept("");
  /** @type {string[]} */
  const errors = [];
  ws.on("error", ({ code }) => errors.push(code));
  const call = ws.sendAsync("e");
  platform.socket.deliverRaw('["e",1,12345678901234567890]');
  assert.deepEqual(errors, ["bad_frame"]);
  platform.socket.deliverRaw('["e",{"error":12345678901234567890}]');
  await assert.rejects(call, { message: "12345678901234567890" });
});

test("the HTTP client reads BigInts with the option", async () => {
  const fetch = /** @type {any} */ (async (/** @type {string} */ _, /** @type {any} */ { headers }) =>
    headers.get("accept") === "application/json" ? new Response("12345678901234567890") : new Response("data: 12345678901234567890\n\nevent: end\ndata:\n\n"));
  const http = aaw.http("http://a.test", { fetch, bigint: true });
  assert.equal(await http.sendAsync("e"), 12345678901234567890n);
  assert.deepEqual(await http.stream("e").next(), { value: 12345678901234567890n, done: false });
  assert.equal(await aaw.http("http://a.test", { fetch }).sendAsync("e"), 12345678901234567000);
});
