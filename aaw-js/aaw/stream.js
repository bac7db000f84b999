// An answer of many items.

import { onAbort } from "./abort.js";
import { cancelled } from "./failure.js";
import { Items } from "./items.js";

/** @typedef {import("./driver.js").Driver} Driver */
/** @typedef {import("./driver.js").Waiter} Waiter */
/** @typedef {import("./frame.js").Draft} Draft */
/** @typedef {import("./upload.js").Upload} Upload */

/**
 * @typedef {object} StreamOptions
 * @property {AbortSignal} [signal] Ends the stream: the server drops the handler, what was not read is dropped, and the
 *   iteration throws a `CallError` with the code `cancelled`.
 */

/**
 * The items of an answer, read with `for await`, once. Leaving the loop cancels the call, and the server drops its
 * handler.
 *
 * The server sends no more than there is room for, 64 items unless the client was told otherwise, and more as they are
 * taken: who reads slowly slows the handler. A failure is thrown after the items that came before it. If the connection
 * is lost, that is a `CallError` with the code `outcome_unknown`.
 *
 * @template T
 * @implements {AsyncIterableIterator<T, undefined>}
 */
export class ItemStream {
  /** @type {Items<T>} */
  #items;
  #leave;

  /**
   * Makes the call at once: items can be on their way before they are asked for.
   *
   * @param {Driver} driver
   * @param {Draft} draft
   * @param {StreamOptions} options
   * @param {number} window Items that there is room for.
   * @param {Upload} [upload]
   */
  constructor(driver, draft, { signal }, window, upload) {
    let taken = 0;
    let granted = window;
    const items = new Items(() => {
      taken += 1;
      if (granted - taken > window / 2) return;
      granted = taken + window;
      driver.credit(waiter, granted);
    });
    let isOver = false;
    let stopListening = () => {};
    const over = () => {
      isOver = true;
      stopListening();
      upload?.handleOver();
    };
    /** @type {Waiter} */
    const waiter = {
      handleItem: (data) => items.put(/** @type {T} */ (data)),
      handleRoom: () => upload?.handleRoom(),
      handleDone: (outcome) => {
        over();
        if (outcome.as === "failed") items.fail(outcome.failure);
        else items.end();
      },
    };
    this.#items = items;
    this.#leave = () => {
      if (!isOver) {
        driver.cancel(waiter);
        over();
      }
      items.drop();
      items.end();
    };

    if (signal?.aborted) {
      over();
      items.fail(cancelled(signal.reason, false));
      return;
    }
    stopListening = onAbort(signal, (reason) => {
      const sent = driver.cancel(waiter);
      over();
      items.drop();
      items.fail(cancelled(reason, sent));
    });
    upload?.begin(
      (json) => driver.uploadItem(waiter, json),
      () => driver.uploadEnd(waiter),
    );
    driver.call(waiter, draft, { credit: window, upload: upload !== undefined });
  }

  /** The next item. Several may be asked for at once. @returns {Promise<IteratorResult<T, undefined>>} */
  next() {
    return this.#items.take();
  }

  /** Leaves the stream, as `break` does. @returns {Promise<IteratorResult<T, undefined>>} */
  return() {
    this.#leave();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
