/** @typedef {import("./encoded_message.js").EncodedMessage} EncodedMessage */
/**
 * @typedef {object} CallSettings
 * @property {number} [deadline] When the call fails with `timeout`, in ms on the connection's clock. Default: never.
 * @property {number} [credit] The response is read as a stream, and the server may send this many items at first.
 * @property {boolean} [upload] The caller sends items too.
 * @property {boolean} [isSend] The call stands for a one-way send whose responses are passed to listeners. On a
 *   classic connection it is written as a one-way send and ends without an output, because responses arrive there as
 *   pushes. On a v1 connection it is a call.
 */
/**
 * A call and the item counts of its streams, in both directions. It stores no items: an item that arrives is passed on
 * at once, and one of an upload is written at once.
 *
 * @template W
 */
export class PendingCall<W> {
    /**
     * @param {W} observer
     * @param {EncodedMessage} message
     * @param {number} now
     * @param {CallSettings} settings
     */
    constructor(observer: W, message: EncodedMessage, now: number, { deadline, credit, upload, isSend }: CallSettings);
    /** The id on the current connection; `null` while the call waits in the queue. @type {number | null} */
    id: number | null;
    /** Its entry in the wait queue. @type {import("./wait_queue.js").QueuedMessage<PendingCall<W>>} */
    queued: import("./wait_queue.js").QueuedMessage<PendingCall<W>>;
    observer: W;
    event: string;
    deadline: number;
    /** The time that the call has, in ms. */
    timeout: number;
    /** Items that the server may send in total; `null` if the caller reads a single response. */
    credit: number | null;
    upload: boolean;
    isSend: boolean;
    /**
     * The caller accepts items up to the `items`-th in total.
     *
     * @param {number} items
     * @returns {boolean} Whether the credit has increased.
     */
    grantCredit(items: number): boolean;
    /** Counts an item that has arrived. @returns {boolean} Whether there was credit for it. */
    acceptItem(): boolean;
    /**
     * The server accepts items up to the `items`-th in total.
     *
     * @param {number} items
     * @returns {boolean} Whether the credit has increased.
     */
    grantUploadCredit(items: number): boolean;
    /** Counts an item of the upload. @returns {boolean} Whether it may be written. */
    useUploadCredit(): boolean;
    #private;
}
export type EncodedMessage = import("./encoded_message.js").EncodedMessage;
export type CallSettings = {
    /**
     * When the call fails with `timeout`, in ms on the connection's clock. Default: never.
     */
    deadline?: number | undefined;
    /**
     * The response is read as a stream, and the server may send this many items at first.
     */
    credit?: number | undefined;
    /**
     * The caller sends items too.
     */
    upload?: boolean | undefined;
    /**
     * The call stands for a one-way send whose responses are passed to listeners. On a
     * classic connection it is written as a one-way send and ends without an output, because responses arrive there as
     * pushes. On a v1 connection it is a call.
     */
    isSend?: boolean | undefined;
};
