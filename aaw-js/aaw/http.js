// Calls over HTTP: for scripts that make a single call, and for networks that block WebSockets.

import { onAbort } from "./abort.js";
import { bindMethods } from "./bind_methods.js";
import { CallError, cancelled, outcomeUnknown, readFailure } from "./call_error.js";
import { callOptions, streamOptions } from "./call_options.js";
import { duration, flag, limit, object, optionalFunction } from "./check.js";
import { fromJson, toJson, wellFormed } from "./json.js";
import { SseStream } from "./sse.js";
import { httpUrl } from "./url.js";

/** @import { CallOptions, StreamOptions } from "./call_options.js" */

/**
 * @typedef {object} HttpOptions
 * @property {number} [timeout] The timeout of calls that do not set their own, in ms: a positive number, or
 *   `Infinity` for none. Default 3000.
 * @property {HeadersInit} [headers] Sent with every request, and read for each. A value that is `undefined` or `null`
 *   is an error.
 * @property {boolean} [bigint] Whether integers beyond 2^53 in responses become `BigInt`s. Default `false`.
 * @property {number} [maxItem] The size limit of one item of a stream, in characters. `Infinity`: none. Default
 *   16 Mi (16777216).
 * @property {typeof globalThis.fetch} [fetch] The function that makes requests. Default: the global `fetch`.
 */

const DEFAULT_MAX_ITEM = 16 << 20;

/**
 * Returns a client that makes one HTTP request for each call. It has no connection, so it receives no pushes.
 *
 * @param {string | URL} [url] The server's URL, with the scheme `http`, `https`, `ws` or `wss`. Default, in a page: the
 *   page's host.
 * @param {HttpOptions} [options]
 * @throws {TypeError} The URL or an option is invalid, or the URL is missing outside of a page.
 */
export function http(url, options) {
  return new HttpClient(httpUrl(url), options);
}

/** Calls events over HTTP. Its methods work without `this`. */
export class HttpClient {
  #url;
  #options;
  #timeout;
  #maxItem;
  #fetch;
  #bigint;

  /** @param {string} url @param {HttpOptions | null | undefined} given @internal */
  constructor(url, given) {
    bindMethods(this, "sendAsync", "stream");
    const options = object("the options of http", given);
    this.#url = url;
    this.#timeout = duration("the option `timeout`", options.timeout, 3000);
    this.#maxItem = limit("the option `maxItem`", options.maxItem, DEFAULT_MAX_ITEM);
    this.#fetch = optionalFunction("the option `fetch`", options.fetch);
    this.#bigint = flag("the option `bigint`", options.bigint);
    // They are read again for each request, because the application may change the object.
    readHeaders(options.headers);
    this.#options = options;
  }

