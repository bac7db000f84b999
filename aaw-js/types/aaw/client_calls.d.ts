/** The client calls of the current connection that have no response yet. */
export class ClientCalls {
    /** @param {import("./output_queue.js").OutputQueue<any>} outputs */
    constructor(outputs: import("./output_queue.js").OutputQueue<any>);
    /**
     * The server makes a call, or cancels one.
     *
     * @param {Frame} frame
     * @param {number} id Negative.
     * @throws {BadFrame} The id was used before, or, for a cancellation, never; or the kind is not allowed.
     */
    handleFrame({ event, data, kind }: Frame, id: number): void;
    /**
     * Responds to a call. Does nothing if the call was cancelled or its connection is gone. A response that exceeds
     * `maxMessage` bytes becomes a `too_large` error.
     *
     * @param {ClientCall} call
     * @param {string} json
     * @param {number} maxMessage
     */
    respond(call: ClientCall, json: string, maxMessage: number): void;
    /** The same, with an error. @param {ClientCall} call @param {Failure} failure */
    respondError(call: ClientCall, failure: Failure): void;
    /** The connection is lost or being closed, so no response can be delivered. */
    cancelAll(): void;
    /** A new connection begins, with ids of its own. */
    reset(): void;
    #private;
}
export type Failure = import("./call_error.js").Failure;
export type Frame = import("./frame.js").Frame;
export type ClientCall = import("./output_queue.js").ClientCall;
