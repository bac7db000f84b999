// The client that applications use.

import { onAbort } from "./abort.js";
import { bindMethods } from "./bind_methods.js";
import { CallError, cancelled, NOT_SENT } from "./call_error.js";
import { callOptions, streamOptions } from "./call_options.js";
import { invalid, optionalFunction, requireEventName, requireFunction } from "./check.js";
import { closeEvent } from "./close_event.js";
import { Driver } from "./driver.js";
import { Duplex } from "./duplex.js";
import { Emitter } from "./emitter.js";
import { encodeMessage } from "./encoded_message.js";
import { HandlerRegistry } from "./handler_registry.js";
import { readOptions } from "./options.js";
import { PersistentToken } from "./persistent_token.js";
import { ReloadStorage } from "./reload_storage.js";
import { ResponsePromise } from "./response_promise.js";
import { ItemStream } from "./stream.js";
import { fire, WebSocketCompat } from "./websocket_compat.js";

/** @import { CallOptions, StreamOptions } from "./call_options.js" */
/** @import { Handler } from "./handler_registry.js" */
/** @import { Options } from "./options.js" */
/** @import { CallResult } from "./output_queue.js" */
/** @import { Identity } from "./token_store.js" */

/** @typedef {{ token: string, user: Identity }} LoggedIn The response to a log-in. */

/** @typedef {"connecting" | "open" | "waiting" | "closed"} State `waiting`: for the next attempt to connect. */

/**
 * A client of one server. It connects when it is created, and reconnects whenever the connection is lost, until it is
 * closed. If the server supports resumption, the connection goes on over the next socket: calls, streams and pushes continue.
 *
 * Its methods work without `this`. It also implements the WebSocket interface, as the original's client does.
 */
export class Client extends WebSocketCompat {
  #driver;
  #emitter = new Emitter();
  #handlers = new HandlerRegistry();
  #timeout;
  /** Of calls that are made without options. */
  #callOptions;
  #window;

  /**
   * @internal
   * @param {import("./driver.js").UrlSource | undefined} url
   * @param {Options | null | undefined} options
   * @param {import("./platform.js").Platform} platform
   */
  constructor(url, options, platform) {
    super();
    bindMethods(this, "sendAsync", "sendSync", "stream", "duplex", "on", "off", "handle", "close", "send", "ref", "unref");
    bindMethods(this, "login", "register", "resume", "logout", "requestReset", "setNew");
    const { timeout, window, storage, storageKey, WebSocket, reloadKey, connection } = readOptions(options);
    const SocketClass = WebSocket ?? globalThis.WebSocket;
    if (!SocketClass) throw new TypeError("aaw: there is no global WebSocket; pass one as the option `WebSocket`");
    this.#timeout = timeout;
    this.#callOptions = callOptions(undefined, timeout);
    this.#window = window;
    const stored = new PersistentToken(storage, storageKey);
    const storedToken = stored.read();
    const config = { ...connection, token: connection.token ?? storedToken };
    /** @type {import("./driver.js").DriverDelegate} */
    const delegate = {
      handleOpen: (event) => {
        this.#emitter.emit("open", event);
        fire(this, new Event("open"));
      },
      handleClose: (event) => {
        this.#emitter.emit("close", event);
        fire(this, closeEvent(event.code, event.reason, event.wasClean));
      },
      handleError: (error) => {
        this.#emitter.emit("error", error);
        if (!(error instanceof CallError)) fire(this, new Event("error"));
      },
      handleMessage: (data) => {
        if (this.wantsMessages) fire(this, new MessageEvent("message", { data }));
      },
      handlePush: (event, data) => this.#emitter.emit(event, data),
      handleClientCall: (call, data) => void this.#handlers.handleCall(call, data, this.#driver),
      handleClientCallCancelled: (call) => this.#handlers.handleCancelled(call),
      handleTokenChanged: (token) => stored.write(token),
      handleUnauthorized: (error) => this.#emitter.emit("unauthorized", error),
      handleInterrupted: (reason) => this.#emitter.emit("interrupted", { reason }),
      handleResumed: () => this.#emitter.emit("resumed", null),
      handleGap: (lost) => this.#emitter.emit("gap", { lost }),
      handleStateChanged: () => this.#emitter.emit("aaw/state", this.state),
      isTokenStored: (token) => stored.holds(token),
    };
    const reload = reloadKey === null ? null : new ReloadStorage(platform, reloadKey);
    this.#driver = new Driver(url, config, SocketClass, platform, delegate, reload);
  }

