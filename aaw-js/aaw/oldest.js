// Answers that carry no id, as those of the original's server: each belongs to the oldest open call of its event.

/** Calls of one event that are remembered. Beyond that the oldest is forgotten: its answer has been due for longest. */
const MOST = 4096;

/**
 * Written calls by event, oldest first, of one connection to a classic server.
 *
 * A call that its caller has given up keeps its place for as long again as it was given: its answer is probably still
 * to come, and would otherwise be taken for that of the next call. Not for longer, since an event that never answered
 * once would turn the answers of all its later calls over to their predecessors.
 */
export class Oldest {
  /** @type {Map<string, { id: number, until: number }[]>} */
  #events = new Map();

  /** @param {string} event @param {number} id */
  written(event, id) {
    const calls = this.#events.get(event) ?? [];
    if (calls.length === MOST) calls.shift();
    calls.push({ id, until: Infinity });
    this.#events.set(event, calls);
  }

  /** The caller of `id` waits no more. @param {string} event @param {number} id @param {number} until */
  givenUp(event, id, until) {
    const call = this.#events.get(event)?.find((call) => call.id === id);
    if (call) call.until = until;
  }

  /**
   * Takes the call that an answer without an id belongs to. Its caller may have given up.
   *
   * @param {number} now
   * @param {string} event
   * @returns {number | undefined}
   */
  take(now, event) {
    const calls = this.#events.get(event)?.filter(({ until }) => now < until) ?? [];
    const id = calls.shift()?.id;
    if (calls.length) this.#events.set(event, calls);
    else this.#events.delete(event);
    return id;
  }

  clear() {
    this.#events.clear();
  }
}
