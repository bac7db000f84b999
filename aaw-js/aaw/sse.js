// Server-sent events of any response, as an async iterable.

import { CallError } from "./failure.js";
import { SseParser } from "./sse_parser.js";

/** @typedef {import("./sse_parser.js").ServerSentEvent} ServerSentEvent */

/**
 * @typedef {object} SseOptions
 * @property {number} [maxEvent] Characters that one event may have, its field names and a line that has not ended yet
 *   included. Past it the iteration throws an `EventTooLarge`, and the body is cancelled. Default 4 Mi (4194304).
 */

const MAX_EVENT = 4 << 20;

/**
 * Reads server-sent events from what `fetch` gave, with any method, body and headers:
 * `for await (const { event, data, id } of aaw.sse(await fetch(url, { method: "POST" }))) …`.
 *
 * Nothing is read ahead of the loop, and leaving it cancels the body, which ends the request. The iteration throws
 * what the body fails with, and an error if the response is not `ok`. It does not reconnect.
 *
 * @param {Response | ReadableStream<Uint8Array>} response
 * @param {SseOptions} [options]
 * @returns {SseStream}
 */
export const sse = (response, { maxEvent = MAX_EVENT } = {}) => new SseStream(response, maxEvent);

/** @implements {AsyncIterableIterator<ServerSentEvent, undefined>} */
export class SseStream {
  #reader;
  #parser;
  #decoder = new TextDecoder();
  /** Events of the chunk that was read last. @type {Iterator<ServerSentEvent, void>} */
  #events = [][Symbol.iterator]();
  /** What the first `next` throws. @type {unknown} */
  #refusal = null;
  #isOver = false;
  /** Reads one after the other, however they are asked for. @type {Promise<unknown>} */
  #turn = Promise.resolve();

  /** @param {Response | ReadableStream<Uint8Array>} response @param {number} maxEvent */
  constructor(response, maxEvent) {
    const body = "body" in response ? response.body : response;
    this.#parser = new SseParser(maxEvent);
    this.#reader = body?.getReader() ?? null;
    if ("ok" in response && !response.ok) {
      const error = `The server answered ${response.status} ${response.statusText}`.trim();
      this.#refusal = new CallError({ error, code: `http_${response.status}` }, { sent: true });
    }
  }

  /** @returns {Promise<IteratorResult<ServerSentEvent, undefined>>} */
  next() {
    const next = this.#turn.then(() => this.#next());
    this.#turn = next.catch(() => {});
    return next;
  }

  /**
   * Leaves the stream, as `break` does: the body is cancelled.
   *
   * @returns {Promise<IteratorResult<ServerSentEvent, undefined>>}
   */
  async return() {
    // Not in turn: a read that waits ends by it.
    this.#isOver = true;
    await this.#cancel();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @returns {Promise<IteratorResult<ServerSentEvent, undefined>>} */
  async #next() {
    try {
      if (this.#refusal) throw this.#refusal;
      while (!this.#isOver) {
        const event = this.#events.next();
        if (!event.done) return event;
        if (!this.#reader) break;
        const { value, done } = await this.#reader.read();
        if (done) break;
        // Drops the byte order mark, keeps what is left of a character for the next chunk, and puts U+FFFD where bytes
        // are none.
        this.#events = this.#parser.push(this.#decoder.decode(value, { stream: true }));
      }
      this.#isOver = true;
      return { value: undefined, done: true };
    } catch (error) {
      this.#refusal = null;
      this.#isOver = true;
      await this.#cancel();
      throw error;
    }
  }

  async #cancel() {
    try {
      await this.#reader?.cancel();
    } catch {
      // It had failed already, and that was said.
    }
  }
}
