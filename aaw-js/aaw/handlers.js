// What this client answers when the server asks.

import { CallError } from "./failure.js";
import { toJson } from "./frame.js";

/** @typedef {import("./asks.js").Ask} Ask */
/** @typedef {import("./failure.js").Failure} Failure */

/**
 * Answers a call of the server: with what it returns, or resolves with. What it throws reaches the server as a failure
 * with the code `handler`.
 *
 * @callback Handler
 * @param {any} body
 * @param {{ signal: AbortSignal }} call The signal is aborted once nobody waits for the answer: the server gave up, or
 *   the connection is lost.
 * @returns {unknown}
 */

/**
 * Who hears what a handler makes of a call.
 *
 * @typedef {object} Replies
 * @property {(ask: Ask, json: string) => void} reply
 * @property {(ask: Ask, failure: Failure) => void} replyFailure
 */

/** Handlers by the name of the event, one each, and the calls that they are at. */
export class Handlers {
  /** @type {Map<string, Handler>} */
  #handlers = new Map();
  /** @type {Map<Ask, AbortController>} */
  #running = new Map();

  /**
   * @param {string} event
   * @param {Handler} handler
   * @returns {() => void} Takes it away again. What it is at goes on.
   * @throws {TypeError} The event has a handler already.
   */
  add(event, handler) {
    if (this.#handlers.has(event)) throw new TypeError(`aaw: ${event} is handled already`);
    this.#handlers.set(event, handler);
    return () => {
      if (this.#handlers.get(event) === handler) this.#handlers.delete(event);
    };
  }

  /** @param {Ask} ask @param {unknown} body @param {Replies} replies */
  async handleAsked(ask, body, replies) {
    const handler = this.#handlers.get(ask.event);
    if (!handler) {
      const name = ask.event.length > 200 ? `${ask.event.slice(0, 200)}…` : ask.event;
      replies.replyFailure(ask, { error: `Unknown event: ${name}`, code: "unknown_event" });
      return;
    }
    const controller = new AbortController();
    this.#running.set(ask, controller);
    try {
      replies.reply(ask, toJson(await handler(body, { signal: controller.signal })));
    } catch (error) {
      replies.replyFailure(ask, thrown(error));
    } finally {
      this.#running.delete(ask);
    }
  }

  /** @param {Ask} ask */
  handleCancelled(ask) {
    const reason = { error: "Nobody waits for the answer any more", code: "cancelled" };
    this.#running.get(ask)?.abort(new CallError(reason, { sent: true }));
  }
}

/** @param {unknown} error @returns {Failure} */
const thrown = (error) => {
  const text = error instanceof Error ? error.message : String(error);
  return { error: text || "The handler failed", code: "handler" };
};
