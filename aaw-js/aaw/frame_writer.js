// Writes the frames of a connection. With resumption, this is the one place where they are counted and kept.

/** @import { OutputQueue } from "./output_queue.js" */
/** @import { Resumption } from "./resumption.js" */

export class FrameWriter {
  #outputs;
  /** @type {Resumption | null} */
  #resumption = null;
  /** Whether the server has welcomed the socket, so that counted messages may be sent. */
  #isWelcomed = false;
  /** The time of the current input, in ms. */
  now = 0;

  /** @param {OutputQueue<any>} outputs */
  constructor(outputs) {
    this.#outputs = outputs;
  }

  /** The state that is welcomed on the current socket, if any. */
  get welcomed() {
    return this.#isWelcomed ? this.#resumption : null;
  }

  /** From now on messages are counted. @param {Resumption} resumption */
  begin(resumption) {
    this.#resumption = resumption;
    this.#isWelcomed = true;
  }

  /** Messages are counted from where an earlier page has stopped. @param {Resumption} resumption */
  restore(resumption) {
    this.#resumption = resumption;
  }

  /** The socket is gone. Messages are kept for the next one. */
  handleInterrupted() {
    this.#isWelcomed = false;
  }

  /** The state continues on this socket: what the server has not received is sent again. */
  resume() {
    this.#isWelcomed = true;
    for (const text of this.#resumption?.sent.unacknowledged() ?? []) this.#outputs.send(text);
  }

  /** The state is over: messages are no longer counted. */
  end() {
    this.#resumption = null;
    this.#isWelcomed = false;
  }

  /** Sends a message. @param {string} text @returns {number} Its number; 0 if messages are not counted. */
  send(text) {
    if (this.#resumption === null) {
      this.#outputs.send(text);
      return 0;
    }
    const number = this.#resumption.sent.add(text);
    if (this.#isWelcomed) {
      if (this.#resumption.received.isDueWithMessage(this.now)) this.acknowledge();
      this.#outputs.send(text);
    }
    return number;
  }

  /** Sends a message about the socket, which is not counted. @param {string} text */
  sendUncounted(text) {
    this.#outputs.send(text);
  }

  /** Acknowledges all messages of the server. */
  acknowledge() {
    if (this.#resumption === null) return;
    this.#outputs.send(`["aaw/ack",${this.#resumption.received.count}]`);
    this.#resumption.received.handleAcknowledged();
  }
}
