// The instructions of a `ClientConnection` to its driver. All parts of the connection append to one queue.

import { CallError } from "./call_error.js";

/** @import { Failure } from "./call_error.js" */

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
 * - `abort`: drop the socket, or the attempt to connect, at once. The connection expects no event about it. `willResume`:
 *   the close code has to tell the server that the state of the connection is still needed. `isReported`: the application
 *   has been told.
 * - `item`, `uploadCredit`, `callDone`: an event of a call. Each call ends with exactly one `callDone`.
 * - `push`: the server sent an event on its own.
 * - `clientCall`: the server makes a call, which ends with `respond` or `respondError`; or with `clientCallCancelled`.
 * - `tokenChanged`: the session is a new one, or has ended (`null`). `unauthorized`: the server has ended it.
 * - `opened`: the connection can be used. `isRestored`: an earlier page has begun it.
 * - `interrupted`: its socket is gone; the connection goes on with the next one, if that is there in time: `resumed`. Or
 *   not: `over`.
 * - `gap`: the server has dropped pushes.
 * - `warning`: an error that belongs to no call.
 * - `closed`: the client was closed; this is the last output.
 *
 * @template W
 * @typedef {{ type: "connect" } | { type: "send", text: string } | { type: "close" } |
 *   { type: "abort", reason: string, willResume: boolean, isReported: boolean } | { type: "item", observer: W, data: unknown } |
 *   { type: "uploadCredit", observer: W, items: number } |
 *   { type: "callDone", observer: W, result: CallResult } | { type: "push", event: string, data: unknown } |
 *   { type: "clientCall", call: ClientCall, data: unknown } | { type: "clientCallCancelled", call: ClientCall } |
 *   { type: "tokenChanged", token: string | null } | { type: "unauthorized", error: CallError } |
 *   { type: "opened", connection: string | null, isRestored: boolean } | { type: "interrupted", reason: string } | { type: "resumed" } |
 *   { type: "over", reason: string } | { type: "gap", lost: number } | { type: "warning", error: CallError } |
 *   { type: "closed" }} Output
 */

/** A call that the server has failed. @param {Failure} failure @returns {CallResult} */
export const failedByServer = (failure) => ({
  type: "failed",
  error: new CallError(failure, { sent: true, taken: true }),
  isFromServer: true,
});

/** @template W */
export class OutputQueue {
  /** @type {Output<W>[]} */
  #outputs = [];

  get isEmpty() {
    return this.#outputs.length === 0;
  }

  /** @param {Output<W>} output */
  push(output) {
    this.#outputs.push(output);
  }

  /** @param {string} text */
  send(text) {
    this.#outputs.push({ type: "send", text });
  }

  /** @param {Failure} failure */
  warn(failure) {
    this.#outputs.push({ type: "warning", error: new CallError(failure, { sent: false }) });
  }

  /** Ends a call with an error of the client itself. @param {W} observer @param {CallError} error */
  fail(observer, error) {
    this.#outputs.push({ type: "callDone", observer, result: { type: "failed", error, isFromServer: false } });
  }

  /** @returns {Output<W> | undefined} */
  shift() {
    return this.#outputs.shift();
  }

  /** Removes what was meant for a connection that is lost. */
  discardFrames() {
    this.#outputs = this.#outputs.filter(({ type }) => type !== "send" && type !== "close");
  }
}
