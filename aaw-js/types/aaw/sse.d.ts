export function sse(response: Response | ReadableStream<Uint8Array>, { maxEvent }?: SseOptions): SseStream;
/** @implements {AsyncIterableIterator<ServerSentEvent, undefined>} */
export class SseStream implements AsyncIterableIterator<ServerSentEvent, undefined> {
    /** @param {Response | ReadableStream<Uint8Array>} response @param {number} maxEvent */
    constructor(response: Response | ReadableStream<Uint8Array>, maxEvent: number);
    /** Resolves with the next event. @returns {Promise<IteratorResult<ServerSentEvent, undefined>>} */
    next(): Promise<IteratorResult<ServerSentEvent, undefined>>;
    /**
     * Cancels the body, as leaving the loop does.
     *
     * @returns {Promise<IteratorResult<ServerSentEvent, undefined>>}
     */
    return(): Promise<IteratorResult<ServerSentEvent, undefined>>;
    [Symbol.asyncIterator](): this;
    #private;
}
export type ServerSentEvent = import("./sse_parser.js").ServerSentEvent;
export type SseOptions = {
    /**
     * The size limit of one event in characters, including field names and an unfinished
     * line. A larger one makes the iteration throw an `EventTooLarge`, and the body is cancelled. Default 4 Mi (4194304).
     */
    maxEvent?: number | undefined;
};
