// Matches responses without an id to calls, on a connection to a classic server.

/** Calls of one event that are remembered. Beyond it the oldest is dropped: its response is the most overdue. */
const MAX_CALLS_PER_EVENT = 4096;

/** How long a late response is expected after a call without a timeout was cancelled, in ms. */
const DEFAULT_GRACE = 3000;

/**
 * The written calls of each event, oldest first: a response belongs to the oldest call of its event.
 *
 * A call that timed out or was cancelled keeps its position for as long again as its timeout, because its response is
 * probably still to come and would otherwise be taken for that of the next call. It does not keep it longer, because
 * for an event that never responds each later response would be attributed to an earlier call.
 *
 * Servers of the classic dialect that echo ids need no matching. Whether a server does so is known from its first
 * response with an id.
 */
export class FifoMatcher {
  /** @type {Map<string, { id: number, expires: number }[]>} */
  #events = new Map();
  #isEnabled = true;

  /** A call was written. @param {string} event @param {number} id */
  handleCallWritten(event, id) {
    if (!this.#isEnabled) return;
    const calls = this.#events.get(event) ?? [];
    if (calls.length === MAX_CALLS_PER_EVENT) calls.shift();
    calls.push({ id, expires: Infinity });
    this.#events.set(event, calls);
  }

  /**
   * A written call has timed out or was cancelled.
   *
   * @param {number} now
   * @param {string} event
   * @param {number} id
   * @param {number} timeout The time that the call had, in ms; `Infinity` if it had no timeout.
   */
  handleCallAbandoned(now, event, id, timeout) {
    const call = this.#events.get(event)?.find((call) => call.id === id);
    if (call) call.expires = now + (timeout === Infinity ? DEFAULT_GRACE : timeout);
  }

  /**
   * Removes and returns the id of the call that a response without an id belongs to. The call may have been abandoned.
   *
   * @param {number} now
   * @param {string} event
   * @returns {number | undefined} `undefined` if no call matches: the message is a push.
   */
  match(now, event) {
    const calls = this.#events.get(event)?.filter(({ expires }) => now < expires) ?? [];
    const id = calls.shift()?.id;
    if (calls.length) this.#events.set(event, calls);
    else this.#events.delete(event);
    return id;
  }

  /** The server echoes ids: from now on, a message without an id is a push. */
  disable() {
    this.#isEnabled = false;
    this.#events.clear();
  }

  /** A new connection begins. */
  reset() {
    this.#isEnabled = true;
    this.#events.clear();
  }
}
