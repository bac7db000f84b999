// Owns the socket and the timer: tells the session what happens, and does what it says.

import { CallError } from "./failure.js";
import { Session } from "./session.js";
import { closeEvent } from "./socket_events.js";
import { socketUrl } from "./url.js";

/** @typedef {import("./asks.js").Ask} Ask */
/** @typedef {import("./failure.js").Failure} Failure */
/** @typedef {import("./frame.js").Draft} Draft */
/** @typedef {import("./session.js").CallOptions} CallOptions */
/** @typedef {import("./session.js").Outcome} Outcome */
/** @typedef {import("./world.js").Socket} Socket */
/** @typedef {import("./world.js").SocketClass} SocketClass */
/** @typedef {import("./world.js").World} World */

/**
 * Whoever waits for a call.
 *
 * @typedef {object} Waiter
 * @property {(outcome: Outcome) => void} handleDone Exactly once, and last.
 * @property {(data: unknown) => void} [handleItem]
 * @property {(items: number) => void} [handleRoom]
 */

/**
 * Who wants to know what happens to the connection.
 *
 * @typedef {object} Hearer
 * @property {(event: Event) => void} handleOpen
 * @property {(event: CloseEvent) => void} handleClose
 * @property {(error: Event | CallError) => void} handleError
 * @property {(text: string) => void} handleMessage
 * @property {(event: string, data: unknown) => void} handlePush
 * @property {(ask: Ask, data: unknown) => void} handleAsked Ends with `reply` or `replyFailure`.
 * @property {(ask: Ask) => void} handleAskCancelled Nobody waits for that any more.
 * @property {(token: string | null) => void} handleLogin The session is another, or there is none any more.
 * @property {(failure: CallError) => void} handleUnauthorized
 * @property {() => void} handleState
 */

/**
 * Where the server is: known, or asked for at each attempt.
 *
 * @typedef {string | URL | (() => string | URL | Promise<string | URL>)} Where
 */

/** Bytes in the socket above which nothing more is given to it. */
const FULL = 1 << 20;

/** How often to look whether a full socket has emptied, in ms: sockets of browsers do not say so. */
const LOOK = 20;

export class Driver {
  #where;
  #SocketClass;
  #world;
  #hearer;
  /** @type {Session<Waiter>} */
  #session;
  /** @type {Socket | null} */
  #socket = null;
  /** The attempt, or connection, that counts; what others have to say is ignored. @type {object} */
  #attempt = {};
  /** The socket's own, for listeners to `open`. */
  #openEvent = new Event("open");
  /** @type {{ due: number, timer: unknown, ref: boolean } | null} */
  #timer = null;
  #running = false;
  #state = "";
  #unwake;
  /** @type {Promise<void>} */
  ended;
  #resolveEnded = () => {};
  /** Of this connection, or attempt. */
  url = "";
  /** This connection's key, which stands in the server's log; the original keeps its clients apart by it. */
  sid = "";
  /** The server's id of this connection. @type {string | null} */
  connection = null;

  /**
   * @param {Where | undefined} where
   * @param {import("./session.js").SessionConfig} config
   * @param {SocketClass} SocketClass
   * @param {World} world
   * @param {Hearer} hearer
   */
  constructor(where, config, SocketClass, world, hearer) {
    this.#where = typeof where === "function" ? where : socketUrl(where);
    this.#SocketClass = SocketClass;
    this.#world = world;
    this.#hearer = hearer;
    this.#session = new Session(config, world.random, world.now());
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.#unwake = world.onWake(() => this.#tell(() => this.#session.wake(world.now())));
    this.#run();
  }

  get state() {
    return this.#session.state;
  }

  /** The sub-protocol of the connection; empty while there is none. */
  get protocol() {
    return this.#socket?.protocol ?? "";
  }

  /** Bytes that the socket has not sent yet. */
  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  get maxMessage() {
    return this.#session.maxMessage;
  }

  get token() {
    return this.#session.token;
  }

  get identity() {
    return this.#session.identity;
  }

