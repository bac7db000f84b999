// Random operations and cuts, against a small model: whatever breaks, each message arrives once, and in order.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakePlatform, settle } from "./support/fake_platform.js";
import { FakeServer } from "./support/fake_server.js";

/** @import { Duplex } from "../aaw/duplex.js" */
/** @import { Link } from "./support/fake_server.js" */

/** Repeat one run with `SEED=…`. */
const SEED = process.env.SEED === undefined ? null : Number(process.env.SEED);
const RUNS = 150;
const OPERATIONS = 120;

/** A random source with a seed (mulberry32). @param {number} seed */
const randomSource = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};

/** 1, 2, 3 and so on. @param {number} length */
const upTo = (length) => Array.from({ length }, (_, n) => n + 1);

class Run {
  platform = new FakePlatform();
  server = new FakeServer(this.platform);
  /** The server's end of the newest socket. @type {Link} */
  link;
  /** What the client has sent with `call` and `send`: the server has to receive all but the cancelled ones. */
  made = 0;
  /** @type {Set<number>} */
  cancelled = new Set();
  /** The calls without a response. @type {Map<number, AbortController>} */
  open = new Map();
  /** The calls that the server has received, and has not responded to: the value and the id. @type {[number, number][]} */
  running = [];
  /** @type {Map<number, unknown>} */
  results = new Map();
  /** @type {number[]} */
  received = [];
  pushed = 0;
  /** @type {number[]} */
  pushes = [];
  lost = 0;
  reportedLost = 0;
  /** The upload, its items, and the stream of the response. @type {{ duplex: Duplex<number, number>, sent: number, id: number, received: number[], isEnded: boolean, items: number, read: number[], credit: number }} */
  stream;
  /** Errors, and why the connection ended. @type {string[]} */
  closed = [];
  clientCalls = 0;
  /** The client calls that run. @type {(() => void)[]} */
  handlers = [];
  /** @type {number[]} */
  answers = [];

  /** @param {() => number} random */
  constructor(random) {
    this.random = random;
    this.platform.random = random;
    this.server.log = random() < 0.5 ? 300 : 1048576;
    this.ws = this.platform.client(undefined, { window: 4, heartbeat: 5000 });
    this.ws.on("news", (n) => this.pushes.push(n));
    this.ws.on("gap", ({ lost }) => (this.reportedLost += lost));
    this.ws.on("close", ({ reason }) => this.closed.push(reason));
    this.ws.on("error", ({ error }) => /^No connection within/.test(error) || this.closed.push(error));
    this.ws.handle("confirm", (n) => new Promise((resolve) => this.handlers.push(() => resolve(n))));
    const duplex = this.ws.duplex("double", null);
    this.stream = { duplex, sent: 0, id: 0, received: [], isEnded: false, items: 0, read: [], credit: 0 };
    this.link = this.server.connect();
    this.state = this.link.state ?? assert.fail("no state");
    this.handleInbox();
    void this.readStream();
  }

  async readStream() {
    for await (const item of this.stream.duplex) this.stream.read.push(item);
  }

  /** @param {number} n */
  int(n) {
    return Math.floor(this.random() * n);
  }

  /** What the server does with what it has received. */
  handleInbox() {
    for (const [event, data, id, kind, meta] of this.state.takeInbox()) {
      if (event === "double") {
        if (kind === "call") Object.assign(this.stream, { id, credit: meta.credit });
        if (kind === "credit") this.stream.credit = data;
        if (kind === "item") this.stream.received.push(data);
        if (kind === "end") this.stream.isEnded = true;
      } else if (event === "confirm") {
        this.answers.push(id);
        assert.equal(data, -id);
      } else if (kind === "cancel") {
        this.running = this.running.filter(([, open]) => open !== id);
      } else {
        this.received.push(data);
        if (id !== undefined) this.running.push([data, id]);
      }
    }
  }

