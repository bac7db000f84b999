// The handle that applications have.

import { onAbort } from "./abort.js";
import { bind } from "./bind.js";
import { Driver } from "./driver.js";
import { Duplex } from "./duplex.js";
import { Emitter } from "./emitter.js";
import { CallError, cancelled } from "./failure.js";
import { draft } from "./frame.js";
import { Handlers } from "./handlers.js";
import { sessionConfig } from "./options.js";
import { closeEvent } from "./socket_events.js";
import { SocketFace, show } from "./socket_face.js";
import { KeptToken } from "./storage.js";
import { ItemStream } from "./stream.js";

/** @typedef {import("./handlers.js").Handler} Handler */
/** @typedef {import("./keeper.js").Identity} Identity */
/** @typedef {import("./options.js").Options} Options */
/** @typedef {import("./session.js").Outcome} Outcome */
/** @typedef {import("./stream.js").StreamOptions} StreamOptions */

/**
 * @typedef {object} CallOptions
 * @property {number} [timeout] In ms, the wait for a connection included. `Infinity`: as long as it takes.
 * @property {AbortSignal} [signal] Gives the call up. It rejects with the code `cancelled`, and the server drops its
 *   handler.
 */

/** @typedef {{ token: string, user: Identity }} LoggedIn What a log-in answers. */

/** @typedef {"connecting" | "open" | "waiting" | "closed"} State `waiting`: for the next attempt to connect. */

/**
 * A connection to a server, and the connections after it.
 *
 * Its methods need no `this`. It also has the face of a WebSocket, as the original's client has.
 */
export class Client extends SocketFace {
  #driver;
  #emitter = new Emitter();
  #handlers = new Handlers();
  #timeout;
  #window;

