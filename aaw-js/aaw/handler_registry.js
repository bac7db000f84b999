// The handlers of client calls, which an application registers with `handle`.

import { CallError } from "./call_error.js";
import { toJson } from "./json.js";

/** @import { Failure } from "./call_error.js" */
/** @import { ClientCall } from "./output_queue.js" */

/**
 * Handles a call that the server makes. The response is what it returns, or what the returned promise resolves with. If
 * it throws or rejects, the call fails with the error's message and the code `handler`.
 *
 * @callback Handler
 * @param {any} body
 * @param {{ signal: AbortSignal }} call The signal is aborted when the server no longer waits for the response: it has
 *   cancelled the call, or the connection is lost.
 * @returns {unknown}
 */

/**
 * Receives the result of a client call.
 *
 * @typedef {object} Responder
 * @property {(call: ClientCall, json: string) => void} respond
 * @property {(call: ClientCall, failure: Failure) => void} respondError
 */

/** Characters of an event's name that an error message contains. */
const MAX_NAME_LENGTH = 200;

/** One handler for each event, and the client calls that are running. */
export class HandlerRegistry {
  /** @type {Map<string, Handler>} */
  #handlers = new Map();
  /** @type {Map<ClientCall, AbortController>} */
  #running = new Map();

  /**
   * @param {string} event
   * @param {Handler} handler
   * @returns {() => void} Removes the handler. Calls that are running continue.
   * @throws {TypeError} The event has a handler already.
   */
  add(event, handler) {
    if (this.#handlers.has(event)) throw new TypeError(`aaw: the event ${event} has a handler already`);
    this.#handlers.set(event, handler);
    return () => {
      if (this.#handlers.get(event) === handler) this.#handlers.delete(event);
    };
  }

  /**
   * Runs the handler of a call, and passes on its result.
   *
   * @param {ClientCall} call
   * @param {unknown} body
   * @param {Responder} responder
   */
  async handleCall(call, body, responder) {
    const handler = this.#handlers.get(call.event);
    if (!handler) {
      const name = call.event.length > MAX_NAME_LENGTH ? `${call.event.slice(0, MAX_NAME_LENGTH)}…` : call.event;
      responder.respondError(call, { error: `Unknown event: ${name}`, code: "unknown_event" });
      return;
    }
    const controller = new AbortController();
    this.#running.set(call, controller);
    try {
      responder.respond(call, toJson(await handler(body, { signal: controller.signal })));
    } catch (error) {
      responder.respondError(call, handlerFailure(error));
    } finally {
      this.#running.delete(call);
    }
  }

  /** Aborts the signal of a call. @param {ClientCall} call */
  handleCancelled(call) {
    const reason = { error: "The server no longer waits for the response", code: "cancelled" };
    this.#running.get(call)?.abort(new CallError(reason, { sent: true }));
  }
}

/** @param {unknown} error What the handler threw. @returns {Failure} */
const handlerFailure = (error) => {
  const text = error instanceof Error ? error.message : String(error);
  return { error: text || "The handler failed", code: "handler" };
};
