// The client's protocol state machine: one connection and its successors. It is a pure function of its inputs and the
// time, without a socket or timers: `handle…` methods receive events, `pollOutput` returns what to do, and
// `pollTimeout` when to call `handleTimeout`.

import { ReconnectDelays } from "./backoff.js";
import { CallError, NOT_SENT, outcomeUnknown, readFailure } from "./call_error.js";
import { CallTable } from "./call_table.js";
import { ClientCalls } from "./client_calls.js";
import { callFrame, encodeMessage, oneWayFrame } from "./encoded_message.js";
import { FifoMatcher } from "./fifo_matcher.js";
import { BadFrame, decodeFrame, encodeFrame } from "./frame.js";
import { FrameWriter } from "./frame_writer.js";
import { Heartbeat } from "./heartbeat.js";
import { toJson } from "./json.js";
import { LoginState, RESUME } from "./login_state.js";
import { failedByServer, OutputQueue } from "./output_queue.js";
import { PageHandover } from "./page_handover.js";
import { PendingCall } from "./pending_call.js";
import { beginningHello, isCounted, isOver, randomKey, Resumption } from "./resumption.js";
import { SilenceProbe } from "./silence_probe.js";
import { DEFAULT_LIMITS, readWelcome } from "./welcome.js";

/** @import { RetryHint } from "./backoff.js" */
/** @import { Delivery, Failure } from "./call_error.js" */
/** @import { EncodedMessage } from "./encoded_message.js" */
/** @import { Frame } from "./frame.js" */
/** @import { CallResult, ClientCall } from "./output_queue.js" */
/** @import { CallSettings } from "./pending_call.js" */
/** @import { SavedState } from "./saved_connection.js" */
/** @import { Welcome } from "./welcome.js" */
/** @typedef {"v1" | "classic"} Dialect The server chooses it in the WebSocket handshake (PROTOCOL.md, section 1). */

/**
 * Times in ms, sizes in bytes.
 *
 * @typedef {object} ConnectionConfig
 * @property {import("./backoff.js").Backoff} backoff
 * @property {number} heartbeat The idle time before a ping, and again before the connection counts as lost.
 * @property {number} connectTimeout For an attempt to connect, and again for the server's welcome.
 * @property {number} closeTimeout For the server's part of the closing handshake.
 * @property {number} resumeTimeout How long other messages wait for the session to be resumed on a new connection.
 * @property {string | null} token The token of a session to resume.
 * @property {boolean} resumption Whether the server is asked to keep the connection's state when its socket breaks.
 * @property {boolean} bigint Whether integers beyond 2^53 are read as `BigInt`s.
 * @property {number} maxInFlight Calls that are written and have not ended. The server's limit applies too.
 * @property {number} maxMessage The size of one message. The server's limit applies too.
 * @property {number} maxWaitingCalls The size of the calls that wait to be written.
 * @property {number} maxWaitingSends The size of the one-way sends that wait to be written.
 */

/**
 * The phase of the current socket. It is in `greeting` until the server's welcome has arrived and the session is resumed.
 * `key`: the name of the state that begins with the welcome, if the server keeps one; `null` if it was not asked to.
 * `unwelcomed`: the one-way sends that wait for the welcome; `null` if nothing does. In `suspended` the page was left.
 *
 * @typedef {{ name: "connecting", until: number } |
 *   { name: "greeting", since: number, refusal: Failure | null, welcome: { connection: string | null } | null, key: string | null } |
 *   { name: "open", since: number } | { name: "waiting", until: number } |
 *   { name: "closing", until: number, unwelcomed: EncodedMessage[] | null } |
 *   { name: "suspended" } | { name: "closed" }} ConnectionPhase
 */

const CLIENT_CLOSED = "The client is closed";
const CLOSED_BY_APPLICATION = "the client was closed";

const PAGE_LEFT_REASON = "the page was left";

/** The original's text, which pages may compare with. */
const TIMED_OUT = "WebSocket error (client): request timed out";

const NO_UPLOADS = { error: "This server does not support uploads", code: "unreachable" };

/** @template W The observer of a call. The connection only stores it and returns it with the call's outputs. */
export class ClientConnection {
  #config;
  /** @type {ConnectionPhase} */
  #phase;
  #delays;
  /** @type {Dialect} */
  #dialect = "v1";
  /** The limits of the last welcome, which are assumed until the next one. */
  #limits = DEFAULT_LIMITS;
  /** Whether the socket's send buffer is full. */
  #isBlocked = false;
  #heartbeat;
  /** @type {OutputQueue<W>} */
  #outputs = new OutputQueue();
  /** @type {CallTable<W>} */
  #calls;
  #matcher = new FifoMatcher();
  #writer = new FrameWriter(this.#outputs);
  #clientCalls = new ClientCalls(this.#outputs, this.#writer);
  /** The state that outlives the socket. `null` until a server has agreed to keep it. @type {Resumption | null} */
  #resumption = null;
  #createKey;
  #probe = new SilenceProbe();
  /** The calls that have items to upload which could not be written. @type {Set<PendingCall<W>>} */
  #stalledUploads = new Set();
  #login;
  #handover;
  /** Why the last open connection ended. @type {string | null} */
  #lost = null;
  /** Why the last attempt to connect failed; `null` if none has failed since. @type {string | null} */
  #lastAttempt = null;

  /**
   * Its first output is `connect`.
   *
   * @param {ConnectionConfig} config
   * @param {() => number} random Returns a number in [0, 1).
   * @param {number} now
   * @param {() => string} [createKey] Returns a random name for a state that the server keeps.
   */
  constructor(config, random, now, createKey = randomKey) {
    this.#config = config;
    this.#createKey = createKey;
    this.#delays = new ReconnectDelays(config.backoff, random);
    this.#calls = new CallTable({ calls: config.maxWaitingCalls, sends: config.maxWaitingSends });
    this.#heartbeat = new Heartbeat(Infinity, now);
    this.#login = new LoginState(config.token, this.#outputs);
    this.#handover = new PageHandover(this.#calls, this.#clientCalls, this.#login, this.#writer);
    this.#phase = this.#connect(now);
  }

