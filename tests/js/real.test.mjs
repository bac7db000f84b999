// The client against a real server, over real sockets. Node 20 needs `--experimental-websocket`, later versions do not;
// Bun runs it with `bun test`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { after, before, test } from "node:test";

import aaw from "../../aaw-js/aaw.js";
import { start, startOriginal } from "./server.mjs";

/** A timeout that a passing test never reaches, in ms. */
const LONG = 30_000;

/** @type {Awaited<ReturnType<typeof start>>} */
let server;
/** @type {ReturnType<typeof aaw>} */
let ws;

before(
  async () => {
    server = await start();
    ws = aaw(server.url, { timeout: LONG });
  },
  { timeout: 600_000 },
);

after(async () => {
  await ws?.close();
  await server?.stop();
});

let gates = 0;
/** Returns the name of an unused gate of the test events. Handlers wait at a gate, and are counted there. */
const gate = () => `js-${(gates += 1)}`;

/** @param {AsyncIterable<unknown>} stream @param {number} [most] */
const take = async (stream, most = Infinity) => {
  const items = [];
  for await (const item of stream) if (items.push(item) >= most) break;
  return items;
};

test("concurrent calls of one event get their own responses", async () => {
  const numbers = Array.from({ length: 1000 }, (_, n) => n);
  assert.deepEqual(
    await Promise.all(numbers.map((n) => ws.sendAsync("echo", { n }))),
    numbers.map((n) => ({ n })),
  );
});

test("calls made before the connection is open arrive, in order", async () => {
  const early = aaw(server.url, { timeout: LONG });
  const [echo, id] = await Promise.all([early.sendAsync("echo", "ü"), early.sendAsync("whoami")]);
  assert.equal(echo, "ü");
  assert.equal(id, early.connection);
  assert.equal(early.state, "open");
  await early.close();
  assert.equal(early.connection, null);
});

test("failed calls reject with the server's error and code", async () => {
  await assert.rejects(ws.sendAsync("nope"), { error: "Unknown event: nope", code: "unknown_event" });
  await assert.rejects(ws.sendAsync("panics/at_once"), { code: "panic" });
  await assert.rejects(ws.sendAsync("typed", { id: "x" }), { code: "bad_body" });
  await assert.rejects(ws.sendAsync("echo", "x".repeat(1 << 20)), { code: "too_large", sent: false });
});

test("a timeout and an aborted signal drop the handler", async () => {
  const name = gate();
  await assert.rejects(ws.sendAsync("gate/hold", { gate: name }, 50), { code: "timeout" });
  await ws.sendAsync("gate/wait", { gate: name, dropped: 1 });
  const controller = new AbortController();
  const call = ws.sendAsync("gate/hold", { gate: name }, { signal: controller.signal });
  await ws.sendAsync("gate/wait", { gate: name, came: 2 });
  controller.abort();
  await assert.rejects(call, { code: "cancelled" });
  await ws.sendAsync("gate/wait", { gate: name, dropped: 2 });
});

test("text that was cut in the middle of an emoji arrives with U+FFFD, in bodies, keys and items", async () => {
  const half = "a\ud83d";
  assert.deepEqual(await ws.sendAsync("typed", { id: 1, name: half }), { id: 1, name: "a\ufffd" });
  assert.deepEqual(await ws.sendAsync("echo", { [half]: half }), { "a\ufffd": "a\ufffd" });
  const http = aaw.http(server.url, { timeout: LONG });
  assert.deepEqual(await http.sendAsync("typed", { id: 1, name: half }), { id: 1, name: "a\ufffd" });
});

test("a client that sends half of an emoji receives an error that says so", async () => {
  const reason = /the lone surrogate \\ud83d, which is half of a character/;
  const response = await fetch(`${server.url.replace("ws", "http")}/events/typed`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"id":1,"name":"a\\ud83d"}',
  });
  const { code, error } = await response.json();
  assert.deepEqual([response.status, code], [400, "bad_body"]);
  assert.match(error, /^The body does not fit at name: /);
  assert.match(error, reason);

  const socket = new WebSocket(server.url, "aaw.v1");
  const frames = [];
  const received = (count) =>
    new Promise((resolve) => {
      socket.onmessage = ({ data }) => frames.push(JSON.parse(data)) === count && resolve(undefined);
    });
  await new Promise((resolve) => (socket.onopen = resolve));
  const all = received(4);
  for (const text of ['["aaw/hello",{}]', '["typed",{"id":1,"name":"a\\ud83d"},1]', '["echo\\ud83d",1,2]', '["ping",null,2]']) socket.send(text);
  await all;
  socket.close();
  const [body] = frames.filter(([event]) => event === "typed");
  const [frame] = frames.filter(([event]) => event === "aaw/error");
  assert.deepEqual([body[1].code, frame[1].code], ["bad_body", "bad_frame"]);
  for (const [, { error }] of [body, frame]) assert.match(error, reason);
});

