// The response of a streaming event.

import { onAbort } from "./abort.js";
import { cancelled, NOT_SENT } from "./call_error.js";
import { ItemQueue } from "./item_queue.js";

/** @import { StreamOptions } from "./call_options.js" */
/** @import { CallObserver, Driver } from "./driver.js" */
/** @import { EncodedMessage } from "./encoded_message.js" */
/** @import { UploadBuffer } from "./upload_buffer.js" */

/**
 * The items of a response, to be read once with `for await`. Leaving the loop cancels the call, and the server drops
 * its handler.
 *
 * The server sends only as many items as the client has granted credit for: at first the option `window` (64 by
 * default), then more as they are read. So a slow reader slows the handler down. If the call fails, the error is thrown
 * after the items that arrived before it. If the connection is lost for good, that is a `CallError` with the code
 * `outcome_unknown`; if it is resumed, the stream continues.
 *
 * @template T
 * @implements {AsyncIterableIterator<T, undefined>}
 */
export class ItemStream {
  /** @type {ItemQueue<T>} */
  #items;
  #cancel;

  /**
   * Makes the call at once, so that items can arrive before the first `next`.
   *
   * @param {Driver} driver
   * @param {EncodedMessage} message
   * @param {StreamOptions} options
   * @param {number} window The initial credit.
   * @param {UploadBuffer} [upload]
   * @internal
   */
  constructor(driver, message, { signal }, window, upload) {
    let taken = 0;
    let granted = window;
    const items = new ItemQueue(() => {
      taken += 1;
      // Granting credit only when half of it is used saves frames.
      if (granted - taken > window / 2) return;
      granted = taken + window;
      driver.grantCredit(observer, granted);
    });
    let isOver = false;
    let stopListening = () => {};
    const finish = () => {
      isOver = true;
      stopListening();
      upload?.handleCallDone();
    };
    /** @type {CallObserver} */
    const observer = {
      call: null,
      handleItem: (data) => items.push(/** @type {T} */ (data)),
      handleUploadCredit: () => upload?.handleCredit(),
      handleDone: (result) => {
        finish();
        if (result.type === "failed") items.fail(result.error);
        else items.end();
      },
    };
    this.#items = items;
    this.#cancel = () => {
      if (!isOver) {
        driver.cancel(observer);
        finish();
      }
      items.clear();
      items.end();
    };

    if (signal?.aborted) {
      finish();
      items.fail(cancelled(signal.reason, NOT_SENT));
      return;
    }
    stopListening = onAbort(signal, (reason) => {
      const delivery = driver.cancel(observer);
      finish();
      items.clear();
      items.fail(cancelled(reason, delivery));
    });
    upload?.attach(
      (json) => driver.uploadItem(observer, json),
      () => driver.uploadEnd(observer),
    );
    driver.call(observer, message, { credit: window, upload: upload !== undefined });
  }

  /**
   * Resolves with the next item. It may be called again before the previous promise has resolved.
   *
   * @returns {Promise<IteratorResult<T, undefined>>}
   */
  next() {
    return this.#items.take();
  }

  /** Cancels the stream, as leaving the loop does. @returns {Promise<IteratorResult<T, undefined>>} */
  return() {
    this.#cancel();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
