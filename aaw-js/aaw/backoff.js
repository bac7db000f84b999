// How long to wait before connecting again.

/**
 * Waits are random between nothing and a ceiling that grows with each failure ("full jitter"), so that the clients of a
 * server that restarted do not come back all at once.
 *
 * @typedef {object} Backoff
 * @property {number} min The ceiling of the first wait, in ms.
 * @property {number} max No ceiling is higher, in ms. A connection that stayed this long begins the next series at
 *   `min` again; one that broke earlier goes on with the old series, or a server that accepts and hangs up would be
 *   called without pause.
 * @property {number} factor What each failure multiplies the ceiling by.
 */

/** A series of waits. Chance is handed in. */
export class Waits {
  #backoff;
  #random;
  #failures = 0;

  /**
   * @param {Backoff} backoff
   * @param {() => number} random From 0 up to, and without, 1.
   */
  constructor(backoff, random) {
    this.#backoff = backoff;
    this.#random = random;
  }

  /** A connection that stayed `lasted` ms has ended. */
  connectionEnded(/** @type {number} */ lasted) {
    if (lasted >= this.#backoff.max) this.reset();
  }

  /** There is reason to hope: the next wait is short. */
  reset() {
    this.#failures = 0;
  }

  /** The next wait, in ms. */
  next() {
    const { min, max, factor } = this.#backoff;
    // 0 times an overflow is no number; neither is it a long wait.
    const ceiling = Math.min(min * Math.max(factor, 1) ** this.#failures || 0, max);
    this.#failures += 1;
    return ceiling * this.#random();
  }
}
