// The state of a connection that outlives its sockets (PROTOCOL.md, section 13).

import { ReceivedCount } from "./received_count.js";
import { SentLog } from "./sent_log.js";

/**
 * What the server's welcome says about resumption.
 *
 * @typedef {object} ResumptionTerms
 * @property {number} window How long the server keeps the state without a socket, in ms.
 * @property {number} log The size of unacknowledged messages beyond which nothing new is begun, in bytes.
 * @property {number | null} received The number of messages that the server has received, if the state is resumed.
 */

/** The close codes after which the server does not keep the state. */
const OVER = new Set([1001, 1002, 1007, 1008, 1009, 1013, 4001]);

/** The close code with which a client announces that it will resume. Any other one would end the state. */
export const WILL_RESUME = 4002;

/** Whether the server has ended the state with the socket. @param {number} code */
export const isOver = (code) => OVER.has(code);

/** The frames that are not counted, if they have no id. */
const UNCOUNTED = new Set(["hello", "welcome", "ack", "ping", "pong"].map((name) => `aaw/${name}`));

/** @param {{ event: string, id: unknown }} frame */
export const isCounted = ({ event, id }) => id !== null || !event.startsWith("aaw/") || !UNCOUNTED.has(event);

/** A name for a new state. It is a secret: any client that knows it can continue the connection. */
export const randomKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The hello that begins a state. @param {string} key */
export const beginningHello = (key) => hello({ key });

/** @param {object} resumption */
const hello = (resumption) => `["aaw/hello",${JSON.stringify({ resumption })}]`;

/**
 * What continues a state in the next page of the tab.
 *
 * @typedef {object} SavedResumption
 * @property {string} key
 * @property {number} attempts The number of hellos that were to continue the state.
 * @property {number} received The number of messages that the server's side has sent, and that have arrived.
 * @property {number} acknowledged The number of messages that the server is known to have received.
 * @property {string[]} sent The messages after those.
 * @property {number} window
 * @property {number} log
 */

/** After as many silences, the time for a pong is not doubled any more: the heartbeat is as fast. */
const MAX_SILENCES = 3;

export class Resumption {
  #key;
  #terms;
  /** The number of hellos that were to continue the state. */
  #attempts = 0;
  /** The messages of this client. */
  sent = new SentLog();
  /** The messages of the server. */
  received = new ReceivedCount();
  /** Whether the application knows of the connection. */
  wasOpened = false;
  /** Whether an earlier page has begun the state. */
  isRestored = false;
  /**
   * When the client gives up. `Infinity` if the socket works: a message that breaks each socket is not sent again without
   * end.
   */
  deadline = Infinity;
  /** A socket broke, and the next one has brought nothing new yet. */
  #isUnproven = false;
  /** How often in succession a socket was given up because the server was silent, without anything new in between. */
  silences = 0;

  /** @param {string} key @param {ResumptionTerms} terms */
  constructor(key, terms) {
    this.#key = key;
    this.#terms = terms;
  }

  /**
   * Continues the state of an earlier page.
   *
   * @param {SavedResumption} saved
   * @param {number} deadline
   */
  static restore({ key, attempts, received, acknowledged, sent, window, log }, deadline) {
    const resumption = new Resumption(key, { window, log, received: null });
    resumption.#attempts = attempts;
    resumption.sent = new SentLog(acknowledged, sent);
    resumption.received = new ReceivedCount(received);
    resumption.isRestored = true;
    resumption.deadline = deadline;
    return resumption;
  }

  /** @param {string[]} next Messages that the next page has to send after those of the log. @returns {SavedResumption} */
  save(next) {
    const { window, log } = this.#terms;
    const { acknowledged } = this.sent;
    const sent = [...this.sent.unacknowledged(), ...next];
    return { key: this.#key, attempts: this.#attempts, received: this.received.count, acknowledged, sent, window, log };
  }

  /** How long the client may be without a socket if it loses its one now. @param {number} now */
  remaining(now) {
    return Math.min(this.#terms.window, this.deadline - now);
  }

  /** Whether the application of this page does not know of the connection yet, which an earlier page has begun. */
  get isUnannounced() {
    return this.isRestored && !this.wasOpened;
  }

  /** Whether the server has acknowledged a message. @param {number} number */
  isTaken(number) {
    return number <= this.sent.acknowledged;
  }

  /** Whether so much is unacknowledged that nothing new is begun. */
  get isFull() {
    return this.sent.size > this.#terms.log;
  }

  /**
   * The hello that continues the state.
   *
   * @param {string} next The key of a new state, for the case that this one is gone.
   * @param {string | null} token The token of the session.
   */
  hello(next, token) {
    this.#attempts += 1;
    const received = this.received.count;
    return hello({ key: this.#key, resume: true, received, attempt: this.#attempts, token: token ?? undefined, next });
  }

  /** The socket has ended. @param {number} now */
  handleInterrupted(now) {
    this.#isUnproven = true;
    if (this.deadline === Infinity) this.deadline = now + this.#terms.window;
  }

  /**
   * The server continues the state.
   *
   * @param {ResumptionTerms} terms
   * @returns {boolean} Whether what the server has received is possible.
   */
  handleResumed(terms) {
    const { received } = terms;
    if (received === null || received < this.sent.acknowledged || received > this.sent.sent) return false;
    this.#terms = terms;
    this.sent.acknowledge(received);
    // The hello has told it.
    this.received.handleAcknowledged();
    if (this.sent.isEmpty) this.deadline = Infinity;
    return true;
  }

  /** The socket has brought something new. @returns {boolean} Whether it is the first since the socket before broke. */
  handleProgress() {
    const isFirst = this.#isUnproven;
    this.deadline = Infinity;
    this.silences = 0;
    this.#isUnproven = false;
    return isFirst;
  }

  /** The socket was given up, because the server was silent. */
  handleSilence() {
    this.silences = Math.min(this.silences + 1, MAX_SILENCES);
  }
}
