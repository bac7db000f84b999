// The calls that have not ended, the queue they wait in, and their ids and deadlines.

import { WaitQueue } from "./wait_queue.js";

/** @import { EncodedMessage } from "./encoded_message.js" */

/**
 * @template W
 * @typedef {import("./pending_call.js").PendingCall<W>} PendingCall
 */

/**
 * A call is either queued or written. Queued calls survive the loss of a connection; written ones end with it.
 *
 * @template W
 */
export class CallTable {
  /** @type {Map<W, PendingCall<W>>} */
  #calls = new Map();
  /** The calls that were written on this connection, by id. @type {Map<number, PendingCall<W>>} */
  #written = new Map();
  /** @type {WaitQueue<PendingCall<W>>} */
  #queue;
  #nextId = 1;
  /** A lower bound of the earliest deadline. It may be too early, if the call with that deadline has ended. */
  #nextDeadline = Infinity;

  /** @param {{ calls: number, sends: number }} limits Of the wait queue, in bytes. */
  constructor(limits) {
    this.#queue = new WaitQueue(limits);
  }

  /** Adds a call to the queue. @param {PendingCall<W>} call @throws {CallError} `busy` */
  add(call) {
    this.#queue.push(call.queued);
    this.#calls.set(call.observer, call);
    this.#nextDeadline = Math.min(this.#nextDeadline, call.deadline);
  }

  /** Adds a one-way send to the queue. @param {EncodedMessage} message @throws {CallError} `busy` */
  addSend(message) {
    this.#queue.push({ message, call: null });
  }

  /** The first call or one-way send that waits to be written. */
  get firstQueued() {
    return this.#queue.first;
  }

  /** Removes a one-way send. @param {import("./wait_queue.js").QueuedMessage<PendingCall<W>>} item */
  removeSend(item) {
    this.#queue.remove(item);
  }

  /** Takes a call from the queue and assigns its id. @param {PendingCall<W>} call @returns {number} */
  markWritten(call) {
    this.#queue.remove(call.queued);
    const id = this.allocateId();
    call.id = id;
    this.#written.set(id, call);
    return id;
  }

  /** @param {PendingCall<W>} call */
  remove(call) {
    this.#calls.delete(call.observer);
    if (call.id === null) this.#queue.remove(call.queued);
    else this.#written.delete(call.id);
  }

  /** Assigns an id that no call of this connection has. @returns {number} */
  allocateId() {
    const id = this.#nextId;
    this.#nextId += 1;
    return id;
  }

  /** Whether a call of this connection has or had the id. @param {number} id */
  wasAllocated(id) {
    return id < this.#nextId;
  }

  /** A new connection begins, with ids of its own. */
  resetIds() {
    this.#nextId = 1;
  }

  /** @param {W} observer */
  get(observer) {
    return this.#calls.get(observer);
  }

  /** @param {number} id */
  byId(id) {
    return this.#written.get(id);
  }

  get size() {
    return this.#calls.size;
  }

  get inFlight() {
    return this.#written.size;
  }

  /** The calls that were written, in their order. */
  written() {
    return [...this.#written.values()];
  }

  /** When to call `expired`, at the latest. */
  pollTimeout() {
    return this.#nextDeadline;
  }

  /** Returns the calls whose deadline has passed. The caller has to remove them. @param {number} now */
  expired(now) {
    if (now < this.#nextDeadline) return [];
    this.#nextDeadline = Infinity;
    const expired = [];
    for (const call of this.#calls.values()) {
      if (call.deadline <= now) expired.push(call);
      else this.#nextDeadline = Math.min(this.#nextDeadline, call.deadline);
    }
    return expired;
  }
}
