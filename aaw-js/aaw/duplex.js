// A call with items both ways.

import { bind } from "./bind.js";
import { CallError } from "./failure.js";
import { byteLength, toJson } from "./frame.js";
import { ItemStream } from "./stream.js";
import { Upload } from "./upload.js";

/** Bytes that a frame may have around an item, but for the event's name. */
const AROUND = 96;

/**
 * The items of an answer, as those of any stream, and a way to send items meanwhile.
 *
 * The two directions are apart: the answer goes on after `end`, and leaving its loop ends both.
 *
 * @template U What is sent.
 * @template T What is read.
 * @extends {ItemStream<T>}
 */
export class Duplex extends ItemStream {
  #upload;
  #driver;
  #event;

  /**
   * @param {import("./driver.js").Driver} driver
   * @param {import("./frame.js").Draft} draft
   * @param {import("./stream.js").StreamOptions} options
   * @param {number} window
   */
  constructor(driver, draft, options, window) {
    const upload = new Upload();
    super(driver, draft, options, window, upload);
    bind(this, "send", "end");
    this.#upload = upload;
    this.#driver = driver;
    this.#event = draft.event;
  }

  /**
   * Sends an item. What is sent without waiting is kept in order, up to 1 MiB.
   *
   * @param {U} item
   * @returns {Promise<boolean>} `true` once the server's handler had room for it; `false` if the call is over, which its
   *   iteration explains, or `end` was called. It rejects, and the call goes on, if the item cannot be JSON (`bad_body`),
   *   is larger than a message may be (`too_large`), or too much waits already (`busy`).
   */
  async send(item) {
    const json = toJson(item);
    const size = byteLength(json) + byteLength(JSON.stringify(this.#event)) + AROUND;
    if (size > this.#driver.maxMessage) {
      const error = `The item's message could have ${size} bytes, and ${this.#driver.maxMessage} are allowed`;
      throw new CallError({ error, code: "too_large" }, { sent: false });
    }
    return this.#upload.send(json);
  }

  /** No more items follow those that were sent: the handler's incoming stream ends after them. */
  end() {
    this.#upload.end();
  }
}