  /**
   * Makes a call, which ends with `waiter.handleDone`. The same waiter names it from here on.
   *
   * @param {Waiter} waiter
   * @param {Draft} draft
   * @param {Omit<CallOptions, "deadline"> & { timeout?: number }} options `timeout` in ms; default: none.
   */
  call(waiter, draft, { timeout = Infinity, ...options }) {
    const now = this.#world.now();
    this.#tell(() => this.#session.call(now, waiter, draft, { ...options, deadline: now + timeout }));
  }

  /**
   * Nobody waits for the call any more.
   *
   * @param {Waiter} waiter
   * @returns {boolean} Whether the server may have seen it.
   */
  cancel(waiter) {
    return this.#tell(() => this.#session.cancel(this.#world.now(), waiter));
  }

  /** @param {Draft} draft @throws {CallError} It will not be sent. */
  send(draft) {
    this.#tell(() => this.#session.send(draft));
  }

  /** @param {Waiter} waiter @param {number} items */
  credit(waiter, items) {
    this.#tell(() => this.#session.credit(waiter, items));
  }

  /** @param {Waiter} waiter @param {string} json @returns {boolean} Whether there was room. */
  uploadItem(waiter, json) {
    return this.#tell(() => this.#session.uploadItem(waiter, json));
  }

  /** @param {Waiter} waiter */
  uploadEnd(waiter) {
    this.#tell(() => this.#session.uploadEnd(waiter));
  }

  /** @param {Ask} ask @param {string} json */
  reply(ask, json) {
    this.#tell(() => this.#session.reply(ask, json));
  }

  /** @param {Ask} ask @param {Failure} failure */
  replyFailure(ask, failure) {
    this.#tell(() => this.#session.replyFailure(ask, failure));
  }

  close() {
    this.#tell(() => this.#session.close(this.#world.now()));
  }

  // --- The loop -----------------------------------------------------------------------------------------------------

