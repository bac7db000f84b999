// Answers of many items, and calls with items both ways.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeWorld, settle } from "./support/world.js";

/**
 * @param {import("./support/world.js").FakeSocket} socket
 * @param {number} from
 * @param {number} to
 * @param {number} [id]
 */
const say = (socket, from, to, id = 1) => {
  for (let n = from; n <= to; n += 1) socket.say(["count", n, id, "item"]);
};

test("a stream gives items as they come, then its end", async () => {
  const world = new FakeWorld();
  const stream = world.open().stream("count", { to: 3 });
  assert.deepEqual(world.socket.take(), [["count", { to: 3 }, 1, "call", { credit: 64 }]]);
  say(world.socket, 1, 3);
  world.socket.say(["count", null, 1, "end"]);
  /** @type {number[]} */
  const items = [];
  for await (const item of stream) items.push(item);
  assert.deepEqual(items, [1, 2, 3]);
  assert.deepEqual(await stream.next(), { value: undefined, done: true });
});

test("credit is renewed at half a window, as the consumer takes items and not as they come", async () => {
  const world = new FakeWorld();
  const stream = world.open({ window: 8 }).stream("count");
  world.socket.take();
  say(world.socket, 1, 8);
  assert.deepEqual(world.socket.take(), []);
  for (let n = 1; n <= 3; n += 1) assert.equal((await stream.next()).value, n);
  assert.deepEqual(world.socket.take(), []);
  assert.equal((await stream.next()).value, 4);
  assert.deepEqual(world.socket.take(), [["count", 12, 1, "credit"]]);
  for (let n = 5; n <= 8; n += 1) await stream.next();
  assert.deepEqual(world.socket.take(), [["count", 16, 1, "credit"]]);
  // Somebody waits: what comes is taken at once.
  const waiting = [stream.next(), stream.next()];
  say(world.socket, 9, 10);
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ value }) => value),
    [9, 10],
  );
});

test("a window of 1 works", async () => {
  const world = new FakeWorld();
  const stream = world.open({ window: 1 }).stream("count");
  world.socket.take();
  say(world.socket, 1, 1);
  await stream.next();
  assert.deepEqual(world.socket.take(), [["count", 2, 1, "credit"]]);
});

test("a failure comes after the items before it, once", async () => {
  const world = new FakeWorld();
  const stream = world.open().stream("count");
  say(world.socket, 1, 2);
  world.socket.say(["count", { error: "No more", code: "handler" }, 1, "error"]);
  assert.equal((await stream.next()).value, 1);
  assert.equal((await stream.next()).value, 2);
  await assert.rejects(stream.next(), { error: "No more", code: "handler" });
  assert.equal((await stream.next()).done, true);
});

test("leaving the loop cancels the call", async () => {
  const world = new FakeWorld();
  const stream = world.open().stream("count");
  world.socket.take();
  say(world.socket, 1, 2);
  for await (const item of stream) {
    assert.equal(item, 1);
    break;
  }
  assert.deepEqual(world.socket.take(), [["count", null, 1, "cancel"]]);
  say(world.socket, 3, 3);
  assert.equal((await stream.next()).done, true);
  await stream.return();
  assert.deepEqual(world.socket.take(), []);
});

test("return ends a next that waits", async () => {
  const world = new FakeWorld();
  const stream = world.open().stream("count");
  const next = stream.next();
  await stream.return();
  assert.deepEqual(await next, { value: undefined, done: true });
});

test("a signal ends a stream: nothing of it is read any more", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const controller = new AbortController();
  const stream = ws.stream("count", null, { signal: controller.signal });
  world.socket.take();
  say(world.socket, 1, 1);
  controller.abort();
  assert.deepEqual(world.socket.take(), [["count", null, 1, "cancel"]]);
  await assert.rejects(stream.next(), { code: "cancelled", name: "AbortError" });
  assert.equal((await stream.next()).done, true);
  const early = ws.stream("count", null, { signal: controller.signal });
  await assert.rejects(early.next(), { code: "cancelled", sent: false });
  assert.deepEqual(world.socket.take(), []);
});

