// The client's protocol state machine: one connection and its successors. It is a pure function of its inputs and the
// time, without a socket or timers: `handle…` methods receive events, `pollOutput` returns what to do, and
// `pollTimeout` when to call `handleTimeout`.

import { ReconnectDelays } from "./backoff.js";
import { CallError, outcomeUnknown, readFailure } from "./call_error.js";
import { CallTable } from "./call_table.js";
import { ClientCalls } from "./client_calls.js";
import { callFrame, encodeMessage, oneWayFrame } from "./encoded_message.js";
import { FifoMatcher } from "./fifo_matcher.js";
import { BadFrame, decodeFrame, encodeFrame } from "./frame.js";
import { Heartbeat } from "./heartbeat.js";
import { toJson } from "./json.js";
import { LoginState, RESUME } from "./login_state.js";
import { OutputQueue } from "./output_queue.js";
import { PendingCall } from "./pending_call.js";
import { DEFAULT_LIMITS, readWelcome } from "./welcome.js";

/** @import { RetryHint } from "./backoff.js" */
/** @import { Failure } from "./call_error.js" */
/** @import { EncodedMessage } from "./encoded_message.js" */
/** @import { Frame } from "./frame.js" */
/** @import { CallResult, ClientCall } from "./output_queue.js" */
/** @import { CallSettings } from "./pending_call.js" */
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
 * @property {boolean} bigint Whether integers beyond 2^53 are read as `BigInt`s.
 * @property {number} maxInFlight Calls that are written and have not ended. The server's limit applies too.
 * @property {number} maxMessage The size of one message. The server's limit applies too.
 * @property {number} maxWaitingCalls The size of the calls that wait to be written.
 * @property {number} maxWaitingSends The size of the one-way sends that wait to be written.
 */

/**
 * A connection is in `greeting` until the server's welcome has arrived and the session is resumed.
 *
 * @typedef {{ name: "connecting", until: number } |
 *   { name: "greeting", since: number, refusal: Failure | null, welcome: { connection: string | null } | null } |
 *   { name: "open", since: number } | { name: "waiting", until: number } | { name: "closing", until: number } |
 *   { name: "closed" }} ConnectionPhase
 */

