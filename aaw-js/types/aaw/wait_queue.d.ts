/** @typedef {import("./encoded_message.js").EncodedMessage} EncodedMessage */
/**
 * A call, or, without one, a one-way send. It is also the node of the queue's linked list.
 *
 * @template C
 * @typedef {object} QueuedMessage
 * @property {EncodedMessage} message
 * @property {C | null} call
 * @property {QueuedMessage<C> | null} [previous] Set by the queue.
 * @property {QueuedMessage<C> | null} [next] Set by the queue.
 */
/**
 * A first-in, first-out queue with one size limit for calls and another for one-way sends, in bytes. They share the
 * queue so that a one-way send does not overtake a call that was made before it. `C` is the type of the calls.
 *
 * A linked list, so that removing a call that timed out or was cancelled takes constant time however long the queue is.
 * (A `Set` keeps the order too, but finding its first element passes over all deleted ones.)
 *
 * @template C
 */
export class WaitQueue<C> {
    /** @param {{ calls: number, sends: number }} limits */
    constructor(limits: {
        calls: number;
        sends: number;
    });
    /**
     * Appends an item. If none of its kind is waiting, it is accepted whatever its size: messages have a size limit of
     * their own, which the caller checks.
     *
     * @param {QueuedMessage<C>} item
     * @throws {CallError} `busy`: the queue is full.
     */
    push(item: QueuedMessage<C>): void;
    get first(): QueuedMessage<C> | null;
    /** @param {QueuedMessage<C>} item An item of this queue, at any position. */
    remove(item: QueuedMessage<C>): void;
    #private;
}
export type EncodedMessage = import("./encoded_message.js").EncodedMessage;
/**
 * A call, or, without one, a one-way send. It is also the node of the queue's linked list.
 */
export type QueuedMessage<C> = {
    message: EncodedMessage;
    call: C | null;
    /**
     * Set by the queue.
     */
    previous?: QueuedMessage<C> | null | undefined;
    /**
     * Set by the queue.
     */
    next?: QueuedMessage<C> | null | undefined;
};