test("integers beyond 2^53 are exact in both directions, over WebSocket and HTTP", async (t) => {
  const big = aaw(server.url, { timeout: LONG, bigint: true });
  t.after(() => big.close());
  const body = { max: 9223372036854775807n, unsigned: 18446744073709551615n, min: -9223372036854775808n, small: 5, half: 0.5 };
  assert.deepEqual(await big.sendAsync("echo", body), body);
  assert.deepEqual(await aaw.http(server.url, { timeout: LONG, bigint: true }).sendAsync("echo", body), body);
  assert.deepEqual(await big.sendAsync("typed", { id: 9007199254740993n, name: "x" }), { id: 9007199254740993n, name: "x" });
  assert.equal((await ws.sendAsync("typed", { id: 9007199254740993n, name: "x" })).id, 9007199254740992);
});

test("pushes reach the listeners of all clients, including the sender", async () => {
  const other = aaw(server.url);
  await other.sendAsync("ping");
  const received = Promise.all([ws, other].map((client) => new Promise((resolve) => client.on("broadcast", resolve))));
  ws.sendSync("broadcasts/all", { happy: "birthday" });
  assert.deepEqual(await received, [{ happy: "birthday" }, { happy: "birthday" }]);
  ws.off("broadcast");
  await other.close();
});

test("a long stream arrives completely and in order", async () => {
  let expected = 0;
  for await (const n of ws.stream("streams/count", { to: 20_000 })) assert.equal(n, (expected += 1));
  assert.equal(expected, 20_000);
});

test("an unread stream pauses its handler at the window, and no other call", async () => {
  const name = gate();
  const stalled = ws.stream("streams/endless", { gate: name });
  await ws.sendAsync("gate/wait", { gate: name, items: 64 });
  assert.deepEqual(await take(ws.stream("streams/count", { to: 1000 })).then(({ length }) => length), 1000);
  const { items, over } = await ws.sendAsync("gate/wait", { gate: name });
  // The handler may have produced one more item, which waits for credit.
  assert.ok(items <= 65, `${items} items were produced`);
  assert.equal(over, undefined);
  assert.deepEqual(
    await take(stalled, 200),
    Array.from({ length: 200 }, (_, n) => n + 1),
  );
  await ws.sendAsync("gate/wait", { gate: name, over: 1 });
});

test("an aborted signal drops the handler of a stream", async () => {
  const name = gate();
  const controller = new AbortController();
  const stream = ws.stream("streams/gated", { gate: name }, { signal: controller.signal });
  await ws.sendAsync("gate/wait", { gate: name, came: 1 });
  controller.abort();
  await assert.rejects(stream.next(), { code: "cancelled" });
  await ws.sendAsync("gate/wait", { gate: name, over: 1 });
});

test("an error is thrown after the items that precede it", async () => {
  const stream = ws.stream("streams/fails_after", { items: 100, text: "No more" });
  for (let n = 1; n <= 100; n += 1) assert.deepEqual(await stream.next(), { value: n, done: false });
  await assert.rejects(stream.next(), { error: "No more", code: "handler" });
});

test("sendAsync of a streaming event is an array, and stream of a unary or one-way event has one item or none", async () => {
  assert.deepEqual(await ws.sendAsync("streams/count", { to: 3 }), [1, 2, 3]);
  assert.deepEqual(await take(ws.stream("echo", { a: 1 })), [{ a: 1 }]);
  assert.deepEqual(await take(ws.stream("note", 7)), []);
  assert.equal(await ws.sendAsync("note", 7), null);
});

test("listeners receive the responses to sendSync, item by item", async () => {
  /** @type {unknown[]} */
  const received = [];
  const all = new Promise((resolve) => {
    ws.on("streams/count", (item) => received.push(item) === 3 && resolve(undefined));
  });
  ws.sendSync("streams/count", { to: 3 });
  await all;
  ws.off("streams/count");
  assert.deepEqual(received, [1, 2, 3]);
});

