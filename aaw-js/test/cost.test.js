// What a call costs besides its frames: timers, and passes over its text. Counted, because times depend on the machine.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../aaw/client.js";
import { IdTable } from "../aaw/id_table.js";
import { exceeds } from "../aaw/json.js";
import { SentLog } from "../aaw/sent_log.js";
import { FakePlatform, FakeSocket, settle } from "./support/fake_platform.js";

/** Counts the timers of a platform. @param {import("node:test").TestContext} t @param {FakePlatform} platform */
const countTimers = (t, platform) => {
  const [set, clear] = [t.mock.method(platform, "setTimeout"), t.mock.method(platform, "clearTimeout")];
  return () => [set.mock.callCount(), clear.mock.callCount()];
};

/**
 * Makes 100 calls, each when an earlier one has ended.
 *
 * @param {FakePlatform} platform
 * @param {Client} ws
 * @param {number} inFlight
 */
const makeCalls = async (platform, ws, inFlight) => {
  let calls = 0;
  const keepCalling = async () => {
    while (calls < 100) {
      calls += 1;
      await ws.sendAsync("echo", { text: "ü".repeat(50) });
    }
  };
  const done = Promise.all(Array.from({ length: inFlight }, keepCalling));
  while (calls < 100 || platform.socket.sent.length) {
    // An echo; an acknowledgement is returned as one, too.
    for (const frame of platform.socket.takeSent()) platform.socket.deliver(frame);
    await settle();
  }
  await done;
};

for (const [inFlight, resumption] of /** @type {[number, object | undefined][]} */ ([
  [1, undefined],
  [32, undefined],
  [1, { window: 60_000, log: 1 << 20 }],
  [32, { window: 60_000, log: 1 << 20 }],
])) {
  const name = `100 calls, ${inFlight} in flight, ${resumption ? "with" : "without"} resumption`;
  test(`${name}, set one timer, and their text is not encoded to count its bytes`, async (t) => {
    const platform = new FakePlatform();
    const ws = platform.client();
    platform.socket.welcome(undefined, resumption);
    platform.socket.takeSent();
    const timers = countTimers(t, platform);
    const encode = t.mock.method(TextEncoder.prototype, "encode");
    await makeCalls(platform, ws, inFlight);
    // The first call ends sooner than the heartbeat is due.
    assert.deepEqual(timers(), [1, 1]);
    ws.sendSync("notify", { text: "ü".repeat(50) });
    assert.equal(encode.mock.callCount(), 0);
  });
}

test("a text is encoded only if its size may exceed the limit, and the limit is exact", (t) => {
  const encode = t.mock.method(TextEncoder.prototype, "encode");
  assert.deepEqual(["x".repeat(10), "ü".repeat(5), "€€€"].map((text) => exceeds(text, 30)), [false, false, false]);
  assert.equal(encode.mock.callCount(), 0);
  const sizes = /** @type {[string, number][]} */ ([["xxx", 3], ["üü", 4], ["€€", 6], ["😀", 4], ["", 0]]);
  for (const [text, size] of sizes) assert.deepEqual([exceeds(text, size), exceeds(text, size - 1)], [false, true], text);
});

test("a message that is kept until it is acknowledged costs constant time, and acknowledged ones leave the memory", () => {
  const log = new SentLog();
  let moved = 0;
  const { splice } = Array.prototype;
  /** @type {any} */ (Array.prototype).splice = function (/** @type {[number, number]} */ ...args) {
    moved += this.length - args[1];
    return splice.apply(this, args);
  };
  try {
    // Never all of them are acknowledged.
    for (let n = 1; n <= 100_000; n += 1) {
      assert.equal(log.add("xx"), n);
      if (n % 64 === 0) log.acknowledge(n - 5000);
      else if (n > 10_000) log.acknowledge(n - 5064);
    }
  } finally {
    Array.prototype.splice = splice;
  }
  assert.ok(moved <= 200_000, `${moved} texts were moved`);
  assert.ok(log.unacknowledged().length <= 5064);
  assert.equal(log.size, log.unacknowledged().length * 2);
});

