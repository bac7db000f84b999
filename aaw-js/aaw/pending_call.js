// One call that has not ended.

/** @import { EncodedMessage } from "./encoded_message.js" */

/**
 * @typedef {object} CallSettings
 * @property {number} [timeout] The time that the call has, in ms. Default: `Infinity`.
 * @property {number} [credit] The response is read as a stream, and the server may send this many items at first.
 * @property {boolean} [upload] The caller sends items too.
 * @property {boolean} [isSend] The call stands for a one-way send whose responses are passed to listeners. On a
 *   classic connection it is written as a one-way send and ends without an output, because responses arrive there as
 *   pushes. On a v1 connection it is a call.
 */

/**
 * A call and the item counts of its streams, in both directions. It stores no items: an item that arrives is passed on
 * at once, and one of an upload is written at once.
 *
 * @template W
 */
export class PendingCall {
  /** The id on the current connection; `null` while the call waits in the queue. @type {number | null} */
  id = null;
  /** Its entry in the wait queue, if it had to wait. @type {import("./wait_queue.js").QueuedMessage<PendingCall<W>> | null} */
  queued = null;
  /** Whether it has ended. */
  isOver = false;
  /** The number of its message, if messages are counted. */
  number = 0;
  /** When it was written. */
  writtenAt = 0;
  /** Items that have arrived. */
  #received = 0;
  /** Items that the server accepts in total. */
  #uploadCredit = 0;
  /** Items that were written. */
  #uploaded = 0;

  /**
   * @param {W} observer
   * @param {EncodedMessage} message
   * @param {number} now
   * @param {CallSettings} settings
   */
  constructor(observer, message, now, { timeout = Infinity, credit, upload = false, isSend = false }) {
    this.observer = observer;
    this.event = message.event;
    /** The time that the call has, in ms. */
    this.timeout = timeout;
    /** When the call fails with `timeout`, in ms on the connection's clock. */
    this.deadline = now + timeout;
    /** Items that the server may send in total; `null` if the caller reads a single response. */
    this.credit = credit ?? null;
    this.upload = upload;
    this.isSend = isSend;
  }

  /**
   * The caller accepts items up to the `items`-th in total.
   *
   * @param {number} items
   * @returns {boolean} Whether the credit has increased.
   */
  grantCredit(items) {
    if (this.credit === null || items <= this.credit) return false;
    this.credit = items;
    return true;
  }

  /** Counts an item that has arrived. @returns {boolean} Whether there was credit for it. */
  acceptItem() {
    if (this.credit === null || this.#received >= this.credit) return false;
    this.#received += 1;
    return true;
  }

  /**
   * The server accepts items up to the `items`-th in total.
   *
   * @param {number} items
   * @returns {boolean} Whether the credit has increased.
   */
  grantUploadCredit(items) {
    if (items <= this.#uploadCredit) return false;
    this.#uploadCredit = items;
    return true;
  }

  /** Items that the server accepts in total. */
  get uploadCredit() {
    return this.#uploadCredit;
  }

  /** Counts an item of the upload. @returns {boolean} Whether it may be written. */
  useUploadCredit() {
    if (this.#uploaded >= this.#uploadCredit) return false;
    this.#uploaded += 1;
    return true;
  }
}
