// A call with items in both directions.

import { bindMethods } from "./bind_methods.js";
import { CallError } from "./call_error.js";
import { FRAME_OVERHEAD } from "./frame.js";
import { byteLength, exceeds, toJson } from "./json.js";
import { ItemStream } from "./stream.js";
import { UploadBuffer } from "./upload_buffer.js";

/**
 * The items of a response, as in any stream, and an upload: a stream of items to the handler.
 *
 * The two directions are independent: the response continues after `end`. Leaving the loop ends both.
 *
 * @template U The type of the items that are sent.
 * @template T The type of the items that are read.
 * @extends {ItemStream<T>}
 */
export class Duplex extends ItemStream {
  #upload;
  #driver;
  /** The bytes that a frame of this call adds to an item, at most. */
  #overhead;

  /**
   * @param {import("./driver.js").Driver} driver
   * @param {import("./encoded_message.js").EncodedMessage} message
   * @param {import("./call_options.js").StreamOptions} options
   * @param {number} window
   * @internal
   */
  constructor(driver, message, options, window) {
    const upload = new UploadBuffer();
    super(driver, message, options, window, upload);
    bindMethods(this, "send", "end");
    this.#upload = upload;
    this.#driver = driver;
    this.#overhead = byteLength(JSON.stringify(message.event)) + FRAME_OVERHEAD;
  }

  /**
   * Sends an item. Items that are sent without awaiting the previous ones keep their order; up to 1 MiB of them is
   * buffered until the server grants credit.
   *
   * @param {U} item
   * @returns {Promise<boolean>} `true` once the server had credit for the item and it was written; `false` if the call
   *   is over (the iteration says why) or `end` was called. Rejects with a `CallError` if the item cannot be serialized
   *   to JSON (`bad_body`), exceeds the size limit of messages (`too_large`), or does not fit in the buffer (`busy`).
   *   The call continues without the item.
   */
  async send(item) {
    const json = toJson(item);
    const { maxMessage } = this.#driver;
    if (exceeds(json, maxMessage - this.#overhead)) {
      const size = byteLength(json) + this.#overhead;
      const error = `The item is too large: up to ${size} bytes, the limit is ${maxMessage}`;
      throw new CallError({ error, code: "too_large" }, { sent: false });
    }
    return this.#upload.send(json);
  }

  /** Ends the upload: the handler's stream ends after the items that were sent. */
  end() {
    this.#upload.end();
  }
}
