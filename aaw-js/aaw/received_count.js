// Counts the messages of the server, and decides when to acknowledge them (PROTOCOL.md, section 13).

/** With this many unacknowledged messages, the protocol demands an acknowledgement at once. */
const MAX_MESSAGES = 64;

/**
 * The same for their length, in UTF-16 units: 64 KiB in UTF-8, if each unit is one of three bytes. To count the bytes the
 * texts would have to be encoded, and to acknowledge early is always allowed.
 */
const MAX_LENGTH = Math.floor((64 << 10) / 3);

/** With so much unacknowledged, an acknowledgement leads the next message. */
const LEADING_MESSAGES = 32;
const LEADING_LENGTH = 16 << 10;
/** The same after this time, in ms. */
const LEADING_AGE = 1000;

/** Without a message to lead, an acknowledgement is sent after this time, in ms. */
const MAX_AGE = 10_000;
/** The same if at least `LARGE_LENGTH` is unacknowledged: the server keeps it in memory. */
const MAX_AGE_IF_LARGE = 1000;
const LARGE_LENGTH = 4 << 10;

export class ReceivedCount {
  #count;
  #acknowledged;
  /** The length of the unacknowledged messages. */
  #length = 0;
  /** When the oldest unacknowledged message has arrived. */
  #oldest = Infinity;

  /** @param {number} [count] The messages that have arrived in an earlier page. */
  constructor(count = 0) {
    this.#count = count;
    this.#acknowledged = count;
  }

  /** The number of messages that have arrived. */
  get count() {
    return this.#count;
  }

  /**
   * A message has arrived, or a gap that stands for several.
   *
   * @param {number} now
   * @param {number} length
   * @param {number} [messages]
   */
  handleMessage(now, length, messages = 1) {
    this.#count += messages;
    this.#length += length;
    if (this.#oldest === Infinity) this.#oldest = now;
  }

  /** All messages are acknowledged. */
  handleAcknowledged() {
    this.#acknowledged = this.#count;
    this.#length = 0;
    this.#oldest = Infinity;
  }

  /** Whether an acknowledgement has to be sent at once. */
  get isDue() {
    return this.#count - this.#acknowledged >= MAX_MESSAGES || this.#length >= MAX_LENGTH;
  }

  /** Whether an acknowledgement is to lead a message that is sent now. @param {number} now */
  isDueWithMessage(now) {
    return (
      this.#count - this.#acknowledged >= LEADING_MESSAGES ||
      this.#length >= LEADING_LENGTH ||
      now - this.#oldest >= LEADING_AGE
    );
  }

  /** When an acknowledgement has to be sent, at the latest. */
  pollTimeout() {
    return this.#oldest + (this.#length >= LARGE_LENGTH ? MAX_AGE_IF_LARGE : MAX_AGE);
  }
}
