// The client's side of a connection, and of the connections after it, as a function of what happens and of the time.
// It owns no socket and no timer: `handle…` is told what happened, `pollOutput` says what to do, `pollTimeout` when to
// look again.

import { Asks } from "./asks.js";
import { Waits } from "./backoff.js";
import { CallError, readFailure } from "./failure.js";
import { aboutCall, BadFrame, byteLength, callFrame, decode, draft, sendFrame } from "./frame.js";
import { Heartbeat } from "./heartbeat.js";
import { Keeper, saysOver } from "./keeper.js";
import { Line } from "./line.js";
import { Oldest } from "./oldest.js";

/** @typedef {import("./asks.js").Ask} Ask */
/** @typedef {import("./backoff.js").Backoff} Backoff */
/** @typedef {import("./failure.js").Failure} Failure */
/** @typedef {import("./frame.js").Draft} Draft */
/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {"v1" | "classic"} Dialect Which of the two a server speaks (PROTOCOL.md, section 1). */

/**
 * @typedef {object} SessionConfig Times in ms, sizes in bytes.
 * @property {Backoff} backoff
 * @property {number} heartbeat After so much silence the server is asked whether it is there; after as much again the
 *   connection counts as lost.
 * @property {number} connectTimeout For an attempt to connect, and again for the server's greeting.
 * @property {number} closeTimeout For the other side's part of a close.
 * @property {number} resumeTimeout How long calls wait for the session to be resumed after a reconnect.
 * @property {string | null} token Of a session to resume.
 * @property {number} maxInFlight Calls that are written and not answered. The server's limit holds too.
 * @property {number} maxMessage One message. The server's limit holds too.
 * @property {number} maxWaitingCalls Calls that wait to be written, in bytes.
 * @property {number} maxWaitingSends Sends that wait to be written, in bytes.
 */

/**
 * @typedef {object} CallOptions
 * @property {number} [deadline] When the call fails with `timeout`. Default: never.
 * @property {number} [credit] The answer is read as a stream, and there is room for so many items.
 * @property {boolean} [upload] The caller has a stream of its own.
 * @property {boolean} [isSend] It is a send whose answer somebody may hear. On a classic connection it is written as any
 *   send, and ends without an output: what comes back is a push there. On a v1 one it is a call.
 */

/**
 * How a call ended. `told`: it was the server that failed it.
 *
 * @typedef {{ as: "answered", data: unknown } | { as: "ended" } | { as: "failed", failure: CallError, told: boolean }}
 *   Outcome
 */

/**
 * What to do next. `W` is whatever waits for a call: the session never looks at it.
 *
 * - `connect`: try once, then say `handleConnected` or `handleConnectFailed`.
 * - `send`: write this text message.
 * - `close`: say goodbye behind what was written, then `handleDisconnected`.
 * - `abandon`: drop the connection, or the attempt, as it stands; the session knows, and says why.
 * - `item`, `room`, `done`: something for a call. It ends with exactly one `done`.
 * - `push`: the server sent something that nobody had asked for.
 * - `asked`: the server calls; `reply` answers. `askCancelled`: nobody waits for that any more.
 * - `login`: there is another session, or none any more. `unauthorized`: the server has ended it.
 * - `opened`: the connection can be used.
 * - `problem`: something that ends no call, but that somebody should know.
 * - `ended`: the session was closed, and is over.
 *
 * @template W
 * @typedef {{ do: "connect" } | { do: "send", text: string } | { do: "close" } | { do: "abandon", why: string } |
 *   { do: "item", waiter: W, data: unknown } | { do: "room", waiter: W, items: number } |
 *   { do: "done", waiter: W, outcome: Outcome } | { do: "push", event: string, data: unknown } |
 *   { do: "asked", ask: Ask, data: unknown } | { do: "askCancelled", ask: Ask } |
 *   { do: "login", token: string | null } | { do: "unauthorized", failure: CallError } |
 *   { do: "opened", connection: string | null } | { do: "problem", problem: CallError } | { do: "ended" }} Output
 */

/**
 * @template W
 * @typedef {object} Call
 * @property {W} waiter
 * @property {string} event
 * @property {number} made
 * @property {number} deadline
 * @property {number | null} credit Items that the caller has room for in all; `null` if it reads no stream.
 * @property {number} had Items that came.
 * @property {boolean} upload
 * @property {boolean} isSend
 * @property {number} room Items that the server has room for in all.
 * @property {number} uploaded
 * @property {number | null} id `null` while it waits in line.
 * @property {import("./line.js").Waiting<Call<W>>} place
 */

