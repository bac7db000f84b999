// A platform whose clock is advanced by the test and whose sockets are controlled by it.

/** @import { Options } from "../../aaw/options.js" */

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

  // --- What the server does -----------------------------------------------------------------------------------------

  /** Accepts the connection with this sub-protocol. @param {string} protocol */
  accept(protocol) {
    this.protocol = protocol;
    this.dispatchEvent(new Event("open"));
  }

  /** Accepts the connection as a v1 server, and sends the welcome. @param {object} [limits] @param {object} [resumption] */
  welcome(limits = { calls: 256, line: 1048576, message: 1048576 }, resumption) {
    this.accept("aaw.v1");
    this.deliver(["aaw/welcome", { connection: "7f", resumed: false, limits, resumption }]);
  }

  /** Sends a frame to the client. @param {unknown} frame */
  deliver(frame) {
    this.deliverRaw(JSON.stringify(frame));
  }

  /** Sends a message to the client. @param {unknown} data */
  deliverRaw(data) {
    this.dispatchEvent(new MessageEvent("message", { data }));
  }

  /** Closes the connection. @param {number} code @param {string} [reason] */
  disconnect(code, reason = "") {
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason, wasClean: code !== 1006 }));
  }

  /** Fails the attempt to connect, as in a browser. */
  fail() {
    this.dispatchEvent(new Event("error"));
    this.disconnect(1006);
  }

  /** The frames that the client has sent since the last call of this, without the hello. @returns {unknown[]} */
  takeSent() {
    return this.sent
      .splice(0)
      .map((text) => JSON.parse(text))
      .filter(([event]) => event !== "aaw/hello");
  }
}

/** A storage that can be full, or forbidden. */
export class FakeStorage {
  /** @type {Map<string, string>} */
  entries = new Map();
  /** What each operation throws. @type {Error | null} */
  error = null;

  /** @param {string} key */
  getItem(key) {
    if (this.error) throw this.error;
    return this.entries.get(key) ?? null;
  }

  /** @param {string} key @param {string} value */
  setItem(key, value) {
    if (this.error) throw this.error;
    this.entries.set(key, value);
  }

  /** @param {string} key */
  removeItem(key) {
    if (this.error) throw this.error;
    this.entries.delete(key);
  }
}

export class FakePlatform {
  #now = 0;
  /** @type {Set<{ due: number, callback: () => void, isRef: boolean, ref: () => void, unref: () => void }>} */
  timers = new Set();
  /** @type {FakeSocket[]} */
  sockets = [];
  /** @type {Set<() => void>} */
  wakeListeners = new Set();
  /** @type {Set<{ onHide: () => void, onShow: () => void }>} */
  pageListeners = new Set();
  storage = new FakeStorage();
  randomValue = 0.5;
  random = () => this.randomValue;

  /** @param {FakePlatform} [previous] The platform of the page before, which has the same storage, clock and network. */
  constructor(previous) {
    if (!previous) return;
    this.storage = previous.storage;
    this.#now = previous.now();
    this.sockets = previous.sockets;
  }

  now = () => this.#now;

  wallClock = () => 1_700_000_000_000 + this.#now;

  sessionStorage = () => this.storage;

  /** @param {() => void} callback @param {number} ms */
  setTimeout = (callback, ms) => {
    const timer = {
      due: this.#now + ms,
      callback,
      isRef: true,
      ref: () => void (timer.isRef = true),
      unref: () => void (timer.isRef = false),
    };
    this.timers.add(timer);
    return timer;
  };

  /** @param {any} timer */
  clearTimeout = (timer) => void this.timers.delete(timer);

  /** @param {() => void} callback */
  onWake = (callback) => {
    this.wakeListeners.add(callback);
    return () => void this.wakeListeners.delete(callback);
  };

  /** @param {() => void} onHide @param {() => void} onShow */
  onPageChange = (onHide, onShow) => {
    const listeners = { onHide, onShow };
    this.pageListeners.add(listeners);
    return () => void this.pageListeners.delete(listeners);
  };

  /** The page is left. */
  hide() {
    for (const { onHide } of this.pageListeners) onHide();
  }

  /** The page is shown again as it was left. */
  show() {
    for (const { onShow } of this.pageListeners) onShow();
  }

  wake() {
    for (const callback of this.wakeListeners) callback();
  }

  /** Advances the clock, and runs the timers that are due meanwhile. @param {number} ms */
  advance(ms) {
    const until = this.#now + ms;
    for (let next = this.#nextTimer(until); next; next = this.#nextTimer(until)) {
      this.#now = next.due;
      this.timers.delete(next);
      next.callback();
    }
    this.#now = until;
  }

  /** @param {number} until */
  #nextTimer(until) {
    return [...this.timers].filter(({ due }) => due <= until).sort((a, b) => a.due - b.due)[0];
  }

  /** The newest socket. */
  get socket() {
    return /** @type {FakeSocket} */ (this.sockets.at(-1));
  }

  /** A client that is connecting. @param {import("../../aaw/driver.js").UrlSource} [url] @param {Options} [options] */
  client(url = "ws://server.test", options = {}) {
    const { sockets } = this;
    const SocketClass = class extends FakeSocket {
      /** @param {string} url @param {string[]} protocols */
      constructor(url, protocols) {
        super(url, protocols);
        sockets.push(this);
      }
    };
    return new Client(url, { ...options, WebSocket: SocketClass }, this);
  }

  /** A client with an open v1 connection. @param {Options} [options] */
  connectedClient(options) {
    const client = this.client(undefined, options);
    this.socket.welcome();
    this.socket.takeSent();
    return client;
  }
}

/** Resolves after all promises that are ready have run their callbacks. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));