test("a duplex call transfers items in both directions", async () => {
  const duplex = ws.duplex("upload/echo");
  for (const item of ["a", { b: 1 }, null]) {
    assert.equal(await duplex.send(item), true);
    assert.deepEqual(await duplex.next(), { value: item, done: false });
  }
  duplex.end();
  assert.deepEqual(await duplex.next(), { value: undefined, done: true });
});

test("a long upload gets its response at its end", async () => {
  const duplex = ws.duplex("upload/sum");
  for (let n = 1; n <= 1000; n += 1) await duplex.send(n);
  duplex.end();
  assert.deepEqual(await take(duplex), [500_500]);
});

test("a handler that reads no items pauses the upload at the window", async () => {
  const name = gate();
  const duplex = ws.duplex("upload/slow", { gate: name, take: 2 });
  await ws.sendAsync("gate/wait", { gate: name, came: 1 });
  let written = 0;
  const all = Array.from({ length: 200 }, async (_, n) => {
    if (await duplex.send(n)) written += 1;
  });
  await ws.sendAsync("echo");
  assert.ok(written < 200, `${written} were written`);
  await ws.sendAsync("gate/release", { gate: name, many: 2 });
  assert.deepEqual(await take(duplex), [[0, 1]]);
  await Promise.all(all);
});

test("an upload item of the wrong type fails the call with bad_body", async () => {
  const duplex = ws.duplex("upload/points");
  await duplex.send({ x: 1 });
  await duplex.send({ x: "one" });
  duplex.end();
  await assert.rejects(duplex.next(), { code: "bad_body" });
});

test("an upload to an event that takes none fails with bad_body", async () => {
  await assert.rejects(ws.duplex("echo").next(), { code: "bad_body" });
});

test("the HTTP client calls the same events", async () => {
  const http = aaw.http(server.url, { timeout: LONG });
  assert.deepEqual(await http.sendAsync("echo", { text: "ü" }), { text: "ü" });
  assert.equal(await http.sendAsync("note", 7), null);
  assert.deepEqual(await http.sendAsync("streams/count", { to: 3 }), [1, 2, 3]);
  await assert.rejects(http.sendAsync("nope"), { error: "Unknown event: nope", code: "unknown_event" });
  await assert.rejects(http.sendAsync("typed", { id: "x" }), { code: "bad_body" });
  assert.deepEqual(await take(http.stream("echo", { a: 1 })), [{ a: 1 }]);
  assert.deepEqual(await take(http.stream("note", 7)), []);
  assert.equal((await take(http.stream("streams/count", { to: 5000 }))).at(-1), 5000);
  const failing = http.stream("streams/fails_after", { items: 2, text: "No more" });
  assert.deepEqual([(await failing.next()).value, (await failing.next()).value], [1, 2]);
  await assert.rejects(failing.next(), { error: "No more", code: "handler" });
});

test("leaving an HTTP stream, or an HTTP timeout, drops the handler", async () => {
  const http = aaw.http(server.url);
  const name = gate();
  assert.deepEqual(await take(http.stream("streams/endless", { gate: name }), 3), [1, 2, 3]);
  await ws.sendAsync("gate/wait", { gate: name, over: 1 });
  await assert.rejects(http.sendAsync("gate/hold", { gate: name }, 50), { code: "timeout" });
  await ws.sendAsync("gate/wait", { gate: name, dropped: 1 });
});

test("aaw.sse reads the server's event streams", async () => {
  const url = `${server.url.replace("ws", "http")}/events/streams/count`;
  const headers = { accept: "text/event-stream" };
  const response = await fetch(url, { method: "POST", headers, body: '{"to":2}' });
  assert.deepEqual(await take(aaw.sse(response)), [
    { event: "message", data: "1", id: "" },
    { event: "message", data: "2", id: "" },
    { event: "end", data: "null", id: "end" },
  ]);
});