test("a lost connection is an unknown outcome, after the items that came", async () => {
  const world = new FakeWorld();
  const stream = world.open().stream("count");
  say(world.socket, 1, 1);
  world.socket.end(1006);
  assert.equal((await stream.next()).value, 1);
  await assert.rejects(stream.next(), { code: "outcome_unknown" });
});

test("more items than there was room for end the stream, and it is cancelled", async () => {
  const world = new FakeWorld();
  const stream = world.open({ window: 2 }).stream("count");
  world.socket.take();
  say(world.socket, 1, 4);
  assert.deepEqual(world.socket.take(), [["count", null, 1, "cancel"]]);
  assert.equal((await stream.next()).value, 1);
  assert.equal((await stream.next()).value, 2);
  await assert.rejects(stream.next(), { code: "bad_frame" });
});

test("an upload waits for room, keeps its order, and ends behind its items", async () => {
  const world = new FakeWorld();
  const { send, end, ...duplex } = world.open().duplex("sum", { from: 0 });
  void duplex;
  assert.deepEqual(world.socket.take(), [["sum", { from: 0 }, 1, "call", { in: true, credit: 64 }]]);
  const sent = [send(1), send(2), send(3)];
  end();
  assert.deepEqual(world.socket.take(), []);
  world.socket.say(["sum", 2, 1, "credit"]);
  assert.deepEqual(world.socket.take(), [
    ["sum", 1, 1, "item"],
    ["sum", 2, 1, "item"],
  ]);
  world.socket.say(["sum", 1, 1, "credit"]);
  world.socket.say(["sum", 64, 1, "credit"]);
  assert.deepEqual(world.socket.take(), [
    ["sum", 3, 1, "item"],
    ["sum", null, 1, "end"],
  ]);
  assert.deepEqual(await Promise.all(sent), [true, true, true]);
  assert.equal(await send(4), false);
  end();
  assert.deepEqual(world.socket.take(), []);
});

test("an upload that ends before there is room says so when there is", () => {
  const world = new FakeWorld();
  const duplex = world.open().duplex("sum");
  world.socket.take();
  duplex.end();
  assert.deepEqual(world.socket.take(), []);
  world.socket.say(["sum", 64, 1, "credit"]);
  assert.deepEqual(world.socket.take(), [["sum", null, 1, "end"]]);
});

test("both directions are apart, and leaving the answer ends both", async () => {
  const world = new FakeWorld();
  const duplex = world.open().duplex("orders");
  world.socket.say(["orders", 64, 1, "credit"]);
  assert.equal(await duplex.send({ category: "tea" }), true);
  duplex.end();
  world.socket.say(["orders", { total: 1 }, 1, "item"]);
  assert.deepEqual((await duplex.next()).value, { total: 1 });
  world.socket.take();
  await duplex.return();
  assert.deepEqual(world.socket.take(), [["orders", null, 1, "cancel"]]);
});

test("items that wait when the call ends are told so, and nothing rejects unasked", async () => {
  const world = new FakeWorld();
  const duplex = world.open().duplex("sum");
  const waiting = duplex.send(1);
  world.socket.say(["sum", { error: "No", code: "handler" }, 1, "error"]);
  assert.equal(await waiting, false);
  assert.equal(await duplex.send(2), false);
  await settle();
  await assert.rejects(duplex.next(), { error: "No" });
});

test("an item that cannot be sent is refused alone", async () => {
  const world = new FakeWorld();
  const duplex = world.open().duplex("sum");
  await assert.rejects(duplex.send(1n), { code: "bad_body" });
  await assert.rejects(duplex.send("x".repeat(1 << 20)), { code: "too_large" });
  void duplex.send("x".repeat(700_000));
  await assert.rejects(duplex.send("x".repeat(700_000)), { code: "busy" });
  world.socket.take();
  world.socket.say(["sum", 64, 1, "credit"]);
  assert.equal(world.socket.take().length, 1);
  assert.equal(await duplex.send(1), true);
});