test("calls of any age are found by their ids", () => {
  const table = new IdTable();
  const add = (/** @type {number} */ id) => {
    const value = { id };
    table.add(id, value);
    return value;
  };
  // Streams that last, and so many calls beside them that all slots are used again.
  const old = [add(1), add(2), add(700)];
  for (let id = 701; id < 4000; id += 1) {
    const value = add(id);
    assert.equal(table.get(id), value);
    assert.equal(table.size, old.length + 1);
    table.delete(id);
    assert.equal(table.get(id), undefined);
  }
  const young = [add(4097), add(4098)];
  assert.deepEqual(table.values(), [...old, ...young]);
  for (const value of [...old, ...young]) assert.equal(table.get(value.id), value);
  // Once the first has left, an id that shares its slot is still found.
  table.delete(1);
  assert.deepEqual([table.get(1), table.get(4097)], [undefined, young[0]]);
  table.delete(4097);
  assert.deepEqual(table.values(), [old[1], old[2], young[1]]);
});

// --- Writes of one tick ----------------------------------------------------------------------------------------------

/** A client whose TCP socket logs what it does, beside the events of the frames that are sent. */
const loggedClient = () => {
  /** @type {string[]} */
  const log = [];
  const tcpSocket = {
    ref: () => {},
    unref: () => {},
    cork: () => void log.push("cork"),
    uncork: () => void log.push("uncork"),
  };
  /** @type {FakeSocket[]} */
  const sockets = [];
  const SocketClass = class extends FakeSocket {
    /** @param {string} url @param {string[]} protocols */
    constructor(url, protocols) {
      super(url, protocols);
      sockets.push(this);
    }

    /** As the package `ws` has it. @param {string} type @param {(response: object) => void} listener */
    on(type, listener) {
      if (type === "upgrade") listener({ socket: tcpSocket });
    }

    /** @param {string} text @override */
    send(text) {
      log.push(JSON.parse(text)[0]);
    }
  };
  const ws = new Client("ws://server.test", { WebSocket: SocketClass }, new FakePlatform());
  sockets[0].welcome();
  log.length = 0;
  return { ws, socket: sockets[0], log };
};

test("calls that are made in one tick while others are in flight are one write of the TCP socket", async () => {
  const { ws, socket, log } = loggedClient();
  for (const event of ["a", "b", "c"]) void ws.sendAsync(event);
  assert.deepEqual(log.splice(0), ["a", "cork", "b", "c"], "the first is written at once");
  await settle();
  assert.deepEqual(log.splice(0), ["uncork"]);
  // Calls that follow from the responses of one read.
  const follow = async (/** @type {string} */ event) => {
    await ws.sendAsync(event);
    await ws.sendAsync(`after ${event}`);
  };
  for (const event of ["d", "e"]) void follow(event);
  await settle();
  log.length = 0;
  for (const id of [4, 5]) socket.deliver(["any", null, id]);
  await settle();
  assert.deepEqual(log, ["cork", "after d", "after e", "uncork"]);
});

test("a call that is alone, and sends without a call in flight, are written at once", async () => {
  const { ws, socket, log } = loggedClient();
  ws.sendSync("a");
  ws.sendSync("b");
  const call = ws.sendAsync("c");
  assert.deepEqual(log, ["a", "b", "c"]);
  socket.deliver(["c", null, 1]);
  await call;
  void ws.sendAsync("d");
  await settle();
  assert.deepEqual(log, ["a", "b", "c", "d"]);
});

test("a batch that would exceed its limit is written before the end of the tick", async () => {
  const { ws, log } = loggedClient();
  const large = "x".repeat(40_000);
  for (const event of ["a", "b", "c", "d"]) void ws.sendAsync(event, large);
  assert.deepEqual(log, ["a", "cork", "b", "uncork", "cork", "c", "uncork", "cork", "d"]);
  void ws.sendAsync("e", large + large);
  assert.deepEqual(log.splice(9), ["uncork", "e"], "it is too large for any batch");
  await settle();
  assert.deepEqual(log.splice(9), []);
});

test("many messages of one tick are several writes, so that the server works on the first meanwhile", async () => {
  const { ws, log } = loggedClient();
  for (let call = 0; call < 40; call += 1) void ws.sendAsync(`${call}`);
  await settle();
  const writes = log.join(" ").split("uncork");
  assert.deepEqual(
    writes.map((write) => write.split(" ").filter((word) => /^\d/.test(word)).length),
    // The first is written at once, and stands before the cork of the second write.
    [17, 16, 7, 0],
  );
  assert.equal(log[1], "cork");
});
