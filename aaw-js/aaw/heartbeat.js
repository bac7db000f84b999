// Detects connections that are dead without having been closed. Browsers do not expose WebSocket pings, so this uses
// `aaw/ping` frames.

/** The pong timeout after `probe`, in ms. */
const PROBE_TIMEOUT = 5000;

/**
 * If a check is later than this, in ms, the page's thread was busy, or the page frozen: the pong may have arrived, and be handled
 * after the timer. It has as much time then.
 */
const LATE = 500;

/** Pings after an idle interval, and times out after another one. Any incoming message counts as activity. */
export class Heartbeat {
  #interval;
  /** When the last message arrived, or the last ping was sent if that was later. */
  #lastActivity;
  #isPingPending = false;
  /** When to check next. Activity does not move it: one check too many costs less than a new timer for each message. */
  #nextCheck;
  /** A late check has given the pong more time. */
  #isExtended = false;

  /**
   * @param {number} interval In ms; `Infinity` disables the heartbeat.
   * @param {number} now
   */
  constructor(interval, now) {
    this.#interval = interval;
    this.#lastActivity = now;
    this.#nextCheck = now + interval;
  }

  /** A message has arrived. */
  handleActivity(/** @type {number} */ now) {
    this.#lastActivity = now;
    this.#isPingPending = false;
  }

  /** The caller sends a ping now, outside the schedule; it times out sooner than a scheduled one. */
  probe(/** @type {number} */ now) {
    this.#lastActivity = now;
    this.#isPingPending = true;
    this.#nextCheck = now + Math.min(this.#interval, PROBE_TIMEOUT);
  }

  /**
   * A sign of life has to arrive within `timeout` ms.
   *
   * @param {number} now
   * @param {number} timeout
   * @returns {boolean} Whether the caller has to send a ping: none is pending.
   */
  expectActivity(now, timeout) {
    const isPingNeeded = !this.#isPingPending;
    this.#isPingPending = true;
    // Without a pending ping, the next check was to be that for idleness.
    this.#nextCheck = isPingNeeded ? now + timeout : Math.min(this.#nextCheck, now + timeout);
    return isPingNeeded;
  }

  get lastActivity() {
    return this.#lastActivity;
  }

  pollTimeout() {
    return this.#nextCheck;
  }

  /**
   * @param {number} now
   * @returns {"idle" | "ping" | "timedOut"} `idle`: nothing to do. `ping`: send one. `timedOut`: the connection is
   *   dead.
   */
  handleTimeout(now) {
    if (now < this.#nextCheck) return "idle";
    if (this.#isPingPending) {
      const isLate = now - this.#nextCheck > LATE && !this.#isExtended;
      this.#isExtended = isLate;
      if (!isLate) return "timedOut";
      this.#nextCheck = now + LATE;
      return "idle";
    }
    const due = this.#lastActivity + this.#interval;
    if (now < due) {
      this.#nextCheck = due;
      return "idle";
    }
    this.#isPingPending = true;
    // Measured from this ping and not from when it was due: after a stall the server still has the full interval.
    this.#lastActivity = now;
    this.#nextCheck = now + this.#interval;
    return "ping";
  }
}