  /** One random operation. */
  step() {
    const { ws, state, stream } = this;
    switch (this.int(16)) {
      case 0:
      case 1: {
        const value = (this.made += 1);
        const controller = new AbortController();
        this.open.set(value, controller);
        ws.sendAsync("call", value, { timeout: Infinity, signal: controller.signal }).then(
          (result) => {
            assert.ok(!this.results.has(value), "two responses");
            this.results.set(value, result);
            this.open.delete(value);
          },
          (error) => assert.equal(error.code, "cancelled"),
        );
        break;
      }
      case 2:
        ws.sendSync("send", (this.made += 1));
        break;
      case 3: {
        const [value] = [...this.open.keys()].slice(this.int(3));
        if (value === undefined || this.random() < 0.5) break;
        this.open.get(value)?.abort();
        this.open.delete(value);
        this.cancelled.add(value);
        break;
      }
      case 4:
        void stream.duplex.send((stream.sent += 1));
        break;
      case 5:
        this.handlers.splice(this.int(this.handlers.length), 1).forEach((respond) => respond());
        break;
      case 6: {
        const [call] = this.running.splice(this.int(this.running.length), 1);
        if (call) state.send(["call", call[0] * 10, call[1]]);
        break;
      }
      case 7:
        // While the client is away, pushes may be dropped.
        if (!state.link && this.random() < 0.5) {
          const lost = 1 + this.int(80);
          this.lost += lost;
          state.send(["aaw/gap", { lost }], lost);
        } else {
          state.send(["news", (this.pushed += 1)]);
        }
        break;
      case 8:
        if (this.clientCalls - this.answers.length < 5) state.send(["confirm", (this.clientCalls += 1), -this.clientCalls]);
        break;
      case 9:
        if (stream.id && stream.items < stream.credit) state.send(["double", (stream.items += 1), stream.id, "item"]);
        if (stream.id) state.send(["double", stream.received.length + 2, stream.id, "credit"]);
        break;
      case 10:
        state.acknowledge(state.acknowledged + this.int(state.received - state.acknowledged + 1));
        break;
      case 11:
        this.platform.advance(this.int(1500));
        break;
      case 12:
        if (this.random() < 0.5) this.breakSocket();
        break;
      case 13:
        this.accept();
        break;
      case 14:
        this.link.read(1 + this.int(5));
        this.handleInbox();
        break;
      case 15:
        this.link.deliver(1 + this.int(5));
    }
  }

  breakSocket() {
    const { socket } = this.platform;
    if (socket !== this.link.socket) socket.fail();
    else if (this.random() < 0.8) this.link.cut();
    // The client notices nothing until it misses a sign of life.
    else this.link.stop();
  }

  accept() {
    if (this.platform.socket !== this.link.socket && this.ws.state === "connecting") this.link = this.server.accept();
  }

  /** The network is reliable again: all that was begun ends. */
  async end() {
    const { platform, state, stream } = this;
    for (let round = 0; round < 40; round += 1) {
      if (platform.socket === this.link.socket && this.link !== state.link && this.link.hello) this.link.cut();
      platform.advance(3000);
      this.accept();
      this.link.exchange();
      this.handleInbox();
      for (const [value, id] of this.running.splice(0)) state.send(["call", value * 10, id]);
      for (const respond of this.handlers.splice(0)) respond();
      if (stream.id) state.send(["double", 1e6, stream.id, "credit"]);
      state.acknowledge();
      this.link.exchange();
      await settle();
    }
    stream.duplex.end();
    this.link.exchange();
    this.handleInbox();
    state.send(["double", null, stream.id, "end"]);
    this.link.exchange();
    await settle();
  }

  check() {
    const { stream } = this;
    assert.deepEqual(this.closed, [], "the connection is never over");
    const missing = upTo(this.made).filter((value) => !this.received.includes(value));
    assert.deepEqual(this.received, upTo(this.made).filter((value) => !missing.includes(value)), "once, in order");
    for (const value of missing) assert.ok(this.cancelled.has(value), `${value} was not received`);
    assert.equal(this.open.size, 0, "all calls have ended");
    for (const [value, result] of this.results) assert.equal(result, value * 10);
    assert.deepEqual(this.pushes, upTo(this.pushed));
    assert.equal(this.reportedLost, this.lost);
    assert.deepEqual(stream.received, upTo(stream.sent), "the upload");
    assert.ok(stream.isEnded);
    assert.deepEqual(stream.read, upTo(stream.items), "the stream");
    assert.deepEqual(this.answers.sort((a, b) => b - a), upTo(this.clientCalls).map((n) => -n), "client calls");
    assert.equal(this.server.states.size, 1);
  }
}

test("each message arrives once, and in order, whatever breaks", async (t) => {
  const seeds = SEED === null ? Array.from({ length: RUNS }, () => Math.floor(Math.random() * 2 ** 31)) : [SEED];
  let resumed = 0;
  for (const seed of seeds) {
    try {
      const run = new Run(randomSource(seed));
      run.ws.on("resumed", () => (resumed += 1));
      for (let operation = 0; operation < OPERATIONS; operation += 1) {
        run.step();
        if (operation % 4 === 0) await settle();
      }
      await run.end();
      run.check();
      await Promise.all([run.ws.close(), run.platform.advance(2000)]);
    } catch (error) {
      t.diagnostic(`SEED=${seed}`);
      throw error;
    }
  }
  if (SEED === null) assert.ok(resumed > RUNS, `${resumed} times resumed`);
});