  /**
   * Every input to the session goes through here, so that what follows from it is done at once.
   *
   * @template R
   * @param {() => R} input
   * @returns {R}
   */
  #tell(input) {
    try {
      return input();
    } finally {
      this.#run();
    }
  }

  #run() {
    // What an output leads to, a listener that makes a call, say, comes back here; the outermost goes on with it.
    if (this.#running) return;
    this.#running = true;
    try {
      for (let output = this.#next(); output; output = this.#next()) this.#act(output);
    } finally {
      this.#running = false;
    }
    this.#tellState();
    this.#setTimer();
  }

  #next() {
    if (this.#socket) {
      if (this.#socket.bufferedAmount < FULL) this.#session.handleWritable();
      else this.#session.handleBlocked();
    }
    return this.#session.pollOutput();
  }

  /** @param {import("./session.js").Output<Waiter>} output */
  #act(output) {
    switch (output.do) {
      case "connect":
        void this.#connect();
        break;
      case "send":
        this.#socket?.send(output.text);
        break;
      case "close":
        this.#socket?.close(1000);
        break;
      case "abandon":
        this.#drop(output.why);
        break;
      case "item":
        output.waiter.handleItem?.(output.data);
        break;
      case "room":
        output.waiter.handleRoom?.(output.items);
        break;
      case "done":
        output.waiter.handleDone(output.outcome);
        break;
      case "push":
        this.#hearer.handlePush(output.event, output.data);
        break;
      case "asked":
        this.#hearer.handleAsked(output.ask, output.data);
        break;
      case "askCancelled":
        this.#hearer.handleAskCancelled(output.ask);
        break;
      case "login":
        this.#hearer.handleLogin(output.token);
        break;
      case "unauthorized":
        this.#hearer.handleUnauthorized(output.failure);
        break;
      case "opened":
        this.connection = output.connection;
        this.#tellState();
        this.#hearer.handleOpen(this.#openEvent);
        break;
      case "problem":
        this.#hearer.handleError(output.problem);
        break;
      case "ended":
        this.#unwake();
        this.#resolveEnded();
    }
  }

  #tellState() {
    const { state } = this.#session;
    if (state === this.#state) return;
    const isFirst = this.#state === "";
    this.#state = state;
    if (!isFirst) this.#hearer.handleState();
  }

  /** One timer for all that the session waits for. One that goes off too early costs less than one that is moved. */
  #setTimer() {
    const isFull = this.#socket !== null && this.#socket.bufferedAmount >= FULL;
    const now = this.#world.now();
    const due = Math.min(this.#session.pollTimeout(), isFull ? now + LOOK : Infinity);
    // An open connection keeps Node alive by itself, and a heartbeat is no reason to.
    const ref = this.#session.state !== "open" || this.#session.hasCalls;
    if (this.#timer && this.#timer.due <= due && this.#timer.ref === ref && due !== Infinity) return;
    if (this.#timer) this.#world.clearTimeout(this.#timer.timer);
    this.#timer = null;
    if (due === Infinity) return;
    const timer = this.#world.setTimeout(
      () => {
        this.#timer = null;
        this.#tell(() => this.#session.handleTimeout(this.#world.now()));
      },
      Math.min(Math.max(due - now, 0), LONGEST),
    );
    if (!ref) /** @type {{ unref?: () => void }} */ (timer).unref?.();
    this.#timer = { due, timer, ref };
  }

  // --- The socket ---------------------------------------------------------------------------------------------------

  async #connect() {
    const attempt = (this.#attempt = {});
    let socket;
    try {
      // Not awaited if it is known: a page that looks for its socket right away finds it.
      const url = typeof this.#where === "function" ? socketUrl(await this.#where()) : this.#where;
      if (attempt !== this.#attempt) return;
      this.url = url;
      this.sid = `_${uuid()}`;
      socket = new this.#SocketClass(url, [this.sid, "aaw.v1"]);
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.#attempt = {};
      this.#hearer.handleError(noUrl(error));
      this.#tell(() => this.#session.handleConnectFailed(this.#world.now()));
      return;
    }
    this.#socket = socket;
    this.#listen(socket, attempt);
  }

  /** @param {Socket} socket @param {object} attempt */
  #listen(socket, attempt) {
    const { now } = this.#world;
    let isOpen = false;
    /** @param {CloseEvent} event */
    const gone = (event) => {
      this.#attempt = {};
      this.#socket = null;
      this.#tell(() => {
        if (isOpen) this.#session.handleDisconnected(now(), event.code, event.reason);
        else this.#session.handleConnectFailed(now());
      });
      this.#hearer.handleClose(event);
    };
    /** @param {"open" | "close" | "error" | "message"} type @param {(event: any) => void} listener */
    const on = (type, listener) =>
      socket.addEventListener(type, (event) => {
        if (attempt === this.#attempt) listener(event);
      });

    on("open", (event) => {
      isOpen = true;
      this.#openEvent = event;
      const dialect = socket.protocol === "aaw.v1" ? "v1" : "classic";
      this.#tell(() => this.#session.handleConnected(now(), dialect));
    });
    on("message", ({ data }) => {
      this.#tell(() => {
        if (typeof data === "string") this.#session.handleText(now(), data);
        else this.#session.handleBinary(now());
      });
      if (typeof data === "string") this.#hearer.handleMessage(data);
    });
    on("error", (event) => {
      this.#hearer.handleError(event);
      // Node 20 fires no `close` after an attempt that failed.
      if (!isOpen && attempt === this.#attempt) gone(closeEvent(1006, ""));
    });
    on("close", gone);
  }

  /** Lets go of the connection, or the attempt, as it stands. @param {string} why */
  #drop(why) {
    const socket = this.#socket;
    this.#attempt = {};
    this.#socket = null;
    try {
      socket?.close();
    } catch {
      // `ws` throws where the handshake is not over; it is closed all the same.
    }
    if (socket) this.#hearer.handleClose(closeEvent(1006, why));
  }
}

/** What timers can wait at most, in ms: longer waits would be none at all. */
const LONGEST = 2 ** 31 - 1;

/** @param {unknown} cause */
const noUrl = (cause) => {
  const error = cause instanceof Error ? cause.message : String(cause);
  return new CallError({ error: `Cannot connect: ${error}`, code: "no_connection" }, { sent: false, cause });
};

/** A random UUID. Pages that came over plain HTTP have no `crypto.randomUUID`. */
const uuid = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
};
