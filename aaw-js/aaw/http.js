// The same events over HTTP: for scripts that call once, and where WebSockets do not get through.

import { onAbort } from "./abort.js";
import { bind } from "./bind.js";
import { CallError, cancelled, readFailure } from "./failure.js";
import { toJson } from "./frame.js";
import { SseStream } from "./sse.js";
import { httpUrl } from "./url.js";

/** @typedef {import("./client.js").CallOptions} CallOptions */
/** @typedef {import("./stream.js").StreamOptions} StreamOptions */

/**
 * @typedef {object} HttpOptions
 * @property {number} [timeout] How long a call waits if it does not say, in ms. Default 3000.
 * @property {HeadersInit} [headers] Sent with every request.
 * @property {number} [maxItem] Characters that one item of a stream may have. Default 16 Mi.
 * @property {typeof globalThis.fetch} [fetch] What to make requests with. Default: the global `fetch`.
 */

const MAX_ITEM = 16 << 20;

/**
 * A client that makes one request a call, and has no connection: nothing is pushed to it.
 *
 * @param {string | URL} [url] The server's: `http`, `https`, `ws` or `wss`. Default in a page: the host it is from.
 * @param {HttpOptions} [options]
 * @throws {TypeError} The URL is none.
 */
export const http = (url, options = {}) => new HttpClient(httpUrl(url), options);

/** Its methods need no `this`. */
export class HttpClient {
  #url;
  #options;

  /** @param {string} url @param {HttpOptions} options */
  constructor(url, options) {
    bind(this, "sendAsync", "stream");
    this.#url = url;
    this.#options = options;
  }

