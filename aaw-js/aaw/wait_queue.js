// Messages that wait to be written, in the order in which they were made.

import { CallError } from "./call_error.js";

/** @import { EncodedMessage } from "./encoded_message.js" */

/**
 * A call, or, without one, a one-way send. It is also the node of the queue's linked list.
 *
 * @template C
 * @typedef {object} QueuedMessage
 * @property {EncodedMessage} message
 * @property {C | null} call
 * @property {QueuedMessage<C> | null} [previous] Set by the queue.
 * @property {QueuedMessage<C> | null} [next] Set by the queue.
 */

/**
 * A first-in, first-out queue with one size limit for calls and another for one-way sends, in bytes. They share the
 * queue so that a one-way send does not overtake a call that was made before it. `C` is the type of the calls.
 *
 * A linked list, so that removing a call that timed out or was cancelled takes constant time however long the queue is.
 * (A `Set` keeps the order too, but finding its first element passes over all deleted ones.)
 *
 * @template C
 */
export class WaitQueue {
  /** @type {QueuedMessage<C> | null} */
  #first = null;
  /** @type {QueuedMessage<C> | null} */
  #last = null;
  #bytes = { calls: 0, sends: 0 };
  #limits;

  /** @param {{ calls: number, sends: number }} limits */
  constructor(limits) {
    this.#limits = limits;
  }

  /**
   * Appends an item. If none of its kind is waiting, it is accepted whatever its size: messages have a size limit of
   * their own, which the caller checks.
   *
   * @param {QueuedMessage<C>} item
   * @throws {CallError} `busy`: the queue is full.
   */
  push(item) {
    const kind = item.call ? "calls" : "sends";
    const limit = this.#limits[kind];
    if (this.#bytes[kind] > 0 && this.#bytes[kind] + item.message.size > limit) {
      const error = `The queue of messages that wait for the connection is full (limit: ${limit} bytes)`;
      throw new CallError({ error, code: "busy" }, { sent: false });
    }
    this.#bytes[kind] += item.message.size;
    item.previous = this.#last;
    item.next = null;
    if (this.#last) this.#last.next = item;
    else this.#first = item;
    this.#last = item;
  }

  get first() {
    return this.#first;
  }

  /** All messages, in their order. */
  *messages() {
    for (let item = this.#first; item; item = item.next ?? null) yield item;
  }

  /** The calls, in their order. */
  *calls() {
    for (const { call } of this.messages()) if (call) yield call;
  }

  /** @param {QueuedMessage<C>} item An item of this queue, at any position. */
  remove(item) {
    const { previous = null, next = null } = item;
    item.previous = item.next = null;
    if (previous) previous.next = next;
    else this.#first = next;
    if (next) next.previous = previous;
    else this.#last = previous;
    this.#bytes[item.call ? "calls" : "sends"] -= item.message.size;
  }
}
