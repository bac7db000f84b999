// Server-sent events of any response, as an async iterable.

import { CallError } from "./call_error.js";
import { invalid, limit, object } from "./check.js";
import { SseParser } from "./sse_parser.js";

/** @import { ServerSentEvent } from "./sse_parser.js" */

/**
 * @typedef {object} SseOptions
 * @property {number} [maxEvent] The size limit of one event in characters, including field names and an unfinished
 *   line. A larger one makes the iteration throw an `EventTooLarge`, and the body is cancelled. `Infinity`: none.
 *   Default 4 Mi (4194304).
 */

const DEFAULT_MAX_EVENT = 4 << 20;

/**
 * Reads server-sent events from a `fetch` response, whatever the method and the server:
 * `for await (const { event, data, id } of aaw.sse(await fetch(url, { method: "POST" }))) …`.
 *
 * The body is read only as the loop requests events, and leaving the loop cancels it, which ends the request. The
 * iteration throws the body's errors, and a `CallError` with the code `http_STATUS` if the response is not `ok`. It
 * does not reconnect.
 *
 * @param {Response | ReadableStream<Uint8Array>} response
 * @param {SseOptions} [options]
 * @returns {SseStream}
 * @throws {TypeError} An argument is invalid: a promise of a response, for example.
 */
export function sse(response, options) {
  if (typeof response !== "object" || response === null || !("body" in response || "getReader" in response)) {
    throw invalid("the response", "a Response or a ReadableStream", response);
  }
  const { maxEvent } = object("the options of sse", options);
  return new SseStream(response, limit("the option `maxEvent`", maxEvent, DEFAULT_MAX_EVENT));
}

/**
 * The events of a response, to be read once with `for await`.
 *
 * @implements {AsyncIterableIterator<ServerSentEvent, undefined>}
 */
export class SseStream {
  #reader;
  #parser;
  #decoder = new TextDecoder();
  /** The events of the last chunk. @type {Iterator<ServerSentEvent, void>} */
  #events = [][Symbol.iterator]();
  /** The error of a response that is not `ok`, which the first `next` throws. @type {unknown} */
  #responseError = null;
  #isOver = false;
  /** The previous `next`: concurrent ones run one after the other. @type {Promise<unknown>} */
  #previous = Promise.resolve();

  /** @param {Response | ReadableStream<Uint8Array>} response @param {number} maxEvent @internal */
  constructor(response, maxEvent) {
    const body = "body" in response ? response.body : response;
    this.#parser = new SseParser(maxEvent);
    this.#reader = body?.getReader() ?? null;
    if ("ok" in response && !response.ok) {
      const error = `The server responded with ${response.status} ${response.statusText}`.trim();
      this.#responseError = new CallError({ error, code: `http_${response.status}` }, { sent: true });
    }
  }

  /** Resolves with the next event. @returns {Promise<IteratorResult<ServerSentEvent, undefined>>} */
  next() {
    const next = this.#previous.then(() => this.#next());
    this.#previous = next.catch(() => {});
    return next;
  }

  /**
   * Cancels the body, as leaving the loop does.
   *
   * @returns {Promise<IteratorResult<ServerSentEvent, undefined>>}
   */
  async return() {
    // Does not wait for a pending `next`, which ends because the body is cancelled.
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
      if (this.#responseError) throw this.#responseError;
      while (!this.#isOver) {
        const event = this.#events.next();
        if (!event.done) return event;
        if (!this.#reader) break;
        const { value, done } = await this.#reader.read();
        if (done) break;
        // The decoder removes the byte order mark, keeps an incomplete character for the next chunk, and replaces
        // invalid bytes with U+FFFD.
        this.#events = this.#parser.push(this.#decoder.decode(value, { stream: true }));
      }
      this.#isOver = true;
      return { value: undefined, done: true };
    } catch (error) {
      this.#responseError = null;
      this.#isOver = true;
      await this.#cancel();
      throw error;
    }
  }

  async #cancel() {
    try {
      await this.#reader?.cancel();
    } catch {
      // The body has failed already, and its error was thrown by `next`.
    }
  }
}
