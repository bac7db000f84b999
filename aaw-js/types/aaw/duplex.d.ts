/**
 * The items of a response, as in any stream, and an upload: a stream of items to the handler.
 *
 * The two directions are independent: the response continues after `end`. Leaving the loop ends both.
 *
 * @template U The type of the items that are sent.
 * @template T The type of the items that are read.
 * @extends {ItemStream<T>}
 */
export class Duplex<U, T> extends ItemStream<T> {
    /**
     * @param {import("./driver.js").Driver} driver
     * @param {import("./encoded_message.js").EncodedMessage} message
     * @param {import("./stream.js").StreamOptions} options
     * @param {number} window
     */
    constructor(driver: import("./driver.js").Driver, message: import("./encoded_message.js").EncodedMessage, options: import("./stream.js").StreamOptions, window: number);
    /**
     * Sends an item. Items that are sent without awaiting the previous ones keep their order; up to 1 MiB of them is
     * buffered until the server grants credit.
     *
     * @param {U} item
     * @returns {Promise<boolean>} `true` once the server had credit for the item and it was written; `false` if the call
     *   is over (the iteration says why) or `end` was called. Rejects with a `CallError` if the item cannot be serialized
     *   to JSON (`bad_body`), exceeds the size limit of messages (`too_large`), or does not fit in the buffer (`busy`).
     *   The call continues without the item.
     */
    send(item: U): Promise<boolean>;
    /** Ends the upload: the handler's stream ends after the items that were sent. */
    end(): void;
    #private;
}
import { ItemStream } from "./stream.js";
