// A server that speaks section 13 of PROTOCOL.md over the sockets of a `FakePlatform`. Messages are in transit, in both
// directions, until the test has them read or delivered, and are lost if it cuts the connection before.

import assert from "node:assert/strict";

/** @import { FakePlatform, FakeSocket } from "./fake_platform.js" */

/** The frames that are not counted. */
const UNCOUNTED = ["aaw/hello", "aaw/welcome", "aaw/ack", "aaw/ping", "aaw/pong"];

const LIMITS = { calls: 256, line: 1048576, message: 1048576 };

/** The state of one connection. */
export class ServerState {
  /** The frames of the client, in the order in which they were received. @type {any[]} */
  inbox = [];
  received = 0;
  /** The client knows that the server has received so many. */
  acknowledged = 0;
  sent = 0;
  /** The messages that the client has not acknowledged, with what each counts as. @type {{ text: string, count: number }[]} */
  log = [];
  /** The last id of a call. */
  #lastId = 0;

  /** @param {string} key @param {Link} link */
  constructor(key, link) {
    this.key = key;
    /** The current socket. @type {Link | null} */
    this.link = link;
  }

  /** The number of the oldest message that is kept, less one. */
  get forgotten() {
    return this.sent - this.log.reduce((sum, { count }) => sum + count, 0);
  }

  /** Sends a counted message. @param {unknown} frame @param {number} [count] */
  send(frame, count = 1) {
    const text = JSON.stringify(frame);
    this.sent += count;
    this.log.push({ text, count });
    this.link?.outgoing.push(text);
  }

  /** Acknowledges what was received, or a part of it. @param {number} [upTo] */
  acknowledge(upTo = this.received) {
    this.acknowledged = Math.max(this.acknowledged, upTo);
    this.link?.outgoing.push(JSON.stringify(["aaw/ack", upTo]));
  }

  /** The client has received so many. @param {number} count */
  forget(count) {
    assert.ok(count >= this.forgotten && count <= this.sent, `${count} of ${this.sent} received, ${this.forgotten} forgotten`);
    while (this.forgotten < count) this.log.shift();
    assert.equal(this.forgotten, count, "a message was acknowledged in part");
  }

  /** @param {string} text */
  handleCounted(text) {
    const frame = JSON.parse(text);
    this.received += 1;
    const [, , id, kind] = frame;
    if (id > 0 && (kind === undefined || kind === "call")) {
      assert.equal(id, this.#lastId + 1, `the id of ${text}`);
      this.#lastId = id;
    }
    this.inbox.push(frame);
  }

  /** The frames that were received since the last call of this. */
  takeInbox() {
    return this.inbox.splice(0);
  }
}

/** The server's end of one socket. */
export class Link {
  /** The messages in transit to the client. @type {string[]} */
  outgoing = [];
  /** @type {ServerState | null} */
  state = null;
  /** The data of the hello. @type {any} */
  hello = null;
  /** The frames that are not counted, and were received. @type {any[]} */
  uncounted = [];
  #isGone = false;
  #server;

  /** @param {FakeServer} server @param {FakeSocket} socket */
  constructor(server, socket) {
    this.#server = server;
    this.socket = socket;
  }

  /** Receives messages of the client. @param {number} [count] */
  read(count = Infinity) {
    for (; count > 0 && !this.#isGone && this.socket.sent.length; count -= 1) {
      this.#handle(/** @type {string} */ (this.socket.sent.shift()));
    }
    return this;
  }

  /** Delivers messages to the client. @param {number} [count] */
  deliver(count = Infinity) {
    for (; count > 0 && !this.#isGone && this.outgoing.length; count -= 1) {
      this.socket.deliverRaw(/** @type {string} */ (this.outgoing.shift()));
    }
    return this;
  }

  /** Reads and delivers until nothing is in transit. */
  exchange() {
    while (!this.#isGone && (this.socket.sent.length || this.outgoing.length)) this.read().deliver();
    return this;
  }

  /** The connection breaks, or is closed with another code: what is in transit is lost. @param {number} [code] */
  cut(code = 1006, reason = "") {
    this.stop();
    this.socket.disconnect(code, reason);
  }

  /** The server no longer reads or writes. The client does not notice. */
  stop() {
    this.#isGone = true;
    this.outgoing.length = 0;
    if (this.state?.link === this) this.state.link = null;
  }

  /** @param {string} text */
  #handle(text) {
    const [event, data, id] = JSON.parse(text);
    if (id !== undefined || !UNCOUNTED.includes(event)) {
      assert.ok(this.state, `before the welcome: ${text}`);
      this.state.handleCounted(text);
      return;
    }
    this.uncounted.push(JSON.parse(text));
    if (event === "aaw/hello") {
      this.hello = data;
      this.#server.handleHello(this, data);
    }
    if (event === "aaw/ack") this.state?.forget(data);
    if (event === "aaw/ping") this.outgoing.push('["aaw/pong",null]');
  }
}

export class FakeServer {
  /** @type {Map<string, ServerState>} */
  states = new Map();
  /** All keys that were used. @type {Set<string>} */
  #keys = new Set();
  window = 60_000;
  log = 1048576;
  /** The refusal of the next resuming hello. @type {string | null} */
  refusal = null;
  #platform;

  /** @param {FakePlatform} platform */
  constructor(platform) {
    this.#platform = platform;
  }

  /** Accepts the newest socket. The hello is not read yet. */
  accept() {
    const link = new Link(this, this.#platform.socket);
    link.socket.accept("aaw.v1");
    return link;
  }

  /** Accepts the newest socket, and exchanges what there is. */
  connect() {
    return this.accept().exchange();
  }

  /** @param {Link} link @param {any} hello */
  handleHello(link, { resumption }) {
    assert.ok(link.state === null, "a second hello");
    if (resumption === undefined) {
      link.outgoing.push(JSON.stringify(["aaw/welcome", { connection: "7f", resumed: false, limits: LIMITS }]));
      return;
    }
    const { key, resume, received, next } = resumption;
    const known = this.states.get(key);
    if (resume && this.refusal) {
      link.outgoing.push(JSON.stringify(["aaw/error", { error: this.refusal, code: "bad_frame" }]));
      this.refusal = null;
    } else if (resume && known) {
      known.forget(received);
      known.link?.stop();
      known.link = link;
      link.state = known;
      known.acknowledged = known.received;
      this.#welcome(link, true, { received: known.received });
      for (const { text } of known.log) link.outgoing.push(text);
    } else {
      const name = resume ? next : key;
      assert.match(name, /^[0-9a-f]{32}$/);
      assert.ok(!this.#keys.has(name), "a key was used twice");
      this.#keys.add(name);
      link.state = new ServerState(name, link);
      this.states.set(name, link.state);
      this.#welcome(link, false, {});
    }
  }

  /** @param {Link} link @param {boolean} resumed @param {object} more */
  #welcome(link, resumed, more) {
    const resumption = { window: this.window, log: this.log, ...more };
    link.outgoing.push(JSON.stringify(["aaw/welcome", { connection: "7f", resumed, limits: LIMITS, resumption }]));
  }
}