  /**
   * Calls an event and resolves with its answer. The items of one that answers many times are an array; a plain one
   * resolves with `null`.
   *
   * @template [T=any]
   * @param {string} event
   * @param {unknown} [payload] Anything that JSON can say.
   * @param {number | CallOptions} [options] A time-out in ms, or more. Default 3000.
   * @returns {Promise<T>} Rejects with a `CallError`, as over a WebSocket.
   */
  async sendAsync(event, payload, options = {}) {
    const { timeout = this.#options.timeout ?? 3000, signal } =
      typeof options === "number" ? { timeout: options } : (options ?? {});
    const request = this.#post(event, payload, "application/json", signal, timeout);
    try {
      const response = await request.response;
      return response.status === 204 ? /** @type {T} */ (null) : await response.json();
    } catch (error) {
      throw request.explain(error);
    } finally {
      request.forget();
    }
  }

  /**
   * Calls an event that answers many times: `for await (const item of http.stream("users/all")) …`. The request is
   * made at once, and ends with the loop. Who reads slowly slows the handler, by way of TCP.
   *
   * @template [T=any]
   * @param {string} event
   * @param {unknown} [payload]
   * @param {StreamOptions} [options]
   * @returns {HttpStream<T>}
   * @throws {CallError} `bad_body`: the payload cannot be JSON.
   */
  stream(event, payload, options = {}) {
    const request = this.#post(event, payload, "text/event-stream", options?.signal, Infinity);
    return new HttpStream(request, this.#options.maxItem ?? MAX_ITEM);
  }

  /**
   * @param {string} event
   * @param {unknown} payload
   * @param {string} accept
   * @param {AbortSignal | undefined} signal
   * @param {number} timeout
   */
  #post(event, payload, accept, signal, timeout) {
    const headers = new Headers(this.#options.headers);
    headers.set("accept", accept);
    headers.set("content-type", "application/json");
    const init = { method: "POST", headers, body: toJson(payload) };
    return new Post(
      this.#options.fetch ?? globalThis.fetch,
      `${this.#url}/events/${path(event)}`,
      init,
      signal,
      timeout,
    );
  }
}

/** A request under way, and why it was given up, if it was. */
class Post {
  #ended = new AbortController();
  /** Ends the clock and lets go of the signal. */
  forget;

  /**
   * @param {typeof globalThis.fetch} fetch
   * @param {string} url
   * @param {RequestInit} init
   * @param {AbortSignal | undefined} signal
   * @param {number} timeout
   */
  constructor(fetch, url, init, signal, timeout) {
    const late = () =>
      this.#ended.abort(new CallError({ error: "The request timed out", code: "timeout" }, { sent: true }));
    const timer = timeout <= LONGEST ? setTimeout(late, timeout) : undefined;
    const stopListening = onAbort(signal, (reason) => this.#ended.abort(cancelled(reason, true)));
    this.forget = () => {
      clearTimeout(timer);
      stopListening();
    };
    /** Rejects with what the server said, if that was no success. */
    this.response = answered(fetch(url, { ...init, signal: this.#ended.signal }));
    // Whoever uses it will see.
    this.response.catch(() => {});
  }

  /** Ends it as it stands. */
  leave() {
    this.forget();
    this.#ended.abort();
  }

  /** What an error of this request means to the caller. @param {unknown} error @returns {CallError} */
  explain(error) {
    const { aborted, reason } = this.#ended.signal;
    if (aborted && reason instanceof CallError) return reason;
    if (error instanceof CallError) return error;
    // A `TypeError` of fetch does not tell a server that was not reached from one that was and broke off.
    return unknown(error instanceof Error ? error.message : String(error), error);
  }
}

/**
 * The items of an answer, read with `for await`, once. Leaving the loop ends the request, and the server drops the
 * handler. A failure is thrown after the items that came before it.
 *
 * @template T
 * @implements {AsyncIterableIterator<T, undefined>}
 */
export class HttpStream {
  #request;
  #items;
  #hasLeft = false;

  /** @param {Post} request @param {number} maxItem */
  constructor(request, maxItem) {
    this.#request = request;
    this.#items = /** @type {AsyncGenerator<T, undefined>} */ (readItems(request, maxItem));
  }

  /** The next item. @returns {Promise<IteratorResult<T, undefined>>} */
  async next() {
    try {
      return await this.#items.next();
    } catch (error) {
      if (this.#hasLeft) return { value: undefined, done: true };
      throw error;
    }
  }

  /** Leaves the stream, as `break` does. @returns {Promise<IteratorResult<T, undefined>>} */
  async return() {
    this.#hasLeft = true;
    // First, or a `next` that waits would keep the generator waiting.
    this.#request.leave();
    await this.#items.return(undefined).catch(() => {});
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

/** @param {Post} request @param {number} maxItem @returns {AsyncGenerator<unknown, undefined>} */
async function* readItems(request, maxItem) {
  try {
    const response = await request.response;
    // A plain event has no items, and no stream of them.
    if (response.status === 204) return;
    for await (const { event, data } of new SseStream(response, maxItem)) {
      if (event === "end") return;
      const item = JSON.parse(data);
      if (event === "failed") throw new CallError(readFailure(item), { sent: true });
      yield item;
    }
    throw unknown("the response broke off", undefined);
  } catch (error) {
    throw request.explain(error);
  } finally {
    request.leave();
  }
}

/** @param {Promise<Response>} request @throws {CallError} The server failed the call. */
const answered = async (request) => {
  const response = await request;
  if (response.ok) return response;
  throw new CallError(readRefusal(await response.text(), response), { sent: true });
};

/** @param {string} text @param {Response} response @returns {import("./failure.js").Failure} */
const readRefusal = (text, { status, statusText }) => {
  try {
    const failure = JSON.parse(text);
    if (typeof failure?.error === "string") return readFailure(failure);
  } catch {
    // Something else stands between here and the server.
  }
  return { error: `The server answered ${status} ${statusText}`.trim(), code: `http_${status}` };
};

/** @param {string} event @throws {CallError} `unknown_event`: no event can have this name. */
const path = (event) => {
  const parts = String(event).split("/");
  // Above all not `..`, which would be another path of the server.
  if (parts.every((part) => /^[A-Za-z0-9]/.test(part))) return parts.map(encodeURIComponent).join("/");
  throw new CallError({ error: `Unknown event: ${event}`, code: "unknown_event" }, { sent: false });
};

/** @param {string} why @param {unknown} cause */
const unknown = (why, cause) =>
  new CallError({ error: `The outcome is unknown: ${why}`, code: "outcome_unknown" }, { sent: true, cause });

/** What timers can wait at most, in ms. */
const LONGEST = 2 ** 31 - 1;
