// What the server asks of this client: calls in the other direction (PROTOCOL.md), which have negative ids.

import { BadFrame } from "./frame.js";

/**
 * One of the server's calls. The object stands for it, not the id, which the next connection uses again.
 *
 * @typedef {object} Ask
 * @property {number} id
 * @property {string} event
 */

/** The server's calls on one connection that are not answered. */
export class Asks {
  /** @type {Map<number, Ask>} */
  #open = new Map();
  /** The last id that the server has used. They go down from -1. */
  #last = 0;

  /** @param {string} event @param {number} id @returns {Ask} @throws {BadFrame} The id was used before. */
  begin(event, id) {
    if (id >= this.#last) throw new BadFrame(`the server's call ${id} was made before`);
    this.#last = id;
    const ask = { id, event };
    this.#open.set(id, ask);
    return ask;
  }

  /** The server waits no more. @param {number} id @returns {Ask | undefined} @throws {BadFrame} */
  cancel(id) {
    if (id < this.#last) throw new BadFrame(`the server's call ${id} was never made`);
    const ask = this.#open.get(id);
    this.#open.delete(id);
    return ask;
  }

  /** It is being answered. @param {Ask} ask @returns {boolean} Whether anybody waits for that. */
  end(ask) {
    return this.#open.get(ask.id) === ask && this.#open.delete(ask.id);
  }

  /** Nobody waits for any of them. @returns {Ask[]} Those that were open. */
  endAll() {
    const asks = [...this.#open.values()];
    this.#open.clear();
    return asks;
  }

  get size() {
    return this.#open.size;
  }
}
