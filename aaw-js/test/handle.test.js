// Client calls: calls that the server makes to the client.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakePlatform, settle } from "./support/fake_platform.js";

/** @param {string} event @param {string} error @param {number} id @param {string} [code] */
const failed = (event, error, id, code = "handler") => [event, { error, code }, id, "error"];

test("a handler responds at once or later, and does not block other calls", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  ws.handle("add", ({ a, b }) => a + b);
  const { promise, resolve } = withResolvers();
  ws.handle("confirm", () => promise);
  platform.socket.deliver(["confirm", { text: "Sure?" }, -1]);
  platform.socket.deliver(["add", { a: 1, b: 2 }, -2, "call", {}]);
  await settle();
  assert.deepEqual(platform.socket.takeSent(), [["add", 3, -2]]);
  const call = ws.sendAsync("ping");
  platform.socket.deliver(["ping", "pong", 1]);
  assert.equal(await call, "pong");
  resolve({ yes: true });
  await settle();
  assert.deepEqual(platform.socket.takeSent(), [
    ["ping", null, 1],
    ["confirm", { yes: true }, -1],
  ]);
});

const withResolvers = () => {
  /** @type {(value: unknown) => void} */
  let resolve = () => {};
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
};

test("a handler that returns nothing responds with null", async () => {
  const platform = new FakePlatform();
  platform.connectedClient().handle("seen", () => {});
  platform.socket.deliver(["seen", null, -1]);
  await settle();
  assert.deepEqual(platform.socket.takeSent(), [["seen", null, -1]]);
});

test("a handler that throws, rejects, or returns an unserializable or too large value fails the call", async () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  platform.socket.welcome({ calls: 256, message: 1000 });
  platform.socket.takeSent();
  /** @type {{ self?: unknown }} */
  const cycle = {};
  cycle.self = cycle;
  /** @type {Record<string, () => unknown>} */
  const handlers = {
    throws: () => {
      throw new Error("at once");
    },
    rejects: async () => {
      throw new Error("later");
    },
    odd: () => Promise.reject("a text"),
    silent: () => Promise.reject(new Error("")),
    cycle: () => cycle,
    large: () => "ü".repeat(500),
  };
  for (const [event, handler] of Object.entries(handlers)) ws.handle(event, handler);
  Object.keys(handlers).forEach((event, at) => platform.socket.deliver([event, null, -1 - at]));
  await settle();
  const said = /** @type {any[]} */ (platform.socket.takeSent()).sort(([, , a], [, , b]) => b - a);
  assert.deepEqual(said.slice(0, 4), [
    failed("throws", "at once", -1),
    failed("rejects", "later", -2),
    failed("odd", "a text", -3),
    failed("silent", "The handler failed", -4),
  ]);
  assert.match(said[4][1].error, /cannot be serialized/);
  assert.deepEqual([said[4][1].code, said[5][1].code], ["handler", "too_large"]);
});

test("an event without a handler is unknown, and a second handler is rejected", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const stop = ws.handle("confirm", () => true);
  assert.throws(() => ws.handle("confirm", () => false), TypeError);
  stop();
  stop();
  platform.socket.deliver(["confirm", null, -1]);
  ws.handle("confirm", () => "new");
  stop();
  platform.socket.deliver(["confirm", null, -2]);
  platform.socket.deliver(["x".repeat(300), null, -3]);
  await settle();
  const [first, third, second] = /** @type {any[]} */ (platform.socket.takeSent());
  assert.deepEqual(first, failed("confirm", "Unknown event: confirm", -1, "unknown_event"));
  assert.deepEqual(second, ["confirm", "new", -2]);
  assert.equal(third[1].error, `Unknown event: ${"x".repeat(200)}…`);
});

test("a cancelled client call aborts its handler's signal, and gets no response", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  /** @type {string[]} */
  const log = [];
  ws.handle("confirm", async (body, { signal }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    log.push(`${body} ${signal.reason.code}`);
    return true;
  });
  ws.handle("quick", () => 1);
  platform.socket.deliver(["confirm", "a", -1]);
  platform.socket.deliver(["quick", null, -2]);
  await settle();
  platform.socket.takeSent();
  platform.socket.deliver(["confirm", null, -1, "cancel"]);
  // The first has crossed with the response, the second is a duplicate.
  platform.socket.deliver(["quick", null, -2, "cancel"]);
  platform.socket.deliver(["confirm", null, -1, "cancel"]);
  await settle();
  assert.deepEqual(log, ["a cancelled"]);
  assert.deepEqual(platform.socket.takeSent(), []);
});

test("a lost connection cancels its client calls, and the next one reuses their ids", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  /** @type {((value: unknown) => void)[]} */
  const resolvers = [];
  /** @type {AbortSignal[]} */
  const signals = [];
  ws.handle("confirm", (_, { signal }) => {
    signals.push(signal);
    return new Promise((resolve) => resolvers.push(resolve));
  });
  platform.socket.deliver(["confirm", 1, -1]);
  platform.socket.disconnect(1006);
  assert.equal(signals[0].aborted, true);
  platform.advance(50);
  platform.socket.welcome();
  platform.socket.deliver(["confirm", 2, -1]);
  platform.socket.takeSent();
  resolvers[0]("old");
  await settle();
  assert.deepEqual(platform.socket.takeSent(), []);
  resolvers[1]("new");
  await settle();
  assert.deepEqual(platform.socket.takeSent(), [["confirm", "new", -1]]);
  assert.equal(signals[1].aborted, false);
});

test("close cancels running client calls", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  /** @type {AbortSignal[]} */
  const signals = [];
  ws.handle("confirm", (_, { signal }) => {
    signals.push(signal);
    return new Promise(() => {});
  });
  platform.socket.deliver(["confirm", 1, -1]);
  const closed = ws.close();
  assert.equal(signals[0].aborted, true);
  platform.socket.deliver(["confirm", 1, -2]);
  assert.equal(signals.length, 1);
  platform.socket.disconnect(1000);
  await closed;
});

test("invalid client calls are reported, and too many at once fail with busy", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  /** @type {any[]} */
  const log = [];
  ws.on("error", (error) => log.push(error.code));
  ws.handle("confirm", () => new Promise(() => {}));
  platform.socket.deliver(["confirm", 1, -1]);
  for (const bad of [
    ["confirm", 1, -1],
    ["confirm", null, -9, "cancel"],
    ["confirm", 1, -1, "item"],
    ["confirm", 5, -1, "credit"],
    ["confirm", null, -1, "end"],
  ]) {
    platform.socket.deliver(bad);
  }
  assert.deepEqual(log, Array(5).fill("bad_frame"));
  for (let id = -2; id >= -1025; id -= 1) platform.socket.deliver(["confirm", 1, id]);
  await settle();
  assert.deepEqual(
    /** @type {any[]} */ (platform.socket.takeSent()).map(([, { code }, id]) => [code, id]),
    [["busy", -1025]],
  );
});
