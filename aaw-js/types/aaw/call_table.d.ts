/** @typedef {import("./encoded_message.js").EncodedMessage} EncodedMessage */
/**
 * @template W
 * @typedef {import("./pending_call.js").PendingCall<W>} PendingCall
 */
/**
 * A call is either queued or written. Queued calls survive the loss of a connection; written ones end with it.
 *
 * @template W
 */
export class CallTable<W> {
    /** @param {{ calls: number, sends: number }} limits Of the wait queue, in bytes. */
    constructor(limits: {
        calls: number;
        sends: number;
    });
    /** Adds a call to the queue. @param {PendingCall<W>} call @throws {CallError} `busy` */
    add(call: PendingCall<W>): void;
    /** Adds a one-way send to the queue. @param {EncodedMessage} message @throws {CallError} `busy` */
    addSend(message: EncodedMessage): void;
    /** The first call or one-way send that waits to be written. */
    get firstQueued(): import("./wait_queue.js").QueuedMessage<import("./pending_call.js").PendingCall<W>> | null;
    /** Removes a one-way send. @param {import("./wait_queue.js").QueuedMessage<PendingCall<W>>} item */
    removeSend(item: import("./wait_queue.js").QueuedMessage<PendingCall<W>>): void;
    /** Takes a call from the queue and assigns its id. @param {PendingCall<W>} call @returns {number} */
    markWritten(call: PendingCall<W>): number;
    /** @param {PendingCall<W>} call */
    remove(call: PendingCall<W>): void;
    /** Assigns an id that no call of this connection has. @returns {number} */
    allocateId(): number;
    /** Whether a call of this connection has or had the id. @param {number} id */
    wasAllocated(id: number): boolean;
    /** A new connection begins, with ids of its own. */
    resetIds(): void;
    /** @param {W} observer */
    get(observer: W): import("./pending_call.js").PendingCall<W> | undefined;
    /** @param {number} id */
    byId(id: number): import("./pending_call.js").PendingCall<W> | undefined;
    get size(): number;
    get inFlight(): number;
    /** The calls that were written, in their order. */
    written(): import("./pending_call.js").PendingCall<W>[];
    /** When to call `expired`, at the latest. */
    pollTimeout(): number;
    /** Returns the calls whose deadline has passed. The caller has to remove them. @param {number} now */
    expired(now: number): import("./pending_call.js").PendingCall<W>[];
    #private;
}
export type EncodedMessage = import("./encoded_message.js").EncodedMessage;
export type PendingCall<W> = import("./pending_call.js").PendingCall<W>;
