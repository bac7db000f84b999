// Whether the server is still there. A browser cannot see WebSocket pings, so this asks with `aaw/ping`.

/** How long an answer may take when there is reason to doubt, in ms. */
const DOUBT = 5000;

/** Asks after a silent interval, and gives the server up after another. Whatever arrives is a sign of life. */
export class Heartbeat {
  #interval;
  /** When the server was last heard, or asked if that was later. */
  #since;
  #asked = false;
  /** When to look again. It stays where it is when something is heard: to look once for nothing costs less. */
  #look;

  /**
   * @param {number} interval In ms; `Infinity` asks nothing.
   * @param {number} now
   */
  constructor(interval, now) {
    this.#interval = interval;
    this.#since = now;
    this.#look = now + interval;
  }

  /** Anything at all came in. */
  handleSignOfLife(/** @type {number} */ now) {
    this.#since = now;
    this.#asked = false;
  }

  /** The machine slept, or its network changed: a ping goes out now, and its answer is awaited less patiently. */
  handleDoubt(/** @type {number} */ now) {
    this.#since = now;
    this.#asked = true;
    this.#look = now + Math.min(this.#interval, DOUBT);
  }

  pollTimeout() {
    return this.#look;
  }

  /**
   * @param {number} now
   * @returns {"quiet" | "ping" | "gone"}
   */
  handleTimeout(now) {
    if (now < this.#look) return "quiet";
    if (this.#asked) return "gone";
    const due = this.#since + this.#interval;
    if (now < due) {
      this.#look = due;
      return "quiet";
    }
    this.#asked = true;
    // Counted from this ping, not from when it was due: after a stall the server has its full time to answer.
    this.#since = now;
    this.#look = now + this.#interval;
    return "ping";
  }
}
