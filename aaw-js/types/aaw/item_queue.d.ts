/**
 * Items in order, then the end or an error. The queue itself has no size limit: the producer limits itself by what
 * `onTake` reports.
 *
 * @template T
 */
export class ItemQueue<T> {
    /** @param {() => void} [onTake] Called each time that an item was taken. */
    constructor(onTake?: () => void);
    /** @param {T} item */
    push(item: T): void;
    /** Ends the queue. Items that are in it can still be taken. */
    end(): void;
    /** Ends the queue with an error, which one `take` rejects with after the items. @param {unknown} error */
    fail(error: unknown): void;
    /** Discards the items that were not taken, and an error that was not reported. */
    clear(): void;
    /** Resolves with the next item, as soon as there is one. @returns {Promise<IteratorResult<T, undefined>>} */
    take(): Promise<IteratorResult<T, undefined>>;
    #private;
}
