// Owns the socket and the timer: passes their events to the `ClientConnection`, and carries out its outputs.

import { CallError, NOT_SENT } from "./call_error.js";
import { closeEvent } from "./close_event.js";
import { ClientConnection } from "./connection.js";
import { connectFailure, HandshakeObserver } from "./handshake.js";
import { WILL_RESUME } from "./resumption.js";
import { isOfUrl, saveConnection } from "./saved_connection.js";
import { requestSocket } from "./socket_ref.js";
import { socketUrl } from "./url.js";
import { WriteBatch } from "./write_batch.js";

/** @import { Failure } from "./call_error.js" */
/** @import { EncodedMessage } from "./encoded_message.js" */
/** @import { CallResult, ClientCall } from "./output_queue.js" */
/** @import { CallSettings, PendingCall } from "./pending_call.js" */
/** @import { Platform, Socket, SocketClass } from "./platform.js" */
/** @import { ReloadStorage } from "./reload_storage.js" */
/** @import { SavedConnection } from "./saved_connection.js" */

/**
 * Receives the events of one call.
 *
 * @typedef {object} CallObserver
 * @property {PendingCall<CallObserver> | null} call Set by the driver when the call is made.
 * @property {(result: CallResult) => void} handleDone Called exactly once, last.
 * @property {(data: unknown) => void} [handleItem]
 * @property {(items: number) => void} [handleUploadCredit] The server accepts items up to the `items`-th in total.
 */

/**
 * Receives the events of the connection.
 *
 * @typedef {object} DriverDelegate
 * @property {(event: Event) => void} handleOpen
 * @property {(event: CloseEvent) => void} handleClose The connection is over, or an attempt has failed.
 * @property {(error: Event | CallError) => void} handleError
 * @property {(text: string) => void} handleMessage
 * @property {(event: string, data: unknown) => void} handlePush
 * @property {(call: ClientCall, data: unknown) => void} handleClientCall Ends with `respond` or `respondError`.
 * @property {(call: ClientCall) => void} handleClientCallCancelled
 * @property {(token: string | null) => void} handleTokenChanged The session is a new one, or has ended (`null`).
 * @property {(token: string) => boolean} isTokenStored Whether the next page has the token without being told.
 * @property {(error: CallError) => void} handleUnauthorized
 * @property {(reason: string) => void} handleInterrupted The socket is gone, and the connection is to go on.
 * @property {() => void} handleResumed
 * @property {(lost: number) => void} handleGap
 * @property {() => void} handleStateChanged
 */

/**
 * The server's URL, or a function that returns it, which is called before each attempt to connect.
 *
 * @typedef {string | URL | null | (() => string | URL | Promise<string | URL>)} UrlSource
 */

/** When the socket has buffered this many bytes, queued messages wait. */
const MAX_BUFFERED = 1 << 20;

/** How often to check whether the socket's buffer has drained, in ms: browsers fire no event for it. */
const DRAIN_CHECK_INTERVAL = 20;

export class Driver {
  #urlSource;
  #SocketClass;
  #platform;
  #delegate;
  /** @type {ClientConnection<CallObserver>} */
  #connection;
  /** @type {Socket | null} */
  #socket = null;
  /** Identifies the current attempt or connection. Events of earlier ones are ignored. @type {object} */
  #attempt = {};
  /** The socket's `open` event, for the listeners to `open`. */
  #openEvent = new Event("open");
  /** @type {{ due: number, timer: unknown, ref: boolean } | null} */
  #timer = null;
  /** Whether the connection keeps the process running although nothing waits for it: see `Client.unref`. */
  #isRef = true;
  /** Keeps the process running, or lets it end. @type {import("./handshake.js").RefCounted | null} */
  #refCounted = null;
  /** The messages of this tick that wait to be written together. */
  #batch = new WriteBatch(null);
  /** What `#refCounted` was last told. */
  #isHeld = true;
  /** Stops the observation of the current handshake. */
  #stopObserving = () => {};
  #isRunning = false;
  #reportedState = "";
  /** Where the connection is left to the next page of the tab, if it is. @type {ReloadStorage | null} */
  #reload;
  /** What an earlier page has saved, until the server has been told that this one continues it. @type {SavedConnection | null} */
  #saved = null;
  /** Whether `#saved` was passed to the connection: not again, after it has ended without a socket. */
  #isSavedUsed = false;
  #removeListeners;
  /** Resolves once the client is closed. @type {Promise<void>} */
  closed;
  #resolveClosed = () => {};
  /** The URL of the current connection or attempt. */
  url = "";
  /** The client key of the current connection: the server logs it, and the original's identifies its clients by it. */
  sid = "";
  /** The server's id of the current connection. @type {string | null} */
  connectionId = null;
  /** Whether an earlier page has begun the current connection. */
  isRestored = false;

