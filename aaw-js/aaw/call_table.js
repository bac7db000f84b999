// The calls that have not ended, the queue they wait in, and their ids and deadlines.

import { IdTable } from "./id_table.js";
import { WaitQueue } from "./wait_queue.js";

/** @import { EncodedMessage } from "./encoded_message.js" */

/**
 * @template W
 * @typedef {import("./pending_call.js").PendingCall<W>} PendingCall
 */

/**
 * A call is either queued or written. Queued calls survive the end of a connection; written ones end with it.
 *
 * @template W
 */
export class CallTable {
  /** The calls that were written on this connection. @type {IdTable<PendingCall<W>>} */
  #written = new IdTable();
  /** @type {WaitQueue<PendingCall<W>>} */
  #queue;
  #nextId = 1;
  /** The first id of a call that this page made. */
  #firstId = 1;
  /** A lower bound of the earliest deadline. It may be too early, if the call with that deadline has ended. */
  #nextDeadline = Infinity;

  /** @param {{ calls: number, sends: number }} limits Of the wait queue, in bytes. */
  constructor(limits) {
    this.#queue = new WaitQueue(limits);
  }

  /** Adds a call to the queue. @param {PendingCall<W>} call @param {EncodedMessage} message @throws {CallError} `busy` */
  addQueued(call, message) {
    const queued = { message, call };
    this.#queue.push(queued);
    call.queued = queued;
    this.#addDeadline(call);
  }

  /** Adds a call that does not wait, and assigns its id. @param {PendingCall<W>} call @returns {number} */
  addWritten(call) {
    this.#addDeadline(call);
    return this.#assignId(call);
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
    this.#removeQueued(call);
    return this.#assignId(call);
  }

  /** Removes a call, which is over. @param {PendingCall<W>} call */
  remove(call) {
    call.isOver = true;
    if (call.id === null) this.#removeQueued(call);
    else this.#written.delete(call.id);
  }

  /** @param {PendingCall<W>} call */
  #removeQueued(call) {
    if (call.queued) this.#queue.remove(call.queued);
    call.queued = null;
  }

  /** @param {PendingCall<W>} call */
  #addDeadline(call) {
    if (call.deadline < this.#nextDeadline) this.#nextDeadline = call.deadline;
  }

  /** @param {PendingCall<W>} call @returns {number} */
  #assignId(call) {
    const id = this.allocateId();
    call.id = id;
    this.#written.add(id, call);
    return id;
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

  /** Whether an earlier page has made the call. @param {number} id */
  isOfEarlierPage(id) {
    return id < this.#firstId;
  }

  /** The id of the next call. */
  get nextId() {
    return this.#nextId;
  }

  /** A connection begins with this id: a new one with 1, one of an earlier page with the next one. */
  resetIds(id = 1) {
    this.#nextId = id;
    this.#firstId = id;
  }

  /** @param {number} id */
  byId(id) {
    return this.#written.get(id);
  }

  get inFlight() {
    return this.#written.size;
  }

  /** The calls that were written, in their order. */
  written() {
    return this.#written.values();
  }

  /** The calls and one-way sends that wait to be written, in their order. */
  queue() {
    return this.#queue.messages();
  }

  /** The calls that wait to be written, in their order. */
  queued() {
    return [...this.#queue.calls()];
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
    for (const call of [...this.written(), ...this.queued()]) {
      if (call.deadline <= now) expired.push(call);
      else this.#addDeadline(call);
    }
    return expired;
  }
}