const CLIENT_CLOSED = "The client is closed";

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
  #clientCalls = new ClientCalls(this.#outputs);
  #login;
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
   */
  constructor(config, random, now) {
    this.#config = config;
    this.#delays = new ReconnectDelays(config.backoff, random);
    this.#calls = new CallTable({ calls: config.maxWaitingCalls, sends: config.maxWaitingSends });
    this.#heartbeat = new Heartbeat(Infinity, now);
    this.#login = new LoginState(config.token, this.#outputs);
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
   * @returns {boolean} Whether the server may have received the call.
   */
  cancel(now, call) {
    return !call.isOver && this.#abandon(now, call);
  }

  /**
   * Makes a one-way send, on this connection or the next.
   *
   * @param {EncodedMessage} message
   * @throws {CallError} `too_large`, `busy` (the queue is full) or `no_connection` (the client is closed).
   */
  send(message) {
    this.#checkAccepted(message);
    if (this.#canWriteAtOnce) this.#outputs.send(oneWayFrame(message));
    else this.#calls.addSend(message);
  }

  /**
   * The reader of a stream accepts items up to the `items`-th in total.
   *
   * @param {PendingCall<W>} call
   * @param {number} items
   */
  grantCredit(call, items) {
    if (call.isOver || !call.grantCredit(items)) return;
    // A call that is still queued states its credit when it is written.
    if (call.id !== null && this.#dialect === "v1") {
      this.#outputs.send(encodeFrame(call.event, `${items}`, call.id, "credit"));
    }
  }

  /**
   * Writes the next item of an upload.
   *
   * @param {PendingCall<W>} call
   * @param {string} json
   * @returns {boolean} Whether it was written: the call is open, and there is credit for it.
   */
  uploadItem(call, json) {
    if (call.isOver || call.id === null || !call.useUploadCredit()) return false;
    this.#outputs.send(encodeFrame(call.event, json, call.id, "item"));
    return true;
  }

  /** Writes the end of an upload. No item may follow. @param {PendingCall<W>} call */
  uploadEnd(call) {
    if (call.isOver || call.id === null || this.#dialect !== "v1") return;
    this.#outputs.send(encodeFrame(call.event, "null", call.id, "end"));
  }

  /** Responds to a client call. Does nothing if it was cancelled. @param {ClientCall} call @param {string} json */
  respond(call, json) {
    this.#clientCalls.respond(call, json, this.maxMessage);
  }

  /** The same, with an error. @param {ClientCall} call @param {Failure} failure */
  respondError(call, failure) {
    this.#clientCalls.respondError(call, failure);
  }

  /**
   * Closes the client. If there is a connection, queued one-way sends are written first. All calls end.
   *
   * @param {number} now
   */
  close(now) {
    switch (this.#phase.name) {
      case "greeting":
      case "open":
        this.#login.dropResumeCall();
        this.#clientCalls.cancelAll();
        this.#failWritten(outcomeUnknown("the client was closed"));
        this.#drainQueue((message) => this.#outputs.send(oneWayFrame(message)));
        this.#outputs.push({ type: "close" });
        this.#phase = { name: "closing", until: now + this.#config.closeTimeout };
        break;
      case "connecting":
        this.#outputs.push({ type: "abort", reason: CLIENT_CLOSED });
      // falls through
      case "waiting":
        this.#drainQueue(() => {});
        this.#finish();
    }
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
      default:
        return this.#phase.name;
    }
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
    this.#dialect = dialect;
    this.#isBlocked = false;
    this.#calls.resetIds();
    this.#matcher.reset();
    this.#clientCalls.reset();
    this.#phase = { name: "greeting", since: now, refusal: null, welcome: null };
    if (dialect === "v1") {
      this.#heartbeat = new Heartbeat(this.#config.heartbeat, now);
      this.#outputs.send('["aaw/hello",{}]');
      this.#writeResume();
    } else {
      // No heartbeat: a classic server would treat `aaw/ping` as a call, and the original server exits on an unknown
      // event.
      this.#heartbeat = new Heartbeat(Infinity, now);
      this.#writeResume();
      this.#handleWelcome(now, null);
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
    const ended = code === 1006 ? "the connection broke" : `the server closed the connection (${code})${reason && `: ${reason}`}`;
    const refused = { error: reason || "The server refused the connection", code: "not_allowed" };
    if (this.#phase.name === "greeting" && code === 1008) {
      // An `_open` hook refused the connection. The server runs no call before the hook has passed.
      const refusal = this.#phase.refusal ?? refused;
      if (!this.#phase.refusal) this.#outputs.warn(refusal);
      this.#handleLost(now, ended, "refused", new CallError(refusal, { sent: false }));
    } else {
      if (this.#phase.name === "open" && this.#dialect === "classic" && code === 1008) this.#outputs.warn(refused);
      this.#handleLost(now, ended, code === 1008 ? "refused" : null);
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
    this.#heartbeat.handleActivity(now);
    try {
      const frame = decodeFrame(text, this.#config.bigint);
      if (this.#dialect === "v1") this.#handleV1(now, frame);
      else this.#handleClassic(now, frame);
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error;
      this.#outputs.warn({ error: `The server sent an invalid frame: ${error.message}`, code: "bad_frame" });
    }
  }

  /** A binary message has arrived, which the protocol does not use. @param {number} now */
  handleBinary(now) {
    if (!this.#isConnected()) return;
    this.#heartbeat.handleActivity(now);
    this.#outputs.warn({ error: "The server sent an invalid frame: a binary message", code: "bad_frame" });
  }

  /** Does what is due at `pollTimeout`. Does nothing if it is called earlier. @param {number} now */
  handleTimeout(now) {
    for (const call of this.#calls.expired(now)) {
      const sent = this.#abandon(now, call);
      // An error of a call that was sent has exactly the original's text. There such a call cannot wait.
      const error = sent ? TIMED_OUT : `${TIMED_OUT}; the call was not sent: ${this.#whyNotSent()}`;
      this.#outputs.fail(call.observer, new CallError({ error, code: "timeout" }, { sent }));
    }
    const phase = this.#phase;
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
      case "closing":
        return Math.min(phase.until, this.#calls.pollTimeout());
      case "greeting":
        return Math.min(
          phase.welcome ? Infinity : phase.since + this.#config.connectTimeout,
          this.#login.pollTimeout(),
          this.#heartbeat.pollTimeout(),
          this.#calls.pollTimeout(),
        );
      case "open":
        return Math.min(this.#heartbeat.pollTimeout(), this.#calls.pollTimeout());
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
      !this.#login.isResuming
    );
  }

  /** Whether a call can be written now, as a call. @param {PendingCall<W>} call */
  #isPlainCall(call) {
    return this.#hasFreeSlot() && !(this.#dialect === "classic" && (call.upload || call.isSend));
  }

  /** Writes the first message of the queue, if that is possible now. @returns {boolean} Whether it left the queue. */
  #writeFirst() {
    if (this.#isBlocked || (this.#phase.name !== "greeting" && this.#phase.name !== "open")) return false;
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
      if (fits) this.#outputs.send(oneWayFrame(message));
      else this.#warnSendLost(message);
    } else if (!fits) {
      this.#fail(call, tooLarge(message, this.maxMessage));
    } else if (call.upload && this.#dialect === "classic") {
      this.#fail(call, new CallError(NO_UPLOADS, { sent: false }));
    } else if (call.isSend && this.#dialect === "classic") {
      this.#calls.remove(call);
      this.#outputs.send(oneWayFrame(message));
    } else {
      this.#writeCall(call, message, this.#calls.markWritten(call));
    }
    return true;
  }

  /** @param {PendingCall<W>} call @param {EncodedMessage} message @param {number} id */
  #writeCall(call, message, id) {
    if (this.#dialect === "classic") {
      this.#matcher.handleCallWritten(call.event, id);
      this.#outputs.send(callFrame(message, id, { upload: false, credit: null }));
    } else {
      this.#outputs.send(callFrame(message, id, call));
    }
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
    this.#outputs.send('["aaw/ping"]');
  }

  /** Writes the call that resumes the session. It follows the hello, so that the server handles it before all else. */
  #writeResume() {
    const { token } = this.#login;
    if (token === null) return;
    const id = this.#calls.allocateId();
    this.#login.handleResumeWritten(id, token);
    if (this.#dialect === "classic") this.#matcher.handleCallWritten(RESUME, id);
    this.#outputs.send(callFrame(encodeMessage(RESUME, { token }), id, { upload: false, credit: null }));
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
    this.#handleCallFrame(now, frame, id);
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
      this.#outputs.fail(call.observer, new CallError({ error, code: "bad_frame" }, { sent: true }));
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
        break;
      }
      case "aaw/welcome": {
        const { connection, limits } = readWelcome(data);
        this.#limits = limits;
        this.#handleWelcome(now, connection);
        break;
      }
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

  /** @param {number} now @param {string | null} connection */
  #handleWelcome(now, connection) {
    if (this.#phase.name !== "greeting" || this.#phase.welcome) return;
    this.#phase.welcome = { connection };
    this.#login.setResumeDeadline(now + this.#config.resumeTimeout);
    this.#openIfReady();
  }

  /** @param {CallResult} result */
  #handleResumeDone(result) {
    this.#login.handleResumeDone(result);
    this.#openIfReady();
  }

  #openIfReady() {
    if (this.#phase.name !== "greeting" || !this.#phase.welcome || this.#login.isResuming) return;
    this.#lastAttempt = null;
    this.#outputs.push({ type: "opened", connection: this.#phase.welcome.connection });
    this.#phase = { name: "open", since: this.#phase.since };
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
    this.#login.handleCallDone(call.event, result);
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
   * @returns {boolean} Whether it was written.
   */
  #abandon(now, call) {
    this.#calls.remove(call);
    if (call.id === null) return false;
    if (this.#dialect === "classic") this.#matcher.handleCallAbandoned(now, call.event, call.id, call.timeout);
    else this.#outputs.send(encodeFrame(call.event, "null", call.id, "cancel"));
    return true;
  }

  /** Ends the written calls, in their order. @param {CallError} error */
  #failWritten(error) {
    for (const call of this.#calls.written()) this.#fail(call, error);
    this.#matcher.reset();
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
        this.#abort(now, "the server stopped responding");
    }
  }

  /** Drops the connection, or the attempt. @param {number} now @param {string} reason */
  #abort(now, reason) {
    this.#outputs.push({ type: "abort", reason });
    if (this.#phase.name === "connecting") this.handleConnectFailed(now, reason);
    else this.#handleLost(now, reason);
  }

  /**
   * The connection is gone.
   *
   * @param {number} now
   * @param {string} reason
   * @param {RetryHint} [hint] What it says about the next attempt.
   * @param {CallError} [error] The result of the written calls.
   */
  #handleLost(now, reason, hint = null, error = outcomeUnknown(reason)) {
    const phase = this.#phase;
    if (phase.name === "open") this.#lost = reason;
    else this.#lastAttempt = `the server accepted the connection, but it ended: ${reason}`;
    this.#login.dropResumeCall();
    this.#clientCalls.cancelAll();
    if (phase.name === "closing") {
      this.#outputs.discardFrames();
      this.#finish();
    } else if (phase.name === "greeting" || phase.name === "open") {
      this.#outputs.discardFrames();
      this.#delays.handleConnectionEnded(now - phase.since);
      this.#phase = { name: "waiting", until: now + this.#delays.nextDelay(hint) };
      this.#failWritten(error);
    }
  }

  /** What is known about why queued calls were not written. The words are those of the Rust client. */
  #whyNotSent() {
    const phase = this.#phase;
    if (phase.name === "open") {
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

/** @param {Failure} failure @returns {CallResult} */
const failedByServer = (failure) => ({
  type: "failed",
  error: new CallError(failure, { sent: true }),
  isFromServer: true,
});
