/**
 * The written calls of each event, oldest first: a response belongs to the oldest call of its event.
 *
 * A call that timed out or was cancelled keeps its position for as long again as its timeout, because its response is
 * probably still to come and would otherwise be taken for that of the next call. It does not keep it longer, because
 * for an event that never responds each later response would be attributed to an earlier call.
 *
 * Servers of the classic dialect that echo ids need no matching. Whether a server does so is known from its first
 * response with an id.
 */
export class FifoMatcher {
    /** A call was written. @param {string} event @param {number} id */
    handleCallWritten(event: string, id: number): void;
    /**
     * A written call has timed out or was cancelled.
     *
     * @param {number} now
     * @param {string} event
     * @param {number} id
     * @param {number} timeout The time that the call had, in ms; `Infinity` if it had no timeout.
     */
    handleCallAbandoned(now: number, event: string, id: number, timeout: number): void;
    /**
     * Removes and returns the id of the call that a response without an id belongs to. The call may have been abandoned.
     *
     * @param {number} now
     * @param {string} event
     * @returns {number | undefined} `undefined` if no call matches: the message is a push.
     */
    match(now: number, event: string): number | undefined;
    /** The server echoes ids: from now on, a message without an id is a push. */
    disable(): void;
    /** A new connection begins. */
    reset(): void;
    #private;
}