  /**
   * Calls an event and resolves with its response. Any number of calls can be in flight; they reach the server in the
   * order in which they were made. While there is no connection, they wait for one.
   *
   * For a streaming event the response is an array of its items. For a one-way event it is `null`, once the handler has
   * returned. (The original's server sends no response for those, so the call times out.)
   *
   * @template [T=any]
   * @param {string} event
   * @param {unknown} [payload] Any value that can be serialized to JSON.
   * @param {number | CallOptions} [options] The timeout in ms, or an object. Default 3000 ms.
   * @returns {Promise<T>} Rejects with a `CallError`: `error` is the message, `code` the kind of error, `sent`
   *   whether the server may have received the call, and `taken` whether it has for certain. Or with a `TypeError`: the options are invalid.
   */
  sendAsync(event, payload, options) {
    return new Promise((resolve, reject) => {
      // An error that these throw rejects the promise.
      const { timeout, signal } = options === undefined ? this.#callOptions : callOptions(options, this.#timeout);
      const message = encodeMessage(event, payload);
      const observer = new ResponsePromise(event, resolve, reject, this.#emitResult);
      if (signal) {
        if (signal.aborted) {
          reject(cancelled(signal.reason, NOT_SENT));
          return;
        }
        observer.stopListening = onAbort(signal, (reason) => reject(cancelled(reason, this.#driver.cancel(observer))));
      }
      this.#driver.call(observer, message, { timeout });
    });
  }

  /**
   * Sends an event without waiting for a response. It is written now (on Node, while calls are in flight, at the end of
   * the event loop's current callback) or, without a connection, to the next one. It is lost if the connection breaks for
   * good while it is in transit; use `sendAsync` if that matters.
   *
   * If the event responds and there are listeners for its name, they receive the response, as with the original.
   *
   * @param {string} event
   * @param {unknown} [payload] Any value that can be serialized to JSON.
   * @returns {void}
   * @throws {CallError} It will not be sent: `bad_body` (it cannot be serialized), `bad_frame` (the event's name is not
   *   a string, or reserved), `too_large`, `busy` (the queue of waiting events is full) or `no_connection` (the client
   *   is closed).
   */
  sendSync(event, payload) {
    const message = encodeMessage(event, payload);
    if (!this.#emitter.hasListeners(event)) {
      this.#driver.send(message);
      return;
    }
    // A v1 server responds to calls only, so this is a call. Read as a stream, it has an item for each response of the
    // event and none for a one-way event: the same as the listeners of the original receive.
    const observer = {
      call: null,
      handleItem: (/** @type {unknown} */ data) => this.#emitter.emit(event, data),
      handleDone: (/** @type {CallResult} */ result) => {
        this.#emitResult(event, result);
        if (result.type === "failed" && !result.error.sent) this.#emitter.emit("error", result.error);
      },
    };
    this.#driver.call(observer, message, { credit: Number.MAX_SAFE_INTEGER, isSend: true });
  }

  /**
   * Calls a streaming event: `for await (const item of ws.stream("users/all")) …`. The call is made at once, and is
   * cancelled when the loop is left. The response of a unary event is a stream of one item, that of a one-way event a
   * stream of none.
   *
   * @template [T=any]
   * @param {string} event
   * @param {unknown} [payload]
   * @param {StreamOptions} [options]
   * @returns {ItemStream<T>}
   * @throws {CallError} `bad_body`: the payload cannot be serialized to JSON. `bad_frame`: the event's name is not a
   *   string, or reserved. Other errors are thrown by the iteration.
   * @throws {TypeError} The options are invalid.
   */
  stream(event, payload, options) {
    return new ItemStream(this.#driver, encodeMessage(event, payload), streamOptions(options), this.#window);
  }

  /**
   * Calls an event that takes an upload: a stream of items from its caller. Read the response like any stream, and
   * `send` items meanwhile.
   *
   * @template [U=any]
   * @template [T=any]
   * @param {string} event
   * @param {unknown} [payload]
   * @param {StreamOptions} [options]
   * @returns {Duplex<U, T>}
   * @throws {CallError | TypeError} As `stream` does.
   */
  duplex(event, payload, options) {
    return new Duplex(this.#driver, encodeMessage(event, payload), streamOptions(options), this.#window);
  }

  /**
   * Adds a listener for the pushes of an event. It stays across reconnects. It also receives the responses to calls of
   * that event.
   *
   * The client itself emits `open` (with the socket's `Event`), `close` (a `CloseEvent`; also after a failed attempt),
   * `interrupted` (`{ reason }`: the socket broke, and the connection goes on with the next one), `resumed` (it does; if it
   * does not, `close` follows), `gap` (`{ lost }`: so many pushes were dropped while the connection was interrupted),
   * `error` (the socket's `Event`, or a `CallError`), `unauthorized` (a `CallError`: the session has ended) and
   * `aaw/state` (the new `state`). The server sends `aaw/joined` and `aaw/left` for the rooms that this client is in.
   *
   * @param {string} event
   * @param {(detail: any) => unknown} callback
   * @returns {void}
   * @throws {TypeError} The event is not a string, or the callback not a function.
   */
  on(event, callback) {
    requireEventName(event);
    requireFunction("the callback of `on`", callback);
    this.#emitter.on(event, callback);
  }

  /**
   * Removes a listener: the given callback, or, without one, the listener that was added last.
   *
   * @param {string} event
   * @param {(detail: any) => unknown} [callback]
   * @returns {void}
   * @throws {TypeError} As `on` does.
   */
  off(event, callback) {
    requireEventName(event);
    this.#emitter.off(event, optionalFunction("the callback of `off`", callback));
  }

  /**
   * Registers the handler of a client call, that is, of calls that the server makes:
   * `ws.handle("confirm", (body) => confirm(body.text))`. The handler may return a promise; the timeout is the
   * server's. Calls of events without a handler fail with `unknown_event`.
   *
   * @param {string} event
   * @param {Handler} handler
   * @returns {() => void} Removes the handler.
   * @throws {TypeError} The event has a handler already. Or it is not a string, or the handler not a function.
   */
  handle(event, handler) {
    requireEventName(event);
    requireFunction("the handler of a client call", handler);
    return this.#handlers.add(event, handler);
  }

  // --- Authentication -----------------------------------------------------------------------------------------------

  /**
   * Logs in. The client keeps the session's token, and resumes the session on each new connection, before anything else
   * is sent and before `open` is emitted.
   *
   * @param {string} email
   * @param {string} password
   * @param {number | CallOptions} [options]
   * @returns {Promise<LoggedIn>} Rejects with `Invalid credentials` if the address or the password is wrong.
   */
  login(email, password, options) {
    return this.sendAsync("aaw/login", { email, password }, options);
  }

  /**
   * Creates an account and logs in.
   *
   * @param {string} email
   * @param {string} password
   * @param {number | CallOptions} [options]
   * @returns {Promise<LoggedIn>} Rejects with `Email already registered` if the address is taken.
   */
  register(email, password, options) {
    return this.sendAsync("aaw/register", { email, password }, options);
  }

  /**
   * Resumes a session whose token the application has stored itself.
   *
   * @param {string} token
   * @param {number | CallOptions} [options]
   * @returns {Promise<LoggedIn>} Rejects with `Session expired` if the session has ended.
   */
  resume(token, options) {
    return this.sendAsync("aaw/resume", { token }, options);
  }

  /**
   * Ends the session, on all connections that use it.
   *
   * @param {number | CallOptions} [options]
   * @returns {Promise<{ ok: true }>}
   */
  logout(options) {
    return this.sendAsync("aaw/logout", null, options);
  }

  /**
   * Requests a password reset: if the account exists, the server's password-reset hook delivers a token for `setNew`.
   * The response is the same if it does not exist.
   *
   * @param {string} email
   * @param {number | CallOptions} [options]
   * @returns {Promise<{ ok: true }>}
   */
  requestReset(email, options) {
    return this.sendAsync("aaw/password/request-reset", { email }, options);
  }

  /**
   * Sets a new password, ends all sessions of the account, and logs in.
   *
   * @param {string} token The token that `requestReset` had delivered. It can be used once.
   * @param {string} password
   * @param {number | CallOptions} [options]
   * @returns {Promise<LoggedIn>} Rejects with `Reset link is invalid or expired`.
   */
  setNew(token, password, options) {
    return this.sendAsync("aaw/password/set-new", { token, password }, options);
  }

  /**
   * The user of the session, from the response to the last log-in; `null` without a session, and until the session of a
   * stored token is resumed. It does not change while the connection is lost.
   *
   * @returns {Identity | null}
   */
  get identity() {
    return this.#driver.identity;
  }

  /**
   * The session's token: a bearer secret, so do not show or log it. `null` without a session.
   *
   * @returns {string | null}
   */
  get token() {
    return this.#driver.token;
  }

  // --- The connection -----------------------------------------------------------------------------------------------

  /**
   * Closes the client for good. Events that wait to be sent are written if there is a connection; all calls reject.
   *
   * @returns {Promise<void>} Resolves when the connection is closed.
   */
  close() {
    this.#driver.close();
    return this.#driver.closed;
  }

  /**
   * Lets the Node process end although the client is not closed, as sockets do. Calls and streams that have not ended,
   * messages that wait to be sent, and `close` still keep it running; the connection, its heartbeat and the delays
   * between attempts do not. An attempt to connect does until it has succeeded or failed.
   *
   * Works with the WebSocket of Node (from 20.16 or 22.3 on), the class of the package `ws`, and classes with a method
   * `unref`. Elsewhere, in Bun for example, an open connection keeps the process running. In pages it does nothing.
   *
   * @returns {this}
   */
  unref() {
    this.#driver.setRef(false);
    return this;
  }

  /** The opposite of `unref`, and the default: the connection keeps the process running. @returns {this} */
  ref() {
    this.#driver.setRef(true);
    return this;
  }

  /**
   * Sends a message as over a WebSocket: the JSON text of `[event, data]`. The same as `sendSync(event, data)`.
   *
   * @param {string} text
   * @returns {void}
   * @throws {Error} The text is not such an array, or `sendSync` throws.
   */
  send(text) {
    const frame = JSON.parse(text);
    if (!Array.isArray(frame)) throw invalid("a message", "the JSON text of [event, data]", frame);
    const [event, data] = frame;
    this.sendSync(event, data);
  }

  /**
   * The state of the socket, also while the connection is interrupted. When it changes, `aaw/state` is emitted.
   *
   * @returns {State}
   */
  get state() {
    return this.#driver.state;
  }

  /** The client key: a random name of the current connection, chosen by the client, which the server logs. */
  get sid() {
    return this.#driver.sid;
  }

  /** The server's id of the connection, as in its handlers and its log; `null` while there is no connection. */
  get connection() {
    return this.state === "open" || this.#driver.isInterrupted ? this.#driver.connectionId : null;
  }

  /**
   * Whether the connection is that of the page before this one: with the option `resumption.afterReload` it is still in its
   * rooms, and has its session. Known when `open` is emitted; `false` for a new connection.
   */
  get restored() {
    return this.#driver.isRestored;
  }

  /**
   * As in a WebSocket: 0 while there is no connection, 1 (`WebSocket.OPEN`) while there is or it is interrupted, 3 once the
   * client is closed.
   */
  get readyState() {
    if (this.#driver.isInterrupted) return 1;
    return { connecting: 0, waiting: 0, open: 1, closed: 3 }[this.state];
  }

  /** The URL of the current connection or attempt, as in a WebSocket. */
  get url() {
    return this.#driver.url;
  }

  /** The sub-protocol, as in a WebSocket: `aaw.v1` with an aaw server, `sid` with a server of the original package. */
  get protocol() {
    return this.#driver.protocol;
  }

  /** The bytes that the socket has buffered, as in a WebSocket. */
  get bufferedAmount() {
    return this.#driver.bufferedAmount;
  }

  /** Passes the result of a call to the listeners of its event. @param {string} event @param {CallResult} result */
  #emitResult = (event, result) => {
    if (result.type === "response") this.#emitter.emit(event, result.data);
    else if (result.type === "failed" && result.isFromServer) this.#emitter.emit(event, { ...result.error });
  };
}
