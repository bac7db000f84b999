// Joins the messages of one tick into one write of the TCP socket. Only Node gives access to it; elsewhere the platform
// writes as it sees fit.

/** The part of Node's `net.Socket` that this uses. @typedef {{ cork(): void, uncork(): void }} Corkable */
/** @typedef {{ nextTick(callback: () => void): void, on(event: "exit", callback: () => void): void }} Process */

/** `undefined` in pages. */
const { process } = /** @type {{ process?: Process }} */ (globalThis);

/** The length of the messages that wait for the end of the tick, in characters. Beyond it they are written at once. */
const MAX_LENGTH = 64 << 10;

/**
 * The number of messages in one write. A full batch is written at once, so that the server works on it while the others are
 * made. With 32 calls in flight this gives a third more calls per second than a single write.
 */
const MAX_MESSAGES = 16;

export class WriteBatch {
  #socket;
  #length = 0;
  #messages = 0;
  #isCorked = false;

  /** @param {unknown} socket The TCP socket. With anything else, messages do not wait. */
  constructor(socket) {
    this.#socket = process && isCorkable(socket) ? socket : null;
  }

  /**
   * The next message may wait for the end of the tick. Call this before the message is sent.
   *
   * @param {number} length
   */
  add(length) {
    if (!this.#socket) return;
    if (this.#length + length > MAX_LENGTH || this.#messages === MAX_MESSAGES) this.flush();
    // Larger than any batch: written at once.
    if (length > MAX_LENGTH) return;
    this.#length += length;
    this.#messages += 1;
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#socket.cork();
    flushAtEndOfTick(this);
  }

  /** Writes the messages. */
  flush() {
    this.#length = 0;
    this.#messages = 0;
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#socket?.uncork();
  }
}

/** The batches that were begun in this tick. @type {WriteBatch[]} */
const begun = [];

const flushAll = () => {
  for (const batch of begun.splice(0)) batch.flush();
};

let isFlushedOnExit = false;

/** @param {WriteBatch} batch */
const flushAtEndOfTick = (batch) => {
  if (!isFlushedOnExit) {
    // A program may send a message and exit in the same tick.
    process?.on("exit", flushAll);
    isFlushedOnExit = true;
  }
  // This runs after the callbacks of all promises that are ready, which may make the next calls.
  if (begun.push(batch) === 1) process?.nextTick(flushAll);
};

/** @param {unknown} socket @returns {socket is Corkable} */
const isCorkable = (socket) =>
  typeof socket === "object" &&
  socket !== null &&
  "cork" in socket &&
  typeof socket.cork === "function" &&
  "uncork" in socket &&
  typeof socket.uncork === "function";
