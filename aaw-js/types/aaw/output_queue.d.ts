/** @typedef {import("./call_error.js").Failure} Failure */
/**
 * A call that the server makes to this client. Calls are distinguished by the identity of this object, because the next
 * connection uses the same ids again.
 *
 * @typedef {object} ClientCall
 * @property {number} id Negative.
 * @property {string} event
 */
/**
 * How a call ended. `isFromServer`: the server sent the error, as opposed to the client itself.
 *
 * @typedef {{ type: "response", data: unknown } | { type: "streamEnded" } |
 *   { type: "failed", error: CallError, isFromServer: boolean }} CallResult
 */
/**
 * An instruction to the driver. `W` is the type of the observer that the driver passed with a call; the connection only
 * passes it back.
 *
 * - `connect`: make one attempt, then call `handleConnected` or `handleConnectFailed`.
 * - `send`: write this text message.
 * - `close`: close the socket after what was written, then call `handleDisconnected`.
 * - `abort`: drop the socket, or the attempt to connect, at once. The connection expects no event about it.
 * - `item`, `uploadCredit`, `callDone`: an event of a call. Each call ends with exactly one `callDone`.
 * - `push`: the server sent an event on its own.
 * - `clientCall`: the server makes a call, which ends with `respond` or `respondError`; or with `clientCallCancelled`.
 * - `tokenChanged`: the session is a new one, or has ended (`null`). `unauthorized`: the server has ended it.
 * - `opened`: the connection can be used.
 * - `warning`: an error that belongs to no call.
 * - `closed`: the client was closed; this is the last output.
 *
 * @template W
 * @typedef {{ type: "connect" } | { type: "send", text: string } | { type: "close" } |
 *   { type: "abort", reason: string } | { type: "item", observer: W, data: unknown } |
 *   { type: "uploadCredit", observer: W, items: number } |
 *   { type: "callDone", observer: W, result: CallResult } | { type: "push", event: string, data: unknown } |
 *   { type: "clientCall", call: ClientCall, data: unknown } | { type: "clientCallCancelled", call: ClientCall } |
 *   { type: "tokenChanged", token: string | null } | { type: "unauthorized", error: CallError } |
 *   { type: "opened", connection: string | null } | { type: "warning", error: CallError } |
 *   { type: "closed" }} Output
 */
/** @template W */
export class OutputQueue<W> {
    get isEmpty(): boolean;
    /** @param {Output<W>} output */
    push(output: Output<W>): void;
    /** @param {string} text */
    send(text: string): void;
    /** @param {Failure} failure */
    warn(failure: Failure): void;
    /** Ends a call with an error of the client itself. @param {W} observer @param {CallError} error */
    fail(observer: W, error: CallError): void;
    /** @returns {Output<W> | undefined} */
    shift(): Output<W> | undefined;
    /** Removes what was meant for a connection that is lost. */
    discardFrames(): void;
    #private;
}
export type Failure = import("./call_error.js").Failure;
/**
 * A call that the server makes to this client. Calls are distinguished by the identity of this object, because the next
 * connection uses the same ids again.
 */
export type ClientCall = {
    /**
     * Negative.
     */
    id: number;
    event: string;
};
/**
 * How a call ended. `isFromServer`: the server sent the error, as opposed to the client itself.
 */
export type CallResult = {
    type: "response";
    data: unknown;
} | {
    type: "streamEnded";
} | {
    type: "failed";
    error: CallError;
    isFromServer: boolean;
};
/**
 * An instruction to the driver. `W` is the type of the observer that the driver passed with a call; the connection only
 * passes it back.
 *
 * - `connect`: make one attempt, then call `handleConnected` or `handleConnectFailed`.
 * - `send`: write this text message.
 * - `close`: close the socket after what was written, then call `handleDisconnected`.
 * - `abort`: drop the socket, or the attempt to connect, at once. The connection expects no event about it.
 * - `item`, `uploadCredit`, `callDone`: an event of a call. Each call ends with exactly one `callDone`.
 * - `push`: the server sent an event on its own.
 * - `clientCall`: the server makes a call, which ends with `respond` or `respondError`; or with `clientCallCancelled`.
 * - `tokenChanged`: the session is a new one, or has ended (`null`). `unauthorized`: the server has ended it.
 * - `opened`: the connection can be used.
 * - `warning`: an error that belongs to no call.
 * - `closed`: the client was closed; this is the last output.
 */
export type Output<W> = {
    type: "connect";
} | {
    type: "send";
    text: string;
} | {
    type: "close";
} | {
    type: "abort";
    reason: string;
} | {
    type: "item";
    observer: W;
    data: unknown;
} | {
    type: "uploadCredit";
    observer: W;
    items: number;
} | {
    type: "callDone";
    observer: W;
    result: CallResult;
} | {
    type: "push";
    event: string;
    data: unknown;
} | {
    type: "clientCall";
    call: ClientCall;
    data: unknown;
} | {
    type: "clientCallCancelled";
    call: ClientCall;
} | {
    type: "tokenChanged";
    token: string | null;
} | {
    type: "unauthorized";
    error: CallError;
} | {
    type: "opened";
    connection: string | null;
} | {
    type: "warning";
    error: CallError;
} | {
    type: "closed";
};
import { CallError } from "./call_error.js";
