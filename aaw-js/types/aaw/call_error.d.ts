/**
 * The error of a call as it is sent over the wire (PROTOCOL.md, section 7).
 *
 * @typedef {object} Failure
 * @property {unknown} error The message, for people. A string, except from servers of the original package, which may
 *   send any JSON value.
 * @property {string} [code] The kind of error, for programs. Default `handler`: the handler returned an error.
 * @property {unknown} [data] Details that the handler added.
 */
/**
 * Why a call failed, and whether the server may have received it.
 *
 * `code` is the server's (`unknown_event`, `handler`, `busy`, …) or one of the client's own:
 *
 * | code | meaning |
 * |---|---|
 * | `timeout` | No response arrived in time. If the server reports it, it has dropped the handler |
 * | `cancelled` | The call's `signal` was aborted; `name` is that of the signal's reason, usually `AbortError` |
 * | `outcome_unknown` | The call was sent, and then the connection was lost: it may or may not have run |
 * | `no_connection` | Not sent: the client is closed |
 * | `busy` | Not sent: the queue of waiting messages is full. (Servers use it too) |
 * | `too_large` | Not sent: the message exceeds the server's size limit. (From a server: the response does) |
 * | `bad_body` | Not sent: the payload cannot be serialized. (From a server: it does not match the event's type) |
 */
export class CallError extends Error {
    /**
     * @param {Failure} failure
     * @param {{ sent: boolean, cause?: unknown }} known
     */
    constructor({ error, code, data }: Failure, { sent, cause }: {
        sent: boolean;
        cause?: unknown;
    });
    /** The message, for people. */
    error: string;
    /** The kind of error, for programs. */
    code: string;
    /** Whether the server may have received the call. If `false`, the call is safe to retry. */
    sent: boolean;
    /** Details that the handler added. */
    data: unknown;
}
export function cancelled(cause: unknown, sent: boolean): CallError;
export function outcomeUnknown(reason: string, cause?: unknown): CallError;
export function readFailure(data: unknown): Failure;
/**
 * The error of a call as it is sent over the wire (PROTOCOL.md, section 7).
 */
export type Failure = {
    /**
     * The message, for people. A string, except from servers of the original package, which may
     * send any JSON value.
     */
    error: unknown;
    /**
     * The kind of error, for programs. Default `handler`: the handler returned an error.
     */
    code?: string | undefined;
    /**
     * Details that the handler added.
     */
    data?: unknown;
};
