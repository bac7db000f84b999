// What waits to be written, in order: a send does not overtake a call that is held back.

import { CallError } from "./failure.js";

/** @typedef {import("./frame.js").Draft} Draft */

/**
 * @template C
 * @typedef {{ draft: Draft, call: C | null }} Waiting A call, or, without one, a send.
 */

/**
 * Calls and sends have a bound each, in bytes. `C` is the call.
 *
 * @template C
 */
export class Line {
  /** In the order in which they came; a call that is given up leaves no trace. @type {Set<Waiting<C>>} */
  #waiting = new Set();
  #bytes = { calls: 0, sends: 0 };
  #bounds;

  /** @param {{ calls: number, sends: number }} bounds */
  constructor(bounds) {
    this.#bounds = bounds;
  }

  /**
   * Lets an item join at the end. One always fits into an empty line; its own size is judged elsewhere.
   *
   * @param {Waiting<C>} item
   * @throws {CallError} `busy`
   */
  join(item) {
    const which = item.call ? "calls" : "sends";
    const bound = this.#bounds[which];
    if (this.#bytes[which] > 0 && this.#bytes[which] + item.draft.size > bound) {
      const error = `Too much is waiting for the connection already (${bound} bytes at most)`;
      throw new CallError({ error, code: "busy" }, { sent: false });
    }
    this.#bytes[which] += item.draft.size;
    this.#waiting.add(item);
  }

  /** @returns {Waiting<C> | undefined} */
  first() {
    for (const item of this.#waiting) return item;
  }

  /** @param {Waiting<C>} item */
  leave(item) {
    if (this.#waiting.delete(item)) this.#bytes[item.call ? "calls" : "sends"] -= item.draft.size;
  }
}