  // --- Requests of the application ----------------------------------------------------------------------------------

  /**
   * Makes a call. It ends with exactly one `callDone`, unless it is cancelled.
   *
   * @param {number} now
   * @param {W} observer
   * @param {EncodedMessage} message
   * @param {CallSettings} [settings]
   * @returns {PendingCall<W>} Identifies the call in the methods below.
   * @throws {CallError} As `send` does, if `isSend` is set.
   */
  call(now, observer, message, settings = {}) {
    this.#writer.now = now;
    /** @type {PendingCall<W>} */
    const call = new PendingCall(observer, message, now, settings);
    try {
      this.#checkAccepted(message);
      if (this.#canWriteAtOnce && this.#isPlainCall(call)) this.#writeCall(call, message, this.#calls.addWritten(call));
      else this.#calls.addQueued(call, message);
    } catch (error) {
      if (call.isSend || !(error instanceof CallError)) throw error;
      call.isOver = true;
      this.#outputs.fail(observer, error);
    }
    return call;
  }

  /**
   * Cancels a call. It ends without an output; a v1 server is notified. Does nothing if the call has ended.
   *
   * @param {number} now
   * @param {PendingCall<W>} call
   * @returns {Delivery} How far the call has come.
   */
  cancel(now, call) {
    this.#writer.now = now;
    return call.isOver ? NOT_SENT : this.#abandon(now, call);
  }

  /**
   * Makes a one-way send, on this connection or the next.
   *
   * @param {number} now
   * @param {EncodedMessage} message
   * @throws {CallError} `too_large`, `busy` (the queue is full) or `no_connection` (the client is closed).
   */
  send(now, message) {
    this.#writer.now = now;
    this.#checkAccepted(message);
    if (this.#canWriteAtOnce) this.#writer.send(oneWayFrame(message));
    else this.#calls.addSend(message);
  }

  /**
   * The reader of a stream accepts items up to the `items`-th in total.
   *
   * @param {number} now
   * @param {PendingCall<W>} call
   * @param {number} items
   */
  grantCredit(now, call, items) {
    this.#writer.now = now;
    if (call.isOver || !call.grantCredit(items)) return;
    // A call that is still queued states its credit when it is written.
    if (call.id !== null && this.#dialect === "v1") {
      this.#writer.send(encodeFrame(call.event, `${items}`, call.id, "credit"));
    }
  }

  /**
   * Writes the next item of an upload.
   *
   * @param {number} now
   * @param {PendingCall<W>} call
   * @param {string} json
   * @returns {boolean} Whether it was written: the call is open, there is credit for it, and the server accepts messages. If
   *   it was not, `uploadCredit` follows when it may be tried again.
   */
  uploadItem(now, call, json) {
    this.#writer.now = now;
    if (call.isOver || call.id === null) return false;
    if (this.#isDetached || this.#resumption?.isFull) {
      this.#stalledUploads.add(call);
      return false;
    }
    if (!call.useUploadCredit()) return false;
    this.#writer.send(encodeFrame(call.event, json, call.id, "item"));
    return true;
  }

  /** Writes the end of an upload. No item may follow. @param {number} now @param {PendingCall<W>} call */
  uploadEnd(now, call) {
    this.#writer.now = now;
    if (call.isOver || call.id === null || this.#dialect !== "v1") return;
    this.#writer.send(encodeFrame(call.event, "null", call.id, "end"));
  }

  /**
   * Responds to a client call. Does nothing if it was cancelled.
   *
   * @param {number} now
   * @param {ClientCall} call
   * @param {string} json
   */
  respond(now, call, json) {
    this.#writer.now = now;
    this.#clientCalls.respond(call, json, this.maxMessage);
  }

  /** The same, with an error. @param {number} now @param {ClientCall} call @param {Failure} failure */
  respondError(now, call, failure) {
    this.#writer.now = now;
    this.#clientCalls.respondError(call, failure);
  }

  /**
   * Closes the client. If there is a connection, queued one-way sends are written first. All calls end.
   *
   * @param {number} now
   */
  close(now) {
    const phase = this.#phase;
    if (phase.name === "closing" || phase.name === "closed") return;
    const until = now + this.#config.closeTimeout;
    if (phase.name === "greeting" && phase.key !== null && phase.welcome === null) {
      // What the server has not received, and what was queued, may only be sent after the welcome.
      this.#endCalls(CLOSED_BY_APPLICATION);
      /** @type {EncodedMessage[]} */
      const unwelcomed = [];
      this.#drainQueue((message) => unwelcomed.push(message));
      this.#phase = { name: "closing", until, unwelcomed };
      return;
    }
    const wasInterrupted = this.isInterrupted;
    this.#endState(CLOSED_BY_APPLICATION);
    if (phase.name === "greeting" || phase.name === "open") {
      this.#drainQueue((message) => this.#writeLast(message));
      this.#outputs.push({ type: "close" });
      this.#phase = { name: "closing", until, unwelcomed: null };
    } else {
      if (wasInterrupted) this.#outputs.push({ type: "over", reason: CLIENT_CLOSED });
      if (phase.name === "connecting") this.#dropSocket(CLIENT_CLOSED, { isReported: wasInterrupted });
      this.#drainQueue(() => {});
      this.#finish();
    }
  }

  // --- The page is left, and the next one goes on -------------------------------------------------------------------

  /**
   * What the next page of the tab needs to continue the connection, and how long the server keeps it.
   *
   * @param {number} now
   * @returns {{ state: Omit<SavedState, "isTokenStored">, remaining: number } | null} `null`: the connection ends with the page.
   */
  save(now) {
    // While the session is being resumed, the next page cannot know its user.
    if (this.#resumption === null || this.#login.hasResumeCall || this.state === "closed") return null;
    const state = this.#handover.save(this.#resumption, this.maxMessage);
    return { state, remaining: this.#resumption.remaining(now) };
  }

  /**
   * The page is left, and what the next page needs is stored. The server keeps the connection.
   *
   * @param {number} now
   */
  suspend(now) {
    const phase = this.#phase;
    if (phase.name === "closing" || phase.name === "closed" || phase.name === "suspended") return;
    this.#outputs.discardFrames();
    if (phase.name !== "waiting") this.#dropSocket(PAGE_LEFT_REASON, { willResume: true });
    if (phase.name === "open") {
      this.#lost = PAGE_LEFT_REASON;
      this.#outputs.push({ type: "interrupted", reason: PAGE_LEFT_REASON });
    }
    this.#resumption?.handleInterrupted(now);
    this.#writer.handleInterrupted();
    this.#phase = { name: "suspended" };
  }

  /**
   * The page is shown again as it was left.
   *
   * @param {number} now
   * @param {boolean} isTaken Another page continues the connection, or may do so.
   */
  unsuspend(now, isTaken) {
    if (this.#phase.name !== "suspended") return;
    if (isTaken) this.#endInterrupted("another page of the tab has continued the connection");
    this.#delays.reset();
    this.#phase = this.#connect(now);
  }

  /**
   * Continues the connection of an earlier page.
   *
   * @param {number} now
   * @param {SavedState} saved
   * @param {number} remaining How long the server keeps it, in ms.
   * @returns {boolean} Whether it is possible: the session of this page is that of the connection.
   */
  restore(now, saved, remaining) {
    if (this.#phase.name !== "connecting" || this.#resumption !== null || !this.#config.resumption) return false;
    this.#resumption = this.#handover.restore(saved, now + Math.min(remaining, saved.resumption.window));
    return this.#resumption !== null;
  }

  /** Whether the page was left. */
  get isSuspended() {
    return this.#phase.name === "suspended";
  }

  /**
   * Checks the connection now, because the network is back or the page is visible again: ends a wait between attempts,
   * and sends a ping over an open connection.
   *
   * @param {number} now
   */
  wake(now) {
    switch (this.#phase.name) {
      case "waiting":
        this.#delays.reset();
        this.#phase = this.#connect(now);
        break;
      case "open":
        if (this.#dialect === "v1") {
          this.#heartbeat.probe(now);
          this.#ping();
        }
    }
  }

  /** The size limit of messages on this connection. A classic server does not state one. */
  get maxMessage() {
    const server = this.#dialect === "classic" && this.#phase.name === "open" ? Infinity : this.#limits.message;
    return Math.min(this.#config.maxMessage, server);
  }

  /** @returns {"connecting" | "open" | "waiting" | "closed"} */
  get state() {
    switch (this.#phase.name) {
      case "greeting":
        return "connecting";
      case "closing":
        return "closed";
      case "suspended":
        return "waiting";
      default:
        return this.#phase.name;
    }
  }

  /**
   * Whether the connection has no socket, and is to go on with the next one. That of an earlier page is not open yet: the
   * application of this page has never seen it.
   */
  get isInterrupted() {
    return this.#isDetached && !this.#resumption?.isUnannounced;
  }

  /** Whether the connection goes on when its socket breaks. */
  get isResumable() {
    return this.#resumption !== null && !this.#resumption.isUnannounced;
  }

  /** The token of the session that is resumed on the next connection. @returns {string | null} */
  get token() {
    return this.#login.token;
  }

  /** The user of the session. It does not change while the connection is lost. */
  get identity() {
    return this.#login.identity;
  }

  /** Whether something waits for this connection: a call that has not ended, a queued message, or `close`. */
  get isBusy() {
    return this.#calls.inFlight > 0 || this.hasQueued || this.#phase.name === "closing";
  }

  /** Whether a message waits to be written. */
  get hasQueued() {
    return this.#calls.firstQueued !== null;
  }

  /** Calls that were written and have not ended. */
  get inFlight() {
    return this.#calls.inFlight;
  }

  // --- Events of the socket and the timer ---------------------------------------------------------------------------

  /** The WebSocket handshake succeeded. @param {number} now @param {Dialect} dialect */
  handleConnected(now, dialect) {
    if (this.#phase.name !== "connecting") return;
    this.#writer.now = now;
    const key = dialect === "v1" && this.#config.resumption ? this.#createKey() : null;
    if (key === null) this.#endInterrupted("the server no longer resumes connections");
    this.#dialect = dialect;
    this.#isBlocked = false;
    if (this.#resumption === null) this.#resetIds();
    this.#phase = { name: "greeting", since: now, refusal: null, welcome: null, key };
    if (dialect === "v1") {
      this.#heartbeat = new Heartbeat(this.#config.heartbeat, now);
      if (key === null) {
        this.#writer.sendUncounted('["aaw/hello",{}]');
        this.#writeResume();
      } else {
        // All else waits for the welcome, which says what the server has received.
        this.#writer.sendUncounted(this.#resumption?.hello(key, this.#login.token) ?? beginningHello(key));
      }
    } else {
      // No heartbeat: a classic server would treat `aaw/ping` as a call, and the original server exits on an unknown
      // event.
      this.#heartbeat = new Heartbeat(Infinity, now);
      this.#writeResume();
      this.#handleWelcome(now, { connection: null });
    }
  }

  /**
   * The attempt to connect failed.
   *
   * @param {number} now
   * @param {string} reason
   * @param {RetryHint} [hint] What the failure says about the next attempt.
   */
  handleConnectFailed(now, reason, hint) {
    if (this.#phase.name !== "connecting") return;
    this.#lastAttempt = reason;
    this.#phase = { name: "waiting", until: now + this.#delays.nextDelay(hint) };
  }

  /** The connection is closed. @param {number} now @param {number} code @param {string} reason */
  handleDisconnected(now, code, reason) {
    this.#writer.now = now;
    const ended = code === 1006 ? "the connection broke" : `the server closed the connection (${code})${reason && `: ${reason}`}`;
    const refused = { error: reason || "The server refused the connection", code: "not_allowed" };
    if (this.#phase.name === "greeting" && code === 1008) {
      // An `_open` hook refused the connection. The server runs no call before the hook has passed.
      const refusal = this.#phase.refusal ?? refused;
      if (!this.#phase.refusal) this.#outputs.warn(refusal);
      this.#handleLost(now, ended, { isOver: true, hint: "refused", refusal: new CallError(refusal, NOT_SENT) });
    } else {
      if (this.#phase.name === "open" && this.#dialect === "classic" && code === 1008) this.#outputs.warn(refused);
      this.#handleLost(now, ended, { isOver: isOver(code), hint: code === 1008 ? "refused" : null });
    }
  }

  /**
   * The socket's send buffer is full: the queue is not written for now. Frames that do not wait in the queue, such as
   * credit and responses to client calls, still are.
   */
  handleBlocked() {
    this.#isBlocked = true;
  }

  /** The socket accepts messages again. */
  handleWritable() {
    this.#isBlocked = false;
  }

  /** A text message has arrived. @param {number} now @param {string} text */
  handleText(now, text) {
    if (!this.#isConnected()) return;
    this.#writer.now = now;
    this.#heartbeat.handleActivity(now);
    this.#probe.handleActivity();
    /** @type {Frame | null} */
    let frame = null;
    try {
      frame = decodeFrame(text, this.#config.bigint);
      if (isCounted(frame)) this.#count(text.length, frame);
      if (this.#dialect === "v1") this.#handleV1(now, frame);
      else this.#handleClassic(now, frame);
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error;
      if (frame === null) this.#count(text.length);
      this.#outputs.warn({ error: `The server sent an invalid frame: ${error.message}`, code: "bad_frame" });
    }
  }

  /** A binary message has arrived, which the protocol does not use. @param {number} now @param {number} size */
  handleBinary(now, size) {
    if (!this.#isConnected()) return;
    this.#writer.now = now;
    this.#count(size);
    this.#heartbeat.handleActivity(now);
    this.#probe.handleActivity();
    this.#outputs.warn({ error: "The server sent an invalid frame: a binary message", code: "bad_frame" });
  }

  /** Does what is due at `pollTimeout`. Does nothing if it is called earlier. @param {number} now */
  handleTimeout(now) {
    this.#writer.now = now;
    // Before calls time out: they may be the ones that the server has not acknowledged.
    this.#probeSilence(now);
    for (const call of this.#calls.expired(now)) {
      const delivery = this.#abandon(now, call);
      // An error of a call that was sent has exactly the original's text. There such a call cannot wait.
      const error = delivery.sent ? TIMED_OUT : `${TIMED_OUT}; the call was not sent: ${this.#whyNotSent()}`;
      this.#outputs.fail(call.observer, new CallError({ error, code: "timeout" }, delivery));
    }
    const { welcomed } = this.#writer;
    if (welcomed && welcomed.received.pollTimeout() <= now) this.#writer.acknowledge();
    const phase = this.#phase;
    if ((phase.name === "connecting" || phase.name === "waiting") && this.#resumption && this.#resumption.deadline <= now) {
      this.#endInterrupted(`${this.#lost}; no new connection was made in time`);
    }
    switch (phase.name) {
      case "connecting":
        if (phase.until > now) break;
        this.#outputs.warn({ error: `No connection within ${this.#config.connectTimeout} ms`, code: "no_connection" });
        this.#abort(now, `no connection within ${this.#config.connectTimeout} ms`);
        break;
      case "waiting":
        if (phase.until <= now) this.#phase = this.#connect(now);
        break;
      case "greeting":
        if (!phase.welcome && phase.since + this.#config.connectTimeout <= now) {
          this.#abort(now, "the server sent no aaw/welcome in time");
        } else {
          this.#login.handleTimeout(now);
          this.#openIfReady();
          this.#handleHeartbeat(now);
        }
        break;
      case "open":
        this.#handleHeartbeat(now);
        break;
      case "closing":
        if (phase.until <= now) this.#abort(now, CLIENT_CLOSED);
    }
  }

  // --- Outputs ------------------------------------------------------------------------------------------------------

  /** When to call `handleTimeout`, at the latest; `Infinity`: never. */
  pollTimeout() {
    const phase = this.#phase;
    switch (phase.name) {
      case "connecting":
      case "waiting":
        return Math.min(phase.until, this.#resumption?.deadline ?? Infinity, this.#calls.pollTimeout());
      case "closing":
        return Math.min(phase.until, this.#calls.pollTimeout());
      case "suspended":
        return this.#calls.pollTimeout();
      case "greeting":
        return Math.min(
          phase.welcome ? Infinity : phase.since + this.#config.connectTimeout,
          this.#login.pollTimeout(),
          this.#heartbeat.pollTimeout(),
          this.#calls.pollTimeout(),
          this.#writer.welcomed?.received.pollTimeout() ?? Infinity,
        );
      case "open":
        return Math.min(
          this.#heartbeat.pollTimeout(),
          this.#calls.pollTimeout(),
          this.#writer.welcomed?.received.pollTimeout() ?? Infinity,
          this.#probe.pollTimeout(),
        );
      case "closed":
        return Infinity;
    }
  }

  /**
   * Returns the next output, if any. Queued messages become outputs here, one at a time, so that they can still be
   * cancelled while the socket is blocked.
   *
   * @returns {import("./output_queue.js").Output<W> | undefined}
   */
  pollOutput() {
    while (this.#outputs.isEmpty) if (!this.#writeFirst()) return undefined;
    return this.#outputs.shift();
  }

  // --- Writing ------------------------------------------------------------------------------------------------------

  /** Rejects a message that can never be written. @param {EncodedMessage} message @throws {CallError} */
  #checkAccepted(message) {
    if (this.state === "closed") throw new CallError({ error: CLIENT_CLOSED, code: "no_connection" }, { sent: false });
    // While there is no connection only the client's own limit counts, as the next welcome may allow more than the
    // last.
    const limit = this.#phase.name === "open" ? this.maxMessage : this.#config.maxMessage;
    if (message.isLargerThan(limit)) throw tooLarge(message, limit);
  }

  /**
   * Whether a message, whose size was checked, need not pass through the queue: nothing is before it. The queue would
   * need its exact size, for which the text has to be encoded.
   */
  get #canWriteAtOnce() {
    return (
      this.#phase.name === "open" &&
      !this.#isBlocked &&
      !this.hasQueued &&
      this.#outputs.isEmpty &&
      !this.#login.isResuming &&
      !this.#resumption?.isFull
    );
  }

  /** Whether a call can be written now, as a call. @param {PendingCall<W>} call */
  #isPlainCall(call) {
    return this.#hasFreeSlot() && !(this.#dialect === "classic" && (call.upload || call.isSend));
  }

  /** Writes the first message of the queue, if that is possible now. @returns {boolean} Whether it left the queue. */
  #writeFirst() {
    if (this.#isBlocked || (this.#phase.name !== "greeting" && this.#phase.name !== "open")) return false;
    if (this.#isUnwelcomed(this.#phase) || this.#resumption?.isFull) return false;
    // Messages are sent as the session's user.
    if (this.#login.isResuming) return false;
    const first = this.#calls.firstQueued;
    if (!first || (first.call && !this.#hasFreeSlot())) return false;
    const { message, call } = first;
    const fits = !message.isLargerThan(this.maxMessage);
    // Until the welcome has arrived the limit is not known.
    if (!fits && this.#phase.name === "greeting") return false;
    if (!call) {
      this.#calls.removeSend(first);
      if (fits) this.#writer.send(oneWayFrame(message));
      else this.#warnSendLost(message);
    } else if (!fits) {
      this.#fail(call, tooLarge(message, this.maxMessage));
    } else if (call.upload && this.#dialect === "classic") {
      this.#fail(call, new CallError(NO_UPLOADS, { sent: false }));
    } else if (call.isSend && this.#dialect === "classic") {
      this.#calls.remove(call);
      this.#writer.send(oneWayFrame(message));
    } else {
      this.#writeCall(call, message, this.#calls.markWritten(call));
    }
    return true;
  }

  /** @param {PendingCall<W>} call @param {EncodedMessage} message @param {number} id */
  #writeCall(call, message, id) {
    if (this.#dialect === "classic") {
      this.#matcher.handleCallWritten(call.event, id);
      this.#writer.send(callFrame(message, id, { upload: false, credit: null }));
    } else {
      call.number = this.#writer.send(callFrame(message, id, call));
      call.writtenAt = this.#writer.now;
      if (this.#resumption) this.#probe.handleCallWritten(call, this.#resumption);
    }
  }

  /** Whether messages have to wait for the welcome. @param {ConnectionPhase} phase */
  #isUnwelcomed(phase) {
    return phase.name === "greeting" && phase.key !== null && phase.welcome === null;
  }

  /** Whether one more call may be in flight. */
  #hasFreeSlot() {
    // At least one, or a server that announces 0 would block all calls.
    const server = this.#dialect === "classic" ? Infinity : Math.max(this.#limits.calls, 1);
    const inFlight = this.#calls.inFlight + (this.#login.hasResumeCall ? 1 : 0);
    return inFlight < Math.min(this.#config.maxInFlight, server);
  }

  /** @param {EncodedMessage} message */
  #warnSendLost(message) {
    const { error } = tooLarge(message, this.maxMessage);
    this.#outputs.warn({ error: `The event ${message.event} was not sent. ${error}`, code: "too_large" });
  }

  #ping() {
    this.#writer.sendUncounted('["aaw/ping"]');
  }

  /** Writes the call that resumes the session. It follows the hello, so that the server handles it before all else. */
  #writeResume() {
    const { token } = this.#login;
    if (token === null) return;
    const id = this.#calls.allocateId();
    this.#login.handleResumeWritten(id, token);
    if (this.#dialect === "classic") this.#matcher.handleCallWritten(RESUME, id);
    this.#writer.send(callFrame(encodeMessage(RESUME, { token }), id, { upload: false, credit: null }));
  }

  // --- Reading: v1 --------------------------------------------------------------------------------------------------

  /** @param {number} now @param {Frame} frame */
  #handleV1(now, frame) {
    const { event, data, id, kind } = frame;
    if (id === null) {
      if (kind !== null) throw new BadFrame(`kind ${JSON.stringify(kind)} without an id`);
      if (event === "aaw" || event.startsWith("aaw/")) this.#handleReserved(now, frame);
      else this.#outputs.push({ type: "push", event, data });
      return;
    }
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id === 0) {
      throw new BadFrame("the id (element 3) must be an integer other than 0");
    }
    if (id < 0) {
      if (this.#phase.name !== "closing") this.#clientCalls.handleFrame(frame, id);
      return;
    }
    if (!this.#calls.wasAllocated(id)) throw new BadFrame(`call ${id} was never made`);
    if (this.#calls.isOfEarlierPage(id)) this.#handover.handleFrame(frame, id);
    else this.#handleCallFrame(now, frame, id);
  }

  /** A frame about one of this client's calls. @param {number} now @param {Frame} frame @param {number} id */
  #handleCallFrame(now, { data, kind }, id) {
    // Without a call: it has ended, and the frame has crossed with its cancellation.
    const call = this.#calls.byId(id);
    switch (kind) {
      case null:
        this.#handleResult(id, { type: "response", data });
        break;
      case "error":
        this.#handleResult(id, failedByServer(readFailure(data)));
        break;
      case "item":
        if (call) this.#handleItem(now, call, data);
        break;
      case "end":
        if (call && call.credit === null) throw new BadFrame(`end of a stream for call ${id}, which reads no stream`);
        if (call) this.#done(call, { type: "streamEnded" });
        break;
      case "credit":
        if (typeof data !== "number" || !Number.isInteger(data) || data < 0 || data > 2 ** 53) {
          throw new BadFrame("credit must be an integer from 0 to 2^53");
        }
        if (call && !call.upload) throw new BadFrame(`credit for call ${id}, which has no upload`);
        if (call?.grantUploadCredit(data)) {
          this.#outputs.push({ type: "uploadCredit", observer: call.observer, items: data });
        }
        break;
      default:
        throw new BadFrame(`kind ${JSON.stringify(kind)} for call ${id}`);
    }
  }

  /** @param {number} id @param {CallResult} result */
  #handleResult(id, result) {
    if (this.#login.isResumeCall(id)) {
      this.#handleResumeDone(result);
      return;
    }
    const call = this.#calls.byId(id);
    if (call) this.#done(call, result);
  }

  /** @param {number} now @param {PendingCall<W>} call @param {unknown} data */
  #handleItem(now, call, data) {
    if (call.credit === null) throw new BadFrame(`item for call ${call.id}, which reads no stream`);
    if (call.acceptItem()) {
      this.#login.handleResponse(call.event, data);
      this.#outputs.push({ type: "item", observer: call.observer, data });
    } else {
      const error = `The server sent more items than the credit of ${call.credit} allows`;
      this.#abandon(now, call);
      this.#outputs.fail(call.observer, new CallError({ error, code: "bad_frame" }, { sent: true, taken: true }));
    }
  }

  /**
   * Frames about the connection itself. Unknown ones are ignored: a newer server may send them.
   *
   * @param {number} now
   * @param {Frame} frame
   */
  #handleReserved(now, { event, data }) {
    switch (event) {
      case "aaw/error": {
        const failure = readFailure(data);
        if (this.#phase.name === "greeting" && !this.#phase.welcome) this.#phase.refusal = failure;
        this.#outputs.warn(failure);
        if (failure.code === "bad_frame") this.#handleHelloRefused(failure);
        break;
      }
      case "aaw/welcome": {
        const welcome = readWelcome(data);
        this.#limits = welcome.limits;
        this.#handleWelcome(now, welcome);
        break;
      }
      case "aaw/ack":
        this.#handleAcknowledged(data);
        break;
      case "aaw/gap":
        if (this.#writer.welcomed) this.#outputs.push({ type: "gap", lost: readGap(data) });
        break;
      case "aaw/session": {
        const events = this.#calls.written().map((call) => call.event);
        this.#login.handleSessionEnded(data, events);
      }
      // falls through
      case "aaw/joined":
      case "aaw/left":
        this.#outputs.push({ type: "push", event, data });
    }
  }

  /** @param {number} now @param {Pick<Welcome, "connection"> & Partial<Welcome>} welcome */
  #handleWelcome(now, { connection, resumed = false, resumption = null }) {
    const phase = this.#phase;
    if (phase.name === "closing" && phase.unwelcomed) this.#handleLastWelcome(phase, resumed ? resumption : null);
    if (phase.name !== "greeting" || phase.welcome) return;
    phase.welcome = { connection };
    if (phase.key !== null) {
      if (resumed && this.#resumption) {
        if (!resumption || !this.#resumption.handleResumed(resumption)) {
          const reason = "the server resumed another state than that of this connection";
          const isReported = this.isInterrupted;
          this.#endInterrupted(reason);
          this.#abort(now, reason, isReported);
          return;
        }
        this.#handleResumed(now);
      } else {
        this.#endInterrupted("the server has not kept the connection's state");
        if (resumption) this.#writer.begin((this.#resumption = new Resumption(phase.key, resumption)));
        this.#writeResume();
      }
    }
    this.#login.setResumeDeadline(now + this.#config.resumeTimeout);
    this.#openIfReady();
  }

  /**
   * The server has welcomed a client that was closed meanwhile: what the server has not received is sent, then what was
   * queued.
   *
   * @param {ConnectionPhase & { name: "closing" }} phase
   * @param {Welcome["resumption"]} resumed The terms of the state that continues.
   */
  #handleLastWelcome(phase, resumed) {
    if (resumed && this.#resumption?.handleResumed(resumed)) this.#writer.resume();
    // What was sent before belongs to a state that is gone, and may have been received.
    else this.#endState(CLOSED_BY_APPLICATION);
    for (const message of phase.unwelcomed ?? []) this.#writeLast(message);
    this.#outputs.push({ type: "close" });
    phase.unwelcomed = null;
    this.#endState(CLOSED_BY_APPLICATION);
  }

  /** Writes a one-way send of a client that is being closed. @param {EncodedMessage} message */
  #writeLast(message) {
    if (!message.isLargerThan(this.maxMessage)) this.#writer.send(oneWayFrame(message));
  }

  /** @param {CallResult} result */
  #handleResumeDone(result) {
    this.#login.handleResumeDone(result);
    this.#openIfReady();
  }

  #openIfReady() {
    if (this.#phase.name !== "greeting" || !this.#phase.welcome || this.#login.isResuming) return;
    this.#lastAttempt = null;
    const { connection } = this.#phase.welcome;
    if (this.#resumption?.wasOpened) this.#outputs.push({ type: "resumed" });
    else this.#outputs.push({ type: "opened", connection, isRestored: this.#resumption?.isRestored ?? false });
    if (this.#resumption) this.#resumption.wasOpened = true;
    this.#phase = { name: "open", since: this.#phase.since };
  }

  // --- Resumption ---------------------------------------------------------------------------------------------------

  /** Whether the server keeps the state of the connection, which has no welcomed socket. */
  get #isDetached() {
    return this.#resumption !== null && this.#writer.welcomed === null && this.state !== "closed";
  }

  /** Counts a message of the server. @param {number} length @param {Frame} [frame] */
  #count(length, frame) {
    const { welcomed } = this.#writer;
    if (!welcomed) return;
    welcomed.received.handleMessage(this.#writer.now, length, frame?.event === "aaw/gap" ? countOf(frame) : 1);
    this.#noteProgress(welcomed);
    if (welcomed.received.isDue) this.#writer.acknowledge();
  }

  /** The socket has brought something new: if it breaks, the next attempt follows at once. @param {Resumption} welcomed */
  #noteProgress(welcomed) {
    if (welcomed.handleProgress()) this.#delays.reset();
  }

  /** The server has received messages. @param {unknown} data */
  #handleAcknowledged(data) {
    const { welcomed } = this.#writer;
    if (!welcomed) return;
    if (typeof data !== "number" || !Number.isInteger(data) || data < 0 || data > 2 ** 53) {
      throw new BadFrame("aaw/ack must have an integer from 0 to 2^53");
    }
    if (data > welcomed.sent.sent) throw new BadFrame(`aaw/ack of ${data} messages, of which ${welcomed.sent.sent} were sent`);
    if (data > welcomed.sent.acknowledged) this.#noteProgress(welcomed);
    welcomed.sent.acknowledge(data);
    this.#continueUploads();
  }

  /** The state continues on this socket. @param {number} now */
  #handleResumed(now) {
    this.#writer.resume();
    for (const call of this.#calls.written()) call.writtenAt = now;
    this.#continueUploads();
  }

  /** Items that could not be written may be tried again. */
  #continueUploads() {
    if (this.#stalledUploads.size === 0 || this.#resumption?.isFull) return;
    for (const { observer, isOver, uploadCredit } of this.#stalledUploads) {
      if (!isOver) this.#outputs.push({ type: "uploadCredit", observer, items: uploadCredit });
    }
    this.#stalledUploads.clear();
  }

  /**
   * The server has rejected the hello of a state that it may still have: for it, this is another client. A new state begins.
   *
   * @param {Failure} failure
   */
  #handleHelloRefused({ error }) {
    const phase = this.#phase;
    if (phase.name === "closing" && phase.unwelcomed) {
      // Without resumption nothing has to wait for the welcome.
      this.#outputs.send('["aaw/hello",{}]');
      this.#handleLastWelcome(phase, null);
    }
    if (!this.#isDetached || this.#phase.name !== "greeting") return;
    this.#endInterrupted(`the server did not resume the connection: ${error}`);
    this.#phase.refusal = null;
    this.#phase.key = this.#createKey();
    this.#writer.sendUncounted(beginningHello(this.#phase.key));
  }

  /** Sends a ping if the server is silent while it has a call. @param {number} now */
  #probeSilence(now) {
    if (this.#phase.name !== "open" || this.#resumption === null) return;
    const timeout = this.#probe.handleTimeout(now, this.#resumption, this.#calls, this.#heartbeat.lastActivity);
    if (timeout !== null && this.#heartbeat.expectActivity(now, timeout)) this.#ping();
  }

  /** Whether the server has acknowledged a written call. @param {PendingCall<W>} call */
  #isTaken(call) {
    return this.#resumption?.isTaken(call.number) ?? false;
  }

  /** The state of an interrupted connection is gone. @param {string} reason */
  #endInterrupted(reason) {
    if (!this.#isDetached) return;
    const wasOpened = this.isInterrupted;
    this.#endState(reason);
    if (wasOpened) this.#outputs.push({ type: "over", reason });
    this.#resetIds();
  }

  /** The connection is over, with all that belongs to it. @param {string} reason @param {CallError} [refusal] */
  #endState(reason, refusal) {
    this.#endCalls(reason, refusal);
    this.#resumption = null;
    this.#writer.end();
  }

  /** The calls of the connection end, in both directions. @param {string} reason @param {CallError} [refusal] */
  #endCalls(reason, refusal) {
    this.#login.dropResumeCall();
    this.#clientCalls.cancelAll();
    for (const call of this.#calls.written()) {
      this.#fail(call, refusal ?? outcomeUnknown(reason, { taken: this.#isTaken(call) }));
    }
    this.#matcher.reset();
    this.#stalledUploads.clear();
    this.#probe.reset();
  }

  /** Ids start again. */
  #resetIds() {
    this.#handover.reset();
    this.#calls.resetIds();
    this.#matcher.reset();
    this.#clientCalls.reset();
  }

  // --- Reading: classic ---------------------------------------------------------------------------------------------

  /** @param {number} now @param {Frame} frame */
  #handleClassic(now, { event, data, id, kind }) {
    if (kind !== null) throw new BadFrame(`kind ${JSON.stringify(kind)} on a classic connection`);
    if (id !== null) {
      if (typeof id !== "number" || !Number.isInteger(id) || id < 1 || !this.#calls.wasAllocated(id)) {
        throw new BadFrame(`response with an id that no call has: ${toJson(id).slice(0, 80)}`);
      }
      this.#matcher.disable();
      this.#handleClassicResponse(id, data);
      return;
    }
    const matched = this.#matcher.match(now, event);
    if (matched !== undefined) {
      this.#handleClassicResponse(matched, data);
    } else {
      // Possibly the response to a one-way `aaw/login`.
      this.#login.handleResponse(event, data);
      this.#outputs.push({ type: "push", event, data });
    }
  }

  /** @param {number} id @param {unknown} data */
  #handleClassicResponse(id, data) {
    // A classic server reports a failed call as a response with a truthy key `error`.
    const isFailure = typeof data === "object" && data !== null && "error" in data && data.error;
    const call = this.#calls.byId(id);
    if (isFailure) {
      this.#handleResult(id, failedByServer({ error: data.error, code: "handler" }));
    } else if (call && call.credit !== null) {
      this.#login.handleResponse(call.event, data);
      this.#outputs.push({ type: "item", observer: call.observer, data });
      this.#done(call, { type: "streamEnded" });
    } else {
      this.#handleResult(id, { type: "response", data });
    }
  }

  #isConnected() {
    return this.#phase.name === "greeting" || this.#phase.name === "open" || this.#phase.name === "closing";
  }

  // --- How calls end ------------------------------------------------------------------------------------------------

  /** @param {PendingCall<W>} call @param {CallResult} result */
  #done(call, result) {
    this.#calls.remove(call);
    const before = this.#login.token;
    this.#login.handleCallDone(call.event, result);
    // From then on, the server demands the token of those who resume.
    if (this.#login.token !== before) this.#writer.acknowledge();
    this.#outputs.push({ type: "callDone", observer: call.observer, result });
  }

  /** @param {PendingCall<W>} call @param {CallError} error */
  #fail(call, error) {
    this.#calls.remove(call);
    this.#outputs.fail(call.observer, error);
  }

  /**
   * Removes a call that its caller no longer waits for. A v1 server is notified.
   *
   * @param {number} now
   * @param {PendingCall<W>} call
   * @returns {Delivery} How far it has come.
   */
  #abandon(now, call) {
    this.#calls.remove(call);
    if (call.id === null) return NOT_SENT;
    if (this.#dialect === "classic") this.#matcher.handleCallAbandoned(now, call.event, call.id, call.timeout);
    else this.#writer.send(encodeFrame(call.event, "null", call.id, "cancel"));
    if (this.#resumption) this.#probe.handleCallAbandoned(call, this.#resumption);
    return { sent: true, taken: this.#isTaken(call) };
  }

  /**
   * Empties the queue because the client is closed. Its calls fail.
   *
   * @param {(message: EncodedMessage) => void} onSend Receives the one-way sends.
   */
  #drainQueue(onSend) {
    for (let first = this.#calls.firstQueued; first; first = this.#calls.firstQueued) {
      if (first.call && !first.call.isSend) {
        this.#fail(first.call, new CallError({ error: CLIENT_CLOSED, code: "no_connection" }, { sent: false }));
      } else {
        if (first.call) this.#calls.remove(first.call);
        else this.#calls.removeSend(first);
        if (!first.message.isLargerThan(this.maxMessage)) onSend(first.message);
      }
    }
  }

  // --- How connections begin and end --------------------------------------------------------------------------------

  /** @param {number} now @returns {ConnectionPhase} */
  #connect(now) {
    this.#outputs.push({ type: "connect" });
    return { name: "connecting", until: now + this.#config.connectTimeout };
  }

  /** @param {number} now */
  #handleHeartbeat(now) {
    switch (this.#heartbeat.handleTimeout(now)) {
      case "ping":
        this.#ping();
        break;
      case "timedOut":
        this.#resumption?.handleSilence();
        this.#abort(now, "the server stopped responding");
    }
  }

  /** @param {string} reason @param {{ willResume?: boolean, isReported?: boolean }} known */
  #dropSocket(reason, { willResume = false, isReported = false }) {
    this.#outputs.push({ type: "abort", reason, willResume, isReported });
  }

  /** Drops the connection, or the attempt. @param {number} now @param {string} reason @param {boolean} [isReported] */
  #abort(now, reason, isReported) {
    this.#dropSocket(reason, { willResume: this.#resumption !== null && this.state !== "closed", isReported });
    if (this.#phase.name === "connecting") this.handleConnectFailed(now, reason);
    else this.#handleLost(now, reason);
  }

  /**
   * The socket is gone.
   *
   * @param {number} now
   * @param {string} reason
   * @param {object} [known]
   * @param {boolean} [known.isOver] The server keeps no state.
   * @param {RetryHint} [known.hint] What it says about the next attempt.
   * @param {CallError} [known.refusal] The server has refused the connection, and run none of its calls.
   */
  #handleLost(now, reason, { isOver = false, hint = null, refusal } = {}) {
    const phase = this.#phase;
    if (phase.name === "closing") {
      this.#endState(reason);
      this.#outputs.discardFrames();
      this.#finish();
      return;
    }
    if (phase.name !== "greeting" && phase.name !== "open") return;
    if (phase.name === "open") this.#lost = reason;
    else this.#lastAttempt = `the server accepted the connection, but it ended: ${reason}`;
    this.#outputs.discardFrames();
    this.#delays.handleConnectionEnded(now - phase.since);
    if (!this.#resumption || isOver || this.#resumption.deadline <= now) {
      this.#phase = { name: "waiting", until: now + this.#delays.nextDelay(hint) };
      // What was sent before an interruption may have run.
      this.#endState(reason, this.#isDetached ? undefined : refusal);
      if (refusal && this.#isUnwelcomed(phase)) this.#failQueued(refusal);
      return;
    }
    if (phase.name === "open") this.#outputs.push({ type: "interrupted", reason });
    this.#resumption.handleInterrupted(now);
    this.#writer.handleInterrupted();
    const delay = this.#delays.resumingDelay();
    this.#phase = delay > 0 ? { name: "waiting", until: now + delay } : this.#connect(now);
  }

  /** Ends the calls that waited for the welcome of a server which has refused the connection. @param {CallError} error */
  #failQueued(error) {
    for (const call of this.#calls.queued()) this.#fail(call, error);
  }

  /** What is known about why queued calls were not written. The words are those of the Rust client. */
  #whyNotSent() {
    const phase = this.#phase;
    if (phase.name === "open") {
      if (this.#resumption?.isFull) return "the server has not acknowledged what was sent before";
      return this.#isBlocked ? "the server read too slowly" : `${this.#calls.inFlight} calls were open, which is the limit`;
    }
    const known = this.#lost === null ? "never connected" : `the connection was lost: ${this.#lost}`;
    if (phase.name === "greeting") {
      return `${known}; ${phase.welcome ? "the session is not resumed yet" : "the server has not sent its welcome yet"}`;
    }
    return `${known}; ${this.#lastAttempt === null ? "the attempt to connect has not ended yet" : `last attempt: ${this.#lastAttempt}`}`;
  }

  #finish() {
    this.#phase = { name: "closed" };
    this.#outputs.push({ type: "closed" });
  }
}

/** @param {EncodedMessage} message @param {number} limit */
const tooLarge = ({ size }, limit) => {
  const error = `The message is too large: up to ${size} bytes, the limit is ${limit}`;
  return new CallError({ error, code: "too_large" }, { sent: false });
};

/** The number of messages that a gap stands for. @param {unknown} data @throws {BadFrame} */
const readGap = (data) => {
  const lost = typeof data === "object" && data !== null && "lost" in data ? data.lost : null;
  if (typeof lost === "number" && Number.isSafeInteger(lost) && lost > 0) return lost;
  throw new BadFrame("the data of aaw/gap must have `lost`, a positive integer");
};

/** The number of messages that the frame of a gap counts as. @param {Frame} frame */
const countOf = ({ data, id }) => {
  try {
    return id === null ? readGap(data) : 1;
  } catch {
    return 1;
  }
};