/**
 * The connection is there but not open (`greeting`) until the server's welcome has come, and the session is resumed.
 *
 * @typedef {{ at: "connecting", until: number } |
 *   { at: "greeting", since: number, refusal: Failure | null, welcome: { connection: string | null } | null } |
 *   { at: "open", since: number } | { at: "waiting", until: number } | { at: "closing", until: number } |
 *   { at: "ended" }} Phase
 */

/**
 * The call that resumes the session on this connection. Nothing is written behind it before it is answered, or `isLate`.
 *
 * @typedef {{ id: number, token: string, until: number, isLate: boolean }} Resume
 */

/** Limits of a v1 server that does not say (PROTOCOL.md, section 3). */
const LIMITS = { calls: 256, message: 1 << 20 };

/** The server's open calls beyond which a further one is told `busy`. A server of ours makes 256. */
const MOST_ASKS = 1024;

/** How long the late answer of a given-up call is waited for if the call had no time-out, in ms. */
const LATE = 3000;

const CLOSED = "The client is closed";

const RESUME = "aaw/resume";
const LOGOUT = "aaw/logout";

/** What ends sessions; their answers say so. */
const ENDING = new Set([LOGOUT, "aaw/password/set-new"]);

/** @template W */
export class Session {
  #config;
  /** @type {Phase} */
  #phase;
  #waits;
  /** @type {Dialect} */
  #dialect = "v1";
  /** What the last welcome said: the best guess until the next. */
  #limits = LIMITS;
  /** Whether the socket takes no more for now. */
  #blocked = false;
  /** @type {Map<W, Call<W>>} */
  #calls = new Map();
  /** No call's time is up before this. It may be too early: then nothing is due, and the next is found. */
  #nextDeadline = Infinity;
  /** @type {Line<Call<W>>} */
  #line;
  /** Calls that were written on this connection, by the id they got. @type {Map<number, Call<W>>} */
  #written = new Map();
  #nextId = 1;
  #oldest = new Oldest();
  /** Whether this connection's classic server has shown that its answers carry ids. */
  #echoesIds = false;
  #heartbeat;
  /** The server's calls on this connection. */
  #asks = new Asks();
  #keeper;
  /** @type {Resume | null} */
  #resume = null;
  /** @type {Output<W>[]} */
  #outputs = [];

  /**
   * A session that wants its first connection.
   *
   * @param {SessionConfig} config
   * @param {() => number} random
   * @param {number} now
   */
  constructor(config, random, now) {
    this.#config = config;
    this.#waits = new Waits(config.backoff, random);
    this.#line = new Line({ calls: config.maxWaitingCalls, sends: config.maxWaitingSends });
    this.#heartbeat = new Heartbeat(Infinity, now);
    this.#keeper = new Keeper(config.token);
    this.#phase = this.#connect(now);
  }

  // --- What the application wants -----------------------------------------------------------------------------------

  /**
   * Makes a call. It ends with exactly one `done`, unless it is cancelled.
   *
   * @param {number} now
   * @param {W} waiter
   * @param {Draft} draft
   * @param {CallOptions} [options]
   * @throws {CallError} As `send` does, if it is a send.
   */
  call(now, waiter, draft, { deadline = Infinity, credit, upload = false, isSend = false } = {}) {
    /** @type {Omit<Call<W>, "place">} */
    const made = {
      waiter,
      event: draft.event,
      made: now,
      deadline,
      credit: credit ?? null,
      had: 0,
      upload,
      isSend,
      room: 0,
      uploaded: 0,
      id: null,
    };
    const call = /** @type {Call<W>} */ (made);
    call.place = { draft, call };
    try {
      this.#admit(draft);
      this.#line.join(call.place);
    } catch (error) {
      if (isSend || !(error instanceof CallError)) throw error;
      this.#outputs.push({ do: "done", waiter, outcome: { as: "failed", failure: error, told: false } });
      return;
    }
    this.#calls.set(waiter, call);
    this.#nextDeadline = Math.min(this.#nextDeadline, deadline);
  }

  /**
   * Nobody waits for this call any more: it ends without an output, and a v1 server is told.
   *
   * @param {number} now
   * @param {W} waiter
   * @returns {boolean} Whether the server may have seen it.
   */
  cancel(now, waiter) {
    const call = this.#calls.get(waiter);
    return call ? this.#giveUp(now, call) : false;
  }

