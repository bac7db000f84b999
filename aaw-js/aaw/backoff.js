// The delays between attempts to connect. The names and rules are those of the Rust client.

/**
 * Each delay is random, between zero and a ceiling that grows with each failure ("full jitter"), so that the clients of
 * a restarted server do not all reconnect at the same moment.
 *
 * @typedef {object} Backoff
 * @property {number} min The ceiling of the first delay, in ms.
 * @property {number} max The highest ceiling, in ms. A connection that lasted at least this long resets the ceiling to
 *   `min`. A shorter one does not, or a server that accepts connections and closes them at once would be contacted
 *   without pause.
 * @property {number} factor Each failure multiplies the ceiling by this. At least 1.
 * @property {number} refused The delay after an attempt that the server has refused: random between half of this and
 *   this, in ms. It does not grow. The server answers, and refuses the next attempt as well until a person changes its
 *   configuration or that of the client. `Infinity`: no further attempt.
 */

/**
 * What a failed attempt says about the next one. `null`: nothing; the next one follows after a delay between zero and
 * the ceiling. `"refused"`: the server has refused this client; the next one follows after `Backoff.refused`. A number:
 * the time in ms that the server named with `Retry-After` (RFC 9110, section 10.2.3), which counts up to an hour. The
 * usual delay is added to it, so that the clients of a server that tells all of them the same do not return at once.
 *
 * @typedef {number | "refused" | null} RetryHint
 */

/** The longest time that a server can make its clients wait, in ms. */
const MAX_RETRY_AFTER = 3_600_000;

/** Computes the delays. The random source is a parameter, so that tests are deterministic. */
export class ReconnectDelays {
  #backoff;
  #random;
  #failures = 0;

  /**
   * @param {Backoff} backoff
   * @param {() => number} random Returns a number in [0, 1).
   */
  constructor(backoff, random) {
    this.#backoff = backoff;
    this.#random = random;
  }

  /** A connection that was open for `duration` ms has ended. */
  handleConnectionEnded(/** @type {number} */ duration) {
    if (duration >= this.#backoff.max) this.reset();
  }

  /** Starts again with the shortest ceiling. */
  reset() {
    this.#failures = 0;
  }

  /** Returns the delay after a connection broke that can be resumed: none, unless failures preceded it. */
  resumingDelay() {
    const delay = this.nextDelay();
    return this.#failures === 1 ? 0 : delay;
  }

  /** Returns the next delay, in ms. @param {RetryHint} [hint] */
  nextDelay(hint = null) {
    const { min, max, factor, refused } = this.#backoff;
    const delay = Math.min(min * factor ** this.#failures, max) * this.#random();
    this.#failures += 1;
    if (hint === "refused") return (refused / 2) * (1 + this.#random());
    return Math.min(hint ?? 0, MAX_RETRY_AFTER) + delay;
  }
}
