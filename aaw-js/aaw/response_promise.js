// The promise of a call that has one response.

/** @import { CallObserver } from "./driver.js" */
/** @import { CallResult } from "./output_queue.js" */
/** @import { PendingCall } from "./pending_call.js" */

/** Settles the promise of `sendAsync`: the `CallObserver` of its call. */
export class ResponsePromise {
  /** @type {PendingCall<CallObserver> | null} */
  call = null;
  /** Removes the listener of the call's signal. @type {(() => void) | null} */
  stopListening = null;

  /**
   * @param {string} event
   * @param {(data: any) => void} resolve
   * @param {(error: unknown) => void} reject
   * @param {(event: string, result: CallResult) => void} emitResult Passes the result to the listeners of the event.
   */
  constructor(event, resolve, reject, emitResult) {
    this.event = event;
    this.resolve = resolve;
    this.reject = reject;
    this.emitResult = emitResult;
  }

  /** @param {CallResult} result */
  handleDone(result) {
    this.stopListening?.();
    this.emitResult(this.event, result);
    if (result.type === "failed") this.reject(result.error);
    else this.resolve(result.type === "response" ? result.data : null);
  }
}
