// The delays between attempts to connect.

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
 */

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

  /** Returns the next delay, in ms. */
  nextDelay() {
    const { min, max, factor } = this.#backoff;
    const ceiling = Math.min(min * factor ** this.#failures, max);
    this.#failures += 1;
    return ceiling * this.#random();
  }
}
