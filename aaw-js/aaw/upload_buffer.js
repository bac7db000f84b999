// The items that a caller sends, until the server grants credit for them.

import { CallError } from "./call_error.js";

/** Size limit of the buffered items. They are counted as characters of JSON. */
const MAX_BUFFERED = 1 << 20;

/** Buffers the items of one upload. */
export class UploadBuffer {
  /** @type {{ json: string, resolve: (written: boolean) => void }[]} */
  #items = [];
  #size = 0;
  /** The server has granted credit at least once, so it accepts the upload. */
  #hadCredit = false;
  /** The caller has called `end`. */
  #isEnded = false;
  /** The call is over, or the upload's end was written. */
  #isClosed = false;
  /** @type {(json: string) => boolean} */
  #write = () => false;
  #writeEnd = () => {};

  /**
   * Connects the buffer to its call.
   *
   * @param {(json: string) => boolean} write Writes an item. Returns `false` if there is no credit for it.
   * @param {() => void} writeEnd
   */
  attach(write, writeEnd) {
    this.#write = write;
    this.#writeEnd = writeEnd;
  }

  /**
   * Writes an item, or buffers it until there is credit. Items keep their order.
   *
   * @param {string} json
   * @returns {Promise<boolean>} `true` once the item is written; `false` if the call is over or `end` was called.
   * @throws {CallError} `busy`: the buffer is full. A single item is accepted whatever its size.
   */
  send(json) {
    if (this.#isClosed || this.#isEnded) return Promise.resolve(false);
    if (!this.#items.length && this.#write(json)) return Promise.resolve(true);
    if (this.#items.length && this.#size + json.length > MAX_BUFFERED) {
      const error = `The buffer of items that wait for the server's credit is full (limit: ${MAX_BUFFERED} characters)`;
      throw new CallError({ error, code: "busy" }, { sent: false });
    }
    this.#size += json.length;
    return new Promise((resolve) => this.#items.push({ json, resolve }));
  }

  /** Ends the upload after the items that were sent. */
  end() {
    if (this.#isEnded || this.#isClosed) return;
    this.#isEnded = true;
    this.#writeEndIfDue();
  }

  /** The server has granted credit. */
  handleCredit() {
    this.#hadCredit = true;
    for (let first = this.#items[0]; first && this.#write(first.json); first = this.#items[0]) {
      this.#items.shift();
      this.#size -= first.json.length;
      first.resolve(true);
    }
    this.#writeEndIfDue();
  }

  /** The call is over, for whatever reason. */
  handleCallDone() {
    this.#isClosed = true;
    for (const { resolve } of this.#items.splice(0)) resolve(false);
  }

  #writeEndIfDue() {
    // The protocol allows no frame of an upload before the server's first credit.
    if (!this.#isEnded || this.#isClosed || this.#items.length || !this.#hadCredit) return;
    this.#isClosed = true;
    this.#writeEnd();
  }
}