  /**
   * Sends something that nobody answers, now or on the next connection.
   *
   * @param {Draft} draft
   * @throws {CallError} `too_large`, `busy`, `no_connection`
   */
  send(draft) {
    this.#admit(draft);
    this.#line.join({ draft, call: null });
  }

  /**
   * The caller has room for its stream's items up to this one.
   *
   * @param {W} waiter
   * @param {number} items
   */
  credit(waiter, items) {
    const call = this.#calls.get(waiter);
    if (!call || call.credit === null || items <= call.credit) return;
    call.credit = items;
    if (call.id !== null && this.#dialect === "v1") this.#say(aboutCall(call.event, `${items}`, call.id, "credit"));
  }

  /**
   * Writes the next item of the caller's stream.
   *
   * @param {W} waiter
   * @param {string} json
   * @returns {boolean} Whether it was written: the call is open, and the server has room.
   */
  uploadItem(waiter, json) {
    const call = this.#calls.get(waiter);
    if (!call || call.id === null || call.uploaded >= call.room) return false;
    call.uploaded += 1;
    this.#say(aboutCall(call.event, json, call.id, "item"));
    return true;
  }

  /** The caller's stream is over; nothing of it may follow. @param {W} waiter */
  uploadEnd(waiter) {
    const call = this.#calls.get(waiter);
    if (call && call.id !== null && this.#dialect === "v1") this.#say(aboutCall(call.event, "null", call.id, "end"));
  }

  /**
   * Answers one of the server's calls. Nothing happens if nobody waits for that any more.
   *
   * @param {Ask} ask
   * @param {string} json
   */
  reply(ask, json) {
    const size = byteLength(json) + byteLength(ask.event) + 96;
    if (size > this.maxMessage) {
      const error = `The answer could have ${size} bytes, and ${this.maxMessage} are allowed`;
      this.replyFailure(ask, { error, code: "too_large" });
    } else if (this.#asks.end(ask)) {
      this.#say(`[${JSON.stringify(ask.event)},${json},${ask.id}]`);
    }
  }

  /** The same, with a failure. @param {Ask} ask @param {Failure} failure */
  replyFailure(ask, failure) {
    if (this.#asks.end(ask)) this.#say(aboutCall(ask.event, JSON.stringify(failure), ask.id, "error"));
  }

  /** Ends the session: what waits is written if there is a connection, and all calls end. @param {number} now */
  close(now) {
    switch (this.#phase.at) {
      case "greeting":
      case "open":
        this.#resume = null;
        this.#endAsks();
        this.#endWritten(unknown("the client was closed"));
        this.#closeLine((draft) => this.#say(sendFrame(draft)));
        this.#outputs.push({ do: "close" });
        this.#phase = { at: "closing", until: now + this.#config.closeTimeout };
        break;
      case "connecting":
        this.#outputs.push({ do: "abandon", why: CLOSED });
      // falls through
      case "waiting":
        this.#closeLine(() => {});
        this.#end();
    }
  }

  /** There is reason to look now: the network is back, or the page is seen again. @param {number} now */
  wake(now) {
    switch (this.#phase.at) {
      case "waiting":
        this.#waits.reset();
        this.#phase = this.#connect(now);
        break;
      case "open":
        if (this.#dialect === "v1") {
          this.#heartbeat.handleDoubt(now);
          this.#ping();
        }
    }
  }

  /** The largest message for this connection. A classic server does not say what it takes. */
  get maxMessage() {
    const server = this.#dialect === "classic" && this.#phase.at === "open" ? Infinity : this.#limits.message;
    return Math.min(this.#config.maxMessage, server);
  }

  /** @returns {"connecting" | "open" | "waiting" | "closed"} */
  get state() {
    switch (this.#phase.at) {
      case "greeting":
        return "connecting";
      case "closing":
      case "ended":
        return "closed";
      default:
        return this.#phase.at;
    }
  }

  /** Of the session that is resumed after a reconnect. @returns {string | null} */
  get token() {
    return this.#keeper.token;
  }

  /** Whom the server knows the caller as. It stays while the connection is lost. */
  get identity() {
    return this.#keeper.identity;
  }

  /** Whether somebody waits for the end of a call. */
  get hasCalls() {
    return this.#calls.size > 0;
  }

  // --- What happens -------------------------------------------------------------------------------------------------

  /** The WebSocket handshake succeeded. @param {number} now @param {Dialect} dialect */
  handleConnected(now, dialect) {
    if (this.#phase.at !== "connecting") return;
    this.#dialect = dialect;
    this.#blocked = false;
    this.#nextId = 1;
    this.#echoesIds = false;
    this.#asks = new Asks();
    if (dialect === "v1") {
      this.#heartbeat = new Heartbeat(this.#config.heartbeat, now);
      this.#phase = { at: "greeting", since: now, refusal: null, welcome: null };
      this.#say('["aaw/hello",{}]');
      this.#writeResume();
    } else {
      // Nothing can be asked of a classic server: it would take an `aaw/ping` for a call, and end on it.
      this.#heartbeat = new Heartbeat(Infinity, now);
      this.#phase = { at: "greeting", since: now, refusal: null, welcome: null };
      this.#writeResume();
      this.#handleWelcome(now, null);
    }
  }

  /** The attempt failed. @param {number} now */
  handleConnectFailed(now) {
    if (this.#phase.at === "connecting") this.#phase = { at: "waiting", until: now + this.#waits.next() };
  }

  /** The connection is gone. @param {number} now @param {number} code @param {string} reason */
  handleDisconnected(now, code, reason) {
    if (this.#phase.at === "greeting" && code === 1008) {
      // An `_open` hook said no. The server takes up no call before that, so none has run.
      const refusal = this.#phase.refusal ?? {
        error: reason || "The server refused the connection",
        code: "not_allowed",
      };
      if (!this.#phase.refusal) this.#problem(refusal);
      this.#lost(now, new CallError(refusal, { sent: false }));
    } else {
      if (this.#phase.at === "open" && this.#dialect === "classic" && code === 1008) {
        this.#problem({ error: reason || "The server refused the connection", code: "not_allowed" });
      }
      this.#lost(now, unknown(`the connection was lost (${code})${reason && `: ${reason}`}`));
    }
  }

  /** The socket takes no more for now: what waits keeps waiting. What is owed to the server still goes out. */
  handleBlocked() {
    this.#blocked = true;
  }

  handleWritable() {
    this.#blocked = false;
  }

  /** A text message has arrived. @param {number} now @param {string} text */
  handleText(now, text) {
    if (!this.#isConnected()) return;
    this.#heartbeat.handleSignOfLife(now);
    try {
      const frame = decode(text);
      if (this.#dialect === "v1") this.#handleV1(now, frame);
      else this.#handleClassic(now, frame);
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error;
      this.#problem({ error: `The server sent something that makes no sense: ${error.message}`, code: "bad_frame" });
    }
  }

  /** A binary message has arrived. There are none in aaw. @param {number} now */
  handleBinary(now) {
    if (!this.#isConnected()) return;
    this.#heartbeat.handleSignOfLife(now);
    this.#problem({ error: "The server sent something that makes no sense: a binary message", code: "bad_frame" });
  }

  /** Time has passed. Does what was due at `pollTimeout`, and nothing if it is earlier. @param {number} now */
  handleTimeout(now) {
    if (this.#nextDeadline <= now) this.#handleDeadlines(now);
    const phase = this.#phase;
    switch (phase.at) {
      case "connecting":
        if (phase.until > now) break;
        this.#problem({ error: `No connection within ${this.#config.connectTimeout} ms`, code: "no_connection" });
        this.#abandon(now, "no connection in time");
        break;
      case "waiting":
        if (phase.until <= now) this.#phase = this.#connect(now);
        break;
      case "greeting":
        if (!phase.welcome && phase.since + this.#config.connectTimeout <= now) {
          this.#abandon(now, "the server never greeted");
        } else {
          this.#handleSlowResume(now);
          this.#handleBeat(now);
        }
        break;
      case "open":
        this.#handleBeat(now);
        break;
      case "closing":
        if (phase.until <= now) this.#abandon(now, CLOSED);
    }
  }

  // --- What to do ---------------------------------------------------------------------------------------------------

  /** When to call `handleTimeout` at the latest; `Infinity`: never. */
  pollTimeout() {
    const phase = this.#phase;
    switch (phase.at) {
      case "connecting":
      case "waiting":
      case "closing":
        return Math.min(phase.until, this.#nextDeadline);
      case "greeting":
        return Math.min(
          phase.welcome ? Infinity : phase.since + this.#config.connectTimeout,
          this.#resume?.until ?? Infinity,
          this.#heartbeat.pollTimeout(),
          this.#nextDeadline,
        );
      case "open":
        return Math.min(this.#heartbeat.pollTimeout(), this.#nextDeadline);
      case "ended":
        return Infinity;
    }
  }

  /**
   * The next thing to do. A call counts as written once its `send` was given out here.
   *
   * @returns {Output<W> | undefined}
   */
  pollOutput() {
    while (!this.#outputs.length) if (!this.#writeFirst()) return undefined;
    return this.#outputs.shift();
  }

  // --- Writing ------------------------------------------------------------------------------------------------------

  /** What can be said before something stands in line. @param {Draft} draft */
  #admit(draft) {
    if (this.state === "closed") throw new CallError({ error: CLOSED, code: "no_connection" }, { sent: false });
    // The next welcome may allow more than the last.
    const limit = this.#phase.at === "open" ? this.maxMessage : this.#config.maxMessage;
    if (draft.size > limit) throw tooLarge(draft, limit);
  }

  /** Puts the first of the line into the outputs, if it may be written now. */
  #writeFirst() {
    if (this.#blocked || (this.#phase.at !== "greeting" && this.#phase.at !== "open")) return false;
    // What is called is called as whoever the session belongs to.
    if (this.#resume && !this.#resume.isLate) return false;
    const first = this.#line.first;
    if (!first || (first.call && this.#written.size + (this.#resume ? 1 : 0) >= this.#maxInFlight())) return false;
    const { draft, call } = first;
    const fits = draft.size <= this.maxMessage;
    // Whether it will, the welcome says.
    if (!fits && this.#phase.at === "greeting") return false;
    if (!call) {
      this.#line.leave(first);
      if (fits) this.#say(sendFrame(draft));
      else this.#problem({ error: `Something is lost: ${tooLarge(draft, this.maxMessage).error}`, code: "too_large" });
    } else if (!fits) {
      this.#fail(call, tooLarge(draft, this.maxMessage));
    } else if (call.upload && this.#dialect === "classic") {
      this.#fail(call, new CallError(NO_UPLOADS, { sent: false }));
    } else if (call.isSend && this.#dialect === "classic") {
      this.#remove(call);
      this.#say(sendFrame(draft));
    } else {
      this.#line.leave(first);
      this.#write(call);
    }
    return true;
  }

  /** @param {Call<W>} call */
  #write(call) {
    const id = this.#nextId;
    this.#nextId += 1;
    call.id = id;
    this.#written.set(id, call);
    if (this.#dialect === "classic") {
      if (!this.#echoesIds) this.#oldest.written(call.event, id);
      this.#say(callFrame(call.place.draft, id, { upload: false, credit: null }));
    } else {
      this.#say(callFrame(call.place.draft, id, call));
    }
  }

  #maxInFlight() {
    // At least one, or a server that said 0 would leave every call waiting for nothing.
    const server = this.#dialect === "classic" ? Infinity : Math.max(this.#limits.calls, 1);
    return Math.min(this.#config.maxInFlight, server);
  }

  /** @param {string} text */
  #say(text) {
    this.#outputs.push({ do: "send", text });
  }

  /** @param {Failure} failure */
  #problem(failure) {
    this.#outputs.push({ do: "problem", problem: new CallError(failure, { sent: false }) });
  }

  #ping() {
    this.#say('["aaw/ping"]');
  }

  // --- Reading ------------------------------------------------------------------------------------------------------

  /** @param {number} now @param {Frame} frame */
  #handleV1(now, frame) {
    const { event, data, id, kind } = frame;
    if (id === null) {
      if (kind !== null) throw new BadFrame(`kind ${JSON.stringify(kind)} without an id`);
      if (event === "aaw" || event.startsWith("aaw/")) this.#handleReserved(now, frame);
      else this.#outputs.push({ do: "push", event, data });
      return;
    }
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id === 0) {
      throw new BadFrame("the id (element 3) must be an integer other than 0");
    }
    if (id < 0) return this.#handleServersCall(frame, id);
    if (id >= this.#nextId) throw new BadFrame(`call ${id} was never made`);
    if (id === this.#resume?.id && kind === null) return this.#handleResumed({ as: "answered", data });
    if (id === this.#resume?.id && kind === "error") return this.#handleResumed(failed(readFailure(data)));
    const call = this.#written.get(id);
    switch (kind) {
      case null:
        if (call) this.#done(call, { as: "answered", data });
        break;
      case "error":
        if (call) this.#done(call, failed(readFailure(data)));
        break;
      case "item":
        if (call) this.#handleItem(now, call, data);
        break;
      case "end":
        if (!call) break;
        if (call.credit === null) throw new BadFrame(`the end of a stream for call ${id}, which reads none`);
        this.#done(call, { as: "ended" });
        break;
      case "credit":
        if (typeof data !== "number" || !Number.isInteger(data) || data < 0 || data > 2 ** 53) {
          throw new BadFrame("credit is a whole number from 0 up");
        }
        if (!call) break;
        if (!call.upload) throw new BadFrame(`credit for call ${id}, which uploads nothing`);
        if (data > call.room) {
          call.room = data;
          this.#outputs.push({ do: "room", waiter: call.waiter, items: data });
        }
        break;
      default:
        throw new BadFrame(`kind ${JSON.stringify(kind)} for call ${id}`);
    }
  }

  /** @param {number} now @param {Call<W>} call @param {unknown} data */
  #handleItem(now, call, data) {
    if (call.credit === null) throw new BadFrame(`an item for call ${call.id}, which reads no stream`);
    if (call.had < call.credit) {
      call.had += 1;
      this.#learn(call.event, data);
      this.#outputs.push({ do: "item", waiter: call.waiter, data });
    } else {
      const error = `The server sent more items than there was room for (${call.credit})`;
      this.#giveUp(now, call);
      this.#tell(call, new CallError({ error, code: "bad_frame" }, { sent: true }));
    }
  }

  /**
   * What the server says about the connection itself. A newer one may say more.
   *
   * @param {number} now
   * @param {Frame} frame
   */
  #handleReserved(now, { event, data }) {
    switch (event) {
      case "aaw/error": {
        const failure = readFailure(data);
        if (this.#phase.at === "greeting" && !this.#phase.welcome) this.#phase.refusal = failure;
        this.#problem(failure);
        break;
      }
      case "aaw/welcome": {
        const { connection, limits } = readWelcome(data);
        this.#limits = limits;
        this.#handleWelcome(now, connection);
        break;
      }
      case "aaw/session":
        this.#handleEnded(data);
      // falls through
      case "aaw/joined":
      case "aaw/left":
        this.#outputs.push({ do: "push", event, data });
    }
  }

  /** @param {number} now @param {string | null} connection */
  #handleWelcome(now, connection) {
    if (this.#phase.at !== "greeting" || this.#phase.welcome) return;
    this.#phase.welcome = { connection };
    if (this.#resume) this.#resume.until = now + this.#config.resumeTimeout;
    this.#openIfReady();
  }

  #openIfReady() {
    if (this.#phase.at !== "greeting" || !this.#phase.welcome || (this.#resume && !this.#resume.isLate)) return;
    this.#outputs.push({ do: "opened", connection: this.#phase.welcome.connection });
    this.#phase = { at: "open", since: this.#phase.since };
  }

  // --- The server's calls -------------------------------------------------------------------------------------------

  /** @param {Frame} frame @param {number} id */
  #handleServersCall({ event, data, kind }, id) {
    if (this.#phase.at === "closing") return;
    if (kind === "cancel") {
      const ask = this.#asks.cancel(id);
      if (ask) this.#outputs.push({ do: "askCancelled", ask });
    } else if (kind === null || kind === "call") {
      const ask = this.#asks.begin(event, id);
      if (this.#asks.size <= MOST_ASKS) this.#outputs.push({ do: "asked", ask, data });
      else this.replyFailure(ask, { error: `More than ${MOST_ASKS} calls are open`, code: "busy" });
    } else {
      throw new BadFrame(`kind ${JSON.stringify(kind)} for the server's call ${id}`);
    }
  }

  #endAsks() {
    for (const ask of this.#asks.endAll()) this.#outputs.push({ do: "askCancelled", ask });
  }

  // --- Who the caller is --------------------------------------------------------------------------------------------

  /** Goes out right behind the greeting: the server takes up nothing before it. */
  #writeResume() {
    const { token } = this.#keeper;
    this.#resume = token === null ? null : { id: this.#nextId, token, until: Infinity, isLate: false };
    if (!this.#resume) return;
    this.#nextId += 1;
    const { id } = this.#resume;
    if (this.#dialect === "classic") this.#oldest.written(RESUME, id);
    this.#say(callFrame(draft(RESUME, { token }), id, { upload: false, credit: null }));
  }

  /** @param {Outcome} outcome */
  #handleResumed(outcome) {
    const resumed = this.#resume?.token;
    this.#resume = null;
    if (outcome.as === "answered") {
      this.#learn(RESUME, outcome.data);
    } else if (outcome.as === "failed") {
      const { error, code, data } = outcome.failure;
      if (!saysOver(outcome.failure)) this.#problem({ error: `The session was not resumed: ${error}`, code, data });
      // If it was late, another may have begun.
      else if (this.#keeper.token === resumed) this.#handleOver({ error, code, data });
    }
    this.#openIfReady();
  }

  /** A server that is slow has not said no. What it says later counts. @param {number} now */
  #handleSlowResume(now) {
    if (!this.#resume || this.#resume.isLate || this.#resume.until > now) return;
    this.#resume.isLate = true;
    this.#resume.until = Infinity;
    this.#problem({ error: "The session is not resumed yet", code: "timeout" });
    this.#openIfReady();
  }

  /** The session was ended elsewhere, or by this client, which a server may tell it besides. @param {unknown} data */
  #handleEnded(data) {
    const isOwn = [...this.#written.values()].some((call) => ENDING.has(call.event));
    if (!isOwn) this.#handleOver({ error: "Session expired", code: "not_authenticated", data });
    else if (this.#keeper.forget()) this.#outputs.push({ do: "login", token: null });
  }

  /** The server has ended the session. @param {Failure} failure */
  #handleOver(failure) {
    if (this.#keeper.forget()) this.#outputs.push({ do: "login", token: null });
    this.#outputs.push({ do: "unauthorized", failure: new CallError(failure, { sent: true }) });
  }

  /** Keeps what an answer says of a session. @param {string} event @param {unknown} data */
  #learn(event, data) {
    if (this.#keeper.handleAnswer(event, data)) this.#outputs.push({ do: "login", token: this.#keeper.token });
  }

  // --- A classic server ---------------------------------------------------------------------------------------------

  /** @param {number} now @param {Frame} frame */
  #handleClassic(now, { event, data, id, kind }) {
    if (kind !== null) throw new BadFrame(`kind ${JSON.stringify(kind)} on a connection that has no kinds`);
    if (id !== null) {
      if (typeof id !== "number" || !Number.isInteger(id) || id < 1 || id >= this.#nextId) {
        throw new BadFrame(`an answer with an id that was never sent: ${JSON.stringify(id).slice(0, 80)}`);
      }
      // From here on, what has no id is a push.
      this.#echoesIds = true;
      this.#oldest.clear();
      this.#settleClassic(id, data);
      return;
    }
    const oldest = this.#oldest.take(now, event);
    if (oldest !== undefined) {
      this.#settleClassic(oldest, data);
    } else {
      // The answer to a send looks like this.
      this.#learn(event, data);
      this.#outputs.push({ do: "push", event, data });
    }
  }

  /** @param {number} id @param {unknown} data */
  #settleClassic(id, data) {
    // The original's way to fail a call, and its client's way to see it.
    const isFailure = typeof data === "object" && data !== null && "error" in data && data.error;
    /** @type {Outcome} */
    const outcome = isFailure ? failed({ error: data.error, code: "handler" }) : { as: "answered", data };
    if (id === this.#resume?.id) {
      this.#handleResumed(outcome);
      return;
    }
    const call = this.#written.get(id);
    if (!call) return;
    if (isFailure || call.credit === null) {
      this.#done(call, outcome);
    } else {
      this.#learn(call.event, data);
      this.#outputs.push({ do: "item", waiter: call.waiter, data });
      this.#done(call, { as: "ended" });
    }
  }

  #isConnected() {
    return this.#phase.at === "greeting" || this.#phase.at === "open" || this.#phase.at === "closing";
  }

  // --- How calls end ------------------------------------------------------------------------------------------------

  /** @param {Call<W>} call @param {Outcome} outcome */
  #done(call, outcome) {
    this.#remove(call);
    if (outcome.as === "answered") this.#learn(call.event, outcome.data);
    // There was nothing to log out of.
    else if (outcome.as === "failed" && call.event === LOGOUT && saysOver(outcome.failure)) this.#learn(LOGOUT, null);
    this.#outputs.push({ do: "done", waiter: call.waiter, outcome });
  }

  /** @param {Call<W>} call @param {CallError} failure */
  #fail(call, failure) {
    this.#remove(call);
    this.#tell(call, failure);
  }

  /** @param {Call<W>} call @param {CallError} failure */
  #tell({ waiter }, failure) {
    this.#outputs.push({ do: "done", waiter, outcome: { as: "failed", failure, told: false } });
  }

  /** @param {Call<W>} call */
  #remove(call) {
    this.#calls.delete(call.waiter);
    if (call.id === null) this.#line.leave(call.place);
    else this.#written.delete(call.id);
  }

  /**
   * Ends a call from this side.
   *
   * @param {number} now
   * @param {Call<W>} call
   * @returns {boolean} Whether it was written.
   */
  #giveUp(now, call) {
    this.#remove(call);
    if (call.id === null) return false;
    if (this.#dialect === "classic") {
      const allowed = call.deadline === Infinity ? LATE : call.deadline - call.made;
      this.#oldest.givenUp(call.event, call.id, now + allowed);
    } else {
      this.#say(aboutCall(call.event, "null", call.id, "cancel"));
    }
    return true;
  }

  /** @param {number} now */
  #handleDeadlines(now) {
    this.#nextDeadline = Infinity;
    for (const call of this.#calls.values()) {
      if (call.deadline <= now) {
        const sent = this.#giveUp(now, call);
        this.#tell(call, new CallError({ error: TIMED_OUT, code: "timeout" }, { sent }));
      } else {
        this.#nextDeadline = Math.min(this.#nextDeadline, call.deadline);
      }
    }
  }

  /** Ends the calls that were written, in their order. @param {CallError} failure */
  #endWritten(failure) {
    for (const call of [...this.#written.values()]) this.#fail(call, failure);
    this.#oldest.clear();
  }

  /** Empties the line: its calls were never sent. @param {(send: Draft) => void} onSend */
  #closeLine(onSend) {
    for (let first = this.#line.first; first; first = this.#line.first) {
      if (first.call && !first.call.isSend) {
        this.#fail(first.call, new CallError({ error: CLOSED, code: "no_connection" }, { sent: false }));
      } else {
        if (first.call) this.#remove(first.call);
        else this.#line.leave(first);
        if (first.draft.size <= this.maxMessage) onSend(first.draft);
      }
    }
  }

  // --- How connections begin and end --------------------------------------------------------------------------------

  /** @param {number} now @returns {Phase} */
  #connect(now) {
    this.#outputs.push({ do: "connect" });
    return { at: "connecting", until: now + this.#config.connectTimeout };
  }

  /** @param {number} now */
  #handleBeat(now) {
    switch (this.#heartbeat.handleTimeout(now)) {
      case "ping":
        this.#ping();
        break;
      case "gone":
        this.#abandon(now, "the server has gone silent");
    }
  }

  /** @param {number} now @param {string} why */
  #abandon(now, why) {
    this.#outputs.push({ do: "abandon", why });
    if (this.#phase.at === "connecting") this.handleConnectFailed(now);
    else this.#lost(now, unknown(why));
  }

  /** @param {number} now @param {CallError} failure What the written calls fail with. */
  #lost(now, failure) {
    const phase = this.#phase;
    this.#resume = null;
    this.#endAsks();
    if (phase.at === "closing") {
      this.#forgetFrames();
      this.#end();
    } else if (phase.at === "greeting" || phase.at === "open") {
      this.#forgetFrames();
      this.#waits.connectionEnded(now - phase.since);
      this.#phase = { at: "waiting", until: now + this.#waits.next() };
      this.#endWritten(failure);
    }
  }

  /** Drops what was meant for the connection that is gone. */
  #forgetFrames() {
    this.#outputs = this.#outputs.filter((output) => output.do !== "send" && output.do !== "close");
  }

  #end() {
    this.#phase = { at: "ended" };
    this.#outputs.push({ do: "ended" });
  }
}

/** In the words of the original, which pages may look for. */
const TIMED_OUT = "WebSocket error (client): request timed out";

const NO_UPLOADS = { error: "This server takes no stream from its callers", code: "unreachable" };

/** @param {string} why */
const unknown = (why) =>
  new CallError({ error: `The outcome is unknown: ${why}`, code: "outcome_unknown" }, { sent: true });

/** @param {Draft} draft @param {number} limit */
const tooLarge = ({ size }, limit) => {
  const error = `The message could have ${size} bytes, and ${limit} are allowed`;
  return new CallError({ error, code: "too_large" }, { sent: false });
};

/** @param {Failure} failure @returns {Outcome} */
const failed = (failure) => ({ as: "failed", failure: new CallError(failure, { sent: true }), told: true });

/** @param {unknown} data @throws {BadFrame} */
const readWelcome = (data) => {
  if (typeof data !== "object" || data === null) throw new BadFrame("a welcome that is no object");
  const connection = "connection" in data && typeof data.connection === "string" ? data.connection : null;
  const told = "limits" in data && typeof data.limits === "object" && data.limits !== null ? data.limits : {};
  /** @param {unknown} value @param {number} missing */
  const limit = (value, missing) => (typeof value === "number" && value >= 0 ? value : missing);
  return {
    connection,
    limits: {
      calls: limit("calls" in told ? told.calls : undefined, LIMITS.calls),
      message: limit("message" in told ? told.message : undefined, LIMITS.message),
    },
  };
};
