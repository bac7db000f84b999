// The queue between an asynchronous producer of items and a `for await` loop.

/**
 * Items in order, then the end or an error. The queue itself has no size limit: the producer limits itself by what
 * `onTake` reports.
 *
 * @template T
 */
export class ItemQueue {
  /** @type {T[]} */
  #items = [];
  /** @type {{ resolve: (result: IteratorResult<T, undefined>) => void, reject: (error: unknown) => void }[]} */
  #consumers = [];
  /** @type {{ error: unknown, failed: boolean } | null} */
  #end = null;
  #onTake;

  /** @param {() => void} [onTake] Called each time that an item was taken. */
  constructor(onTake = () => {}) {
    this.#onTake = onTake;
  }

  /** @param {T} item */
  push(item) {
    if (this.#end) return;
    const consumer = this.#consumers.shift();
    if (!consumer) {
      this.#items.push(item);
      return;
    }
    consumer.resolve({ value: item, done: false });
    this.#onTake();
  }

  /** Ends the queue. Items that are in it can still be taken. */
  end() {
    this.#finish({ error: undefined, failed: false });
  }

  /** Ends the queue with an error, which one `take` rejects with after the items. @param {unknown} error */
  fail(error) {
    this.#finish({ error, failed: true });
  }

  /** Discards the items that were not taken, and an error that was not reported. */
  clear() {
    this.#items = [];
    if (this.#end) this.#end.failed = false;
  }

  /** Resolves with the next item, as soon as there is one. @returns {Promise<IteratorResult<T, undefined>>} */
  take() {
    if (this.#items.length) {
      const value = /** @type {T} */ (this.#items.shift());
      this.#onTake();
      return Promise.resolve({ value, done: false });
    }
    if (!this.#end) return new Promise((resolve, reject) => this.#consumers.push({ resolve, reject }));
    const { error, failed } = this.#end;
    this.#end.failed = false;
    return failed ? Promise.reject(error) : Promise.resolve({ value: undefined, done: true });
  }

  /** @param {{ error: unknown, failed: boolean }} end */
  #finish(end) {
    if (this.#end) return;
    this.#end = end;
    for (const consumer of this.#consumers.splice(0)) {
      if (end.failed) consumer.reject(end.error);
      else consumer.resolve({ value: undefined, done: true });
      end.failed = false;
    }
  }
}
