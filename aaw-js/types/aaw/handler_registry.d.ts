/** One handler for each event, and the client calls that are running. */
export class HandlerRegistry {
    /**
     * @param {string} event
     * @param {Handler} handler
     * @returns {() => void} Removes the handler. Calls that are running continue.
     * @throws {TypeError} The event has a handler already.
     */
    add(event: string, handler: Handler): () => void;
    /**
     * Runs the handler of a call, and passes on its result.
     *
     * @param {ClientCall} call
     * @param {unknown} body
     * @param {Responder} responder
     */
    handleCall(call: ClientCall, body: unknown, responder: Responder): Promise<void>;
    /** Aborts the signal of a call. @param {ClientCall} call */
    handleCancelled(call: ClientCall): void;
    #private;
}
export type Failure = import("./call_error.js").Failure;
export type ClientCall = import("./output_queue.js").ClientCall;
/**
 * Handles a call that the server makes. The response is what it returns, or what the returned promise resolves with. If
 * it throws or rejects, the call fails with the error's message and the code `handler`.
 */
export type Handler = (body: any, call: {
    signal: AbortSignal;
}) => unknown;
/**
 * Receives the result of a client call.
 */
export type Responder = {
    respond: (call: ClientCall, json: string) => void;
    respondError: (call: ClientCall, failure: Failure) => void;
};