  /**
   * Calls an event and resolves with its response. For a streaming event that is an array of its items; for a one-way
   * event, `null`.
   *
   * @template [T=any]
   * @param {string} event
   * @param {unknown} [payload] Any value that can be serialized to JSON.
   * @param {number | CallOptions} [options] The timeout in ms, or an object. Default 3000 ms.
   * @returns {Promise<T>} Rejects with a `CallError`, as over a WebSocket. If the server cannot be reached, its code is
   *   `outcome_unknown`, because `fetch` does not report whether the request was sent.
   */
  async sendAsync(event, payload, options) {
    const { timeout, signal } = callOptions(options, this.#timeout);
    const request = this.#post(event, payload, "application/json", signal, timeout);
    try {
      const response = await request.response;
      return response.status === 204 ? /** @type {T} */ (null) : fromJson(await response.text(), this.#bigint);
    } catch (error) {
      throw request.toCallError(error);
    } finally {
      request.release();
    }
  }

  /**
   * Calls a streaming event: `for await (const item of http.stream("users/all")) …`. The request is made at once, and
   * is aborted when the loop is left. A slow reader slows the handler down, through TCP's flow control.
   *
   * @template [T=any]
   * @param {string} event
   * @param {unknown} [payload]
   * @param {StreamOptions} [options]
   * @returns {HttpStream<T>}
   * @throws {CallError} `bad_body`: the payload cannot be serialized to JSON. `unknown_event`: no event can have this
   *   name.
   * @throws {TypeError} The options are invalid.
   */
  stream(event, payload, options) {
    const { signal } = streamOptions(options);
    const request = this.#post(event, payload, "text/event-stream", signal, Infinity);
    return new HttpStream(request, this.#maxItem, this.#bigint);
  }

  /**
   * @param {string} event
   * @param {unknown} payload
   * @param {string} accept
   * @param {AbortSignal | undefined} signal
   * @param {number} timeout
   */
  #post(event, payload, accept, signal, timeout) {
    const headers = readHeaders(this.#options.headers);
    headers.set("accept", accept);
    headers.set("content-type", "application/json");
    const init = { method: "POST", headers, body: toJson(payload) };
    return new CallRequest(
      this.#fetch ?? globalThis.fetch,
      `${this.#url}/events/${eventPath(event)}`,
      init,
      signal,
      timeout,
    );
  }
}

/** The request of one call, with its timeout and its signal. */
class CallRequest {
  #controller = new AbortController();
  /** Stops the timer and the listening to the caller's signal. */
  release;

  /**
   * @param {typeof globalThis.fetch} fetch
   * @param {string} url
   * @param {RequestInit} init
   * @param {AbortSignal | undefined} signal
   * @param {number} timeout
   */
  constructor(fetch, url, init, signal, timeout) {
    const onTimeout = () =>
      this.#controller.abort(new CallError({ error: "The request timed out", code: "timeout" }, { sent: true }));
    const timer = timeout <= MAX_TIMER_DELAY ? setTimeout(onTimeout, timeout) : undefined;
    const stopListening = onAbort(signal, (reason) => this.#controller.abort(cancelled(reason, { sent: true, taken: false })));
    this.release = () => {
      clearTimeout(timer);
      stopListening();
    };
    /** Rejects with the server's error if the status is not a success. */
    this.response = requireOk(fetch(url, { ...init, signal: this.#controller.signal }));
    // A stream that is never read would otherwise report an unhandled rejection.
    this.response.catch(() => {});
  }

  /** Aborts the request, if it is not over. */
  abort() {
    this.release();
    this.#controller.abort();
  }

  /** Converts an error of this request. @param {unknown} error @returns {CallError} */
  toCallError(error) {
    const { aborted, reason } = this.#controller.signal;
    if (aborted && reason instanceof CallError) return reason;
    if (error instanceof CallError) return error;
    // The `TypeError` of `fetch` does not distinguish a server that was not reached from a lost connection.
    return outcomeUnknown(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/**
 * The items of a response, to be read once with `for await`. Leaving the loop aborts the request, and the server drops
 * the handler. If the call fails, the error is thrown after the items that arrived before it.
 *
 * @template T
 * @implements {AsyncIterableIterator<T, undefined>}
 */
export class HttpStream {
  #request;
  #items;
  #isCancelled = false;

  /** @param {CallRequest} request @param {number} maxItem @param {boolean} bigint @internal */
  constructor(request, maxItem, bigint) {
    this.#request = request;
    this.#items = /** @type {AsyncGenerator<T, undefined>} */ (readItems(request, maxItem, bigint));
  }

  /** Resolves with the next item. @returns {Promise<IteratorResult<T, undefined>>} */
  async next() {
    try {
      return await this.#items.next();
    } catch (error) {
      if (this.#isCancelled) return { value: undefined, done: true };
      throw error;
    }
  }

  /** Cancels the stream, as leaving the loop does. @returns {Promise<IteratorResult<T, undefined>>} */
  async return() {
    this.#isCancelled = true;
    // Before the generator's `return`, which waits until a pending `next` has ended.
    this.#request.abort();
    await this.#items.return(undefined).catch(() => {});
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

/**
 * @param {CallRequest} request
 * @param {number} maxItem
 * @param {boolean} bigint
 * @returns {AsyncGenerator<unknown, undefined>}
 */
async function* readItems(request, maxItem, bigint) {
  try {
    const response = await request.response;
    // A one-way event has no items, and its response no body.
    if (response.status === 204) return;
    for await (const { event, data } of new SseStream(response, maxItem)) {
      if (event === "end") return;
      const item = fromJson(data, bigint);
      if (event === "failed") throw new CallError(readFailure(item), { sent: true, taken: true });
      yield item;
    }
    throw outcomeUnknown("the response ended before the stream did");
  } catch (error) {
    throw request.toCallError(error);
  } finally {
    request.abort();
  }
}

/** @param {Promise<Response>} request @throws {CallError} The status is not a success. */
const requireOk = async (request) => {
  const response = await request;
  if (response.ok) return response;
  throw new CallError(readErrorBody(await response.text(), response), { sent: true, taken: true });
};

/** @param {string} text @param {Response} response @returns {import("./call_error.js").Failure} */
const readErrorBody = (text, { status, statusText }) => {
  try {
    const failure = JSON.parse(text);
    if (typeof failure?.error === "string") return readFailure(failure);
  } catch {
    // Not an aaw server's response: it comes from a proxy, for example.
  }
  return { error: `The server responded with ${status} ${statusText}`.trim(), code: `http_${status}` };
};

/**
 * The path of an event's URL.
 *
 * @param {string} event
 * @throws {CallError} `unknown_event`: no event can have this name.
 */
const eventPath = (event) => {
  const parts = wellFormed(String(event)).split("/");
  // This also rejects `..`, which would change the path.
  if (parts.every((part) => /^[A-Za-z0-9]/.test(part))) return parts.map(encodeURIComponent).join("/");
  throw new CallError({ error: `Unknown event: ${event}`, code: "unknown_event" }, { sent: false });
};

/**
 * @param {HeadersInit | null | undefined} headers
 * @returns {Headers}
 * @throws {TypeError} A header is invalid. The message has its name but not its value, which may be secret.
 */
const readHeaders = (headers) => {
  if (headers === undefined || headers === null) return new Headers();
  if (typeof headers !== "object") object("the option `headers`", headers);
  const result = new Headers();
  const isList = Symbol.iterator in headers;
  const entries = /** @type {Iterable<[string, unknown]>} */ (isList ? headers : Object.entries(headers));
  for (const [name, value] of entries) {
    // `Headers` would send the text "undefined".
    if (value === undefined || value === null) throw new TypeError(`aaw: the header ${JSON.stringify(name)} is ${value}`);
    try {
      result.append(name, String(value));
    } catch {
      throw new TypeError(`aaw: the header ${JSON.stringify(name)} has an invalid name or value`);
    }
  }
  return result;
};

/** The longest delay that `setTimeout` supports, in ms. */
const MAX_TIMER_DELAY = 2 ** 31 - 1;
