// Streams and uploads.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakePlatform, settle } from "./support/fake_platform.js";

/**
 * @param {import("./support/fake_platform.js").FakeSocket} socket
 * @param {number} from
 * @param {number} to
 * @param {number} [id]
 */
const deliverItems = (socket, from, to, id = 1) => {
  for (let n = from; n <= to; n += 1) socket.deliver(["count", n, id, "item"]);
};

test("a stream yields items in order, then ends", async () => {
  const platform = new FakePlatform();
  const stream = platform.connectedClient().stream("count", { to: 3 });
  assert.deepEqual(platform.socket.takeSent(), [["count", { to: 3 }, 1, "call", { credit: 64 }]]);
  deliverItems(platform.socket, 1, 3);
  platform.socket.deliver(["count", null, 1, "end"]);
  /** @type {number[]} */
  const items = [];
  for await (const item of stream) items.push(item);
  assert.deepEqual(items, [1, 2, 3]);
  assert.deepEqual(await stream.next(), { value: undefined, done: true });
});

test("credit is granted when half of the window was read, not when it has arrived", async () => {
  const platform = new FakePlatform();
  const stream = platform.connectedClient({ window: 8 }).stream("count");
  platform.socket.takeSent();
  deliverItems(platform.socket, 1, 8);
  assert.deepEqual(platform.socket.takeSent(), []);
  for (let n = 1; n <= 3; n += 1) assert.equal((await stream.next()).value, n);
  assert.deepEqual(platform.socket.takeSent(), []);
  assert.equal((await stream.next()).value, 4);
  assert.deepEqual(platform.socket.takeSent(), [["count", 12, 1, "credit"]]);
  for (let n = 5; n <= 8; n += 1) await stream.next();
  assert.deepEqual(platform.socket.takeSent(), [["count", 16, 1, "credit"]]);
  // Pending reads take items as they arrive.
  const waiting = [stream.next(), stream.next()];
  deliverItems(platform.socket, 9, 10);
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ value }) => value),
    [9, 10],
  );
});

test("a window of 1 grants credit after each item", async () => {
  const platform = new FakePlatform();
  const stream = platform.connectedClient({ window: 1 }).stream("count");
  platform.socket.takeSent();
  deliverItems(platform.socket, 1, 1);
  await stream.next();
  assert.deepEqual(platform.socket.takeSent(), [["count", 2, 1, "credit"]]);
});

test("an error is thrown once, after the items that precede it", async () => {
  const platform = new FakePlatform();
  const stream = platform.connectedClient().stream("count");
  deliverItems(platform.socket, 1, 2);
  platform.socket.deliver(["count", { error: "No more", code: "handler" }, 1, "error"]);
  assert.equal((await stream.next()).value, 1);
  assert.equal((await stream.next()).value, 2);
  await assert.rejects(stream.next(), { error: "No more", code: "handler" });
  assert.equal((await stream.next()).done, true);
});

test("leaving the loop cancels the call", async () => {
  const platform = new FakePlatform();
  const stream = platform.connectedClient().stream("count");
  platform.socket.takeSent();
  deliverItems(platform.socket, 1, 2);
  for await (const item of stream) {
    assert.equal(item, 1);
    break;
  }
  assert.deepEqual(platform.socket.takeSent(), [["count", null, 1, "cancel"]]);
  deliverItems(platform.socket, 3, 3);
  assert.equal((await stream.next()).done, true);
  await stream.return();
  assert.deepEqual(platform.socket.takeSent(), []);
});

test("return ends a pending next", async () => {
  const platform = new FakePlatform();
  const stream = platform.connectedClient().stream("count");
  const next = stream.next();
  await stream.return();
  assert.deepEqual(await next, { value: undefined, done: true });
});

test("an aborted signal cancels a stream and discards its items", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const controller = new AbortController();
  const stream = ws.stream("count", null, { signal: controller.signal });
  platform.socket.takeSent();
  deliverItems(platform.socket, 1, 1);
  controller.abort();
  assert.deepEqual(platform.socket.takeSent(), [["count", null, 1, "cancel"]]);
  await assert.rejects(stream.next(), { code: "cancelled", name: "AbortError" });
  assert.equal((await stream.next()).done, true);
  const early = ws.stream("count", null, { signal: controller.signal });
  await assert.rejects(early.next(), { code: "cancelled", sent: false });
  assert.deepEqual(platform.socket.takeSent(), []);
});

