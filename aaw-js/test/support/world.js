// Surroundings whose clock is moved by hand and whose sockets go nowhere.

/** @typedef {import("../../aaw/options.js").Options} Options */

import { Client } from "../../aaw/client.js";

export class FakeSocket extends EventTarget {
  protocol = "";
  bufferedAmount = 0;
  /** @type {string[]} */
  sent = [];
  /** @type {{ code?: number, reason?: string } | null} */
  closed = null;

  /** @param {string} url @param {string[]} protocols */
  constructor(url, protocols) {
    super();
    this.url = url;
    this.protocols = protocols;
  }

  /** @param {string} text */
  send(text) {
    this.sent.push(text);
  }

  /** @param {number} [code] @param {string} [reason] */
  close(code, reason) {
    this.closed = { code, reason };
  }

  // --- What the other side does -------------------------------------------------------------------------------------

  /** @param {string} protocol */
  accept(protocol) {
    this.protocol = protocol;
    this.dispatchEvent(new Event("open"));
  }

  /** Accepts as a server of ours, and greets. @param {object} [limits] */
  greet(limits = { calls: 256, line: 1048576, message: 1048576 }) {
    this.accept("aaw.v1");
    this.say(["aaw/welcome", { connection: "7f", resumed: false, limits }]);
  }

  /** @param {unknown} frame */
  say(frame) {
    this.hear(JSON.stringify(frame));
  }

  /** @param {unknown} data */
  hear(data) {
    this.dispatchEvent(new MessageEvent("message", { data }));
  }

  /** @param {number} code @param {string} [reason] */
  end(code, reason = "") {
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason, wasClean: code !== 1006 }));
  }

  /** The attempt fails, as in a browser. */
  fail() {
    this.dispatchEvent(new Event("error"));
    this.end(1006);
  }

  /** What was sent since it was last asked, without the greeting. @returns {unknown[]} */
  take() {
    return this.sent
      .splice(0)
      .map((text) => JSON.parse(text))
      .filter(([event]) => event !== "aaw/hello");
  }
}

export class FakeWorld {
  #now = 0;
  /** @type {Set<{ due: number, callback: () => void, isRef: boolean, unref: () => void }>} */
  timers = new Set();
  /** @type {FakeSocket[]} */
  sockets = [];
  /** @type {Set<() => void>} */
  wakers = new Set();
  random = () => 0.5;

  now = () => this.#now;

  /** @param {() => void} callback @param {number} ms */
  setTimeout = (callback, ms) => {
    const timer = { due: this.#now + ms, callback, isRef: true, unref: () => void (timer.isRef = false) };
    this.timers.add(timer);
    return timer;
  };

  /** @param {any} timer */
  clearTimeout = (timer) => void this.timers.delete(timer);

  /** @param {() => void} callback */
  onWake = (callback) => {
    this.wakers.add(callback);
    return () => void this.wakers.delete(callback);
  };

  wake() {
    for (const callback of this.wakers) callback();
  }

  /** @param {number} ms */
  pass(ms) {
    const until = this.#now + ms;
    for (let next = this.#next(until); next; next = this.#next(until)) {
      this.#now = next.due;
      this.timers.delete(next);
      next.callback();
    }
    this.#now = until;
  }

  /** @param {number} until */
  #next(until) {
    return [...this.timers].filter(({ due }) => due <= until).sort((a, b) => a.due - b.due)[0];
  }

  get socket() {
    return /** @type {FakeSocket} */ (this.sockets.at(-1));
  }

  /** @param {import("../../aaw/driver.js").Where} [where] @param {Options} [options] */
  client(where = "ws://server.test", options = {}) {
    const { sockets } = this;
    const SocketClass = class extends FakeSocket {
      /** @param {string} url @param {string[]} protocols */
      constructor(url, protocols) {
        super(url, protocols);
        sockets.push(this);
      }
    };
    return new Client(where, { ...options, WebSocket: SocketClass }, this);
  }

  /** A client with an open connection to a server of ours. @param {Options} [options] */
  open(options) {
    const client = this.client(undefined, options);
    this.socket.greet();
    this.socket.take();
    return client;
  }
}

/** Lets everything run that is ready to. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));
