// A call or one-way send that is serialized already and not written yet.

import { CallError } from "./call_error.js";
import { FRAME_OVERHEAD } from "./frame.js";
import { byteLength, exceeds, toJson, wellFormed } from "./json.js";

/** The end of the frame is missing, because a call is assigned its id only when it is written. */
export class EncodedMessage {
  /** @type {number | null} */
  #size = null;

  /**
   * @param {string} event
   * @param {string} head `["event",body`, without the end of the frame.
   */
  constructor(event, head) {
    this.event = event;
    this.head = head;
  }

  /** Upper bound of the frame's size, in bytes. Most messages never need it. */
  get size() {
    return (this.#size ??= byteLength(this.head) + FRAME_OVERHEAD);
  }

  /** Whether `size` exceeds a limit. @param {number} limit */
  isLargerThan(limit) {
    return exceeds(this.head, limit - FRAME_OVERHEAD);
  }
}

/**
 * Serializes the payload at once: changing the payload object later does not change what is sent.
 *
 * @param {string} event
 * @param {unknown} payload
 * @returns {EncodedMessage}
 * @throws {CallError} `bad_body`: the payload cannot be serialized to JSON. `bad_frame`: the event's name is not a
 *   string, or is reserved.
 */
export const encodeMessage = (event, payload) => {
  if (typeof event !== "string") {
    const error = `The name of an event must be a string, not ${typeof event}`;
    throw new CallError({ error, code: "bad_frame" }, { sent: false });
  }
  if (RESERVED_NAMES.has(event)) {
    throw new CallError({ error: `The event name ${event} is reserved`, code: "bad_frame" }, { sent: false });
  }
  const name = toJson(event);
  // A name that needed neither escapes nor replacements is well-formed.
  return new EncodedMessage(name === `"${event}"` ? event : wellFormed(event), `[${name},${toJson(payload)}`);
};

/** Frames that control the connection. Other names under `aaw/` are events that can be called: `aaw/login`, say. */
const RESERVED_NAMES = new Set(
  ["hello", "welcome", "error", "ping", "pong", "ack", "gap"].map((name) => `aaw/${name}`),
);

/** The frame of a one-way send. @param {EncodedMessage} message */
export const oneWayFrame = ({ head }) => `${head}]`;

/**
 * The frame of a call.
 *
 * @param {EncodedMessage} message
 * @param {number} id
 * @param {{ upload: boolean, credit: number | null }} streams Whether the caller uploads items, and its credit for the
 *   response's items; `null` if it reads a single response.
 */
export const callFrame = ({ head }, id, { upload, credit }) => {
  if (!upload && credit === null) return `${head},${id}]`;
  const meta = { in: upload || undefined, credit: credit ?? undefined };
  return `${head},${id},"call",${JSON.stringify(meta)}]`;
};
