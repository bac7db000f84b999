// The server calls the client.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeWorld, settle } from "./support/world.js";

/** @param {string} event @param {string} error @param {number} id @param {string} [code] */
const failed = (event, error, id, code = "handler") => [event, { error, code }, id, "error"];

test("a handler answers, at once or later, and other calls go on meanwhile", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  ws.handle("add", ({ a, b }) => a + b);
  const { promise, resolve } = withResolvers();
  ws.handle("confirm", () => promise);
  world.socket.say(["confirm", { text: "Sure?" }, -1]);
  world.socket.say(["add", { a: 1, b: 2 }, -2, "call", {}]);
  await settle();
  assert.deepEqual(world.socket.take(), [["add", 3, -2]]);
  const call = ws.sendAsync("ping");
  world.socket.say(["ping", "pong", 1]);
  assert.equal(await call, "pong");
  resolve({ yes: true });
  await settle();
  assert.deepEqual(world.socket.take(), [
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

test("a handler that returns nothing answers null", async () => {
  const world = new FakeWorld();
  world.open().handle("seen", () => {});
  world.socket.say(["seen", null, -1]);
  await settle();
  assert.deepEqual(world.socket.take(), [["seen", null, -1]]);
});

test("a handler that throws, rejects, or answers what is no JSON or too large, fails the call", async () => {
  const world = new FakeWorld();
  const ws = world.client();
  world.socket.greet({ calls: 256, message: 1000 });
  world.socket.take();
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
    cycle: () => 1n,
    large: () => "ü".repeat(500),
  };
  for (const [event, handler] of Object.entries(handlers)) ws.handle(event, handler);
  Object.keys(handlers).forEach((event, at) => world.socket.say([event, null, -1 - at]));
  await settle();
  const said = /** @type {any[]} */ (world.socket.take()).sort(([, , a], [, , b]) => b - a);
  assert.deepEqual(said.slice(0, 4), [
    failed("throws", "at once", -1),
    failed("rejects", "later", -2),
    failed("odd", "a text", -3),
    failed("silent", "The handler failed", -4),
  ]);
  assert.match(said[4][1].error, /cannot be JSON/);
  assert.deepEqual([said[4][1].code, said[5][1].code], ["handler", "too_large"]);
});

test("what nobody handles, or not any more, is unknown; two cannot handle the same", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const stop = ws.handle("confirm", () => true);
  assert.throws(() => ws.handle("confirm", () => false), TypeError);
  stop();
  stop();
  world.socket.say(["confirm", null, -1]);
  ws.handle("confirm", () => "new");
  stop();
  world.socket.say(["confirm", null, -2]);
  world.socket.say(["x".repeat(300), null, -3]);
  await settle();
  const [first, third, second] = /** @type {any[]} */ (world.socket.take());
  assert.deepEqual(first, failed("confirm", "Unknown event: confirm", -1, "unknown_event"));
  assert.deepEqual(second, ["confirm", "new", -2]);
  assert.equal(third[1].error, `Unknown event: ${"x".repeat(200)}…`);
});

test("a call that the server gives up aborts its handler's signal, and is not answered", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  /** @type {string[]} */
  const log = [];
  ws.handle("confirm", async (body, { signal }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    log.push(`${body} ${signal.reason.code}`);
    return true;
  });
  ws.handle("quick", () => 1);
  world.socket.say(["confirm", "a", -1]);
  world.socket.say(["quick", null, -2]);
  await settle();
  world.socket.take();
  world.socket.say(["confirm", null, -1, "cancel"]);
  // These have crossed with the answer, or with the first.
  world.socket.say(["quick", null, -2, "cancel"]);
  world.socket.say(["confirm", null, -1, "cancel"]);
  await settle();
  assert.deepEqual(log, ["a cancelled"]);
  assert.deepEqual(world.socket.take(), []);
});

test("a lost connection aborts what is being answered, and the next one's calls are others", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  /** @type {((value: unknown) => void)[]} */
  const answers = [];
  /** @type {AbortSignal[]} */
  const signals = [];
  ws.handle("confirm", (_, { signal }) => {
    signals.push(signal);
    return new Promise((resolve) => answers.push(resolve));
  });
  world.socket.say(["confirm", 1, -1]);
  world.socket.end(1006);
  assert.equal(signals[0].aborted, true);
  world.pass(50);
  world.socket.greet();
  world.socket.say(["confirm", 2, -1]);
  world.socket.take();
  answers[0]("old");
  await settle();
  assert.deepEqual(world.socket.take(), []);
  answers[1]("new");
  await settle();
  assert.deepEqual(world.socket.take(), [["confirm", "new", -1]]);
  assert.equal(signals[1].aborted, false);
});

test("closing aborts what is being answered", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  /** @type {AbortSignal[]} */
  const signals = [];
  ws.handle("confirm", (_, { signal }) => {
    signals.push(signal);
    return new Promise(() => {});
  });
  world.socket.say(["confirm", 1, -1]);
  const closed = ws.close();
  assert.equal(signals[0].aborted, true);
  world.socket.say(["confirm", 1, -2]);
  assert.equal(signals.length, 1);
  world.socket.end(1000);
  await closed;
});

test("calls that make no sense are reported, and too many at once are refused", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  /** @type {any[]} */
  const log = [];
  ws.on("error", (error) => log.push(error.code));
  ws.handle("confirm", () => new Promise(() => {}));
  world.socket.say(["confirm", 1, -1]);
  for (const bad of [
    ["confirm", 1, -1],
    ["confirm", null, -9, "cancel"],
    ["confirm", 1, -1, "item"],
    ["confirm", 5, -1, "credit"],
    ["confirm", null, -1, "end"],
  ]) {
    world.socket.say(bad);
  }
  assert.deepEqual(log, Array(5).fill("bad_frame"));
  for (let id = -2; id >= -1025; id -= 1) world.socket.say(["confirm", 1, id]);
  await settle();
  assert.deepEqual(
    /** @type {any[]} */ (world.socket.take()).map(([, { code }, id]) => [code, id]),
    [["busy", -1025]],
  );
});
