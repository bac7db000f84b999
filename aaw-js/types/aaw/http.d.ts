export function http(url?: string | URL, options?: HttpOptions): HttpClient;
/** Calls events over HTTP. Its methods work without `this`. */
export class HttpClient {
    /** @param {string} url @param {HttpOptions} options */
    constructor(url: string, options: HttpOptions);
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
    sendAsync<T = any>(event: string, payload?: unknown, options?: number | CallOptions): Promise<T>;
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
     */
    stream<T = any>(event: string, payload?: unknown, options?: StreamOptions): HttpStream<T>;
    #private;
}
/**
 * The items of a response, to be read once with `for await`. Leaving the loop aborts the request, and the server drops
 * the handler. If the call fails, the error is thrown after the items that arrived before it.
 *
 * @template T
 * @implements {AsyncIterableIterator<T, undefined>}
 */
export class HttpStream<T> implements AsyncIterableIterator<T, undefined> {
    /** @param {CallRequest} request @param {number} maxItem */
    constructor(request: CallRequest, maxItem: number);
    /** Resolves with the next item. @returns {Promise<IteratorResult<T, undefined>>} */
    next(): Promise<IteratorResult<T, undefined>>;
    /** Cancels the stream, as leaving the loop does. @returns {Promise<IteratorResult<T, undefined>>} */
    return(): Promise<IteratorResult<T, undefined>>;
    [Symbol.asyncIterator](): this;
    #private;
}
export type CallOptions = import("./client.js").CallOptions;
export type StreamOptions = import("./stream.js").StreamOptions;
export type HttpOptions = {
    /**
     * The timeout of calls that do not set their own, in ms. Default 3000.
     */
    timeout?: number | undefined;
    /**
     * Sent with every request.
     */
    headers?: HeadersInit | undefined;
    /**
     * The size limit of one item of a stream, in characters. Default 16 Mi (16777216).
     */
    maxItem?: number | undefined;
    /**
     * The function that makes requests. Default: the global `fetch`.
     */
    fetch?: typeof fetch | undefined;
};
/** The request of one call, with its timeout and its signal. */
declare class CallRequest {
    /**
     * @param {typeof globalThis.fetch} fetch
     * @param {string} url
     * @param {RequestInit} init
     * @param {AbortSignal | undefined} signal
     * @param {number} timeout
     */
    constructor(fetch: typeof globalThis.fetch, url: string, init: RequestInit, signal: AbortSignal | undefined, timeout: number);
    /** Stops the timer and the listening to the caller's signal. */
    release: () => void;
    /** Rejects with the server's error if the status is not a success. */
    response: Promise<Response>;
    /** Aborts the request, if it is not over. */
    abort(): void;
    /** Converts an error of this request. @param {unknown} error @returns {CallError} */
    toCallError(error: unknown): CallError;
    #private;
}
import { CallError } from "./call_error.js";
export {};
