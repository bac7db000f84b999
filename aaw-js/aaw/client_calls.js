// Client calls: calls that the server makes to this client. Their ids are negative (PROTOCOL.md).

import { BadFrame, encodeFrame, FRAME_OVERHEAD } from "./frame.js";
import { byteLength, exceeds, toJson } from "./json.js";

/** @import { Failure } from "./call_error.js" */
/** @import { Frame } from "./frame.js" */
/** @import { ClientCall } from "./output_queue.js" */

/** Running client calls, beyond which a further one fails with `busy`. An aaw server makes 256 at most. */
const MAX_RUNNING = 1024;

/** The client calls of the current connection that have no response yet. */
export class ClientCalls {
  #outputs;
  #writer;
  /** @type {Map<number, ClientCall>} */
  #running = new Map();
  /** The last id that the server has used. The server counts down from -1. */
  #lastId = 0;

  /**
   * @param {import("./output_queue.js").OutputQueue<any>} outputs
   * @param {import("./frame_writer.js").FrameWriter} writer
   */
  constructor(outputs, writer) {
    this.#outputs = outputs;
    this.#writer = writer;
  }

  /**
   * The server makes a call, or cancels one.
   *
   * @param {Frame} frame
   * @param {number} id Negative.
   * @throws {BadFrame} The id was used before, or, for a cancellation, never; or the kind is not allowed.
   */
  handleFrame({ event, data, kind }, id) {
    if (kind === "cancel") {
      if (id < this.#lastId) throw new BadFrame(`cancel for client call ${id}, which was never made`);
      // Without a call, the cancellation has crossed with the response.
      const call = this.#running.get(id);
      this.#running.delete(id);
      if (call) this.#outputs.push({ type: "clientCallCancelled", call });
      return;
    }
    if (kind !== null && kind !== "call") throw new BadFrame(`kind ${JSON.stringify(kind)} for client call ${id}`);
    if (id >= this.#lastId) throw new BadFrame(`the id of client call ${id} was used before`);
    this.#lastId = id;
    const call = { id, event };
    this.#running.set(id, call);
    if (this.#running.size <= MAX_RUNNING) this.#outputs.push({ type: "clientCall", call, data });
    else this.respondError(call, { error: `${MAX_RUNNING} client calls are running already`, code: "busy" });
  }

  /**
   * Responds to a call. Does nothing if the call was cancelled or its connection is gone. A response that exceeds
   * `maxMessage` bytes becomes a `too_large` error.
   *
   * @param {ClientCall} call
   * @param {string} json
   * @param {number} maxMessage
   */
  respond(call, json, maxMessage) {
    const overhead = byteLength(call.event) + FRAME_OVERHEAD;
    if (exceeds(json, maxMessage - overhead)) {
      const size = byteLength(json) + overhead;
      const error = `The response is too large: up to ${size} bytes, the limit is ${maxMessage}`;
      this.respondError(call, { error, code: "too_large" });
    } else if (this.#finish(call)) {
      this.#writer.send(encodeFrame(call.event, json, call.id));
    }
  }

  /** The same, with an error. @param {ClientCall} call @param {Failure} failure */
  respondError(call, failure) {
    if (this.#finish(call)) this.#writer.send(encodeFrame(call.event, toJson(failure), call.id, "error"));
  }

  /** The connection is over or being closed, so no response can be delivered. */
  cancelAll() {
    for (const call of this.#running.values()) this.#outputs.push({ type: "clientCallCancelled", call });
    this.#running.clear();
  }

  /** A connection begins: a new one, or one in which an earlier page has received the calls up to this id. */
  reset(lastId = 0) {
    this.#running.clear();
    this.#lastId = lastId;
  }

  /** The last id that the server has used. */
  get lastId() {
    return this.#lastId;
  }

  /** The calls without a response. */
  running() {
    return [...this.#running.values()];
  }

  /** @param {ClientCall} call @returns {boolean} Whether it was running. */
  #finish(call) {
    return this.#running.get(call.id) === call && this.#running.delete(call.id);
  }
}