  /**
   * @param {import("./driver.js").Where | undefined} where
   * @param {Options} options
   * @param {import("./world.js").World} world
   */
  constructor(where, options, world) {
    super();
    bind(this, "sendAsync", "sendSync", "stream", "duplex", "on", "off", "handle", "close", "send");
    bind(this, "login", "register", "resume", "logout", "requestReset", "setNew");
    const SocketClass = options.WebSocket ?? globalThis.WebSocket;
    if (!SocketClass) throw new TypeError("aaw: there is no WebSocket here; hand one in as `options.WebSocket`");
    this.#timeout = options.timeout ?? 3000;
    this.#window = Math.max(1, Math.floor(options.window ?? 64));
    const kept = new KeptToken(options.storage, options.storageKey ?? "aaw/token");
    this.#driver = new Driver(where, sessionConfig(options, kept.read()), SocketClass, world, {
      handleOpen: (event) => {
        this.#emitter.emit("open", event);
        show(this, new Event("open"));
      },
      handleClose: (event) => {
        this.#emitter.emit("close", event);
        show(this, closeEvent(event.code, event.reason, event.wasClean));
      },
      handleError: (error) => {
        this.#emitter.emit("error", error);
        if (!(error instanceof CallError)) show(this, new Event("error"));
      },
      handleMessage: (data) => {
        if (this.wantsMessages) show(this, new MessageEvent("message", { data }));
      },
      handlePush: (event, data) => this.#emitter.emit(event, data),
      handleAsked: (ask, data) => void this.#handlers.handleAsked(ask, data, this.#driver),
      handleAskCancelled: (ask) => this.#handlers.handleCancelled(ask),
      handleLogin: (token) => kept.write(token),
      handleUnauthorized: (failure) => this.#emitter.emit("unauthorized", failure),
      handleState: () => this.#emitter.emit("aaw/state", this.state),
    });
  }

  /**
   * Calls an event and resolves with its answer. Any number can be open at once, each gets its own answer; they reach
   * the server in the order in which they were made. While there is no connection they wait for one.
   *
   * A plain event, one that answers nothing, resolves with `null` once it has run. (On a server of the original it does
   * not, and times out.)
   *
   * @template [T=any]
   * @param {string} event
   * @param {unknown} [payload] Anything that JSON can say.
   * @param {number | CallOptions} [options] A time-out in ms, or more. Default 3000.
   * @returns {Promise<T>} Rejects with a `CallError`: its `error` is a text, its `code` a word, and `sent` says whether
   *   the server may have seen the call.
   */
  sendAsync(event, payload, options = {}) {
    return new Promise((resolve, reject) => {
      const { timeout = this.#timeout, signal } = typeof options === "number" ? { timeout: options } : (options ?? {});
      // Throws into the promise.
      const call = draft(event, payload);
      const waiter = {
        handleDone: (/** @type {Outcome} */ outcome) => {
          stopListening();
          this.#emitAnswer(event, outcome);
          if (outcome.as === "failed") reject(outcome.failure);
          else resolve(/** @type {T} */ (outcome.as === "answered" ? outcome.data : null));
        },
      };
      if (signal?.aborted) {
        reject(cancelled(signal.reason, false));
        return;
      }
      const stopListening = onAbort(signal, (reason) => reject(cancelled(reason, this.#driver.cancel(waiter))));
      this.#driver.call(waiter, call, { timeout });
    });
  }

  /**
   * Sends an event and waits for nothing. It goes out now, or with the next connection; it is lost if the connection
   * breaks just then. What must arrive is a `sendAsync`.
   *
   * If the event answers, and somebody listens to its name, listeners get the answer, as with the original.
   *
   * @param {string} event
   * @param {unknown} [payload]
   * @returns {void}
   * @throws {CallError} It will not be sent: `bad_body`, `too_large`, `busy` (too much waits already), `no_connection`
   *   (the client is closed).
   */
  sendSync(event, payload) {
    const message = draft(event, payload);
    if (!this.#emitter.isHeard(event)) {
      this.#driver.send(message);
      return;
    }
    // A v1 server answers calls alone. Read as a stream, an event that answers has items, one that does not has none,
    // which is exactly what listeners heard from the original.
    const listeners = {
      handleItem: (/** @type {unknown} */ data) => this.#emitter.emit(event, data),
      handleDone: (/** @type {Outcome} */ outcome) => {
        this.#emitAnswer(event, outcome);
        if (outcome.as === "failed" && !outcome.failure.sent) this.#emitter.emit("error", outcome.failure);
      },
    };
    this.#driver.call(listeners, message, { credit: Number.MAX_SAFE_INTEGER, isSend: true });
  }

  /**
   * Calls an event that answers many times: `for await (const item of ws.stream("users/all")) …`. The call is made at
   * once, and ends with the loop. An event that answers once is a stream of one item, a plain one of none.
   *
   * @template [T=any]
   * @param {string} event
   * @param {unknown} [payload]
   * @param {StreamOptions} [options]
   * @returns {ItemStream<T>}
   * @throws {CallError} `bad_body`: the payload cannot be JSON.
   */
  stream(event, payload, options = {}) {
    return new ItemStream(this.#driver, draft(event, payload), options, this.#window);
  }

  /**
   * Calls an event that takes a stream from its caller, and may answer with one: read it as any stream, and `send`
   * items meanwhile.
   *
   * @template [U=any]
   * @template [T=any]
   * @param {string} event
   * @param {unknown} [payload]
   * @param {StreamOptions} [options]
   * @returns {Duplex<U, T>}
   * @throws {CallError} `bad_body`: the payload cannot be JSON.
   */
  duplex(event, payload, options = {}) {
    return new Duplex(this.#driver, draft(event, payload), options, this.#window);
  }

  /**
   * Listens to an event that the server sends, whatever the connection; answers to calls of that name are heard, too.
   * Of the client itself: `open` (with the socket's `Event`), `close` (a `CloseEvent`; also after an attempt that
   * failed), `error` (an `Event` of the socket, or a `CallError`), `unauthorized` (a `CallError`: the session is over),
   * `aaw/state` (the new `state`). `aaw/joined` and `aaw/left` tell of a room that this client is in.
   *
   * @param {string} event
   * @param {(detail: any) => unknown} callback
   * @returns {void}
   */
  on(event, callback) {
    this.#emitter.on(event, callback);
  }

  /**
   * Stops listening: the callback, or, without one, the one that was added last.
   *
   * @param {string} event
   * @param {(detail: any) => unknown} [callback]
   * @returns {void}
   */
  off(event, callback) {
    this.#emitter.off(event, callback);
  }

  /**
   * Answers the server when it asks: `ws.handle("confirm", (body) => confirm(body.text))`. It may take its time, and
   * return a promise; the server waits as long as it said to itself. An event that nobody handles is answered with
   * `unknown_event`.
   *
   * @param {string} event
   * @param {Handler} handler
   * @returns {() => void} Ends that: the event is unknown again.
   * @throws {TypeError} The event has a handler already.
   */
  handle(event, handler) {
    return this.#handlers.add(event, handler);
  }

  // --- Who is calling -----------------------------------------------------------------------------------------------

  /**
   * Logs in. From here on the client keeps the session's token, and resumes it whenever it has connected again, before
   * anything else is sent and before `open`.
   *
   * @param {string} email
   * @param {string} password
   * @param {number | CallOptions} [options]
   * @returns {Promise<LoggedIn>} Rejects with `Invalid credentials`, for one.
   */
  login(email, password, options) {
    return this.sendAsync("aaw/login", { email, password }, options);
  }

  /**
   * Makes an account, and logs in to it.
   *
   * @param {string} email
   * @param {string} password
   * @param {number | CallOptions} [options]
   * @returns {Promise<LoggedIn>} Rejects with `Email already registered`, for one.
   */
  register(email, password, options) {
    return this.sendAsync("aaw/register", { email, password }, options);
  }

  /**
   * Goes on with a session by its token, which the application has kept itself.
   *
   * @param {string} token
   * @param {number | CallOptions} [options]
   * @returns {Promise<LoggedIn>} Rejects with `Session expired` if it is over.
   */
  resume(token, options) {
    return this.sendAsync("aaw/resume", { token }, options);
  }

  /**
   * Ends the session, wherever it is in use.
   *
   * @param {number | CallOptions} [options]
   * @returns {Promise<{ ok: true }>}
   */
  logout(options) {
    return this.sendAsync("aaw/logout", null, options);
  }

  /**
   * Has the application deliver a token by which a new password can be set, if there is such an account. The answer
   * does not tell.
   *
   * @param {string} email
   * @param {number | CallOptions} [options]
   * @returns {Promise<{ ok: true }>}
   */
  requestReset(email, options) {
    return this.sendAsync("aaw/password/request-reset", { email }, options);
  }

  /**
   * Sets a new password, which ends all sessions of the account, and logs in.
   *
   * @param {string} token What `requestReset` had delivered. It can be used once.
   * @param {string} password
   * @param {number | CallOptions} [options]
   * @returns {Promise<LoggedIn>} Rejects with `Reset link is invalid or expired`, for one.
   */
  setNew(token, password, options) {
    return this.sendAsync("aaw/password/set-new", { token, password }, options);
  }

  /**
   * Whom the server knows this client as, by what the last log-in answered; `null` without one, and until a kept token
   * is resumed. It stays while the connection is lost.
   *
   * @returns {Identity | null}
   */
  get identity() {
    return this.#driver.identity;
  }

  /** Of the session. Whoever has it is the user: do not show it. @returns {string | null} */
  get token() {
    return this.#driver.token;
  }

  // --- The connection -----------------------------------------------------------------------------------------------

  /**
   * Ends the client: what waits is sent if there is a connection, calls that are open reject, and it stays closed.
   *
   * @returns {Promise<void>} When the connection is gone.
   */
  close() {
    this.#driver.close();
    return this.#driver.ended;
  }

  /**
   * Sends a message as one would over a WebSocket: the text of `[event, data]`. Anything else is `sendSync`'s.
   *
   * @param {string} text
   * @returns {void}
   * @throws {Error} It is none, or will not be sent.
   */
  send(text) {
    const [event, data] = JSON.parse(text);
    this.sendSync(event, data);
  }

  /** How the connection is doing. When it changes, listeners to `aaw/state` are told. @returns {State} */
  get state() {
    return this.#driver.state;
  }

  /** This side's random name of the connection, which the server logs as its client's key. Each has its own. */
  get sid() {
    return this.#driver.sid;
  }

  /** The server's id of the connection, as its handlers and its log have it; `null` while there is none. */
  get connection() {
    return this.state === "open" ? this.#driver.connection : null;
  }

  /** As that of a WebSocket: 0 while there is no connection and one will be, 1 (`WebSocket.OPEN`), 3 once it is closed. */
  get readyState() {
    return { connecting: 0, waiting: 0, open: 1, closed: 3 }[this.state];
  }

  /** As that of a WebSocket. */
  get url() {
    return this.#driver.url;
  }

  /** As that of a WebSocket: `aaw.v1` on a server of ours, `sid` on one of the original. */
  get protocol() {
    return this.#driver.protocol;
  }

  /** As that of a WebSocket. */
  get bufferedAmount() {
    return this.#driver.bufferedAmount;
  }

  /** Listeners hear all that came under a name. @param {string} event @param {Outcome} outcome */
  #emitAnswer(event, outcome) {
    if (outcome.as === "answered") this.#emitter.emit(event, outcome.data);
    else if (outcome.as === "failed" && outcome.told) this.#emitter.emit(event, { ...outcome.failure });
  }
}
