// What a page leaves to the next page of its tab, and how that page continues the connection. When this happens is decided by
// the connection.

import { readFailure } from "./call_error.js";
import { oneWayFrame } from "./encoded_message.js";
import { encodeFrame } from "./frame.js";
import { toJson } from "./json.js";
import { failedByServer } from "./output_queue.js";
import { Resumption } from "./resumption.js";

/** @import { Frame } from "./frame.js" */
/** @import { SavedState } from "./saved_connection.js" */

/** What fails client calls whose handlers end with their page. A server reports a page that is closed by the same code. */
const PAGE_LEFT_FAILURE = { error: "The page was left", code: "no_connection" };

export class PageHandover {
  #calls;
  #clientCalls;
  #login;
  #writer;
  /** The calls of an earlier page that this one has cancelled. @type {Set<number>} */
  #cancelled = new Set();

  /**
   * @param {import("./call_table.js").CallTable<any>} calls
   * @param {import("./client_calls.js").ClientCalls} clientCalls
   * @param {import("./login_state.js").LoginState} login
   * @param {import("./frame_writer.js").FrameWriter} writer
   */
  constructor(calls, clientCalls, login, writer) {
    this.#calls = calls;
    this.#clientCalls = clientCalls;
    this.#login = login;
    this.#writer = writer;
  }

  /**
   * What the next page needs to continue the connection. The calls of this page run to their end on the server; their responses
   * are discarded. Streams and uploads are cancelled. Client calls that run in this page fail.
   *
   * @param {Resumption} resumption
   * @param {number} maxMessage
   * @returns {Omit<SavedState, "isTokenStored">}
   */
  save(resumption, maxMessage) {
    return {
      resumption: resumption.save(this.#lastFrames(maxMessage)),
      nextId: this.#calls.nextId,
      lastClientCall: this.#clientCalls.lastId,
      token: this.#login.token,
      identity: this.#login.identity,
    };
  }

  /** What the next page sends for this one. @param {number} maxMessage */
  #lastFrames(maxMessage) {
    const frames = [];
    for (const { call, message } of this.#calls.queue()) {
      // As on close: a waiting call would have no receiver.
      const isSend = call === null || call.isSend;
      if (isSend && !message.isLargerThan(maxMessage)) frames.push(oneWayFrame(message));
    }
    for (const { event, id, upload, credit, isSend } of this.#calls.written()) {
      if (upload || (credit !== null && !isSend)) frames.push(encodeFrame(event, "null", Number(id), "cancel"));
    }
    for (const { event, id } of this.#clientCalls.running()) {
      frames.push(encodeFrame(event, toJson(PAGE_LEFT_FAILURE), id, "error"));
    }
    return frames;
  }

  /**
   * Continues the connection of an earlier page.
   *
   * @param {SavedState} saved
   * @param {number} deadline When the server forgets it.
   * @returns {Resumption | null} `null`: the session of this page is not that of the connection.
   */
  restore({ resumption, nextId, lastClientCall, token, isTokenStored, identity }, deadline) {
    const own = this.#login.token;
    // Another tab may have logged out, or in as another user.
    if (own !== token && (isTokenStored || own !== null)) return null;
    const restored = Resumption.restore(resumption, deadline);
    this.#writer.restore(restored);
    this.#calls.resetIds(nextId);
    this.#clientCalls.reset(lastClientCall);
    this.#login.restore(token, identity);
    return restored;
  }

  /**
   * A frame about a call that an earlier page has made. Its result is discarded, except for a change of the session.
   *
   * @param {Frame} frame
   * @param {number} id
   */
  handleFrame({ event, data, kind }, id) {
    if (kind === null) {
      this.#login.handleCallDone(event, { type: "response", data });
    } else if (kind === "error") {
      this.#login.handleCallDone(event, failedByServer(readFailure(data)));
    } else if (kind === "item" && !this.#cancelled.has(id)) {
      // A one-way send that is written as a stream: cancelled at its first item.
      this.#cancelled.add(id);
      this.#writer.send(encodeFrame(event, "null", id, "cancel"));
    }
  }

  /** A new connection begins: no earlier page has made its calls. */
  reset() {
    this.#cancelled.clear();
  }
}