test("the server serves the current bundle of the client, compressed, and it works", async () => {
  const base = server.url.replace("ws", "http");
  const file = new URL("../../aaw-js/dist/aaw.js", import.meta.url);
  const bundle = readFileSync(file, "utf8");
  for (const coding of ["identity", "gzip", "br"]) {
    const response = await fetch(`${base}/aaw.js`, { headers: { "accept-encoding": coding } });
    assert.equal(response.headers.get("content-encoding"), coding === "identity" ? null : coding);
    assert.equal(await response.text(), bundle, coding);
  }
  const served = await import(file.href);
  const client = served.default(server.url, { timeout: LONG });
  assert.deepEqual(await client.sendAsync("echo", { text: "ü" }), { text: "ü" });
  assert.deepEqual(await take(client.stream("streams/count", { to: 3 })), [1, 2, 3]);
  await assert.rejects(client.sendAsync("nope"), served.CallError);
  await client.close();
});

/**
 * Starts a server that responds to each handshake with this, and measures the time between the first two.
 *
 * @param {string} head
 */
const refusingServer = async (head) => {
  /** @type {number[]} */
  const times = [];
  /** @type {(ms: number) => void} */
  let resolveBetween = () => {};
  const between = new Promise((resolve) => (resolveBetween = resolve));
  const refusing = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      if (times.push(performance.now()) === 2) resolveBetween(times[1] - times[0]);
      socket.end(`HTTP/1.1 ${head}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno`);
    });
  });
  await new Promise((resolve) => refusing.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (refusing.address());
  return { url: `ws://127.0.0.1:${port}`, between, close: () => refusing.close() };
};

test("after a refusal the client waits longer, or for as long as the server asks", async () => {
  const between = async (/** @type {string} */ head) => {
    const refusing = await refusingServer(head);
    const refused = aaw(refusing.url, { backoff: { min: 1, max: 1, refused: 3000 } });
    const ms = await refusing.between;
    await refused.close();
    refusing.close();
    return ms;
  };
  const [forbidden, unavailable] = await Promise.all([between("403 Forbidden"), between("503 Unavailable")]);
  // The measured time may lack the transfer of the first response.
  assert.ok(forbidden >= 1490, `${forbidden}`);
  assert.ok(unavailable < forbidden, `${unavailable} of ${forbidden}`);
  if (process.versions.bun) return; // It does not tell the headers of the response.
  const date = new Date(Date.now() + 2000).toUTCString();
  const [seconds, until] = await Promise.all([
    between("429 Too Many Requests\r\nRetry-After: 1"),
    between(`503 Unavailable\r\nretry-after: ${date}`),
  ]);
  assert.ok(seconds >= 990 && seconds < 5000, `${seconds}`);
  // A date has no fractions of a second.
  assert.ok(until >= 900 && until < 5000, `${until}`);
});

test("the client reconnects after the server was killed", async () => {
  const first = await start();
  const client = aaw(first.url, { timeout: LONG, backoff: { max: 100 } });
  /** @type {string[]} */
  const states = [];
  client.on("aaw/state", (state) => states.push(state));
  const stream = client.stream("streams/gated", { gate: gate() });
  await client.sendAsync("ping");
  const closed = new Promise((resolve) => client.on("close", resolve));
  const interrupted = new Promise((resolve) => client.on("interrupted", resolve));
  // Without a close frame.
  await first.stop("SIGKILL");
  await interrupted;
  const later = client.sendAsync("echo", "again");
  const failed = assert.rejects(stream.next(), { code: "outcome_unknown", sent: true });
  // Only a server can tell that the state is gone.
  const second = await start({ port: first.port });
  await failed;
  await closed;
  assert.equal(await later, "again");
  assert.deepEqual([states[0], states[1], states.at(-1)], ["open", "connecting", "open"]);
  await client.close();
  await second.stop();
});

test("the client calls events of the original's server", async () => {
  const original = await startOriginal();
  const client = aaw(original.url, { timeout: LONG });
  assert.deepEqual(await client.sendAsync("ping"), { pong: true });
  const calls = [50, 10, 0].map((ms) => client.sendAsync("echo", { ms }));
  assert.deepEqual(await Promise.all(calls), [{ ms: 50 }, { ms: 10 }, { ms: 0 }]);
  await assert.rejects(client.sendAsync("explode"), { error: "Error: Something went wrong", code: "handler" });
  assert.deepEqual(await take(client.stream("echo", { a: 1 })), [{ a: 1 }]);
  const notified = new Promise((resolve) => client.on("notified", resolve));
  client.sendSync("notify", { hi: 1 });
  assert.deepEqual(await notified, { hi: 1 });
  await client.close();
  await original.stop();
});
