// A table of what has an id, for ids that count up.

/** Slots; a power of two. More than calls are usually in flight. */
const SLOTS = 512;

/**
 * Values by their id. An array in which each id has a slot; only an id whose slot is taken, by a stream that lasts long,
 * say, goes to a `Map`.
 *
 * A `Map` alone is slower than it looks: it copies itself after every few deletions, and V8 keeps the copies, with the
 * values they had, until the next full garbage collection.
 *
 * @template {{ id: number | null }} V
 */
export class IdTable {
  /** @type {(V | null)[]} */
  #slots = new Array(SLOTS).fill(null);
  /** @type {Map<number, V>} */
  #others = new Map();
  #size = 0;

  get size() {
    return this.#size;
  }

  /** @param {number} id An id that is not in the table. @param {V} value Its `id` is this one. */
  add(id, value) {
    const slot = id % SLOTS;
    if (this.#slots[slot] === null) this.#slots[slot] = value;
    else this.#others.set(id, value);
    this.#size += 1;
  }

  /** @param {number} id @returns {V | undefined} */
  get(id) {
    const value = this.#slots[id % SLOTS];
    if (value?.id === id) return value;
    return this.#others.size ? this.#others.get(id) : undefined;
  }

  /** @param {number} id An id of the table. */
  delete(id) {
    const slot = id % SLOTS;
    if (this.#slots[slot]?.id === id) this.#slots[slot] = null;
    else this.#others.delete(id);
    this.#size -= 1;
  }

  /** All values, in the order of their ids. */
  values() {
    const values = [...this.#slots.filter((value) => value !== null), ...this.#others.values()];
    return values.sort((a, b) => Number(a.id) - Number(b.id));
  }
}
