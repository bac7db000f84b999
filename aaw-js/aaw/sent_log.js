// The messages that may have to be sent again (PROTOCOL.md, section 13).

/** When this many forgotten messages are at the start of the array, they are removed from it. */
const MAX_FORGOTTEN = 1024;

/**
 * The counted messages that were sent and that the server has not acknowledged, in their order. The first message of a
 * connection has the number 1.
 */
export class SentLog {
  /** @type {string[]} */
  #texts = [];
  /** The index of the oldest message. Those before it are forgotten. */
  #first = 0;
  #acknowledged = 0;
  #size = 0;

  /**
   * @param {number} [acknowledged] The messages of an earlier page that the server has received.
   * @param {string[]} [texts] Those of which it is not known.
   */
  constructor(acknowledged = 0, texts = []) {
    this.#acknowledged = acknowledged;
    for (const text of texts) this.add(text);
  }

  /** The number of messages that were sent. */
  get sent() {
    return this.#acknowledged + this.#texts.length - this.#first;
  }

  /** The number of messages that the server has received for certain. */
  get acknowledged() {
    return this.#acknowledged;
  }

  get isEmpty() {
    return this.#first === this.#texts.length;
  }

  /** The length of the messages that are kept, in UTF-16 units: what they occupy here, and about what they do there. */
  get size() {
    return this.#size;
  }

  /** Keeps a message. @param {string} text @returns {number} Its number. */
  add(text) {
    this.#texts.push(text);
    this.#size += text.length;
    return this.sent;
  }

  /** Forgets the messages up to this number. @param {number} number At most `sent`. */
  acknowledge(number) {
    for (; this.#acknowledged < number; this.#acknowledged += 1) {
      this.#size -= this.#texts[this.#first].length;
      this.#texts[this.#first] = "";
      this.#first += 1;
    }
    // If nothing is to be moved, or so rarely that a message costs constant time.
    if (this.#first === this.#texts.length || (this.#first >= MAX_FORGOTTEN && this.#first * 2 >= this.#texts.length)) {
      this.#texts.splice(0, this.#first);
      this.#first = 0;
    }
  }

  /** The messages that are kept, in their order. */
  unacknowledged() {
    return this.#texts.slice(this.#first);
  }
}
