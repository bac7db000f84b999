/** @typedef {import("./driver.js").CallObserver} CallObserver */
/** @typedef {import("./driver.js").Driver} Driver */
/** @typedef {import("./encoded_message.js").EncodedMessage} EncodedMessage */
/** @typedef {import("./upload_buffer.js").UploadBuffer} UploadBuffer */
/**
 * @typedef {object} StreamOptions
 * @property {AbortSignal} [signal] Cancels the stream: the server drops the handler, items that were not read are
 *   discarded, and the iteration throws a `CallError` with the code `cancelled`.
 */
/**
 * The items of a response, to be read once with `for await`. Leaving the loop cancels the call, and the server drops
 * its handler.
 *
 * The server sends only as many items as the client has granted credit for: at first the option `window` (64 by
 * default), then more as they are read. So a slow reader slows the handler down. If the call fails, the error is thrown
 * after the items that arrived before it. If the connection is lost, that is a `CallError` with the code
 * `outcome_unknown`.
 *
 * @template T
 * @implements {AsyncIterableIterator<T, undefined>}
 */
export class ItemStream<T> implements AsyncIterableIterator<T, undefined> {
    /**
     * Makes the call at once, so that items can arrive before the first `next`.
     *
     * @param {Driver} driver
     * @param {EncodedMessage} message
     * @param {StreamOptions} options
     * @param {number} window The initial credit.
     * @param {UploadBuffer} [upload]
     */
    constructor(driver: Driver, message: EncodedMessage, { signal }: StreamOptions, window: number, upload?: UploadBuffer);
    /**
     * Resolves with the next item. It may be called again before the previous promise has resolved.
     *
     * @returns {Promise<IteratorResult<T, undefined>>}
     */
    next(): Promise<IteratorResult<T, undefined>>;
    /** Cancels the stream, as leaving the loop does. @returns {Promise<IteratorResult<T, undefined>>} */
    return(): Promise<IteratorResult<T, undefined>>;
    [Symbol.asyncIterator](): this;
    #private;
}
export type CallObserver = import("./driver.js").CallObserver;
export type Driver = import("./driver.js").Driver;
export type EncodedMessage = import("./encoded_message.js").EncodedMessage;
export type UploadBuffer = import("./upload_buffer.js").UploadBuffer;
export type StreamOptions = {
    /**
     * Cancels the stream: the server drops the handler, items that were not read are
     * discarded, and the iteration throws a `CallError` with the code `cancelled`.
     */
    signal?: AbortSignal | undefined;
};
