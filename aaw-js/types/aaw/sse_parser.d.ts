/**
 * @typedef {object} ServerSentEvent
 * @property {string} event The event's type; `message` by default.
 * @property {string} data
 * @property {string} id The id of this event, or else of the last event that had one; empty if none had.
 * @property {number} [retry] The reconnection time in ms, if the server has sent one since the previous event.
 */
/** An event exceeds the size limit. */
export class EventTooLarge extends Error {
    /** @param {number} limit */
    constructor(limit: number);
    /** The kind of error, as in a `CallError`. */
    code: string;
}
/** An incremental parser. Chunks may end anywhere, even between CR and LF. */
export class SseParser {
    /** @param {number} limit The size limit of one event: the characters of its lines together. */
    constructor(limit: number);
    /**
     * Parses the next chunk, and yields the events that it completes. An event that is incomplete at the end of the
     * stream is discarded, as the standard requires.
     *
     * @param {string} text
     * @returns {Generator<ServerSentEvent, void>}
     * @throws {EventTooLarge} The current event exceeds the limit.
     */
    push(text: string): Generator<ServerSentEvent, void>;
    #private;
}
export type ServerSentEvent = {
    /**
     * The event's type; `message` by default.
     */
    event: string;
    data: string;
    /**
     * The id of this event, or else of the last event that had one; empty if none had.
     */
    id: string;
    /**
     * The reconnection time in ms, if the server has sent one since the previous event.
     */
    retry?: number | undefined;
};