  /**
   * @param {UrlSource | undefined} urlSource
   * @param {import("./connection.js").ConnectionConfig} config
   * @param {SocketClass} SocketClass
   * @param {Platform} platform
   * @param {DriverDelegate} delegate
   * @param {ReloadStorage | null} reload
   */
  constructor(urlSource, config, SocketClass, platform, delegate, reload) {
    this.#urlSource = typeof urlSource === "function" ? urlSource : socketUrl(urlSource);
    this.#SocketClass = SocketClass;
    this.#platform = platform;
    this.#delegate = delegate;
    this.#connection = new ClientConnection(config, platform.random, platform.now());
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    const removeWakeListener = platform.onWake(() => this.#wake());
    const removePageListeners = reload ? platform.onPageChange(() => this.#handlePageLeft(), () => this.#wake()) : () => {};
    this.#removeListeners = () => {
      removeWakeListener();
      removePageListeners();
    };
    this.#reload = reload;
    this.#saved = reload?.take() ?? null;
    this.#run();
  }

  get state() {
    return this.#connection.state;
  }

  /** The sub-protocol of the connection; empty while there is none. */
  get protocol() {
    return this.#socket?.protocol ?? "";
  }

  /** Bytes that the socket has buffered. */
  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Whether the connection has no socket, and is to go on with the next one. */
  get isInterrupted() {
    return this.#connection.isInterrupted;
  }

  get maxMessage() {
    return this.#connection.maxMessage;
  }

  get token() {
    return this.#connection.token;
  }

  get identity() {
    return this.#connection.identity;
  }

  /**
   * Makes a call. Its observer identifies it in the other methods.
   *
   * @param {CallObserver} observer
   * @param {EncodedMessage} message
   * @param {CallSettings} settings
   * @throws {CallError} It will not be sent; only if `isSend` is set. Otherwise the observer receives the error.
   */
  call(observer, message, settings) {
    this.#reportBuffer();
    try {
      observer.call = this.#connection.call(this.#platform.now(), observer, message, settings);
    } finally {
      this.#run();
      this.#storeAgain();
    }
  }

  /**
   * Cancels a call. Its observer receives nothing more.
   *
   * @param {CallObserver} observer
   * @returns {import("./call_error.js").Delivery} How far the call has come.
   */
  cancel(observer) {
    const { call } = observer;
    return call === null ? NOT_SENT : this.#input(() => this.#connection.cancel(this.#platform.now(), call));
  }

  /** Makes a one-way send. @param {EncodedMessage} message @throws {CallError} It will not be sent. */
  send(message) {
    this.#reportBuffer();
    this.#input(() => this.#connection.send(this.#platform.now(), message));
    this.#storeAgain();
  }

  /** @param {CallObserver} observer @param {number} items The total that the reader accepts. */
  grantCredit({ call }, items) {
    if (call) this.#input(() => this.#connection.grantCredit(this.#platform.now(), call, items));
  }

  /** @param {CallObserver} observer @param {string} json @returns {boolean} Whether there was credit for it. */
  uploadItem({ call }, json) {
    return call !== null && this.#input(() => this.#connection.uploadItem(this.#platform.now(), call, json));
  }

  /** @param {CallObserver} observer */
  uploadEnd({ call }) {
    if (call) this.#input(() => this.#connection.uploadEnd(this.#platform.now(), call));
  }

  /** @param {ClientCall} call @param {string} json */
  respond(call, json) {
    this.#input(() => this.#connection.respond(this.#platform.now(), call, json));
  }

  /** @param {ClientCall} call @param {Failure} failure */
  respondError(call, failure) {
    this.#input(() => this.#connection.respondError(this.#platform.now(), call, failure));
  }

  /** @param {boolean} isRef Whether the connection keeps the process running although nothing waits for it. */
  setRef(isRef) {
    this.#input(() => (this.#isRef = isRef));
  }

  close() {
    // A client that was closed before it had a connection leaves it to the next one: React's StrictMode closes the first.
    if (this.#saved) this.#reload?.write(this.#saved);
    this.#saved = null;
    this.#input(() => this.#connection.close(this.#platform.now()));
  }

  // --- The page -----------------------------------------------------------------------------------------------------

  /** The page is left. If what the next page needs can be stored, the server keeps the connection for it. */
  #handlePageLeft() {
    if (this.#store()) this.#input(() => this.#connection.suspend(this.#platform.now()));
  }

  /** @returns {boolean} Whether it is stored. */
  #store() {
    const own = this.#connection.save(this.#platform.now());
    // Without a state of its own, this page may have one of an earlier page that it has not come to use.
    if (!own) return this.#saved !== null && this.#reload !== null && this.#reload.write(this.#saved);
    const { token } = own.state;
    const isTokenStored = token !== null && this.#delegate.isTokenStored(token);
    const state = { ...own.state, isTokenStored };
    const saved = saveConnection(state, this.url, this.#platform.wallClock() + own.remaining);
    return this.#reload?.write(saved) ?? false;
  }

  /** Other listeners may send something after the page was left. */
  #storeAgain() {
    if (this.#connection.isSuspended && this.#reload?.isPresent) this.#store();
  }

  /** The network is back, or the page is. */
  #wake() {
    if (this.#connection.isSuspended) {
      const isTaken = !this.#reload?.withdraw();
      // A page that has continued the connection may have left it in its turn.
      if (isTaken) {
        this.#saved = this.#reload?.take() ?? null;
        this.#isSavedUsed = false;
      }
      this.#input(() => this.#connection.unsuspend(this.#platform.now(), isTaken));
    } else {
      this.#input(() => this.#connection.wake(this.#platform.now()));
    }
  }

  /** Continues the connection of an earlier page, if it is one to the current URL. */
  #restore() {
    if (!this.#saved || this.#isSavedUsed) return;
    const { state, until } = this.#saved;
    const { now, wallClock } = this.#platform;
    this.#isSavedUsed = isOfUrl(this.#saved, this.url) && this.#connection.restore(now(), state, until - wallClock());
    if (!this.#isSavedUsed) this.#saved = null;
  }

  // --- The loop -----------------------------------------------------------------------------------------------------

  /**
   * Passes an input to the connection, then carries out the outputs that it causes.
   *
   * @template R
   * @param {() => R} input
   * @returns {R}
   */
  #input(input) {
    try {
      return input();
    } finally {
      this.#run();
    }
  }

  #run() {
    // An output may lead to another input, if a listener makes a call, for example. The outermost loop continues with
    // it.
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let output = this.#nextOutput(); output; output = this.#nextOutput()) this.#handleOutput(output);
    } finally {
      this.#isRunning = false;
    }
    this.#reportState();
    this.#holdProcess();
    this.#setTimer();
  }

  /** Whether the process has to keep running. */
  get #isHolding() {
    return this.#isRef || this.#connection.isBusy;
  }

  #holdProcess() {
    const isHeld = this.#isHolding;
    if (isHeld === this.#isHeld || !this.#refCounted) return;
    this.#isHeld = isHeld;
    if (isHeld) this.#refCounted.ref();
    else this.#refCounted.unref();
  }

  #nextOutput() {
    if (this.#connection.hasQueued) this.#reportBuffer();
    return this.#connection.pollOutput();
  }

  /** Tells the connection whether a message can be written. */
  #reportBuffer() {
    if (!this.#socket) return;
    if (this.#socket.bufferedAmount < MAX_BUFFERED) this.#connection.handleWritable();
    else this.#connection.handleBlocked();
  }

  /** @param {import("./output_queue.js").Output<CallObserver>} output */
  #handleOutput(output) {
    switch (output.type) {
      case "connect":
        void this.#connect();
        break;
      case "send":
        // A message that other calls are in flight with can wait for those that follow in this tick.
        if (this.#connection.inFlight > 1) this.#batch.add(output.text.length);
        this.#socket?.send(output.text);
        break;
      case "close":
        this.#socket?.close(1000);
        break;
      case "abort":
        this.#abort(output);
        break;
      case "item":
        output.observer.handleItem?.(output.data);
        break;
      case "uploadCredit":
        output.observer.handleUploadCredit?.(output.items);
        break;
      case "callDone":
        output.observer.handleDone(output.result);
        break;
      case "push":
        this.#delegate.handlePush(output.event, output.data);
        break;
      case "clientCall":
        this.#delegate.handleClientCall(output.call, output.data);
        break;
      case "clientCallCancelled":
        this.#delegate.handleClientCallCancelled(output.call);
        break;
      case "tokenChanged":
        this.#delegate.handleTokenChanged(output.token);
        break;
      case "unauthorized":
        this.#delegate.handleUnauthorized(output.error);
        break;
      case "opened":
        this.connectionId = output.connection;
        this.isRestored = output.isRestored;
        this.#reportState();
        this.#delegate.handleOpen(this.#openEvent);
        break;
      case "interrupted":
        this.#delegate.handleInterrupted(output.reason);
        break;
      case "resumed":
        this.#reportState();
        this.#delegate.handleResumed();
        break;
      case "over":
        this.#delegate.handleClose(closeEvent(1006, output.reason));
        break;
      case "gap":
        this.#delegate.handleGap(output.lost);
        break;
      case "warning":
        this.#delegate.handleError(output.error);
        break;
      case "closed":
        this.#removeListeners();
        this.#resolveClosed();
    }
  }

  #reportState() {
    const { state } = this.#connection;
    if (state === this.#reportedState) return;
    const isFirst = this.#reportedState === "";
    this.#reportedState = state;
    if (!isFirst) this.#delegate.handleStateChanged();
  }

  /** Sets the one timer. A pending one that fires too early is kept: that costs less than replacing it each time. */
  #setTimer() {
    const timeout = this.#connection.pollTimeout();
    const isFull = this.#socket !== null && this.#connection.hasQueued && this.#socket.bufferedAmount >= MAX_BUFFERED;
    const due = isFull ? Math.min(timeout, this.#platform.now() + DRAIN_CHECK_INTERVAL) : timeout;
    // Without calls, the timer of an open connection is the heartbeat's, which must not keep a Node process alive.
    const ref = this.#isHolding && (this.#connection.state !== "open" || this.#connection.isBusy);
    if (this.#timer && this.#timer.due <= due && due !== Infinity) {
      if (this.#timer.ref !== ref) setRef(this.#timer.timer, ref);
      this.#timer.ref = ref;
      return;
    }
    if (this.#timer) this.#platform.clearTimeout(this.#timer.timer);
    this.#timer = null;
    if (due === Infinity) return;
    const timer = this.#platform.setTimeout(
      () => {
        this.#timer = null;
        this.#input(() => this.#connection.handleTimeout(this.#platform.now()));
      },
      Math.min(Math.max(due - this.#platform.now(), 0), MAX_TIMER_DELAY),
    );
    if (!ref) setRef(timer, ref);
    this.#timer = { due, timer, ref };
  }

  // --- The socket ---------------------------------------------------------------------------------------------------

  async #connect() {
    const attempt = (this.#attempt = {});
    let socket;
    /** @type {HandshakeObserver} */
    let observer;
    try {
      // A fixed URL is not awaited, so that the socket exists as soon as the client does.
      const url = typeof this.#urlSource === "function" ? socketUrl(await this.#urlSource()) : this.#urlSource;
      if (attempt !== this.#attempt) return;
      this.url = url;
      this.#restore();
      this.sid = `_${uuid()}`;
      observer = new HandshakeObserver(this.sid);
      try {
        socket = new this.#SocketClass(url, [this.sid, "aaw.v1"]);
      } catch (error) {
        observer.stop();
        throw error;
      }
    } catch (cause) {
      if (attempt !== this.#attempt) return;
      this.#attempt = {};
      const error = connectError(cause);
      this.#delegate.handleError(error);
      this.#input(() => this.#connection.handleConnectFailed(this.#platform.now(), error.message));
      return;
    }
    this.#socket = socket;
    this.#listen(socket, attempt, observer);
  }

  /** @param {Socket} socket @param {object} attempt @param {HandshakeObserver} observer */
  #listen(socket, attempt, observer) {
    const { now } = this.#platform;
    const { url } = this;
    const tcpSocket = requestSocket(socket, observer);
    this.#stopObserving = () => observer.stop();
    let isOpen = false;
    let failure = connectFailure(observer, {}, url);
    /** @param {CloseEvent} event */
    const handleClosed = (event) => {
      this.#attempt = {};
      this.#socket = null;
      this.#refCounted = null;
      observer.stop();
      if (!isOpen) warnWithoutOrigin();
      this.#input(() => {
        if (isOpen) this.#connection.handleDisconnected(now(), event.code, event.reason);
        else this.#connection.handleConnectFailed(now(), failure.reason, failure.hint);
      });
      // The application is told when the state ends, not when a socket of it closes.
      if (!this.#connection.isInterrupted) this.#delegate.handleClose(event);
    };
    /** @param {"open" | "close" | "error" | "message"} type @param {(event: any) => void} listener */
    const on = (type, listener) =>
      socket.addEventListener(type, (event) => {
        if (attempt === this.#attempt) listener(event);
      });

    on("open", (event) => {
      isOpen = true;
      observer.stop();
      this.#refCounted = tcpSocket();
      this.#batch = new WriteBatch(this.#refCounted === /** @type {unknown} */ (socket) ? null : this.#refCounted);
      this.#isHeld = true;
      this.#openEvent = event;
      this.#saved = null;
      this.#isSavedUsed = false;
      const dialect = socket.protocol === "aaw.v1" ? "v1" : "classic";
      this.#input(() => this.#connection.handleConnected(now(), dialect));
    });
    on("message", ({ data }) => {
      try {
        if (typeof data === "string") this.#connection.handleText(now(), data);
        else this.#connection.handleBinary(now(), data.byteLength ?? data.size ?? 0);
      } finally {
        this.#run();
      }
      if (typeof data === "string") this.#delegate.handleMessage(data);
    });
    on("error", (event) => {
      if (!isOpen) failure = connectFailure(observer, event, url);
      if (!this.#connection.isResumable) this.#delegate.handleError(event);
      // Node 20 fires no `close` event after a failed attempt.
      if (!isOpen && attempt === this.#attempt) handleClosed(closeEvent(1006, ""));
    });
    on("close", handleClosed);
  }

  /**
   * Drops the connection, or the attempt, without waiting for the socket.
   *
   * @param {import("./output_queue.js").Output<CallObserver> & { type: "abort" }} output
   */
  #abort({ reason, willResume, isReported }) {
    const socket = this.#socket;
    this.#attempt = {};
    this.#socket = null;
    this.#refCounted = null;
    this.#stopObserving();
    try {
      // Any other code would end the state on the server.
      if (willResume) socket?.close(WILL_RESUME);
      else socket?.close();
    } catch {
      // The package `ws` throws during the handshake, but closes the socket.
    }
    if (socket && !isReported && !this.#connection.isInterrupted) this.#delegate.handleClose(closeEvent(1006, reason));
  }
}

/** Whether a timer keeps the process running. Those of pages are numbers. @param {any} timer @param {boolean} ref */
const setRef = (timer, ref) => {
  if (ref) timer.ref?.();
  else timer.unref?.();
};

/** The longest delay that `setTimeout` supports, in ms. With a longer one it fires at once. */
const MAX_TIMER_DELAY = 2 ** 31 - 1;

/** @param {unknown} cause */
const connectError = (cause) => {
  const error = cause instanceof Error ? cause.message : String(cause);
  return new CallError({ error: `Cannot connect: ${error}`, code: "no_connection" }, { sent: false, cause });
};

let hasWarned = false;

/**
 * Says in the console of a page without an origin why it has no connection. Browsers do not say it, and the page would
 * try again for ever.
 */
const warnWithoutOrigin = () => {
  if (hasWarned || typeof document === "undefined" || globalThis.origin !== "null") return;
  hasWarned = true;
  console.warn(
    "aaw: no connection. This page was opened as a file, or is in a sandboxed frame, so it has no origin, and servers " +
      "refuse its connections unless they allow the origin `null`. Open the page from a server: " +
      "`aaw-server --static FOLDER` serves the files of a folder.",
  );
};

/** A random UUID. `crypto.randomUUID` does not exist in pages that were loaded over plain HTTP. */
const uuid = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
};
