// Items on their way from who sends them to who takes them.

/**
 * What `for await` reads: items as they come, then the end or an error. It bounds nothing; who fills it does, by
 * what `onTake` tells.
 *
 * @template T
 */
export class Items {
  /** @type {T[]} */
  #items = [];
  /** @type {{ resolve: (result: IteratorResult<T, undefined>) => void, reject: (error: unknown) => void }[]} */
  #takers = [];
  /** @type {{ error: unknown, failed: boolean } | null} */
  #end = null;
  #onTake;

  /** @param {() => void} [onTake] An item has been taken. */
  constructor(onTake = () => {}) {
    this.#onTake = onTake;
  }

  /** @param {T} item */
  put(item) {
    if (this.#end) return;
    const taker = this.#takers.shift();
    if (!taker) {
      this.#items.push(item);
      return;
    }
    taker.resolve({ value: item, done: false });
    this.#onTake();
  }

  /** There is no more. What came before is still taken. */
  end() {
    this.#finish({ error: undefined, failed: false });
  }

  /** There is no more, and this is why: it is told once, after what came before. @param {unknown} error */
  fail(error) {
    this.#finish({ error, failed: true });
  }

  /** Nobody wants what came and was not taken yet, an error included. */
  drop() {
    this.#items = [];
    if (this.#end) this.#end.failed = false;
  }

  /** @returns {Promise<IteratorResult<T, undefined>>} */
  take() {
    if (this.#items.length) {
      const value = /** @type {T} */ (this.#items.shift());
      this.#onTake();
      return Promise.resolve({ value, done: false });
    }
    if (!this.#end) return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
    const { error, failed } = this.#end;
    this.#end.failed = false;
    return failed ? Promise.reject(error) : Promise.resolve({ value: undefined, done: true });
  }

  /** @param {{ error: unknown, failed: boolean }} end */
  #finish(end) {
    if (this.#end) return;
    this.#end = end;
    for (const taker of this.#takers.splice(0)) {
      if (end.failed) taker.reject(end.error);
      else taker.resolve({ value: undefined, done: true });
      end.failed = false;
    }
  }
}