test("a lost connection fails a stream with outcome_unknown, after the items that arrived", async () => {
  const platform = new FakePlatform();
  const stream = platform.connectedClient().stream("count");
  deliverItems(platform.socket, 1, 1);
  platform.socket.disconnect(1006);
  assert.equal((await stream.next()).value, 1);
  await assert.rejects(stream.next(), { code: "outcome_unknown" });
});

test("an item beyond the credit fails the stream, and the call is cancelled", async () => {
  const platform = new FakePlatform();
  const stream = platform.connectedClient({ window: 2 }).stream("count");
  platform.socket.takeSent();
  deliverItems(platform.socket, 1, 4);
  assert.deepEqual(platform.socket.takeSent(), [["count", null, 1, "cancel"]]);
  assert.equal((await stream.next()).value, 1);
  assert.equal((await stream.next()).value, 2);
  await assert.rejects(stream.next(), { code: "bad_frame" });
});

test("an upload waits for credit, keeps its order, and ends after its items", async () => {
  const platform = new FakePlatform();
  const { send, end, ...duplex } = platform.connectedClient().duplex("sum", { from: 0 });
  void duplex;
  assert.deepEqual(platform.socket.takeSent(), [["sum", { from: 0 }, 1, "call", { in: true, credit: 64 }]]);
  const sent = [send(1), send(2), send(3)];
  end();
  assert.deepEqual(platform.socket.takeSent(), []);
  platform.socket.deliver(["sum", 2, 1, "credit"]);
  assert.deepEqual(platform.socket.takeSent(), [
    ["sum", 1, 1, "item"],
    ["sum", 2, 1, "item"],
  ]);
  platform.socket.deliver(["sum", 1, 1, "credit"]);
  platform.socket.deliver(["sum", 64, 1, "credit"]);
  assert.deepEqual(platform.socket.takeSent(), [
    ["sum", 3, 1, "item"],
    ["sum", null, 1, "end"],
  ]);
  assert.deepEqual(await Promise.all(sent), [true, true, true]);
  assert.equal(await send(4), false);
  end();
  assert.deepEqual(platform.socket.takeSent(), []);
});

test("the end of an upload waits for the first credit", () => {
  const platform = new FakePlatform();
  const duplex = platform.connectedClient().duplex("sum");
  platform.socket.takeSent();
  duplex.end();
  assert.deepEqual(platform.socket.takeSent(), []);
  platform.socket.deliver(["sum", 64, 1, "credit"]);
  assert.deepEqual(platform.socket.takeSent(), [["sum", null, 1, "end"]]);
});

test("ending an upload keeps the response, and leaving the response ends both", async () => {
  const platform = new FakePlatform();
  const duplex = platform.connectedClient().duplex("orders");
  platform.socket.deliver(["orders", 64, 1, "credit"]);
  assert.equal(await duplex.send({ category: "tea" }), true);
  duplex.end();
  platform.socket.deliver(["orders", { total: 1 }, 1, "item"]);
  assert.deepEqual((await duplex.next()).value, { total: 1 });
  platform.socket.takeSent();
  await duplex.return();
  assert.deepEqual(platform.socket.takeSent(), [["orders", null, 1, "cancel"]]);
});

test("when the call fails, buffered items resolve with false, and no rejection is unhandled", async () => {
  const platform = new FakePlatform();
  const duplex = platform.connectedClient().duplex("sum");
  const waiting = duplex.send(1);
  platform.socket.deliver(["sum", { error: "No", code: "handler" }, 1, "error"]);
  assert.equal(await waiting, false);
  assert.equal(await duplex.send(2), false);
  await settle();
  await assert.rejects(duplex.next(), { error: "No" });
});

test("an item that cannot be sent is rejected, and the call continues", async () => {
  const platform = new FakePlatform();
  const duplex = platform.connectedClient().duplex("sum");
  /** @type {{ self?: unknown }} */
  const cycle = {};
  cycle.self = cycle;
  await assert.rejects(duplex.send(cycle), { code: "bad_body" });
  await assert.rejects(duplex.send("x".repeat(1 << 20)), { code: "too_large" });
  void duplex.send("x".repeat(700_000));
  await assert.rejects(duplex.send("x".repeat(700_000)), { code: "busy" });
  platform.socket.takeSent();
  platform.socket.deliver(["sum", 64, 1, "credit"]);
  assert.equal(platform.socket.takeSent().length, 1);
  assert.equal(await duplex.send(1), true);
});
