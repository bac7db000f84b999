// The caller's own stream, on its way to the server.

import { CallError } from "./failure.js";

/** Bytes of items that may wait for room. */
const MOST = 1 << 20;

/** Items wait until the server's handler has room for them. */
export class Upload {
  /** @type {{ json: string, taken: (written: boolean) => void }[]} */
  #waiting = [];
  #bytes = 0;
  #hasRoom = false;
  /** Whether the caller has no more. */
  #isEnded = false;
  /** Whether nobody takes any more. */
  #isOver = false;
  /** @type {(json: string) => boolean} */
  #write = () => false;
  #writeEnd = () => {};

  /**
   * @param {(json: string) => boolean} write Says whether there was room.
   * @param {() => void} writeEnd
   */
  begin(write, writeEnd) {
    this.#write = write;
    this.#writeEnd = writeEnd;
  }

  /**
   * @param {string} json
   * @returns {Promise<boolean>} Whether it was written. Later ones follow it.
   * @throws {CallError} `busy`
   */
  send(json) {
    if (this.#isOver || this.#isEnded) return Promise.resolve(false);
    if (!this.#waiting.length && this.#write(json)) return Promise.resolve(true);
    if (this.#waiting.length && this.#bytes + json.length > MOST) {
      const error = `Too many items are waiting for the server to take them (${MOST} bytes at most)`;
      throw new CallError({ error, code: "busy" }, { sent: false });
    }
    this.#bytes += json.length;
    return new Promise((taken) => this.#waiting.push({ json, taken }));
  }

  /** No more items follow those that were sent. */
  end() {
    if (this.#isEnded || this.#isOver) return;
    this.#isEnded = true;
    this.#writeEndIfDue();
  }

  /** The server has room for more. */
  handleRoom() {
    this.#hasRoom = true;
    for (let first = this.#waiting[0]; first && this.#write(first.json); first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#bytes -= first.json.length;
      first.taken(true);
    }
    this.#writeEndIfDue();
  }

  /** The call is over, however. */
  handleOver() {
    this.#isOver = true;
    for (const { taken } of this.#waiting.splice(0)) taken(false);
  }

  #writeEndIfDue() {
    // Nothing of an upload goes out before the server has said that it takes it.
    if (!this.#isEnded || this.#isOver || this.#waiting.length || !this.#hasRoom) return;
    this.#isOver = true;
    this.#writeEnd();
  }
}
