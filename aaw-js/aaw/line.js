// What waits to be written, in order: a send does not overtake a call that is held back.

import { CallError } from "./failure.js";

/** @typedef {import("./frame.js").Draft} Draft */

/**
 * A call, or, without one, a send.
 *
 * @template C
 * @typedef {object} Waiting
 * @property {Draft} draft
 * @property {C | null} call
 * @property {Waiting<C> | null} [before] Its neighbours in the line, which are the line's to set.
 * @property {Waiting<C> | null} [after]
 */

/**
 * Calls and sends have a bound each, in bytes. `C` is the call.
 *
 * A list of links, so that a call that is given up while it waits leaves no trace, however long the line is. (A `Set`
 * keeps the order, too, but to find its first it goes through those that have left.)
 *
 * @template C
 */
export class Line {
  /** @type {Waiting<C> | null} */
  #first = null;
  /** @type {Waiting<C> | null} */
  #last = null;
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
    item.before = this.#last;
    item.after = null;
    if (this.#last) this.#last.after = item;
    else this.#first = item;
    this.#last = item;
  }

  get first() {
    return this.#first;
  }

  /** @param {Waiting<C>} item One that waits. */
  leave(item) {
    const { before = null, after = null } = item;
    if (before) before.after = after;
    else this.#first = after;
    if (after) after.before = before;
    else this.#last = before;
    this.#bytes[item.call ? "calls" : "sends"] -= item.draft.size;
  }
}
